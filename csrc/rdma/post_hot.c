/*
 * Posting a batch: the templates of the next free slots are filled in, linked into one chain, and
 * handed to the provider with one doorbell. ibv_post_send is inline through context->ops.
 */
#include <arpa/inet.h>

#include "rdma/pair.h"

static inline int fill_transfer(const struct rq_pair *pair, const struct rq_op *op,
                                struct ibv_send_wr *request) {
    if (op->length_bytes > pair->request_bytes_max) return -EMSGSIZE;
    int fits = op->length_bytes <= pair->inline_bytes_max && op->length_bytes != 0;
    if (op->opcode == RQ_OP_READ) {
        if (op->flags & RQ_OP_INLINE) return -EINVAL;
        fits = 0;
    } else if ((op->flags & RQ_OP_INLINE) && op->length_bytes > pair->inline_bytes_max) {
        return -EMSGSIZE;
    }
    request->send_flags = fits ? IBV_SEND_INLINE : 0;
    request->num_sge = op->length_bytes != 0;
    request->wr.rdma.remote_addr = op->remote_address;
    request->wr.rdma.rkey = op->remote_key;
    return 0;
}

static inline int fill_atomic(const struct rq_op *op, struct ibv_send_wr *request) {
    if (op->length_bytes != 8 || op->remote_address % 8 != 0 || (op->flags & RQ_OP_INLINE))
        return -EINVAL;
    request->send_flags = 0;
    request->num_sge = 1;
    request->wr.atomic.remote_addr = op->remote_address;
    request->wr.atomic.compare_add = op->compare_add;
    request->wr.atomic.swap = op->swap;
    request->wr.atomic.rkey = op->remote_key;
    return 0;
}

static inline int fill_by_opcode(const struct rq_pair *pair, const struct rq_op *op,
                                 struct ibv_send_wr *request) {
    switch (op->opcode) {
        case RQ_OP_WRITE:
            request->opcode = IBV_WR_RDMA_WRITE;
            return fill_transfer(pair, op, request);
        case RQ_OP_WRITE_WITH_IMM:
            request->opcode = IBV_WR_RDMA_WRITE_WITH_IMM;
            request->imm_data = htonl(op->imm);
            return fill_transfer(pair, op, request);
        case RQ_OP_READ:
            request->opcode = IBV_WR_RDMA_READ;
            return fill_transfer(pair, op, request);
        case RQ_OP_FETCH_ADD:
            request->opcode = IBV_WR_ATOMIC_FETCH_AND_ADD;
            return fill_atomic(op, request);
        case RQ_OP_COMPARE_SWAP:
            request->opcode = IBV_WR_ATOMIC_CMP_AND_SWP;
            return fill_atomic(op, request);
        default: return -EINVAL;
    }
}

static inline int fill(struct rq_pair *pair, const struct rq_op *op, uint64_t number,
                       int is_signalled) {
    uint32_t index = (uint32_t)number & pair->slot_mask;
    struct ibv_send_wr *request = &pair->requests[index];
    int error = fill_by_opcode(pair, op, request);
    if (error != 0) return error;
    request->wr_id = rq_wr_id(RQ_WR_SEND, pair->index, number);
    if (op->flags & RQ_OP_FENCE) request->send_flags |= IBV_SEND_FENCE;
    if (op->flags & RQ_OP_SOLICITED) request->send_flags |= IBV_SEND_SOLICITED;
    struct ibv_sge *piece = &pair->pieces[index];
    piece->addr = op->local_address;
    piece->length = op->length_bytes;
    piece->lkey = op->local_key;
    pair->slots[index] = (struct rq_slot){.token = op->token,
                                          .length_bytes = op->length_bytes,
                                          .opcode = op->opcode,
                                          .is_signalled = (uint8_t)is_signalled};
    if (is_signalled) request->send_flags |= IBV_SEND_SIGNALED;
    return 0;
}

/* Free slots: those whose reports were taken, which follows a later signalled completion. */
static inline uint32_t room(struct rq_pair *pair, uint64_t posted, uint32_t wanted) {
    uint64_t used = posted - pair->reported_seen;
    if (pair->send_count_max - used < wanted) {
        used = posted - rq_pair_see_reported(pair);
    }
    if (RQ_WRONG(SLOT_FREED_EARLY)) used /= 2;
    uint64_t most = pair->send_count_max + (RQ_WRONG(CREDIT_OFF_BY_ONE) ? 1u : 0u);
    uint64_t free_count = used < most ? most - used : 0;
    return free_count < wanted ? (uint32_t)free_count : wanted;
}

/* How many of the first `count` ops may go: up to the first WRITE_WITH_IMM for which the peer has
 * no receive. */
static inline uint32_t within_credit(struct rq_pair *pair, const struct rq_op *ops, uint32_t count,
                                     uint64_t *receives_wanted_out) {
    uint64_t wanted = 0;
    uint64_t credit =
        atomic_load_explicit(&pair->receives_granted, memory_order_acquire) - pair->receives_used;
    uint32_t i = 0;
    for (; i < count; i++) {
        if (ops[i].opcode != RQ_OP_WRITE_WITH_IMM) continue;
        if (wanted == credit && !RQ_WRONG(RECEIVE_CREDIT_IGNORED)) break;
        wanted++;
    }
    *receives_wanted_out = wanted;
    return i;
}

static int post_chain(struct rq_pair *pair, const struct rq_op *ops, uint32_t op_count) {
    if (atomic_load_explicit(&pair->is_broken, memory_order_relaxed)) return -EIO;
    uint64_t first = atomic_load_explicit(&pair->posted, memory_order_relaxed);
    uint64_t receives_wanted, signals = 0;
    uint32_t count = within_credit(pair, ops, room(pair, first, op_count), &receives_wanted);
    if (count == 0) return 0;
    for (uint32_t i = 0; i < count; i++) {
        int is_signalled =
            (i + 1 == count && !RQ_WRONG(SIGNAL_LOST)) || (i + 1) % pair->signal_every == 0;
        int error = fill(pair, &ops[i], first + i, is_signalled);
        if (error != 0) return error;
        signals += (uint64_t)is_signalled;
    }
    struct ibv_send_wr *head = &pair->requests[first & pair->slot_mask];
    struct ibv_send_wr *last = &pair->requests[(first + count - 1) & pair->slot_mask];
    struct ibv_send_wr *next = last->next, *refused = NULL;
    last->next = NULL;
    /* Before the doorbell: pairs with the acquire load in poll_hot.c, where a completion may be
     * seen before ibv_post_send returns. */
    atomic_store_explicit(&pair->posted, first + count, memory_order_release);
    rq_tally(&pair->receives_used, receives_wanted);
    rq_tally(&pair->doorbells, 1);
    int error = ibv_post_send(pair->qp, head, &refused);
    last->next = next;
    if (error != 0) return rq_pair_settle_torn(pair, first, count, refused, error);
    rq_tally(&pair->signalled, signals);
    return (int)count;
}

int rq_pair_post(struct rq_pair *pair, const struct rq_op *ops, uint32_t op_count) {
    int result = rq_handle_enter(&pair->post);
    if (result != 0) return result;
    result = post_chain(pair, ops, op_count);
    rq_handle_leave(&pair->post);
    return result;
}

int rq_pair_grant(struct rq_pair *pair, uint32_t receive_count) {
    atomic_fetch_add_explicit(&pair->receives_granted, receive_count, memory_order_release);
    return 0;
}
