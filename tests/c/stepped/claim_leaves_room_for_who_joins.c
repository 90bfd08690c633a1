/*
 * A reader that a reliable publisher admits while a claim is open loses nothing when the claim is
 * committed: it passed the gate before. Mutation: CLAIM_FORGOTTEN. Needs no stepping.
 */
#include "stepped/stepper.h"

enum { MESSAGES = 40 };

static struct ring ring;

int main(int argc, char **argv) {
    stepper_begin(argc, argv);
    ring_open(&ring, 1);
    for (uint64_t sequence = 1; sequence <= MESSAGES; sequence++) ring_send(&ring, sequence);
    uint64_t offset_bytes;
    CHECK_EQUAL(rq_claim(ring.publisher, PAYLOAD_BYTES_MAX, &offset_bytes), 1);
    ring_admit(&ring);
    CHECK_EQUAL(rq_commit(ring.publisher), MESSAGES + 1);

    struct rq_reader_stats stats;
    rq_reader_read_stats(ring.reader, &stats);
    for (uint64_t sequence = stats.next_sequence; sequence <= MESSAGES; sequence++)
        CHECK_EQUAL(ring_receive(&ring, sequence, 0), sequence + 1);
    rq_reader_read_stats(ring.reader, &stats);
    CHECK_EQUAL(stats.lost_overrun, 0);
    ring_close(&ring);
    return 0;
}
