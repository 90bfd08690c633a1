/*
 * A writer amid the longest burst: everything up to `guard` beyond the tail is
 * scribbled over and not published. A reader at the oldest position that the guard rule allows
 * still gets its message whole; one frame further back it is told a gap, never a scribbled byte.
 */
#include "pair.h"

enum { CAPACITY_BYTES = 65536, MESSAGE_BYTES = 96, FRAME_BYTES = 128, SCRIBBLE = 0xee };

static void send_numbered(struct pair *pair, uint64_t sequence) {
    uint8_t message[MESSAGE_BYTES];
    memset(message, (int)(sequence % 200), sizeof(message));
    CHECK_EQUAL(rq_send(pair->publisher, message, sizeof(message)), sequence);
}

static void check_message(const struct pair *pair) {
    CHECK_EQUAL(pair->poll.batch.payload_bytes, MESSAGE_BYTES);
    for (int i = 0; i < MESSAGE_BYTES; i++)
        CHECK_EQUAL(pair->poll.out[i], pair->poll.batch.sequence % 200);
}

/* Scribbles over all that a burst may reach. */
static void scribble(struct pair *pair) {
    uint64_t offset_bytes;
    uint64_t longest_bytes = pair->written->message_bytes_max;
    CHECK_EQUAL(rq_claim(pair->publisher, longest_bytes, &offset_bytes), 1);
    memset(rq_segment_data(pair->written) + offset_bytes - RQ_FRAME_HEADER_BYTES, SCRIBBLE,
           pair->written->guard_bytes);
}

int main(void) {
    const uint64_t frames_in_room = (CAPACITY_BYTES - CAPACITY_BYTES / 8) / FRAME_BYTES;
    /* The distance between reader and tail, in frames, from well inside to well outside. */
    for (uint64_t behind = frames_in_room - 3; behind <= frames_in_room + 3; behind++) {
        for (uint64_t before = 1; before < 1000; before += 333) {
            struct pair pair;
            pair_open(&pair, CAPACITY_BYTES, 0, 0, 0);
            for (uint64_t sequence = 1; sequence <= before; sequence++) {
                send_numbered(&pair, sequence);
                CHECK_EQUAL(pair_poll(&pair, 1), 1);
            }
            for (uint64_t i = 1; i <= behind; i++) send_numbered(&pair, before + i);
            scribble(&pair);
            int found = pair_poll(&pair, 1);
            if (behind <= frames_in_room) {
                CHECK_EQUAL(found, 1);
                CHECK_EQUAL(pair.poll.batch.sequence, before + 1);
            } else {
                CHECK_EQUAL(found, RQ_POLL_GAP);
                CHECK_EQUAL(pair.poll.batch.sequence, before + 1);
                CHECK_EQUAL(pair.poll.batch.cause, RQ_CAUSE_OVERRUN);
                uint64_t last = pair.poll.batch.last;
                CHECK_EQUAL(pair_poll(&pair, 1), 1);
                CHECK_EQUAL(pair.poll.batch.sequence, last + 1);
            }
            check_message(&pair);
            while ((found = pair_poll(&pair, 1)) == 1) check_message(&pair);
            CHECK_EQUAL(found, RQ_POLL_NOTHING);
            CHECK_EQUAL(rq_abort(pair.publisher), 0);
            pair_close(&pair);
        }
    }
    return 0;
}
