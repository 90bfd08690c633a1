/*
 * Lanes of the progress thread over a NIC in a thread of its own: more is submitted than fits, IMM
 * waits for the peer's receives, a pair fails. Each request that was taken is reported once, in
 * order; the takers sleep on their descriptors and miss nothing; and the thread sleeps when idle.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "rdma/lane.h"
#include "verbs/begin.h"
#include "verbs/fake_nic.h"

enum { LANES = 3, SENDS = 12, RECEIVES = 8, WAITING = 64, REQUESTS = 20000, FAILS_AT = 15000 };

struct rig {
    struct fake_cq cq_nic;
    struct fake_qp nic;
    struct rq_cq *cq;
    struct rq_pair *pair;
    struct rq_lane *lane;
    int fails;
    uint64_t outcomes[5];
    pthread_t submitter, taker;
};

static struct rig rigs[LANES];
static struct rq_progress *progress;
static pthread_mutex_t nic_mutex = PTHREAD_MUTEX_INITIALIZER; /* the fake NIC knows one thread */
static _Atomic int is_over;
static struct ibv_context_ops plain;

static int locked_post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad) {
    pthread_mutex_lock(&nic_mutex);
    int result = plain.post_send(qp, wr, bad);
    pthread_mutex_unlock(&nic_mutex);
    return result;
}

static int locked_post_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad) {
    pthread_mutex_lock(&nic_mutex);
    int result = plain.post_recv(qp, wr, bad);
    pthread_mutex_unlock(&nic_mutex);
    return result;
}

static int locked_poll_cq(struct ibv_cq *cq, int count_max, struct ibv_wc *wc) {
    pthread_mutex_lock(&nic_mutex);
    int result = plain.poll_cq(cq, count_max, wc);
    pthread_mutex_unlock(&nic_mutex);
    return result;
}

static int locked_notify(struct ibv_cq *cq, int solicited_only) {
    pthread_mutex_lock(&nic_mutex);
    int result = plain.req_notify_cq(cq, solicited_only);
    pthread_mutex_unlock(&nic_mutex);
    return result;
}

static void open_rig(struct rig *rig, struct ibv_context *device) {
    uint32_t qp_num = 1 + (uint32_t)(rig - rigs);
    fake_cq_open(&rig->cq_nic, device, SENDS + RECEIVES);
    fake_qp_open(&rig->nic, &rig->cq_nic, qp_num, SENDS, RECEIVES);
    struct rq_cq_setup cq_setup = {.cq = (uintptr_t)&rig->cq_nic.ibv,
                                   .get_event = (uintptr_t)fake_get_event,
                                   .ack_events = (uintptr_t)fake_ack_events,
                                   .entry_count = SENDS + RECEIVES,
                                   .pair_count_max = 1};
    CHECK_EQUAL(rq_cq_open(&cq_setup, &rig->cq), 0);
    struct rq_pair_setup setup = {.qp = (uintptr_t)&rig->nic.ibv,
                                  .token = qp_num,
                                  .send_count_max = SENDS,
                                  .receive_count_max = RECEIVES,
                                  .request_bytes_max = 4096};
    CHECK_EQUAL(rq_pair_open(rig->cq, &setup, &rig->pair), 0);
    CHECK_EQUAL(rq_lane_open(progress, rig->pair, WAITING, &rig->lane), 0);
    rig->fails = rig == &rigs[LANES - 1];
}

static void *submit(void *argument) {
    struct rig *rig = argument;
    struct rq_op ops[24];
    uint64_t next = 0;
    while (next < REQUESTS) {
        uint32_t count = 1 + (uint32_t)(next * 7 % 24);
        if (count > REQUESTS - next) count = (uint32_t)(REQUESTS - next);
        for (uint32_t i = 0; i < count; i++)
            ops[i] = (struct rq_op){.token = next + i,
                                    .remote_address = (next + i) * 8,
                                    .length_bytes = 8,
                                    .opcode =
                                        (next + i) % 50 == 49 ? RQ_OP_WRITE_WITH_IMM : RQ_OP_WRITE};
        int taken = rq_lane_submit(rig->lane, ops, count);
        CHECK(taken >= 0 && taken <= (int)count);
        next += (uint64_t)taken;
        if (taken == 0) sched_yield();
    }
    return NULL;
}

static void *take(void *argument) {
    struct rig *rig = argument;
    struct rq_done done[40];
    uint64_t next = 0;
    while (next < REQUESTS) {
        int count = rq_lane_take(rig->lane, done, 40);
        CHECK(count >= 0);
        if (count == 0) { /* sleeps until there is more: a lost wake would be a hang */
            struct pollfd fd = {.fd = rq_lane_fd(rig->lane), .events = POLLIN};
            CHECK(poll(&fd, 1, 60000) == 1);
        }
        for (int i = 0; i < count; i++) {
            CHECK_EQUAL(done[i].token, next++);
            CHECK_EQUAL(done[i].pair_token, rig->pair->token);
            CHECK(done[i].outcome <= RQ_OUTCOME_REFUSED);
            rig->outcomes[done[i].outcome]++;
            /* The receives of its own pair are not in this test: the NIC's peer has them. */
            if (done[i].opcode == RQ_OP_WRITE_WITH_IMM) rq_lane_grant(rig->lane, 1);
        }
    }
    return NULL;
}

static void *be_the_nic(void *unused) {
    uint64_t random = 88172645463325252u;
    (void)unused;
    while (!atomic_load(&is_over)) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        struct rig *rig = &rigs[random % LANES];
        pthread_mutex_lock(&nic_mutex);
        for (uint64_t i = random >> 32 & 15; i != 0; i--) {
            int is_last = rig->fails && rig->nic.executed == FAILS_AT;
            fake_execute(&rig->nic, is_last ? IBV_WC_REM_ACCESS_ERR : IBV_WC_SUCCESS, 0);
        }
        for (uint64_t i = random >> 40 & 15; i != 0; i--) fake_deliver(&rig->nic);
        if (rig->fails && rig->nic.executed > FAILS_AT + 1000) { /* the provider has enough */
            rig->nic.refuse_error = EIO;
            rig->nic.refuse_after = 0;
        }
        pthread_mutex_unlock(&nic_mutex);
        if ((random & 63) == 0) sched_yield();
    }
    return NULL;
}

static void check_that_the_thread_sleeps(void) {
    struct rq_cq_stats before, after;
    rq_cq_read_stats(rigs[0].cq, &before);
    for (int tries = 0; tries < 600; tries++) { /* until two looks see the same */
        usleep(100000);
        rq_cq_read_stats(rigs[0].cq, &after);
        if (after.polls == before.polls) return;
        before = after;
    }
    CHECK(!"the thread polls for ever");
}

static void close_rig(struct rig *rig) {
    struct rq_done done[SENDS];
    CHECK_EQUAL(rq_lane_close(rig->lane), 0);
    CHECK_EQUAL(rq_lane_close(rig->lane), 0);
    CHECK_EQUAL(rq_lane_take(rig->lane, done, SENDS), 0);
    CHECK_EQUAL(rq_pair_outstanding(rig->pair), 0);
    rq_lane_free(rig->lane);
    rq_pair_close(rig->pair);
    rq_pair_free(rig->pair);
    CHECK_EQUAL(rq_cq_close(rig->cq), 1);
    CHECK_EQUAL(rq_cq_drain(rig->cq, done, SENDS, 0), 0);
    rq_cq_free(rig->cq);
    fake_cq_close(&rig->cq_nic);
}

int main(int argc, char **argv) {
    pthread_t nic;
    begin(argc, argv);
    struct ibv_context *device = fake_device();
    plain = device->ops;
    device->ops.post_send = locked_post_send;
    device->ops.post_recv = locked_post_recv;
    device->ops.poll_cq = locked_poll_cq;
    device->ops.req_notify_cq = locked_notify;
    CHECK_EQUAL(rq_progress_start(&progress), 0);
    for (int i = 0; i < LANES; i++) open_rig(&rigs[i], device);
    CHECK_EQUAL(pthread_create(&nic, NULL, be_the_nic, NULL), 0);
    for (int i = 0; i < LANES; i++) {
        CHECK_EQUAL(rq_lane_grant(rigs[i].lane, RECEIVES), 0);
        CHECK_EQUAL(pthread_create(&rigs[i].submitter, NULL, submit, &rigs[i]), 0);
        CHECK_EQUAL(pthread_create(&rigs[i].taker, NULL, take, &rigs[i]), 0);
    }
    for (int i = 0; i < LANES; i++) {
        pthread_join(rigs[i].submitter, NULL);
        pthread_join(rigs[i].taker, NULL);
        uint64_t *outcomes = rigs[i].outcomes;
        if (!rigs[i].fails) CHECK_EQUAL(outcomes[RQ_OUTCOME_OK], REQUESTS);
        if (rigs[i].fails) {
            CHECK(outcomes[RQ_OUTCOME_OK] <= FAILS_AT);
            CHECK_EQUAL(outcomes[RQ_OUTCOME_FAILED], 1);
            CHECK(outcomes[RQ_OUTCOME_FLUSHED] > 0 && outcomes[RQ_OUTCOME_REFUSED] > 0);
        }
    }
    check_that_the_thread_sleeps();
    atomic_store(&is_over, 1);
    pthread_join(nic, NULL);
    for (int i = 0; i < LANES; i++) close_rig(&rigs[i]);
    rq_progress_stop(progress);
    return 0;
}
