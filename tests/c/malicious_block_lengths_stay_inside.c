/*
 * Length prefixes that lead beyond their frame, written after the publisher's own check: poll and
 * borrow refuse the frame or take only what lies inside it; whatever bytes the lengths have.
 */
#include "pair.h"

enum { CAPACITY_BYTES = 65536, MESSAGES = 20, ROUNDS = 3000 };

static void send_blocks(struct pair *pair) {
    uint8_t blocks[MESSAGES * 12];
    for (int i = 0; i < MESSAGES; i++) {
        memset(blocks + i * 12, i, 12);
        blocks[i * 12] = 0;
        blocks[i * 12 + 1] = 10;
    }
    struct rq_taken taken;
    CHECK(rq_send_blocks(pair->publisher, blocks, sizeof(blocks), MESSAGES, 0, &taken) > 0);
}

static void check_round(uint64_t seed) {
    struct pair pair;
    pair_open(&pair, CAPACITY_BYTES, 0, 0, 0);
    send_blocks(&pair);
    uint8_t *blocks = rq_at(pair.written, CAPACITY_BYTES) + RQ_FRAME_HEADER_BYTES;
    for (int hits = 0; hits < 3; hits++) {
        uint64_t which = pair_random(&seed) % MESSAGES;
        blocks[which * 12] = (uint8_t)(pair_random(&seed) % 3 == 0 ? pair_random(&seed) : 0);
        blocks[which * 12 + 1] = (uint8_t)pair_random(&seed);
    }
    pair.poll.out_bytes = 1 + pair_random(&seed) % 400; /* the rest of the buffer is not ours */
    uint64_t taken = 0;
    for (int turn = 0; turn < 2 * MESSAGES; turn++) {
        uint32_t count_max = 1 + (uint32_t)(pair_random(&seed) % 7);
        int is_borrowing = pair_random(&seed) % 2 == 0;
        int found = is_borrowing ? rq_reader_borrow(pair.reader, &pair.poll, count_max, 0)
                                 : pair_poll(&pair, count_max);
        if (found <= 0) {
            CHECK(found == 0 || found == -EBADMSG || found == RQ_POLL_TOO_SMALL);
            break;
        }
        CHECK(found <= (int)count_max);
        taken += (uint64_t)found;
        if (is_borrowing) {
            CHECK(pair.poll.offsets[2 * found - 1] <= MESSAGES * 12);
            CHECK_EQUAL(rq_reader_release(pair.reader, 1), 1);
        } else {
            CHECK(pair.poll.batch.payload_bytes <= pair.poll.out_bytes);
            CHECK_EQUAL(pair.poll.offsets[found], pair.poll.batch.payload_bytes);
        }
    }
    CHECK(taken <= MESSAGES);
    pair_close(&pair);
}

int main(void) {
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) check_round(seed * 65537);
    return 0;
}
