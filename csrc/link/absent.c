/* In place of everything else here, where libibverbs' headers were absent at build time. */
#include <errno.h>
#include <stddef.h>

#include "rdmaq_abi.h"

int rq_link_open(struct rq_publisher *publisher, struct rq_keeper *keeper, struct rq_pair *pair,
                 const struct rq_link_setup *setup, struct rq_link **link_out) {
    (void)publisher, (void)keeper, (void)pair, (void)setup;
    *link_out = NULL;
    return -ENOSYS;
}

int rq_link_start(struct rq_link *link) {
    (void)link;
    return -ENOSYS;
}

int rq_link_begin(struct rq_link *link, uint64_t position, uint64_t cursor) {
    (void)link, (void)position, (void)cursor;
    return -ENOSYS;
}

int rq_link_stop(struct rq_link *link) {
    (void)link;
    return -ENOSYS;
}

int rq_link_detach(struct rq_link *link) {
    (void)link;
    return -ENOSYS;
}

int rq_link_close(struct rq_link *link) {
    (void)link;
    return -ENOSYS;
}

void rq_link_read_stats(struct rq_link *link, struct rq_link_stats *out) {
    (void)link;
    *out = (struct rq_link_stats){0};
}

void rq_link_free(struct rq_link *link) { (void)link; }

int rq_replica_open(struct rq_segment *segment, const struct rq_replica_setup *setup,
                    struct rq_replica **replica_out) {
    (void)segment, (void)setup;
    *replica_out = NULL;
    return -ENOSYS;
}

struct rq_publisher *rq_replica_publisher(struct rq_replica *replica) {
    (void)replica;
    return NULL;
}

int rq_replica_attach(struct rq_replica *replica, struct rq_keeper *keeper, struct rq_pair *pair,
                      uint32_t credit_count) {
    (void)replica, (void)keeper, (void)pair, (void)credit_count;
    return -ENOSYS;
}

uint64_t rq_replica_reader_cursor(struct rq_replica *replica) {
    (void)replica;
    return 0;
}

void rq_replica_mark_alive(struct rq_replica *replica) { (void)replica; }

uint64_t rq_replica_detach(struct rq_replica *replica) {
    (void)replica;
    return 0;
}

void rq_replica_learn_origin(struct rq_replica *replica, uint64_t sequence) {
    (void)replica, (void)sequence;
}

int rq_replica_restart(struct rq_replica *replica, uint32_t generation, uint64_t position,
                       uint64_t sequence) {
    (void)replica, (void)generation, (void)position, (void)sequence;
    return -ENOSYS;
}

void rq_replica_read_stats(struct rq_replica *replica, struct rq_replica_stats *out) {
    (void)replica;
    *out = (struct rq_replica_stats){0};
}

int rq_replica_close(struct rq_replica *replica) {
    (void)replica;
    return -ENOSYS;
}

void rq_replica_forget(struct rq_replica *replica) { (void)replica; }

void rq_replica_free(struct rq_replica *replica) { (void)replica; }

int rq_backfill_open(const struct rq_descriptor *descriptor, struct rq_pair *pair,
                     struct rq_replica *replica, const struct rq_backfill_setup *setup,
                     struct rq_backfill **backfill_out) {
    (void)descriptor, (void)pair, (void)replica, (void)setup;
    *backfill_out = NULL;
    return -ENOSYS;
}

int rq_backfill_run(struct rq_backfill *backfill, uint64_t until, uint32_t wait_mode,
                    uint64_t wait_ns, struct rq_backfill_report *report) {
    (void)backfill, (void)until, (void)wait_mode, (void)wait_ns;
    *report = (struct rq_backfill_report){0};
    return -ENOSYS;
}

void rq_backfill_free(struct rq_backfill *backfill) { (void)backfill; }
