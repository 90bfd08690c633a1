/* The world's steps beside posting: probes, and requests that somebody else posts. */
#include "verbs/world.h"

void world_probe(struct world *world, struct side *side) {
    struct rq_pair_stats before = world_stats(side);
    uint64_t posted = atomic_load(&side->pair->posted), doorbells = side->nic.doorbells;
    int is_idle = rq_pair_outstanding(side->pair) == 0;
    int result = rq_pair_probe(side->pair);
    CHECK_EQUAL(result, before.is_broken ? -EIO : is_idle);
    world_check_counts(side, &before, doorbells);
    if (result != 1) return;
    CHECK_EQUAL(rq_pair_outstanding(side->pair), 1);
    side->probe_wr_id = rq_wr_id(RQ_WR_SEND, side->pair->index, posted);
    side->probe_verdict = WAITS;
    world->probes++;
}

void world_bind(struct world *world, struct side *side) {
    struct rq_pair_stats before = world_stats(side);
    struct rq_op op;
    world_random_op(world, &op);
    op.opcode = RQ_OP_BIND;
    op.length_bytes = 0;
    struct ibv_send_wr *bad = NULL,
                       request = {.opcode = IBV_WR_RDMA_WRITE, .send_flags = IBV_SEND_SIGNALED};
    request.wr.rdma.remote_addr = op.remote_address;
    uint64_t doorbells = side->nic.doorbells;
    int has_room = rq_pair_outstanding(side->pair) < side->send_count - 1;
    int result = rq_pair_begin_bind(side->pair, op.token, &request.wr_id);
    CHECK_EQUAL(result, before.is_broken ? -EIO : has_room);
    if (result != 1) return;
    CHECK_EQUAL(rq_pair_post(side->pair, &op, 1), -EBUSY);
    int is_posted = world_random(world, 4) != 0;
    if (is_posted) CHECK_EQUAL(ibv_post_send(&side->nic.ibv, &request, &bad), 0);
    rq_pair_end_bind(side->pair, is_posted);
    world_check_counts(side, &before, doorbells);
    if (is_posted) world_expect(side, &op, 1);
    world->bound += (uint64_t)is_posted;
}
