/*
 * A reader joins a reliable ring while its publisher is sending: from the position that it was
 * granted on it loses nothing. Mutations: JOIN_RACE, LIMIT_KEPT.
 */
#include "ring/publisher.h"
#include "stepped/stepper.h"

enum { SEEDS = 300, MESSAGES = 40, HEAD_START = 10 };

static struct ring ring;
static int is_joined;

static void publish(void) {
    for (uint64_t sequence = HEAD_START + 1; sequence <= MESSAGES; sequence++)
        ring_send(&ring, sequence);
    while (!is_joined) rq_step();
    CHECK_EQUAL(rq_publisher_close(ring.publisher), 0);
}

static void read(void) {
    struct rq_reader_stats stats;
    rq_step();
    ring_admit(&ring);
    is_joined = 1;
    rq_reader_read_stats(ring.reader, &stats);
    uint64_t sequence = stats.next_sequence;
    for (int64_t next = 0; next != -1; rq_step()) {
        next = ring_receive(&ring, sequence, 0);
        if (next > 0) sequence = (uint64_t)next;
    }
    rq_reader_read_stats(ring.reader, &stats);
    CHECK_EQUAL(sequence, MESSAGES + 1);
    CHECK_EQUAL(stats.lost_overrun, 0);
}

int main(int argc, char **argv) {
    stepper_begin(argc, argv);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        ring_open(&ring, 1);
        ring.publisher->timeout_ns = UINT32_MAX; /* nobody is cut off */
        is_joined = 0;
        for (uint64_t sequence = 1; sequence <= HEAD_START; sequence++) ring_send(&ring, sequence);
        stepper_run(seed, publish, read);
        ring_close(&ring);
    }
    return 0;
}
