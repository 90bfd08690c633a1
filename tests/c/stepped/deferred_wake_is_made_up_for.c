/*
 * A reader that sleeps without a time limit gets every message although its publisher defers wakes
 * at random, whatever the interleaving of publisher, reader and keeper; and when the keeper is
 * taken away. Mutations: BELL_BEFORE_COUNT, BELL_CLEARED_UNREAD, READMITTED_UNLOOKED,
 * LEFT_FORGOTTEN, REMOVAL_WAKES_NOBODY.
 */
#include "ring/publisher.h"
#include "stepped/stepper.h"

enum { ROUNDS = 4000, MESSAGES_PER_ROUND = 3 };

static struct ring ring;
static struct rq_keeper *keeper;
static uint64_t sent, received, deferred;
static int is_removed_at_last;

static void publish(void) {
    for (int i = 0; i < MESSAGES_PER_ROUND; i++) {
        ring_send(&ring, ++sent);
        deferred += atomic_load(&ring.publisher->deferred_count);
    }
    if (is_removed_at_last) CHECK_EQUAL(rq_keeper_remove(keeper, ring.publisher), 0);
}

static void read(void) {
    for (uint64_t end = received + MESSAGES_PER_ROUND; received < end;) {
        int64_t next = ring_receive(&ring, received + 1, RQ_WAIT_SLICE_NS_MAX);
        if (next > 0) received = (uint64_t)next - 1;
    }
}

static void keep(void) {
    for (;;) rq_keeper_step(keeper);
}

int main(int argc, char **argv) {
    stepper_begin(argc, argv);
    ring_open(&ring, 0);
    ring_admit(&ring);
    CHECK_EQUAL(rq_keeper_start(&keeper), 0);
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        is_removed_at_last = seed % 4 == 0;
        if (seed % 4 == 1) CHECK_EQUAL(rq_keeper_add(keeper, ring.publisher), 0);
        stepper_run_kept(seed, publish, read, keep);
    }
    CHECK(deferred > ROUNDS / 10); /* or nothing was shown */
    rq_keeper_stop(keeper);
    ring_close(&ring);
    return 0;
}
