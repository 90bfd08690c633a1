/*
 * Pairs over the fake NIC, and an oracle: for each request that rq_pair_post took it knows what the
 * NIC made of it, and takes each report to pieces. A wrong report ends the program.
 */
#ifndef RDMAQ_TESTS_WORLD_H
#define RDMAQ_TESTS_WORLD_H

#include "check.h"
#include "rdma/pair.h"
#include "verbs/fake_nic.h"

enum {
    WORLD_PAIRS = 6, /* an even number: 0 and 1 are peers, 2 and 3, ... */
    WORLD_RECEIVES = 24,
    WORLD_BATCH_MAX = 160,
    WORLD_DONE_MAX = 64
};

enum verdict { WAITS, DID, FAILED, FLUSHED };

struct expected {
    uint64_t token;
    uint64_t remote_address;
    uint32_t length_bytes;
    uint8_t opcode;
    uint8_t verdict;
    uint8_t status;
    uint8_t is_lost;
};

struct arrival {
    uint32_t imm, length_bytes;
};

struct side {
    struct fake_qp nic;
    struct rq_pair *pair;
    uint32_t send_count; /* as granted */
    int is_lossy;        /* completions may be lost */
    int is_abandoned;
    int began_with_flush; /* what was seen first of a failure */
    struct expected expected[FAKE_QUEUE_MAX];
    uint64_t taken, reported; /* places in `expected` */
    struct arrival arrivals[FAKE_QUEUE_MAX];
    uint64_t arrived, arrivals_reported, receives_reported, receives_posted;
    uint64_t receives_used; /* of the peer's, by our WRITE_WITH_IMM */
    uint64_t probe_wr_id;   /* of the last one, 0: none yet */
    uint8_t probe_verdict;
};

struct world {
    struct fake_cq nic;
    struct rq_cq *cq;
    struct side sides[WORLD_PAIRS];
    uint64_t random;
    uint64_t tokens;
    uint64_t strays;
    uint32_t next_qp_num;
    uint64_t outcomes[4]; /* how many reports of each */
    uint64_t receives, torn, full, malformed, reopened, probes, bound;
    uint64_t probes_failed; /* as reported */
};

uint64_t world_random(struct world *world, uint64_t bound);
void world_open(struct world *world, uint64_t seed);
/* Everything to its end: flush, drain, abandon, free; each request was reported by then. */
void world_close(struct world *world);

void world_post(struct world *world, struct side *side, uint32_t count);
/* The NIC executes one request of the side, and perhaps fails. 0: none waits. */
int world_execute(struct world *world, struct side *side, enum ibv_wc_status status, int is_lost);
/* Asks the peer, if nothing is in flight. */
void world_probe(struct world *world, struct side *side);
/* Posts a request as pyverbs would, or is refused. */
void world_bind(struct world *world, struct side *side);
void world_post_receives(struct world *world, struct side *side, uint32_t count);
/* Polls once; every report is checked. Returns how many there were. */
int world_poll(struct world *world, uint32_t done_count_max);
/* Ends the pair, and opens another in its place. */
void world_reopen(struct world *world, struct side *side);

/* For world_aside.c. */
struct rq_pair_stats world_stats(const struct side *side);
void world_check_counts(const struct side *side, const struct rq_pair_stats *before,
                        uint64_t doorbells_before);
void world_random_op(struct world *world, struct rq_op *op);
void world_expect(struct side *side, const struct rq_op *ops, uint32_t count);

#endif
