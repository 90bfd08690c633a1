/*
 * A publisher that writes nonsense into a frame's header, one field at a time and then at random:
 * the reader answers -EBADMSG (or takes what happens to be sane), stays within its buffers, and
 * never faults. Polling and borrowing alike.
 */
#include "pair.h"

enum { CAPACITY_BYTES = 65536, ROUNDS = 20000 };

static int is_possible(int status, uint32_t message_count_max) {
    return (status >= 0 && status <= (int)message_count_max) || status == -EBADMSG ||
           status == RQ_POLL_GAP || status == RQ_POLL_END || status == RQ_POLL_TOO_SMALL;
}

static uint32_t kind_count(uint32_t kind, uint32_t count) { return kind | count << 8; }

/* A good frame, one field of it changed: refused, by poll and by borrow, again and again. */
static void check_refused(uint32_t record_bytes, const struct rq_frame_header *bad) {
    struct pair pair;
    pair_open(&pair, CAPACITY_BYTES, record_bytes, 0, 0);
    uint8_t message[64] = {0};
    CHECK_EQUAL(rq_send(pair.publisher, message, record_bytes != 0 ? record_bytes : 10), 1);
    for (int i = 0; i < 300; i++) /* the tail is far: only the frame's own bound can refuse it */
        if (bad->payload_bytes > CAPACITY_BYTES / 8 - 32)
            CHECK(rq_send(pair.publisher, message, record_bytes != 0 ? record_bytes : 64) > 0);
    struct rq_frame_header *header = pair_header_at(&pair, CAPACITY_BYTES);
    if (bad->position != 0) header->position = bad->position;
    if (bad->sequence != 0) header->sequence = bad->sequence;
    if (bad->payload_bytes != 0) header->payload_bytes = bad->payload_bytes;
    if (bad->kind_count != 0) header->kind_count = bad->kind_count;
    for (int turn = 0; turn < 2; turn++) {
        CHECK_EQUAL(pair_poll(&pair, 10), -EBADMSG);
        CHECK_EQUAL(rq_reader_borrow(pair.reader, &pair.poll, 10, 0), -EBADMSG);
    }
    struct rq_reader_stats stats;
    rq_reader_read_stats(pair.reader, &stats);
    CHECK_EQUAL(stats.messages, 0);
    pair_close(&pair);
}

static void check_each_field(void) {
    const struct rq_frame_header untyped[] = {
        {.position = CAPACITY_BYTES + 32},
        {.position = 1},
        {.sequence = UINT64_MAX},
        {.sequence = UINT64_MAX - RQ_FRAME_MESSAGES_MAX},
        {.payload_bytes = UINT32_MAX},
        {.payload_bytes = CAPACITY_BYTES / 8 - 31},
        {.payload_bytes = 4096}, /* beyond the tail */
        {.kind_count = kind_count(7, 1)},
        {.kind_count = kind_count(255, 1)},
        {.kind_count = kind_count(RQ_KIND_MESSAGE, 2)},
        {.kind_count = kind_count(RQ_KIND_RECORDS, 1)},
        {.kind_count = kind_count(RQ_KIND_BLOCKS, 6)}, /* 10 bytes hold no 6 prefixes */
        {.kind_count = kind_count(RQ_KIND_BLOCKS, RQ_FRAME_MESSAGES_MAX)},
        {.kind_count = kind_count(RQ_KIND_GAP, 0)},
        {.kind_count = kind_count(RQ_KIND_GAP, 1)},
        {.kind_count = kind_count(RQ_KIND_END, 0)},
        {.kind_count = kind_count(RQ_KIND_HEARTBEAT, 0)},
    };
    for (size_t i = 0; i < sizeof(untyped) / sizeof(*untyped); i++) check_refused(0, &untyped[i]);
    const struct rq_frame_header typed[] = {
        {.kind_count = kind_count(RQ_KIND_RECORDS, 2)},
        {.kind_count = kind_count(RQ_KIND_RECORDS, RQ_FRAME_MESSAGES_MAX)},
        {.kind_count = kind_count(RQ_KIND_MESSAGE, 1)},
        {.kind_count = kind_count(RQ_KIND_BLOCKS, 1)},
        {.payload_bytes = 23},
    };
    for (size_t i = 0; i < sizeof(typed) / sizeof(*typed); i++) check_refused(24, &typed[i]);
}

/* Random damage to a ring full of frames of every kind. */
static void check_random_damage(uint64_t seed) {
    struct pair pair;
    pair_open(&pair, CAPACITY_BYTES, 0, 0, 0);
    struct rq_taken taken;
    uint8_t blocks[] = {0, 1, 'a', 0, 0, 0, 2, 'b', 'c'};
    for (int i = 0; i < 40; i++) {
        CHECK(rq_send(pair.publisher, blocks, sizeof(blocks)) > 0);
        CHECK(rq_send_blocks(pair.publisher, blocks, sizeof(blocks), 3, 0, &taken) > 0);
        uint64_t next = pair.publisher->next_sequence;
        CHECK_EQUAL(rq_send_gap(pair.publisher, next, next + 2), next);
    }
    uint64_t written_bytes = pair.publisher->tail - CAPACITY_BYTES;
    uint8_t *data = rq_segment_data(pair.written);
    for (uint64_t hits = 1 + pair_random(&seed) % 8; hits > 0; hits--)
        data[pair_random(&seed) % written_bytes] = (uint8_t)pair_random(&seed);
    for (int turn = 0; turn < 200; turn++) {
        uint32_t count_max = 1 + (uint32_t)(pair_random(&seed) % 50);
        int status = pair_poll(&pair, count_max);
        CHECK(is_possible(status, count_max));
        status = rq_reader_borrow(pair.reader, &pair.poll, count_max, 0);
        CHECK(is_possible(status, count_max));
        if (status > 0) {
            for (int i = 0; i < status; i++)
                CHECK(pair.poll.offsets[2 * i] <= pair.poll.offsets[2 * i + 1] &&
                      pair.poll.offsets[2 * i + 1] <= pair.written->message_bytes_max);
            CHECK_EQUAL(rq_reader_release(pair.reader, 1), 1);
        }
        if (status == -EBADMSG || status == RQ_POLL_NOTHING) break;
    }
    pair_close(&pair);
}

int main(void) {
    check_each_field();
    for (uint64_t seed = 1; seed <= ROUNDS / 40; seed++) check_random_damage(seed * 7919);
    return 0;
}
