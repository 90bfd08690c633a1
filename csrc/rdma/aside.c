/*
 * Requests beside the caller's: of no bytes, which only tell that the peer's device answers, and
 * those that somebody else posts on the same queue.
 */
#include "rdma/pair.h"

/* A READ or WRITE of no bytes: address and key are not looked at (IBTA volume 1, C9-88). */
int rq_pair_post_nothing(struct rq_pair *pair, uint64_t number, uint8_t slot_opcode,
                         int wr_opcode) {
    uint32_t index = (uint32_t)number & pair->slot_mask;
    struct ibv_send_wr *request = &pair->requests[index], *next = request->next, *refused = NULL;
    uint64_t reported = rq_pair_see_reported(pair);
    if (number - reported > pair->send_count_max)
        return -ENOMEM; /* an earlier cover has the slot */
    request->wr_id = rq_wr_id(RQ_WR_SEND, pair->index, number);
    request->opcode = (enum ibv_wr_opcode)wr_opcode;
    request->send_flags = IBV_SEND_SIGNALED;
    request->num_sge = 0;
    request->wr.rdma.remote_addr = 0;
    request->wr.rdma.rkey = 0;
    request->next = NULL;
    pair->slots[index] = (struct rq_slot){.opcode = slot_opcode, .is_signalled = 1};
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

int rq_pair_probe(struct rq_pair *pair) {
    int error = rq_handle_enter(&pair->post);
    if (error != 0) return error;
    uint64_t posted = atomic_load_explicit(&pair->posted, memory_order_relaxed);
    int is_idle = rq_pair_see_reported(pair) == posted;
    if (atomic_load_explicit(&pair->is_broken, memory_order_relaxed))
        error = -EIO;
    else if (is_idle)
        error = rq_pair_post_nothing(pair, posted, RQ_OP_PROBE, IBV_WR_RDMA_WRITE);
    rq_handle_leave(&pair->post);
    return error != 0 ? error : is_idle;
}

/* Entered before it is posted, as in post_hot.c: its completion may be there at once. */
int rq_pair_begin_bind(struct rq_pair *pair, uint64_t token, uint64_t *wr_id_out) {
    int error = rq_handle_enter(&pair->post);
    if (error != 0) return error;
    uint64_t number = atomic_load_explicit(&pair->posted, memory_order_relaxed);
    uint64_t reported = rq_pair_see_reported(pair);
    int is_broken = (int)atomic_load_explicit(&pair->is_broken, memory_order_relaxed);
    if (is_broken || number - reported >= pair->send_count_max) {
        rq_handle_leave(&pair->post);
        return is_broken ? -EIO : 0;
    }
    pair->slots[(uint32_t)number & pair->slot_mask] =
        (struct rq_slot){.token = token, .opcode = RQ_OP_BIND, .is_signalled = 1};
    *wr_id_out = rq_wr_id(RQ_WR_SEND, pair->index, number);
    atomic_store_explicit(&pair->posted, number + 1, memory_order_release);
    return 1;
}

void rq_pair_end_bind(struct rq_pair *pair, int was_posted) {
    uint64_t posted = atomic_load_explicit(&pair->posted, memory_order_relaxed);
    if (was_posted) {
        rq_tally(&pair->doorbells, 1);
        rq_tally(&pair->signalled, 1);
    } else {
        atomic_store_explicit(&pair->posted, posted - 1, memory_order_release);
    }
    rq_handle_leave(&pair->post);
}
