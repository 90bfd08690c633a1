/*
 * Waiting: what completes between the last poll and the arming makes no event, so it is polled for
 * again; each event is acknowledged; close wakes a sleeper; a second thread is told, not queued.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "rdma/pair.h"
#include "verbs/begin.h"
#include "verbs/fake_nic.h"

enum { SENDS = 16, SECOND_NS = 1000000000 };

static struct fake_cq cq_nic;
static struct fake_qp nic;
static struct rq_cq *cq;
static struct rq_pair *pair;
static int (*plain_notify)(struct ibv_cq *, int);
static int comes_before_arming;

/* A device whose completion arrives at the last moment before it is armed, or right after. */
static int notify(struct ibv_cq *ibv, int solicited_only) {
    if (comes_before_arming) fake_deliver(&nic);
    int error = plain_notify(ibv, solicited_only);
    if (!comes_before_arming) fake_deliver(&nic);
    return error;
}

static void open_all(void) {
    struct ibv_context *device = fake_device();
    plain_notify = device->ops.req_notify_cq;
    device->ops.req_notify_cq = notify;
    fake_cq_open(&cq_nic, device, SENDS);
    fake_qp_open(&nic, &cq_nic, 77, SENDS, 0);
    struct rq_cq_setup cq_setup = {.cq = (uintptr_t)&cq_nic.ibv,
                                   .get_event = (uintptr_t)fake_get_event,
                                   .ack_events = (uintptr_t)fake_ack_events,
                                   .entry_count = SENDS,
                                   .pair_count_max = 1};
    CHECK_EQUAL(rq_cq_open(&cq_setup, &cq), 0);
    struct rq_pair_setup setup = {
        .qp = (uintptr_t)&nic.ibv, .send_count_max = SENDS, .request_bytes_max = 4096};
    CHECK_EQUAL(rq_pair_open(cq, &setup, &pair), 0);
}

static void post_and_execute(void) {
    struct rq_op op = {.token = 5, .opcode = RQ_OP_WRITE, .length_bytes = 8};
    CHECK_EQUAL(rq_pair_post(pair, &op, 1), 1);
    CHECK_EQUAL(fake_execute(&nic, IBV_WC_SUCCESS, 0), 1);
}

static void check_one_report(uint32_t wait_mode) {
    struct rq_done done;
    CHECK_EQUAL(rq_cq_poll(cq, &done, 1, wait_mode, RQ_WAIT_SLICE_NS_MAX), 1);
    CHECK_EQUAL(done.token, 5);
}

/* A queue that is armed is not armed again before its event came: so let it come. */
static void use_up_arming(void) {
    uint64_t arms = cq_nic.arms;
    CHECK_EQUAL(rq_cq_arm(cq), 0);
    CHECK_EQUAL(cq_nic.arms, arms);
    post_and_execute();
    fake_deliver(&nic);
    check_one_report(RQ_WAIT_SPIN);
    CHECK_EQUAL(rq_cq_clear(cq), 1);
}

static void sleeper_finds_what_came_before_and_after_arming(void) {
    for (int i = 0; i < 8; i++) {
        if (cq_nic.is_armed) use_up_arming();
        comes_before_arming = i % 2;
        post_and_execute();
        check_one_report(i / 2 % 2 ? RQ_WAIT_SLEEP : RQ_WAIT_AUTO);
        CHECK_EQUAL(cq_nic.events_taken, cq_nic.events_acked);
    }
}

static void event_loop_is_told_not_to_sleep(void) {
    comes_before_arming = 1;
    if (cq_nic.is_armed) use_up_arming();
    post_and_execute();
    CHECK_EQUAL(rq_cq_arm(cq), 1);
    check_one_report(RQ_WAIT_SPIN);
    CHECK_EQUAL(rq_cq_arm(cq), 0);
    comes_before_arming = 0;
    post_and_execute();
    CHECK_EQUAL(fake_deliver(&nic), 1);
    CHECK_EQUAL(rq_cq_clear(cq), 1);
    check_one_report(RQ_WAIT_SPIN);
}

static void *wait_until_closed(void *argument) {
    struct rq_done done;
    int *result = argument;
    do {
        *result = rq_cq_poll(cq, &done, 1, RQ_WAIT_SLEEP, SECOND_NS);
    } while (*result == 0);
    return NULL;
}

static void close_wakes_the_sleeper(void) {
    pthread_t thread;
    struct rq_done done;
    int result = 1, second;
    CHECK_EQUAL(pthread_create(&thread, NULL, wait_until_closed, &result), 0);
    while ((second = rq_cq_poll(cq, &done, 1, RQ_WAIT_SPIN, 0)) == 0) usleep(100);
    CHECK_EQUAL(second, -EBUSY);
    CHECK_EQUAL(rq_cq_close(cq), 1);
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
    CHECK_EQUAL(result, -ESHUTDOWN);
    CHECK_EQUAL(rq_cq_arm(cq), -ESHUTDOWN);
    CHECK_EQUAL(rq_cq_drain(cq, &done, 1, 0), 0);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    open_all();
    sleeper_finds_what_came_before_and_after_arming();
    event_loop_is_told_not_to_sleep();
    rq_pair_close(pair);
    rq_pair_free(pair);
    close_wakes_the_sleeper();
    rq_cq_free(cq);
    fake_cq_close(&cq_nic);
    return 0;
}
