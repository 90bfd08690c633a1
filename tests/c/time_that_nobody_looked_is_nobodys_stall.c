/*
 * A whole machine that was paused: the publisher waits at its gate, everything stands still for
 * longer than the timeout, and its next look cuts nobody off, nor gives up waiting for readers. Who
 * then still stands still has the rest of the timeout.
 */
#include "pair.h"

enum { CAPACITY_BYTES = 65536, MESSAGE_BYTES = 1000, AWAY_US = 1000000 };
static const uint64_t TIMEOUT_NS = 4 * (uint64_t)RQ_WAIT_SLICE_NS_MAX;

static int look(struct pair *pair, uint64_t wait_ns) {
    return rq_publisher_wait(pair->publisher, MESSAGE_BYTES, wait_ns);
}

static uint32_t cut_off_count(const struct pair *pair) {
    struct rq_publisher_stats stats;
    rq_publisher_read_stats(pair->publisher, &stats);
    return stats.readers_cut_off;
}

static void check_reader(void) {
    struct pair pair;
    uint8_t message[MESSAGE_BYTES] = {1};
    pair_open(&pair, CAPACITY_BYTES, 0, 1, TIMEOUT_NS);
    while (rq_send(pair.publisher, message, sizeof(message)) > 0) continue;
    CHECK_EQUAL(look(&pair, 0), 0);
    usleep(AWAY_US);
    CHECK_EQUAL(look(&pair, 0), 0);
    CHECK_EQUAL(cut_off_count(&pair), 0);
    int is_open = 0;
    while (!is_open) CHECK((is_open = look(&pair, RQ_WAIT_SLICE_NS_MAX)) >= 0);
    CHECK_EQUAL(cut_off_count(&pair), 1);
    CHECK_EQUAL(pair_poll(&pair, 1), RQ_POLL_CUT_OFF);
    pair_close(&pair);
}

static void check_too_few(void) {
    struct pair pair;
    pair_open(&pair, CAPACITY_BYTES, 0, 1, TIMEOUT_NS);
    pair.publisher->readers_min = 2;
    CHECK_EQUAL(look(&pair, 0), 0);
    usleep(AWAY_US);
    CHECK_EQUAL(look(&pair, 0), 0);
    int answer = 0;
    while (answer == 0) answer = look(&pair, RQ_WAIT_SLICE_NS_MAX);
    CHECK_EQUAL(answer, -ETIMEDOUT);
    pair.publisher->readers_min = 0;
    pair_close(&pair);
}

int main(void) {
    check_reader();
    check_too_few();
    return 0;
}
