/*
 * A publisher that writes nonsense into tail, origin, index, ledger and clock table: the reader
 * may find nothing, a gap or -EBADMSG, but it stays within the mapping and comes back.
 */
#include "pair.h"

enum { CAPACITY_BYTES = 65536, ROUNDS = 400 };

static void send_some(struct pair *pair, int count) {
    uint8_t message[500] = {7};
    for (int i = 0; i < count; i++) CHECK(rq_send(pair->publisher, message, sizeof(message)) > 0);
}

static void store(_Atomic uint64_t *word, uint64_t value) {
    atomic_store_explicit(word, value, memory_order_relaxed);
}

static uint64_t interesting(uint64_t *seed) {
    static const uint64_t values[] = {0,
                                      1,
                                      32,
                                      CAPACITY_BYTES - 32,
                                      CAPACITY_BYTES,
                                      CAPACITY_BYTES + 32,
                                      UINT64_MAX,
                                      UINT64_MAX - 31,
                                      (uint64_t)1 << 63,
                                      CAPACITY_BYTES * 3 + 17};
    uint64_t dice = pair_random(seed);
    if (dice % 3 == 0) return pair_random(seed);
    return values[dice / 3 % (sizeof(values) / sizeof(*values))];
}

static void damage(struct pair *pair, uint64_t *seed) {
    struct rq_live *live = pair->written->live;
    switch (pair_random(seed) % 6) {
        case 0: store(&live->tail_bytes, interesting(seed)); break;
        case 1: store(&live->origin_sequence, interesting(seed)); break;
        case 2: store(&live->ledger_count, interesting(seed)); break;
        case 3:
            for (unsigned i = 0; i < RQ_LEDGER_ENTRIES; i++) {
                store(&pair->written->ledger[i].first, interesting(seed));
                store(&pair->written->ledger[i].last, interesting(seed));
            }
            break;
        case 4:
            for (uint64_t i = 0; i <= pair->written->index_entry_mask; i++) {
                store(&pair->written->index[i].position, interesting(seed));
                store(&pair->written->index[i].sequence, interesting(seed));
            }
            break;
        default:
            store(&live->clock.base_ticks, interesting(seed));
            store(&live->clock.ns_per_tick_q32, interesting(seed));
            store(&live->heartbeat_ticks, interesting(seed));
            break;
    }
}

static void check_round(uint64_t seed) {
    struct pair pair;
    pair_open(&pair, CAPACITY_BYTES, 0, 0, 0);
    send_some(&pair, 10);
    if (seed % 3 != 0) CHECK_EQUAL(pair_poll(&pair, 3), 3);
    if (seed % 2 != 0) send_some(&pair, 400); /* lapped: index and ledger are asked */
    for (int i = 0; i < 3; i++) damage(&pair, &seed);
    for (int turn = 0; turn < 20; turn++) {
        int status = pair_poll(&pair, 8);
        CHECK((status >= 0 && status <= 8) || status == -EBADMSG || status == RQ_POLL_GAP ||
              status == RQ_POLL_END);
        if (status == RQ_POLL_GAP) CHECK(pair.poll.batch.last >= pair.poll.batch.sequence);
        struct rq_reader_stats stats;
        rq_reader_read_stats(pair.reader, &stats);
        (void)rq_reader_wall_ns(pair.reader, seed);
        status = rq_reader_borrow(pair.reader, &pair.poll, 8, 0);
        if (status > 0) (void)rq_reader_release(pair.reader, turn % 2);
    }
    pair_close(&pair);
}

int main(void) {
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) check_round(seed * 104729);
    return 0;
}
