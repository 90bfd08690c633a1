/* In place of everything else here, where libibverbs' headers were absent at build time. */
#include <errno.h>
#include <stddef.h>

#include "rdmaq_abi.h"

int rq_verbs_built(void) { return 0; }

int rq_cq_open(const struct rq_cq_setup *setup, struct rq_cq **cq_out) {
    (void)setup;
    *cq_out = NULL;
    return -ENOSYS;
}

int rq_cq_poll(struct rq_cq *cq, struct rq_done *done, uint32_t done_count_max, uint32_t wait_mode,
               uint64_t wait_ns) {
    (void)cq, (void)done, (void)done_count_max, (void)wait_mode, (void)wait_ns;
    return -ENOSYS;
}

int rq_cq_arm(struct rq_cq *cq) {
    (void)cq;
    return -ENOSYS;
}

int rq_cq_clear(struct rq_cq *cq) {
    (void)cq;
    return -ENOSYS;
}

void rq_cq_read_stats(struct rq_cq *cq, struct rq_cq_stats *out) {
    (void)cq;
    *out = (struct rq_cq_stats){0};
}

const uint64_t *rq_cq_special(struct rq_cq *cq) {
    (void)cq;
    return NULL;
}

int rq_cq_close(struct rq_cq *cq) {
    (void)cq;
    return -ENOSYS;
}

int rq_cq_drain(struct rq_cq *cq, struct rq_done *done, uint32_t done_count_max, uint64_t wait_ns) {
    (void)cq, (void)done, (void)done_count_max, (void)wait_ns;
    return -ENOSYS;
}

void rq_cq_forget(struct rq_cq *cq) { (void)cq; }

void rq_cq_free(struct rq_cq *cq) { (void)cq; }

int rq_pair_open(struct rq_cq *cq, const struct rq_pair_setup *setup, struct rq_pair **pair_out) {
    (void)cq, (void)setup;
    *pair_out = NULL;
    return -ENOSYS;
}

int rq_pair_post(struct rq_pair *pair, const struct rq_op *ops, uint32_t op_count) {
    (void)pair, (void)ops, (void)op_count;
    return -ENOSYS;
}

int rq_pair_run(struct rq_pair *pair, const struct rq_op *ops, uint32_t op_count,
                struct rq_run *run) {
    (void)pair, (void)ops, (void)op_count, (void)run;
    return -ENOSYS;
}

int rq_pair_probe(struct rq_pair *pair) {
    (void)pair;
    return -ENOSYS;
}

int rq_pair_begin_bind(struct rq_pair *pair, uint64_t token, uint64_t *wr_id_out) {
    (void)pair, (void)token;
    *wr_id_out = 0;
    return -ENOSYS;
}

void rq_pair_end_bind(struct rq_pair *pair, int was_posted) { (void)pair, (void)was_posted; }

int rq_pair_post_receives(struct rq_pair *pair, uint32_t receive_count) {
    (void)pair, (void)receive_count;
    return -ENOSYS;
}

int rq_pair_grant(struct rq_pair *pair, uint32_t receive_count) {
    (void)pair, (void)receive_count;
    return -ENOSYS;
}

uint32_t rq_pair_outstanding(struct rq_pair *pair) {
    (void)pair;
    return 0;
}

int rq_pair_abandon(struct rq_pair *pair, struct rq_done *done, uint32_t done_count_max) {
    (void)pair, (void)done, (void)done_count_max;
    return -ENOSYS;
}

void rq_pair_read_stats(struct rq_pair *pair, struct rq_pair_stats *out) {
    (void)pair;
    *out = (struct rq_pair_stats){0};
}

int rq_pair_close(struct rq_pair *pair) {
    (void)pair;
    return -ENOSYS;
}

void rq_pair_forget(struct rq_pair *pair) { (void)pair; }

void rq_pair_free(struct rq_pair *pair) { (void)pair; }
