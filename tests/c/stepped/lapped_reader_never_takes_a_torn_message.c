/*
 * A lossy reader about one lap behind: every message is whole, every loss is declared, whatever
 * the interleaving. Mutations: GUARD_0, TAIL_BEFORE_DATA, CHECK_HOISTED, HEADER_BEFORE_CHECK,
 * WRITER_FENCE_GONE (what stores out of order do then, in program order).
 */
#include "stepped/stepper.h"

enum { SEEDS = 300, MESSAGES = 60, HEAD_START = 10 };

static struct ring ring;

static void publish(void) {
    for (uint64_t sequence = HEAD_START + 1; sequence <= MESSAGES; sequence++)
        ring_send(&ring, sequence);
    CHECK_EQUAL(rq_publisher_close(ring.publisher), 0);
}

static void read(void) {
    uint64_t sequence = 1;
    for (int64_t next = 0; next != -1; rq_step()) {
        next = ring_receive(&ring, sequence, 0);
        if (next > 0) sequence = (uint64_t)next;
    }
    CHECK_EQUAL(sequence, MESSAGES + 1); /* received + declared = published */
}

int main(int argc, char **argv) {
    stepper_begin(argc, argv);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        ring_open(&ring, 0);
        ring_admit(&ring);
        for (uint64_t sequence = 1; sequence <= HEAD_START; sequence++) ring_send(&ring, sequence);
        stepper_run(seed, publish, read);
        ring_close(&ring);
    }
    return 0;
}
