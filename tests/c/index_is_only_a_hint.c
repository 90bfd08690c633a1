/*
 * A lapped reader whose index is wrong in all entries but one: positions between frames, of
 * another lap, or with another sequence. It resumes at the good one, and declares exactly the gap.
 */
#include "pair.h"

enum { CAPACITY_BYTES = 65536, MESSAGE_BYTES = 96, FRAME_BYTES = 128 };

static void store(_Atomic uint64_t *word, uint64_t value) {
    atomic_store_explicit(word, value, memory_order_relaxed);
}

static uint64_t load(_Atomic uint64_t *word) {
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void spoil(struct rq_index_entry *entry, uint64_t way) {
    switch (way % 4) {
        case 0: store(&entry->position, load(&entry->position) + 32); break;
        case 1: store(&entry->position, load(&entry->position) - CAPACITY_BYTES); break;
        case 2: store(&entry->sequence, load(&entry->sequence) + 1); break;
        default: store(&entry->sequence, 1); break;
    }
}

int main(void) {
    struct pair pair;
    pair_open(&pair, CAPACITY_BYTES, 0, 0, 0);
    uint8_t message[MESSAGE_BYTES] = {0};
    const uint64_t count = 3 * CAPACITY_BYTES / FRAME_BYTES;
    for (uint64_t sequence = 1; sequence <= count; sequence++)
        CHECK_EQUAL(rq_send(pair.publisher, message, sizeof(message)), sequence);

    /* The good one lies in the middle of what is still intact. */
    uint64_t good_position = pair.publisher->tail - CAPACITY_BYTES / 2;
    uint64_t stride = good_position / pair.written->index_stride_bytes;
    struct rq_index_entry *good = rq_index_at(pair.written, stride);
    for (uint64_t i = 0; i <= pair.written->index_entry_mask; i++)
        if (pair.written->index + i != good) spoil(pair.written->index + i, i);
    uint64_t good_sequence = load(&good->sequence);
    CHECK(good_sequence > 1 && good_sequence < count);

    CHECK_EQUAL(pair_poll(&pair, 10), RQ_POLL_GAP);
    CHECK_EQUAL(pair.poll.batch.sequence, 1);
    CHECK_EQUAL(pair.poll.batch.last, good_sequence - 1);
    for (uint64_t sequence = good_sequence; sequence <= count; sequence++) {
        CHECK_EQUAL(pair_poll(&pair, 1), 1);
        CHECK_EQUAL(pair.poll.batch.sequence, sequence);
    }
    CHECK_EQUAL(pair_poll(&pair, 1), RQ_POLL_NOTHING);

    /* With no good entry at all, it waits for the next one, and loses nothing in silence. */
    for (uint64_t sequence = count + 1; sequence <= 2 * count; sequence++)
        CHECK_EQUAL(rq_send(pair.publisher, message, sizeof(message)), sequence);
    for (uint64_t i = 0; i <= pair.written->index_entry_mask; i++)
        spoil(pair.written->index + i, i);
    CHECK_EQUAL(pair_poll(&pair, 10), RQ_POLL_NOTHING);
    uint64_t last = 2 * count;
    int found = RQ_POLL_NOTHING;
    while (found == RQ_POLL_NOTHING) {
        CHECK_EQUAL(rq_send(pair.publisher, message, sizeof(message)), ++last);
        found = pair_poll(&pair, 10);
    }
    CHECK_EQUAL(found, RQ_POLL_GAP);
    CHECK_EQUAL(pair.poll.batch.sequence, count + 1);
    CHECK(pair_poll(&pair, 10) > 0);
    CHECK_EQUAL(pair.poll.batch.last, last);
    pair_close(&pair);
    return 0;
}
