#include "verbs/world.h"

#include <arpa/inet.h>
#include <string.h>

enum { SEND_COUNT_MAX = 128, REQUEST_BYTES_MAX = 1 << 20 };

uint64_t world_random(struct world *world, uint64_t bound) { /* xorshift64*, by S. Vigna */
    world->random ^= world->random >> 12;
    world->random ^= world->random << 25;
    world->random ^= world->random >> 27;
    return (world->random * 2685821657736338717u >> 33) % bound;
}

static struct side *peer_of(struct world *world, struct side *side) {
    return &world->sides[(side - world->sides) ^ 1];
}

static uint64_t side_token(const struct world *world, const struct side *side) {
    return 0xabc00 + (uint64_t)(side - world->sides);
}

/* ---- opening ---- */

static void open_side(struct world *world, struct side *side) {
    static const uint32_t send_counts[] = {4, 7, 16, 64, SEND_COUNT_MAX};
    memset(side, 0, sizeof(*side));
    side->send_count = send_counts[world_random(world, 5)];
    side->is_lossy = world_random(world, 3) == 0;
    uint32_t qp_num = 0x100 + 8 * world->next_qp_num++ + (uint32_t)(side - world->sides);
    fake_qp_open(&side->nic, &world->nic, qp_num, side->send_count, WORLD_RECEIVES);
    struct rq_pair_setup setup = {
        .qp = (uintptr_t)&side->nic.ibv,
        .token = side_token(world, side),
        .send_count_max = side->send_count,
        .receive_count_max = WORLD_RECEIVES,
        .inline_bytes_max = 64,
        .request_bytes_max = REQUEST_BYTES_MAX,
        .signal_every = (uint32_t)world_random(world, side->send_count / 2 + 1),
    };
    CHECK_EQUAL(rq_pair_open(world->cq, &setup, &side->pair), 0);
}

/* Credits of an earlier incarnation count for nothing: both peers begin anew, as links do. */
static void introduce(struct world *world, struct side *side) {
    struct side *peer = peer_of(world, side);
    side->nic.peer = &peer->nic;
    peer->nic.peer = &side->nic;
}

void world_open(struct world *world, uint64_t seed) {
    memset(world, 0, sizeof(*world));
    world->random = seed * 0x9e3779b97f4a7c15u + 1;
    /* One entry more than promised, for a stray. */
    uint32_t entry_count = WORLD_PAIRS * (SEND_COUNT_MAX + WORLD_RECEIVES);
    fake_cq_open(&world->nic, fake_device(), entry_count + 1);
    struct rq_cq_setup setup = {
        .cq = (uintptr_t)&world->nic.ibv,
        .get_event = (uintptr_t)fake_get_event,
        .ack_events = (uintptr_t)fake_ack_events,
        .entry_count = entry_count,
        .pair_count_max = WORLD_PAIRS,
    };
    CHECK_EQUAL(rq_cq_open(&setup, &world->cq), 0);
    for (int i = 0; i < WORLD_PAIRS; i++) open_side(world, &world->sides[i]);
    for (int i = 0; i < WORLD_PAIRS; i += 2) introduce(world, &world->sides[i]);
}

/* ---- posting ---- */

void world_random_op(struct world *world, struct rq_op *op) {
    static const uint32_t lengths[] = {0, 1, 8, 64, 65, 4096, REQUEST_BYTES_MAX};
    uint64_t id = ++world->tokens;
    uint8_t opcode = (uint8_t)(1 + world_random(world, 5));
    int is_atomic = opcode >= RQ_OP_FETCH_ADD;
    *op = (struct rq_op){
        .token = id * 0x9e3779b97f4a7c15u,
        .local_address = id,
        .remote_address = id * 8,
        .length_bytes = is_atomic ? 8 : lengths[world_random(world, 7)],
        .imm = (uint32_t)(id * 77),
        .opcode = opcode,
        .flags = (uint8_t)world_random(world, 4),
    };
}

static int spoil(struct world *world, struct rq_op *op) {
    world->malformed++;
    switch (world_random(world, 5)) {
        case 0: op->opcode = 0; return -EINVAL;
        case 1: op->opcode = RQ_OP_RECEIVE; return -EINVAL;
        case 2:
            op->opcode = RQ_OP_COMPARE_SWAP;
            op->length_bytes = 8;
            op->remote_address |= 4;
            return -EINVAL;
        case 3:
            op->opcode = RQ_OP_WRITE;
            op->length_bytes = REQUEST_BYTES_MAX + 1;
            return -EMSGSIZE;
        default:
            op->opcode = RQ_OP_WRITE;
            op->flags = RQ_OP_INLINE;
            op->length_bytes = 65;
            return -EMSGSIZE;
    }
}

/* What the call should take: room for it, and receives that the peer granted. */
static uint32_t predict(const struct side *side, const struct side *peer, const struct rq_op *ops,
                        uint32_t count) {
    uint32_t outstanding = rq_pair_outstanding(side->pair), taken = 0;
    uint64_t credit = peer->receives_posted - side->receives_used;
    CHECK(outstanding <= side->send_count);
    for (; taken < count && outstanding + taken < side->send_count - 1; taken++) {
        if (ops[taken].opcode != RQ_OP_WRITE_WITH_IMM) continue;
        if (credit == 0) break;
        credit--;
    }
    return taken;
}

struct rq_pair_stats world_stats(const struct side *side) {
    struct rq_pair_stats stats;
    rq_pair_read_stats(side->pair, &stats);
    return stats;
}

/* Returns what was set up for the NIC to take of the chain. */
static void maybe_refuse(struct world *world, struct side *side, uint32_t count) {
    side->nic.refuse_error = 0;
    if (world_random(world, 12) != 0) return;
    side->nic.refuse_error = world_random(world, 2) ? ENOMEM : EINVAL;
    side->nic.refuse_after = (uint32_t)world_random(world, count);
    side->nic.refuse_again = world_random(world, 8) == 0;
    side->nic.refuse_hides_bad_wr = world_random(world, 16) == 0;
}

void world_check_counts(const struct side *side, const struct rq_pair_stats *before,
                        uint64_t doorbells_before) {
    struct rq_pair_stats after = world_stats(side);
    CHECK_EQUAL(side->nic.doorbells, after.doorbells);
    CHECK(side->nic.doorbells - doorbells_before <=
          1 + (after.covers - before->covers) + (after.is_broken && !before->is_broken));
    if (!after.is_broken) {
        CHECK_EQUAL(side->nic.posted, after.posted + after.covers);
        CHECK_EQUAL(side->nic.signals, after.signalled);
    }
}

void world_expect(struct side *side, const struct rq_op *ops, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        CHECK(side->taken - side->reported < FAKE_QUEUE_MAX);
        side->receives_used += ops[i].opcode == RQ_OP_WRITE_WITH_IMM;
        side->expected[side->taken++ % FAKE_QUEUE_MAX] =
            (struct expected){.token = ops[i].token,
                              .remote_address = ops[i].remote_address,
                              .length_bytes = ops[i].length_bytes,
                              .opcode = ops[i].opcode};
    }
}

void world_post(struct world *world, struct side *side, uint32_t count) {
    struct rq_op ops[WORLD_BATCH_MAX];
    struct rq_pair_stats before = world_stats(side);
    struct fake_qp *nic = &side->nic;
    uint64_t doorbells = nic->doorbells, posted = nic->posted;
    for (uint32_t i = 0; i < count; i++) world_random_op(world, &ops[i]);
    uint32_t most = predict(side, peer_of(world, side), ops, count);
    int refusal = 0;
    if (most != 0 && world_random(world, 20) == 0)
        refusal = spoil(world, &ops[world_random(world, most)]);
    /* A spoiled one may have freed or taken a receive credit: predict again. */
    most = predict(side, peer_of(world, side), ops, count);
    if (most != 0 && refusal == 0) maybe_refuse(world, side, most);
    int taken_by_nic = most != 0 && nic->refuse_error != 0 ? (int)nic->refuse_after : (int)most;
    int error = nic->refuse_error != 0 ? -(int)nic->refuse_error : 0;
    int is_hidden = error != 0 && nic->refuse_hides_bad_wr;
    int result = rq_pair_post(side->pair, ops, count);
    nic->refuse_error = 0;
    nic->refuse_hides_bad_wr = 0;
    nic->refuse_again = 0;
    world_check_counts(side, &before, doorbells);
    if (before.is_broken) {
        CHECK_EQUAL(result, -EIO);
    } else if (refusal != 0 && most != 0) {
        CHECK_EQUAL(result, refusal);
        CHECK_EQUAL(nic->posted, posted);
    } else if (is_hidden) {
        CHECK_EQUAL(result, most);
        CHECK(world_stats(side).is_broken);
    } else {
        CHECK_EQUAL(result, error != 0 && taken_by_nic == 0 ? error : taken_by_nic);
    }
    if (result == 0) world->full++;
    if (error != 0) world->torn++;
    if (result > 0) world_expect(side, ops, (uint32_t)result);
}

void world_post_receives(struct world *world, struct side *side, uint32_t count) {
    uint64_t free_count = WORLD_RECEIVES - (side->receives_posted - side->receives_reported);
    int posted = rq_pair_post_receives(side->pair, count);
    CHECK_EQUAL(posted, free_count < count ? free_count : count);
    side->receives_posted += (uint64_t)posted;
    rq_pair_grant(peer_of(world, side)->pair, (uint32_t)posted);
}

/* ---- the NIC ---- */

int world_execute(struct world *world, struct side *side, enum ibv_wc_status status, int is_lost) {
    struct fake_qp *nic = &side->nic;
    struct side *peer = peer_of(world, side);
    if (nic->executed == nic->posted) return 0;
    const struct fake_request *request = &nic->sends[nic->executed % FAKE_QUEUE_MAX];
    struct expected *own = NULL;
    for (uint64_t at = side->reported; at != side->taken && own == NULL; at++)
        if (side->expected[at % FAKE_QUEUE_MAX].remote_address == request->remote_address)
            own = &side->expected[at % FAKE_QUEUE_MAX];
    int is_probe = own == NULL && request->wr_id == side->probe_wr_id;
    CHECK(own != NULL || request->remote_address == 0); /* else a cover, or a probe */
    if (nic->is_in_error) status = IBV_WC_WR_FLUSH_ERR;
    if (!nic->is_in_error && status == IBV_WC_WR_FLUSH_ERR) side->began_with_flush = 1;
    uint8_t verdict = status == IBV_WC_SUCCESS        ? DID
                      : status == IBV_WC_WR_FLUSH_ERR ? FLUSHED
                                                      : FAILED;
    if (is_probe) side->probe_verdict = verdict;
    if (own != NULL) {
        own->status = (uint8_t)status;
        own->is_lost = (uint8_t)is_lost;
        own->verdict = verdict;
        if (status == IBV_WC_SUCCESS && request->opcode == IBV_WR_RDMA_WRITE_WITH_IMM &&
            !peer->nic.is_in_error)
            peer->arrivals[peer->arrived++ % FAKE_QUEUE_MAX] =
                (struct arrival){.imm = ntohl(request->imm), .length_bytes = request->length};
    }
    return fake_execute(nic, status, is_lost);
}

/* ---- reports ---- */

static void check_receive(struct side *side, const struct rq_done *done) {
    CHECK_EQUAL(done->token, side->receives_reported++);
    CHECK(side->receives_reported <= side->receives_posted);
    if (done->outcome == RQ_OUTCOME_FLUSHED) {
        CHECK(side->nic.is_in_error);
        return;
    }
    CHECK_EQUAL(done->outcome, RQ_OUTCOME_OK);
    CHECK(side->arrivals_reported < side->arrived);
    const struct arrival *arrival = &side->arrivals[side->arrivals_reported++ % FAKE_QUEUE_MAX];
    CHECK(done->has_imm);
    CHECK_EQUAL(done->imm, arrival->imm);
    CHECK_EQUAL(done->length_bytes, arrival->length_bytes);
}

static void check_send(struct side *side, const struct rq_done *done) {
    CHECK(side->reported < side->taken);
    const struct expected *expected = &side->expected[side->reported++ % FAKE_QUEUE_MAX];
    CHECK_EQUAL(done->token, expected->token);
    CHECK_EQUAL(done->opcode, expected->opcode);
    CHECK_EQUAL(done->length_bytes, expected->length_bytes);
    switch (done->outcome) {
        case RQ_OUTCOME_OK: CHECK_EQUAL(expected->verdict, DID); break;
        case RQ_OUTCOME_FAILED:
            CHECK_EQUAL(expected->verdict, FAILED);
            CHECK_EQUAL(done->status, expected->status);
            CHECK_EQUAL(done->vendor_error, 0x80 + expected->status);
            break;
        case RQ_OUTCOME_FLUSHED:
            CHECK_EQUAL(expected->verdict, FLUSHED);
            CHECK_EQUAL(done->status, IBV_WC_WR_FLUSH_ERR);
            break;
        default:
            CHECK_EQUAL(done->outcome, RQ_OUTCOME_UNKNOWN);
            /* Only what nobody can know: a completion was lost, or a flush came first, or the
             * provider did not say what it refused. */
            CHECK(side->nic.lost != 0 || side->is_abandoned || expected->verdict == DID);
            CHECK(side->nic.lost != 0 || side->is_abandoned || side->began_with_flush);
    }
    if (done->outcome != RQ_OUTCOME_FAILED && done->outcome != RQ_OUTCOME_FLUSHED)
        CHECK_EQUAL(done->vendor_error, 0);
}

/* Of one that went well nothing is told. */
static void check_probe(struct side *side, const struct rq_done *done) {
    CHECK(side->probe_wr_id != 0);
    if (done->outcome == RQ_OUTCOME_UNKNOWN)
        CHECK(side->nic.lost != 0 || side->is_abandoned);
    else
        CHECK_EQUAL(done->outcome,
                    side->probe_verdict == FLUSHED ? RQ_OUTCOME_FLUSHED : RQ_OUTCOME_FAILED);
    if (done->outcome == RQ_OUTCOME_FAILED) CHECK_EQUAL(side->probe_verdict, FAILED);
    side->probe_wr_id = 0; /* once */
}

static void check_done(struct world *world, const struct rq_done *done) {
    uint64_t index = done->pair_token - side_token(world, world->sides);
    CHECK(index < WORLD_PAIRS);
    struct side *side = &world->sides[index];
    if (done->opcode == RQ_OP_RECEIVE) {
        world->receives++;
        check_receive(side, done);
        return;
    }
    world->outcomes[done->outcome & 3]++;
    if (done->opcode == RQ_OP_PROBE) {
        world->probes_failed++;
        CHECK(done->outcome != RQ_OUTCOME_OK);
        check_probe(side, done);
        return;
    }
    check_send(side, done);
}

static uint64_t special_count(const struct world *world) {
    return world->receives + world->outcomes[RQ_OUTCOME_FAILED] +
           world->outcomes[RQ_OUTCOME_FLUSHED] + world->outcomes[RQ_OUTCOME_UNKNOWN];
}

int world_poll(struct world *world, uint32_t done_count_max) {
    struct rq_done *done = malloc(done_count_max * sizeof(*done)); /* ASan sees a byte beyond */
    CHECK(done != NULL);
    int count = rq_cq_poll(world->cq, done, done_count_max, RQ_WAIT_SPIN, 0);
    CHECK(count >= 0 && count <= (int)done_count_max);
    for (int i = 0; i < count; i++) check_done(world, &done[i]);
    CHECK_EQUAL(*rq_cq_special(world->cq), special_count(world));
    free(done);
    return count;
}

/* ---- ending ---- */

static void abandon(struct world *world, struct side *side) {
    struct rq_done done[8];
    int count;
    side->is_abandoned = 1;
    while ((count = rq_pair_abandon(side->pair, done, 8)) != 0) {
        CHECK(count > 0);
        for (int i = 0; i < count; i++) check_done(world, &done[i]);
    }
}

static void close_side(struct world *world, struct side *side) {
    struct rq_op op;
    world_random_op(world, &op);
    CHECK_EQUAL(rq_pair_close(side->pair), 0);
    CHECK_EQUAL(rq_pair_post(side->pair, &op, 1), -ESHUTDOWN);
    if (!side->nic.is_in_error) side->began_with_flush = 1;
    fake_fail(&side->nic);
    while (
        world_execute(world, side, IBV_WC_SUCCESS, side->is_lossy && world_random(world, 4) == 0)) {
    }
    while (fake_deliver(&side->nic)) {
        if (world->nic.count > world->nic.entry_count / 2) world_poll(world, WORLD_DONE_MAX);
    }
    while (world_poll(world, WORLD_DONE_MAX) != 0) {
    }
    struct rq_pair_stats stats = world_stats(side);
    if (side->nic.lost == 0 && !stats.is_broken) {
        CHECK_EQUAL(rq_pair_outstanding(side->pair), 0);
        CHECK_EQUAL(side->reported, side->taken);
    }
    abandon(world, side);
    CHECK_EQUAL(rq_pair_outstanding(side->pair), 0);
    CHECK_EQUAL(side->reported, side->taken);
    CHECK_EQUAL(side->receives_reported, side->receives_posted);
    stats = world_stats(side);
    CHECK_EQUAL(stats.reported, side->taken);
    CHECK_EQUAL(stats.posted, side->taken);
    rq_pair_free(side->pair);
    memset(&side->nic, 0xdd, sizeof(side->nic)); /* destroyed before: nobody looks there */
}

void world_reopen(struct world *world, struct side *side) {
    struct side *peer = peer_of(world, side);
    close_side(world, side);
    close_side(world, peer);
    open_side(world, side);
    open_side(world, peer);
    introduce(world, side);
    world->reopened++;
}

void world_close(struct world *world) {
    for (int i = 0; i < WORLD_PAIRS; i++) close_side(world, &world->sides[i]);
    struct rq_cq_stats stats;
    rq_cq_read_stats(world->cq, &stats);
    CHECK_EQUAL(stats.strays, world->strays);
    CHECK_EQUAL(stats.polls, world->nic.polls);
    CHECK_EQUAL(rq_cq_close(world->cq), 1);
    CHECK_EQUAL(rq_cq_close(world->cq), 0);
    struct rq_done done;
    CHECK_EQUAL(rq_cq_poll(world->cq, &done, 1, RQ_WAIT_SPIN, 0), -ESHUTDOWN);
    CHECK_EQUAL(rq_cq_drain(world->cq, &done, 1, 0), 0);
    rq_cq_free(world->cq);
    fake_cq_close(&world->nic);
}
