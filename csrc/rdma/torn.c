/*
 * The provider refused a request in the middle of a chain. Those before it are posted, those from
 * it on are not. When the last one posted is unsignalled, nothing would ever confirm it: a request
 * of our own, a signalled WRITE of no bytes (IBTA volume 1, C9-88: its address and key are not
 * looked at), covers it.
 */
#include "rdma/pair.h"

static int cover(struct rq_pair *pair, uint64_t number) {
    uint32_t index = (uint32_t)number & pair->slot_mask;
    struct ibv_send_wr *request = &pair->requests[index], *next = request->next, *refused = NULL;
    uint64_t reported = atomic_load_explicit(&pair->reported, memory_order_acquire);
    if (number - reported > pair->send_count_max)
        return -ENOMEM; /* an earlier cover has the slot */
    request->wr_id = rq_wr_id(RQ_WR_SEND, pair->index, number);
    request->opcode = IBV_WR_RDMA_WRITE;
    request->send_flags = IBV_SEND_SIGNALED;
    request->num_sge = 0;
    request->wr.rdma.remote_addr = 0;
    request->wr.rdma.rkey = 0;
    request->next = NULL;
    pair->slots[index] = (struct rq_slot){.opcode = RQ_OP_COVER, .is_signalled = 1};
    atomic_store_explicit(&pair->posted, number + 1, memory_order_release);
    rq_tally(&pair->doorbells, 1);
    int error = ibv_post_send(pair->qp, request, &refused);
    request->next = next;
    if (error != 0) {
        atomic_store_explicit(&pair->posted, number, memory_order_release);
        return -error;
    }
    rq_tally(&pair->signalled, 1);
    rq_tally(&pair->covers, 1);
    return 0;
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
    if (!last->is_signalled && !RQ_WRONG(COVER_FORGOTTEN) && cover(pair, first + taken) != 0)
        pair->is_broken = 1;
    return (int)taken;
}
