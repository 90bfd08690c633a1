/*
 * The provider refused a request in the middle of a chain. Those before it are posted, those from
 * it on are not. When the last one posted is unsignalled, nothing would ever confirm it: a request
 * of our own, a signalled one of no bytes (aside.c), covers it.
 */
#include "rdma/pair.h"

/* Of the kind that it covers: the peer may allow READs alone. */
static int cover(struct rq_pair *pair, uint64_t number, uint8_t covered_opcode) {
    int is_write = covered_opcode == RQ_OP_WRITE || covered_opcode == RQ_OP_WRITE_WITH_IMM;
    return rq_pair_post_nothing(pair, number, RQ_OP_COVER,
                                is_write ? IBV_WR_RDMA_WRITE : IBV_WR_RDMA_READ);
}

/* Which request of the chain was refused: its distance from the first. `count`: none that we know,
 * so that all of them may have been posted. */
static uint32_t refused_at(const struct rq_pair *pair, uint64_t first, uint32_t count,
                           const struct ibv_send_wr *refused) {
    for (uint32_t i = 0; i < count; i++)
        if (refused == &pair->requests[(first + i) & pair->slot_mask])
            return i + RQ_WRONG(REFUSED_ONE_LATE) - (RQ_WRONG(REFUSED_ONE_EARLY) && i != 0);
    return count;
}

int rq_pair_settle_torn(struct rq_pair *pair, uint64_t first, uint32_t count,
                        const struct ibv_send_wr *refused, int error) {
    uint32_t taken = refused_at(pair, first, count, refused);
    pair->last_error = (uint32_t)error;
    if (taken == count) {
        pair->is_broken = 1; /* all stay outstanding: the flush tells, or rq_pair_abandon */
        return (int)taken;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct rq_slot *slot = &pair->slots[(first + i) & pair->slot_mask];
        if (i < taken)
            rq_tally(&pair->signalled, slot->is_signalled);
        else if (slot->opcode == RQ_OP_WRITE_WITH_IMM && !RQ_WRONG(RECEIVE_CREDIT_LOST))
            rq_tally(&pair->receives_used, UINT64_MAX); /* one less */
    }
    atomic_store_explicit(&pair->posted, first + taken, memory_order_release);
    if (taken == 0) return -error;
    const struct rq_slot *last = &pair->slots[(first + taken - 1) & pair->slot_mask];
    if (!last->is_signalled && !RQ_WRONG(COVER_FORGOTTEN) &&
        cover(pair, first + taken, last->opcode) != 0)
        pair->is_broken = 1;
    return (int)taken;
}
