/*
 * A reader of a reliable stream that writes nonsense into its control page: ahead of the tail,
 * backwards, or standing still. It is cut off and told why, and of no gap before; publisher and
 * other reader go on.
 */
#include "pair.h"

enum { CAPACITY_BYTES = 65536, MESSAGE_BYTES = 1000, TIMEOUT_NS = 20000000 };

/* Sends until the ring has been filled three times; the pair's own reader keeps up. */
static void flood(struct pair *pair) {
    uint8_t message[MESSAGE_BYTES] = {1};
    for (int sent = 0; sent < 3 * CAPACITY_BYTES / MESSAGE_BYTES;) {
        int64_t sequence = rq_send(pair->publisher, message, sizeof(message));
        CHECK(sequence >= 0);
        if (sequence > 0)
            sent++;
        else
            CHECK(rq_publisher_wait(pair->publisher, sizeof(message), RQ_WAIT_SLICE_NS_MAX) >= 0);
        int found = pair_poll(pair, 10);
        CHECK(found >= 0);
    }
}

static void check_cut_off(uint64_t (*forge)(struct pair *), uint32_t reason) {
    struct pair pair;
    pair_open(&pair, CAPACITY_BYTES, 0, 1, TIMEOUT_NS);
    struct pair other = pair; /* a second reader, with the same ring and buffers */
    pair_admit(&other, RQ_START_OLDEST, 0);
    uint8_t message[MESSAGE_BYTES] = {1};
    CHECK_EQUAL(rq_send(pair.publisher, message, sizeof(message)), 1);
    CHECK_EQUAL(pair_poll(&other, 1), 1);
    if (forge != NULL)
        atomic_store_explicit(&other.reader->control->cursor_bytes, forge(&other),
                              memory_order_relaxed);
    flood(&pair);
    /* As who was stopped in a poll, behind its look for a cut-off: lapped, and no gap is told. */
    CHECK_EQUAL(rq_read_batch(other.reader, &other.poll, 1), RQ_POLL_NOTHING);
    CHECK_EQUAL(pair_poll(&other, 1), RQ_POLL_CUT_OFF);
    CHECK_EQUAL(other.poll.batch.cause, reason);
    struct rq_publisher_stats stats;
    rq_publisher_read_stats(pair.publisher, &stats);
    CHECK_EQUAL(stats.readers_cut_off, 1);
    struct rq_reader_stats read;
    rq_reader_read_stats(pair.reader, &read);
    CHECK_EQUAL(read.lost_overrun, 0);
    pair_close_reader(&other);
    pair_close(&pair);
}

static uint64_t ahead(struct pair *pair) { return pair->publisher->tail + CAPACITY_BYTES; }
static uint64_t endless(struct pair *pair) { return (void)pair, UINT64_MAX; }
static uint64_t backwards(struct pair *pair) { return (void)pair, 0; }

int main(void) {
    check_cut_off(ahead, RQ_CUT_BAD_CURSOR);
    check_cut_off(endless, RQ_CUT_BAD_CURSOR);
    check_cut_off(backwards, RQ_CUT_BAD_CURSOR);
    check_cut_off(NULL, RQ_CUT_STALLED);
    return 0;
}
