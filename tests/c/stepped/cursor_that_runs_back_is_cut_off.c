/*
 * A hostile reader holds the gate shut and moves its cursor to and fro, so that it never seems to
 * stall: it is cut off at once. Mutation: CURSOR_RUNS_BACK. Needs no stepping.
 */
#include "ring/layout.h"
#include "stepped/stepper.h"

enum { MOVES = 100 };

static struct ring ring;

int main(int argc, char **argv) {
    stepper_begin(argc, argv);
    ring_open(&ring, 1);
    ring_admit(&ring);
    static const uint8_t message[5000];
    while (rq_send(ring.publisher, message, sizeof(message)) != 0) continue;

    struct rq_control *control = ring.control_page;
    int is_open = 0;
    for (int i = 0; i < MOVES && !is_open; i++) {
        uint64_t cursor_bytes = CAPACITY_BYTES + (i % 2 == 0 ? 32 : 0);
        atomic_store_explicit(&control->cursor_bytes, cursor_bytes, memory_order_release);
        is_open = rq_publisher_wait(ring.publisher, sizeof(message), 0);
    }
    CHECK_EQUAL(is_open, 1);
    CHECK_EQUAL(atomic_load(&control->cut_off), RQ_CUT_BAD_CURSOR);
    ring_close(&ring);
    return 0;
}
