/* A publisher and a reader of one ring in one process, for tests that look into both. */
#ifndef RDMAQ_TESTS_PAIR_H
#define RDMAQ_TESTS_PAIR_H

#include "check.h"

#include <string.h>
#include <unistd.h>

#include "ring/publisher.h"
#include "ring/reader.h"

enum { PAIR_NOTES = 64, PAIR_OFFSETS = 8192, PAIR_OUT_BYTES = 65536 };

struct pair {
    struct rq_descriptor descriptor;
    struct rq_segment *written; /* the publisher's own mapping */
    struct rq_segment *mapped;  /* the reader's, read-only */
    struct rq_publisher *publisher;
    struct rq_reader *reader;
    struct rq_poll poll;
    int segment_fd;
    int control_fd;
    int slot;
};

static inline void pair_admit(struct pair *pair, uint32_t start, uint64_t start_value) {
    uint64_t position, sequence;
    pair->slot = rq_publisher_admit(pair->publisher, start, start_value, -1, &pair->control_fd,
                                    &position, &sequence);
    CHECK(pair->slot >= 0);
    uint64_t deliver_from = start == RQ_START_SEQUENCE ? start_value : 0;
    CHECK_EQUAL(rq_reader_open(pair->mapped, pair->control_fd, pair->slot, position, sequence,
                               deliver_from, &pair->reader),
                0);
}

/* Buffers come from malloc, of exactly their size: AddressSanitizer sees a byte beyond. */
static inline void pair_make_buffers(struct pair *pair) {
    pair->poll.out = malloc(PAIR_OUT_BYTES);
    pair->poll.out_bytes = PAIR_OUT_BYTES;
    pair->poll.offsets = malloc(PAIR_OFFSETS * sizeof(uint32_t));
    pair->poll.notes = malloc(PAIR_NOTES * sizeof(struct rq_frame_note));
    pair->poll.note_count_max = PAIR_NOTES;
    pair->poll.wait_mode = RQ_WAIT_SPIN;
    CHECK(pair->poll.out != NULL && pair->poll.offsets != NULL && pair->poll.notes != NULL);
}

static inline void pair_open(struct pair *pair, uint64_t capacity_bytes, uint32_t record_bytes,
                             int is_reliable, uint64_t timeout_ns) {
    struct rq_descriptor copy;
    memset(pair, 0, sizeof(*pair));
    CHECK_EQUAL(rq_descriptor_init(&pair->descriptor, capacity_bytes, 0, record_bytes), 0);
    pair->descriptor.is_reliable = (uint32_t)is_reliable;
    CHECK_EQUAL(rq_segment_create(&pair->descriptor, &pair->written, &pair->segment_fd), 0);
    CHECK_EQUAL(rq_segment_attach(pair->segment_fd, &pair->mapped, &copy), 0);
    CHECK(memcmp(&copy, &pair->descriptor, sizeof(copy)) == 0);
    CHECK_EQUAL(rq_publisher_open(pair->written, 1, timeout_ns, 0, &pair->publisher), 0);
    pair_make_buffers(pair);
    pair_admit(pair, RQ_START_OLDEST, 0);
}

static inline void pair_close_reader(struct pair *pair) {
    CHECK_EQUAL(rq_reader_close(pair->reader), 0);
    rq_reader_free(pair->reader);
    rq_publisher_dismiss(pair->publisher, pair->slot);
    close(pair->control_fd);
}

static inline void pair_close(struct pair *pair) {
    pair_close_reader(pair);
    CHECK_EQUAL(rq_publisher_close(pair->publisher), 0);
    rq_publisher_free(pair->publisher);
    rq_segment_free(pair->mapped);
    rq_segment_free(pair->written);
    close(pair->segment_fd);
    free(pair->poll.out);
    free(pair->poll.offsets);
    free(pair->poll.notes);
}

/* Polls without waiting: a message count, RQ_POLL_* or -errno. */
static inline int pair_poll(struct pair *pair, uint32_t message_count_max) {
    return rq_reader_poll(pair->reader, &pair->poll, message_count_max, 0);
}

/* The frame at a position, through the publisher's mapping: tests write nonsense there. */
static inline struct rq_frame_header *pair_header_at(struct pair *pair, uint64_t position) {
    return (struct rq_frame_header *)rq_at(pair->written, position);
}

/* A generator of one's own: the same numbers everywhere. xorshift64* (Marsaglia; Vigna 2014). */
static inline uint64_t pair_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1du;
}

#endif
