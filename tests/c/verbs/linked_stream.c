#include <string.h>

#include "verbs/linked.h"

static uint8_t upstream[LINKED_SEQUENCES / 8]; /* sequences that were lost before they came here */

/* ---- what is published ---- */

int linked_is_upstream(uint64_t sequence) { return upstream[sequence / 8] >> sequence % 8 & 1; }

static void mark(uint64_t sequence, int is_upstream) {
    uint8_t bit = (uint8_t)(1u << sequence % 8);
    upstream[sequence / 8] &= (uint8_t)~bit;
    if (is_upstream) upstream[sequence / 8] |= bit;
}

static uint64_t length_of(uint64_t sequence) {
    uint64_t mixed = sequence * 0x9e3779b97f4a7c15u >> 40;
    return mixed % 16 == 0 ? mixed % LINKED_MESSAGE_MAX : mixed % 120;
}

static uint8_t byte_of(uint64_t sequence, uint64_t at) {
    return (uint8_t)((sequence * 131 + at * 7 + (sequence >> 8)) ^ (at >> 5));
}

static void fill(uint64_t sequence, uint8_t *bytes) {
    for (uint64_t at = 0; at < length_of(sequence); at++) bytes[at] = byte_of(sequence, at);
}

void linked_check_message(uint64_t sequence, const uint8_t *bytes, uint64_t length_bytes) {
    CHECK_EQUAL(length_bytes, length_of(sequence));
    for (uint64_t at = 0; at < length_bytes; at++) CHECK_EQUAL(bytes[at], byte_of(sequence, at));
}

static int64_t send_blocks(struct linked *linked, uint64_t count) {
    uint8_t blocks[8 * (LINKED_MESSAGE_MAX + 2)];
    struct rq_taken taken;
    uint64_t used = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t bytes = length_of(linked->next + i);
        blocks[used] = (uint8_t)(bytes >> 8);
        blocks[used + 1] = (uint8_t)bytes;
        fill(linked->next + i, blocks + used + 2);
        used += 2 + bytes;
    }
    if (used > linked->descriptor.message_bytes_max) return 0;
    return rq_send_blocks(linked->publisher, blocks, used, count, 0, &taken);
}

int linked_send(struct linked *linked) {
    uint8_t message[LINKED_MESSAGE_MAX];
    uint64_t kind = linked_random(linked, 20), count = 1;
    int64_t sequence;
    CHECK(linked->next + 16 < LINKED_SEQUENCES);
    if (kind < 3) {
        count = 2 + linked_random(linked, 6);
        sequence = send_blocks(linked, count);
    } else if (kind == 3) {
        count = 1 + linked_random(linked, 5);
        for (uint64_t i = 0; i < count; i++) mark(linked->next + i, 1); /* a reader may be quick */
        sequence = rq_send_gap(linked->publisher, linked->next, linked->next + count - 1);
        for (uint64_t i = 0; sequence <= 0 && i < count; i++) mark(linked->next + i, 0);
    } else if (kind == 4) {
        count = 0;
        sequence = rq_send_heartbeat(linked->publisher);
    } else {
        fill(linked->next, message);
        sequence = rq_send(linked->publisher, message, length_of(linked->next));
    }
    CHECK(sequence == 0 || sequence == (int64_t)linked->next);
    if (sequence == 0) linked->shut++;
    if (sequence == 0) return 0;
    linked->next += count;
    return 1;
}

void linked_forget(void) { memset(upstream, 0, sizeof(upstream)); }

/* ---- what is read ---- */

static void check_gap(struct linked *linked, struct slot *slot) {
    const struct rq_batch *batch = &linked->poll.batch;
    if (slot->expected == 0) slot->expected = batch->sequence;
    CHECK_EQUAL(batch->sequence, slot->expected);
    CHECK(batch->last >= batch->sequence && batch->last < linked->next + linked->ahead);
    for (uint64_t sequence = batch->sequence; sequence <= batch->last; sequence++) {
        if (batch->cause == RQ_CAUSE_UPSTREAM) CHECK(linked_is_upstream(sequence));
        slot->upstream += batch->cause == RQ_CAUSE_UPSTREAM;
        slot->overrun += batch->cause == RQ_CAUSE_OVERRUN;
    }
    if (linked->is_reliable) CHECK_EQUAL(batch->cause, RQ_CAUSE_UPSTREAM);
    slot->expected = batch->last + 1;
    linked->gaps++;
}

int linked_read(struct linked *linked, struct slot *slot) {
    int count = rq_reader_poll(slot->reader, &linked->poll, 64, 0);
    CHECK(count >= 0 || count == RQ_POLL_GAP || count == RQ_POLL_END);
    if (count == RQ_POLL_GAP) check_gap(linked, slot);
    if (count <= 0) return count == RQ_POLL_GAP;
    if (slot->expected == 0) slot->expected = linked->poll.batch.sequence;
    CHECK_EQUAL(linked->poll.batch.sequence, slot->expected);
    for (int i = 0; i < count; i++) {
        const uint32_t *offsets = linked->poll.offsets + i;
        CHECK(!linked_is_upstream(slot->expected));
        linked_check_message(slot->expected++, linked->poll.out + offsets[0],
                             offsets[1] - offsets[0]);
    }
    slot->received += (uint64_t)count;
    return 1;
}
