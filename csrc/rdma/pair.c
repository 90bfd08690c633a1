/* A queue pair's set-up and end: bounds are checked here, and every byte that posting needs. */
#include "rdma/pair.h"

#include <stdlib.h>
#include <string.h>

static uint32_t slots_for(uint32_t send_count) {
    uint32_t count = 1;
    while (count < send_count) count *= 2;
    return count;
}

static int check(const struct rq_cq *cq, const struct rq_pair_setup *setup) {
    const struct ibv_qp *qp = (const struct ibv_qp *)(uintptr_t)setup->qp;
    if (qp == NULL || qp->send_cq != cq->cq || qp->recv_cq != cq->cq ||
        qp->context != cq->cq->context || qp->qp_type != IBV_QPT_RC)
        return -EINVAL;
    if (setup->send_count_max < RQ_SENDS_MIN || setup->send_count_max > RQ_SENDS_MAX ||
        setup->receive_count_max > RQ_RECEIVES_MAX || setup->request_bytes_max == 0 ||
        setup->request_bytes_max > RQ_REQUEST_BYTES_MAX)
        return -EINVAL;
    /* At most half the queue, so that it drains before it fills. */
    if (setup->signal_every > setup->send_count_max / 2) return -EINVAL;
    return 0;
}

static void release(struct rq_pair *pair) {
    if (pair == NULL) return;
    free(pair->requests);
    free(pair->pieces);
    free(pair->receives);
    free(pair->slots);
    free(pair);
}

static struct rq_pair *allocate(const struct rq_pair_setup *setup, uint32_t slot_count) {
    struct rq_pair *pair = aligned_alloc(_Alignof(struct rq_pair), sizeof(*pair));
    if (pair == NULL) return NULL;
    memset(pair, 0, sizeof(*pair));
    pair->requests = calloc(slot_count, sizeof(*pair->requests));
    pair->pieces = calloc(slot_count, sizeof(*pair->pieces));
    pair->slots = calloc(slot_count, sizeof(*pair->slots));
    pair->receives = calloc(setup->receive_count_max + 1u, sizeof(*pair->receives));
    if (pair->requests == NULL || pair->pieces == NULL || pair->slots == NULL ||
        pair->receives == NULL) {
        release(pair);
        return NULL;
    }
    return pair;
}

/* What posting never changes: each template's piece and its successor. */
static void prepare(struct rq_pair *pair, uint32_t slot_count) {
    for (uint32_t i = 0; i < slot_count; i++) {
        pair->requests[i].sg_list = &pair->pieces[i];
        pair->requests[i].next = &pair->requests[(i + 1) & (slot_count - 1)];
    }
}

static int promise_entries(struct rq_cq *cq, struct rq_pair *pair) {
    int error = -ENOSPC;
    pthread_mutex_lock(&cq->mutex);
    for (uint32_t i = 0; i < cq->pair_count_max; i++) {
        if (cq->entry_count - cq->entries_promised < pair->entry_count) break;
        if (atomic_load_explicit(&cq->pairs[i], memory_order_relaxed) != NULL) continue;
        pair->index = i;
        cq->entries_promised += pair->entry_count;
        cq->pair_count++;
        /* Pairs with the acquire load in poll_hot.c. */
        atomic_store_explicit(&cq->pairs[i], pair, memory_order_release);
        error = 0;
        break;
    }
    pthread_mutex_unlock(&cq->mutex);
    return error;
}

int rq_pair_open(struct rq_cq *cq, const struct rq_pair_setup *setup, struct rq_pair **pair_out) {
    *pair_out = NULL;
    int error = check(cq, setup);
    if (error != 0) return error;
    uint32_t slot_count = slots_for(setup->send_count_max);
    struct rq_pair *pair = allocate(setup, slot_count);
    if (pair == NULL) return -ENOMEM;
    pair->qp = (struct ibv_qp *)(uintptr_t)setup->qp;
    pair->qp_num = pair->qp->qp_num;
    pair->cq = cq;
    pair->token = setup->token;
    pair->slot_mask = slot_count - 1;
    pair->send_count_max = setup->send_count_max - 1; /* one is kept for a cover: torn.c */
    pair->receive_count_max = setup->receive_count_max;
    pair->inline_bytes_max = setup->inline_bytes_max;
    pair->request_bytes_max = setup->request_bytes_max;
    pair->entry_count = rq_cq_entries_of(setup->send_count_max, setup->receive_count_max);
    pair->signal_every = setup->signal_every;
    if (pair->signal_every == 0) pair->signal_every = setup->send_count_max / 4;
    if (setup->signal_every == 0 && pair->signal_every > RQ_SIGNAL_EVERY_MAX)
        pair->signal_every = RQ_SIGNAL_EVERY_MAX;
    prepare(pair, slot_count);
    error = promise_entries(cq, pair);
    if (error != 0) {
        release(pair);
        return error;
    }
    *pair_out = pair;
    return 0;
}

int rq_pair_post_receives(struct rq_pair *pair, uint32_t receive_count) {
    int error = rq_handle_enter(&pair->receiving);
    if (error != 0) return error;
    uint64_t posted = atomic_load_explicit(&pair->receives_posted, memory_order_relaxed);
    /* Pairs with the release store in poll_hot.c. */
    uint64_t completed = atomic_load_explicit(&pair->receives_completed, memory_order_acquire);
    uint64_t free_count = pair->receive_count_max - (posted - completed);
    uint32_t count = receive_count < free_count ? receive_count : (uint32_t)free_count;
    for (uint32_t i = 0; i < count; i++)
        pair->receives[i] = (struct ibv_recv_wr){
            .wr_id = rq_wr_id(RQ_WR_RECEIVE, pair->index, posted + i),
            .next = i + 1 < count ? &pair->receives[i + 1] : NULL,
        };
    if (count != 0) {
        struct ibv_recv_wr *refused = NULL;
        atomic_store_explicit(&pair->receives_posted, posted + count, memory_order_release);
        error = ibv_post_recv(pair->qp, pair->receives, &refused);
        if (error != 0) {
            uint32_t taken = 0;
            while (taken < count && refused != &pair->receives[taken]) taken++;
            atomic_store_explicit(&pair->receives_posted, posted + taken, memory_order_release);
            pair->last_error = (uint32_t)error;
            error = taken == 0 ? -error : 0;
            count = taken;
        }
    }
    rq_handle_leave(&pair->receiving);
    return error != 0 ? error : (int)count;
}

uint32_t rq_pair_outstanding(struct rq_pair *pair) {
    uint64_t reported = atomic_load_explicit(&pair->reported, memory_order_acquire);
    return (uint32_t)(atomic_load_explicit(&pair->posted, memory_order_acquire) - reported);
}

int rq_pair_abandon(struct rq_pair *pair, struct rq_done *done, uint32_t done_count_max) {
    if (!rq_handle_is_closing(&pair->post)) return -EINVAL;
    int error = rq_handle_enter(&pair->cq->poll);
    if (error == -EBUSY) return error;
    uint64_t posted = atomic_load_explicit(&pair->posted, memory_order_acquire);
    uint32_t count = rq_pair_report_until(pair, posted, RQ_OUTCOME_UNKNOWN, done, done_count_max);
    if (error == 0) rq_handle_leave(&pair->cq->poll); /* else closed: the closer is alone */
    return (int)count;
}

void rq_pair_read_stats(struct rq_pair *pair, struct rq_pair_stats *out) {
    *out = (struct rq_pair_stats){
        .posted =
            atomic_load_explicit(&pair->posted, memory_order_acquire) - rq_tally_of(&pair->covers),
        .reported = atomic_load_explicit(&pair->reported, memory_order_acquire) -
                    rq_tally_of(&pair->covers_reported),
        .doorbells = rq_tally_of(&pair->doorbells),
        .signalled = rq_tally_of(&pair->signalled),
        .covers = rq_tally_of(&pair->covers),
        .receives_posted = atomic_load_explicit(&pair->receives_posted, memory_order_acquire),
        .receives_completed = atomic_load_explicit(&pair->receives_completed, memory_order_acquire),
        .receives_granted = atomic_load_explicit(&pair->receives_granted, memory_order_relaxed),
        .receives_used = rq_tally_of(&pair->receives_used),
        .is_broken = pair->is_broken,
        .last_error = pair->last_error,
    };
}

int rq_pair_close(struct rq_pair *pair) {
    if (rq_handle_begin_close(&pair->receiving)) rq_handle_wait_idle(&pair->receiving);
    if (rq_handle_begin_close(&pair->post)) rq_handle_wait_idle(&pair->post);
    return 0;
}

void rq_pair_forget(struct rq_pair *pair) {
    atomic_store_explicit(&pair->receiving.is_closing, 1, memory_order_relaxed);
    atomic_store_explicit(&pair->post.is_closing, 1, memory_order_relaxed);
    pair->is_forgotten = 1;
}

void rq_pair_free(struct rq_pair *pair) {
    if (pair == NULL) return;
    if (pair->is_forgotten) { /* a thread that this process does not have may be inside */
        release(pair);
        return;
    }
    struct rq_cq *cq = pair->cq;
    int error = rq_handle_enter_waiting(&cq->poll); /* nobody polls while it goes */
    pthread_mutex_lock(&cq->mutex);
    atomic_store_explicit(&cq->pairs[pair->index], NULL, memory_order_relaxed);
    cq->entries_promised -= pair->entry_count;
    int is_last = --cq->pair_count == 0 && cq->is_freed;
    pthread_mutex_unlock(&cq->mutex);
    if (error == 0) rq_handle_leave(&cq->poll);
    if (is_last) rq_cq_really_free(cq);
    release(pair);
}
