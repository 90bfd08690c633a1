/*
 * Posts, completions, failures, flushes, torn chains, lost and stray completions, in an order that
 * follows from a seed alone. Every request that was taken is reported once, in its pair's order,
 * with what the NIC made of it; what nobody can know is told as unknown, and nothing else is.
 */
#include <string.h>

#include "verbs/begin.h"
#include "verbs/world.h"

enum { STEPS = 1000000 };

static void stray(struct world *world) {
    struct ibv_wc wc;
    struct side *side = &world->sides[world_random(world, WORLD_PAIRS)];
    if (world->nic.count != 0) return;
    memset(&wc, 0, sizeof(wc));
    wc.qp_num = side->nic.ibv.qp_num;
    uint32_t index = side->pair->index;
    uint64_t posted = atomic_load(&side->pair->posted);
    switch (world_random(world, 4)) {
        case 0:
            wc.wr_id = world_random(world, 1u << 31) << 32 | world_random(world, 1u << 31);
            break;
        case 1: /* of a pair that had this index before */
            wc.wr_id = rq_wr_id(RQ_WR_SEND, index, posted == 0 ? 0 : posted - 1);
            wc.qp_num ^= 0x40;
            break;
        case 2: wc.wr_id = rq_wr_id(RQ_WR_SEND, index, posted); break; /* not posted yet */
        default:
            if (side->nic.freed == 0) return;
            wc.wr_id = rq_wr_id(RQ_WR_SEND, index, side->nic.freed - 1); /* came before */
    }
    if (rq_wr_kind(wc.wr_id) != RQ_WR_SEND) wc.qp_num = 1; /* random bits could name a receive */
    fake_deliver_stray(&world->nic, &wc);
    world->strays++;
    while (world_poll(world, WORLD_DONE_MAX) != 0) {
    }
}

static enum ibv_wc_status random_status(struct world *world) {
    static const enum ibv_wc_status failures[] = {IBV_WC_REM_ACCESS_ERR, IBV_WC_RETRY_EXC_ERR,
                                                  IBV_WC_LOC_PROT_ERR, IBV_WC_WR_FLUSH_ERR};
    return world_random(world, 250) == 0 ? failures[world_random(world, 4)] : IBV_WC_SUCCESS;
}

static void step(struct world *world) {
    struct side *side = &world->sides[world_random(world, WORLD_PAIRS)];
    uint64_t kind = world_random(world, 1000), count = 1 + world_random(world, 8);
    if (kind < 200) {
        uint64_t most = world_random(world, 4) == 0 ? WORLD_BATCH_MAX : 12;
        world_post(world, side, 1 + (uint32_t)world_random(world, most));
    } else if (kind < 520) {
        int is_lost = side->is_lossy && world_random(world, 60) == 0;
        while (count-- != 0 && world_execute(world, side, random_status(world), is_lost)) {
        }
    } else if (kind < 740) {
        while (count-- != 0 && fake_deliver(&side->nic)) {
        }
    } else if (kind < 920) {
        world_poll(world, 1 + (uint32_t)world_random(world, WORLD_DONE_MAX));
    } else if (kind < 965) {
        world_post_receives(world, side, (uint32_t)count);
    } else if (kind < 968) {
        world_bind(world, side);
    } else if (kind < 972) {
        world_probe(world, side);
    } else if (kind < 975) {
        stray(world);
    } else if (kind < 976) {
        if (!side->nic.is_in_error) side->began_with_flush = 1;
        fake_fail(&side->nic);
    } else if (side->nic.is_in_error) {
        world_reopen(world, side);
    }
}

int main(int argc, char **argv) {
    static struct world world;
    uint64_t seed = 1 + begin(argc, argv);
    world_open(&world, seed);
    for (uint64_t i = 0; i < STEPS; i++) step(&world);
    world_close(&world);
    printf("ok %" PRIu64 ", failed %" PRIu64 ", flushed %" PRIu64 ", unknown %" PRIu64
           ", receives %" PRIu64 ", torn %" PRIu64 ", full %" PRIu64 ", malformed %" PRIu64
           ", strays %" PRIu64 ", reopened %" PRIu64 ", probes %" PRIu64 " (%" PRIu64
           " failed), bound %" PRIu64 "\n",
           world.outcomes[RQ_OUTCOME_OK], world.outcomes[RQ_OUTCOME_FAILED],
           world.outcomes[RQ_OUTCOME_FLUSHED], world.outcomes[RQ_OUTCOME_UNKNOWN], world.receives,
           world.torn, world.full, world.malformed, world.strays, world.reopened, world.probes,
           world.probes_failed, world.bound);
    /* A walk that never came to some place would prove nothing about it. */
    for (int i = 0; i < 4; i++) CHECK(world.outcomes[i] > 500);
    CHECK(world.receives > 1000 && world.torn > 1000 && world.full > 1000);
    CHECK(world.malformed > 1000 && world.strays > 1000 && world.reopened > 100);
    CHECK(world.probes > 100 && world.probes_failed > 0 && world.bound > 500);
    return 0;
}
