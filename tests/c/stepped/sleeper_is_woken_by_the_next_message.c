/*
 * A reader that sleeps without a time limit gets every message, whatever the interleaving.
 * Mutations: PUBLISHER_FENCE_GONE, READER_FENCE_GONE (what a store buffer does then, in program
 * order), CLEARED_AFTER_WAKE.
 */
#include "stepped/stepper.h"

enum { ROUNDS = 3000, MESSAGES_PER_ROUND = 3 };

static struct ring ring;
static uint64_t sent, received;

static void publish(void) {
    for (int i = 0; i < MESSAGES_PER_ROUND; i++) ring_send(&ring, ++sent);
}

static void read(void) {
    for (uint64_t end = received + MESSAGES_PER_ROUND; received < end;) {
        int64_t next = ring_receive(&ring, received + 1, RQ_WAIT_SLICE_NS_MAX);
        if (next > 0) received = (uint64_t)next - 1;
    }
}

int main(int argc, char **argv) {
    stepper_begin(argc, argv);
    ring_open(&ring, 0);
    ring_admit(&ring);
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) stepper_run(seed, publish, read);
    ring_close(&ring);
    return 0;
}
