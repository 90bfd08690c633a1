/*
 * Completions become reports. A completion names its request; those before it are implied by it:
 * done well if all is well, unknown after something failed. Each is reported once, in order.
 */
#include <arpa/inet.h>

#include "rdma/pair.h"

static inline void report(const struct rq_pair *pair, uint64_t number, struct rq_done *done) {
    const struct rq_slot *slot = &pair->slots[number & pair->slot_mask];
    *done = (struct rq_done){.token = slot->token,
                             .pair_token = pair->token,
                             .length_bytes = slot->length_bytes,
                             .opcode = slot->opcode};
}

uint32_t rq_pair_report_until(struct rq_pair *pair, uint64_t until, uint32_t outcome,
                              struct rq_done *done, uint32_t done_count_max) {
    uint32_t count = 0;
    uint64_t at = atomic_load_explicit(&pair->reported, memory_order_relaxed);
    while (at != until) {
        uint8_t opcode = pair->slots[at & pair->slot_mask].opcode;
        int is_silent =
            opcode == RQ_OP_COVER || (opcode == RQ_OP_PROBE && outcome == RQ_OUTCOME_OK);
        if (!is_silent && count == done_count_max) break;
        if (is_silent || opcode == RQ_OP_PROBE) rq_tally(&pair->covers_reported, 1);
        if (is_silent) {
            at++;
            continue;
        }
        report(pair, at++, &done[count]);
        done[count++].outcome = (uint8_t)outcome;
    }
    if (outcome != RQ_OUTCOME_OK) pair->cq->special += count;
    /* Pairs with the acquire loads in post_hot.c and torn.c: these slots were read. */
    atomic_store_explicit(&pair->reported, at, memory_order_release);
    return count;
}

/* The first error of a pair. Requests before one that failed went well, or they would have failed
 * before it. A flush does not say where the mistake was: the completion that did may be lost. */
static void note_failure(struct rq_pair *pair, enum ibv_wc_status status) {
    if (pair->has_failed) return;
    pair->has_failed = 1;
    if (status == IBV_WC_WR_FLUSH_ERR && !RQ_WRONG(FLUSH_TRUSTED))
        pair->implied = RQ_OUTCOME_UNKNOWN;
}

/* Returns 0 when `done` is full: call again with the same completion. */
static int settle_send(struct rq_cq *cq, struct rq_pair *pair, const struct ibv_wc *wc,
                       struct rq_done *done, uint32_t done_count_max, uint32_t *count) {
    uint64_t reported = atomic_load_explicit(&pair->reported, memory_order_relaxed);
    /* Pairs with the release store before the doorbell in post_hot.c. */
    uint64_t posted = atomic_load_explicit(&pair->posted, memory_order_acquire);
    uint64_t number = reported + rq_wr_distance(wc->wr_id, reported);
    if (number >= posted) {
        rq_tally(&cq->tallies.strays, 1);
        return 1;
    }
    if (wc->status != IBV_WC_SUCCESS) note_failure(pair, wc->status);
    *count +=
        rq_pair_report_until(pair, number, pair->implied, done + *count, done_count_max - *count);
    if (atomic_load_explicit(&pair->reported, memory_order_relaxed) != number) return 0;
    int is_cover = pair->slots[number & pair->slot_mask].opcode == RQ_OP_COVER;
    if (!is_cover && *count == done_count_max) return 0;
    uint32_t outcome = RQ_OUTCOME_OK;
    if (wc->status != IBV_WC_SUCCESS) {
        outcome = wc->status == IBV_WC_WR_FLUSH_ERR ? RQ_OUTCOME_FLUSHED : RQ_OUTCOME_FAILED;
        /* Each request behind a failure has its own completion: what is passed over lost it. */
        if (!RQ_WRONG(FAILURE_FORGOTTEN)) pair->implied = RQ_OUTCOME_UNKNOWN;
    }
    struct rq_done *own = done + *count;
    *count += rq_pair_report_until(pair, number + 1, outcome, own, done_count_max - *count);
    if (!is_cover && outcome != RQ_OUTCOME_OK) {
        own->status = (uint8_t)wc->status;
        own->vendor_error = wc->vendor_err;
    }
    return 1;
}

static int settle_receive(struct rq_cq *cq, struct rq_pair *pair, const struct ibv_wc *wc,
                          struct rq_done *done, uint32_t done_count_max, uint32_t *count) {
    uint64_t completed = atomic_load_explicit(&pair->receives_completed, memory_order_relaxed);
    uint64_t posted = atomic_load_explicit(&pair->receives_posted, memory_order_acquire);
    uint64_t number = completed + rq_wr_distance(wc->wr_id, completed);
    if (number >= posted) {
        rq_tally(&cq->tallies.strays, 1);
        return 1;
    }
    for (; completed <= number; completed++) { /* receives complete in order: none is passed over */
        if (*count == done_count_max) break;
        struct rq_done *own = done + (*count)++;
        cq->special++;
        *own = (struct rq_done){.token = completed,
                                .pair_token = pair->token,
                                .opcode = RQ_OP_RECEIVE,
                                .outcome = RQ_OUTCOME_UNKNOWN};
        if (completed != number) continue;
        own->status = (uint8_t)wc->status;
        if (wc->status != IBV_WC_SUCCESS) {
            own->vendor_error = wc->vendor_err;
            own->outcome =
                wc->status == IBV_WC_WR_FLUSH_ERR ? RQ_OUTCOME_FLUSHED : RQ_OUTCOME_FAILED;
            continue;
        }
        own->outcome = RQ_OUTCOME_OK;
        own->length_bytes = wc->byte_len;
        own->has_imm = (wc->wc_flags & IBV_WC_WITH_IMM) != 0;
        own->imm = own->has_imm ? ntohl(wc->imm_data) : 0;
    }
    /* Pairs with the acquire load in rq_pair_post_receives. */
    atomic_store_explicit(&pair->receives_completed, completed, memory_order_release);
    return completed > number;
}

static int settle(struct rq_cq *cq, const struct ibv_wc *wc, struct rq_done *done,
                  uint32_t done_count_max, uint32_t *count) {
    uint32_t index = rq_wr_pair_index(wc->wr_id), kind = rq_wr_kind(wc->wr_id);
    struct rq_pair *pair = NULL;
    /* Pairs with the release store in rq_pair_open. */
    if (index < cq->pair_count_max)
        pair = atomic_load_explicit(&cq->pairs[index], memory_order_acquire);
    /* A completion of a pair that was freed: the QP number is valid in errors, too. */
    if (pair != NULL && (wc->qp_num == pair->qp_num || RQ_WRONG(STRANGER_BELIEVED))) {
        if (kind == RQ_WR_SEND) return settle_send(cq, pair, wc, done, done_count_max, count);
        if (kind == RQ_WR_RECEIVE) return settle_receive(cq, pair, wc, done, done_count_max, count);
    }
    rq_tally(&cq->tallies.strays, 1);
    return 1;
}

int rq_cq_fetch(struct rq_cq *cq) {
    if (cq->wc_at < cq->wc_count) return 1;
    cq->wc_at = cq->wc_count = 0;
    if (cq->error != 0) return 0;
    int found = ibv_poll_cq(cq->cq, RQ_WC_BATCH, cq->wc);
    rq_tally(&cq->tallies.polls, 1);
    if (found < 0)
        cq->error = -EIO;
    else
        cq->wc_count = (uint32_t)found;
    rq_tally(&cq->tallies.completions, cq->wc_count);
    return found > 0;
}

int rq_cq_take(struct rq_cq *cq, struct rq_done *done, uint32_t done_count_max) {
    uint32_t count = 0;
    while (rq_cq_fetch(cq)) {
        uint32_t fetched = cq->wc_count;
        for (; cq->wc_at < fetched; cq->wc_at++)
            if (!settle(cq, &cq->wc[cq->wc_at], done, done_count_max, &count)) {
                cq->wc_at += RQ_WRONG(FULL_ARRAY_FORGETS);
                return (int)count;
            }
        if (fetched < RQ_WC_BATCH) break; /* it was empty a moment ago */
    }
    return count == 0 ? cq->error : (int)count;
}
