/*
 * Every sequence is lost upstream, one a gap, and the ledger forgets the oldest while a lapped
 * reader asks: only what it has forgotten is told as overrun. Mutation: SEARCHED_ONCE.
 */
#include "stepped/stepper.h"

enum { SEEDS = 10, GAPS = RQ_LEDGER_ENTRIES + 200, HEAD_START = RQ_LEDGER_ENTRIES + 100 };

static struct ring ring;
static uint64_t sent;

static void send_gap(void) {
    CHECK_EQUAL(rq_send_gap(ring.publisher, sent + 1, sent + 1), sent + 1);
    sent++;
}

static void publish(void) {
    while (sent < GAPS) send_gap();
}

/* The ledger holds all but one of its entries safely, and perhaps one more than is published. */
static uint64_t forgotten(void) { return sent + 1 - (RQ_LEDGER_ENTRIES - 1); }

static void read(void) {
    struct rq_frame_note note;
    uint32_t offsets[2];
    uint8_t out[1];
    struct rq_poll poll = {.out = out,
                           .out_bytes = sizeof(out),
                           .offsets = offsets,
                           .notes = &note,
                           .note_count_max = 1,
                           .wait_mode = RQ_WAIT_SPIN};
    for (uint64_t sequence = 1; sequence <= GAPS; rq_step()) {
        int found = rq_reader_poll(ring.reader, &poll, 1, 0);
        if (found == RQ_POLL_NOTHING) continue;
        CHECK_EQUAL(found, RQ_POLL_GAP);
        CHECK_EQUAL(poll.batch.sequence, sequence);
        if (poll.batch.cause == RQ_CAUSE_OVERRUN) CHECK(poll.batch.last <= forgotten());
        sequence = poll.batch.last + 1;
    }
}

int main(int argc, char **argv) {
    stepper_begin(argc, argv);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        ring_open(&ring, 0);
        ring_admit(&ring);
        for (sent = 0; sent < HEAD_START;) send_gap();
        stepper_run(seed, publish, read);
        ring_close(&ring);
    }
    return 0;
}
