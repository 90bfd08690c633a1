/*
 * A publisher thread flat out and three reader threads that copy and borrow: every message's bytes
 * follow from its sequence; received + declared = published.
 */
#include "pair.h"

#include <pthread.h>

enum { CAPACITY_BYTES = 65536, MESSAGES = 300000, READERS = 3, MESSAGE_BYTES_MAX = 3000 };

static uint64_t size_of(uint64_t sequence) { return 1 + sequence * 37 % MESSAGE_BYTES_MAX; }

static void check_bytes(const uint8_t *message, uint64_t sequence, uint64_t message_bytes) {
    CHECK_EQUAL(message_bytes, size_of(sequence));
    for (uint64_t i = 0; i < message_bytes; i++) CHECK_EQUAL(message[i], (uint8_t)(sequence + i));
}

static void *publish(void *argument) {
    struct pair *pair = argument;
    static uint8_t message[MESSAGE_BYTES_MAX];
    for (uint64_t sequence = 1; sequence <= MESSAGES; sequence++) {
        for (uint64_t i = 0; i < size_of(sequence); i++) message[i] = (uint8_t)(sequence + i);
        CHECK_EQUAL(rq_send(pair->publisher, message, size_of(sequence)), sequence);
    }
    CHECK_EQUAL(rq_publisher_close(pair->publisher), 0);
    return NULL;
}

/* A borrowed batch is checked only when it was given back intact: before, it may be torn. */
static int read_borrowed(struct pair *pair) {
    int found = rq_reader_borrow(pair->reader, &pair->poll, 1, 0);
    if (found <= 0) return found;
    struct rq_batch batch = pair->poll.batch;
    memcpy(pair->poll.out, rq_segment_data(pair->mapped) + batch.data_offset_bytes,
           batch.payload_bytes);
    if (rq_reader_release(pair->reader, 1) == 0) return 0; /* the next poll declares it */
    check_bytes(pair->poll.out, batch.sequence, batch.payload_bytes);
    return found;
}

static int read_copied(struct pair *pair) {
    int found = pair_poll(pair, 50);
    for (int i = 0; i < found; i++)
        check_bytes(pair->poll.out + pair->poll.offsets[i], pair->poll.batch.sequence + (uint64_t)i,
                    pair->poll.offsets[i + 1] - pair->poll.offsets[i]);
    return found;
}

static void *read_all(void *argument) {
    struct pair *pair = argument;
    uint64_t next = 1;
    for (uint64_t turn = 0;; turn++) {
        int found = turn % 4 == 3 ? read_borrowed(pair) : read_copied(pair);
        if (found == RQ_POLL_END) break;
        if (found == 0) continue;
        CHECK(found > 0 || found == RQ_POLL_GAP);
        CHECK_EQUAL(pair->poll.batch.sequence, next);
        next = pair->poll.batch.last + 1;
    }
    struct rq_reader_stats stats;
    rq_reader_read_stats(pair->reader, &stats);
    CHECK_EQUAL(next, MESSAGES + 1);
    CHECK_EQUAL(stats.messages + stats.lost_overrun, MESSAGES);
    CHECK_EQUAL(stats.lost_upstream, 0);
    return NULL;
}

int main(void) {
    static struct pair pairs[READERS];
    pthread_t readers[READERS], writer;
    pair_open(&pairs[0], CAPACITY_BYTES, 0, 0, 0);
    for (int i = 1; i < READERS; i++) {
        pairs[i] = pairs[0];
        pair_make_buffers(&pairs[i]);
        pair_admit(&pairs[i], RQ_START_OLDEST, 0);
    }
    for (int i = 0; i < READERS; i++)
        CHECK_EQUAL(pthread_create(&readers[i], NULL, read_all, &pairs[i]), 0);
    CHECK_EQUAL(pthread_create(&writer, NULL, publish, &pairs[0]), 0);
    CHECK_EQUAL(pthread_join(writer, NULL), 0);
    for (int i = 0; i < READERS; i++) CHECK_EQUAL(pthread_join(readers[i], NULL), 0);
    for (int i = 1; i < READERS; i++) {
        pair_close_reader(&pairs[i]);
        free(pairs[i].poll.out);
        free(pairs[i].poll.offsets);
        free(pairs[i].poll.notes);
    }
    pair_close(&pairs[0]);
    return 0;
}
