/*
 * What a batch costs: one doorbell, one work request an op, one signal every signal_every and one
 * at the end, no allocation and no system call. Allocations are counted by standing in front of
 * the C library's; system calls end the process, by seccomp's strict mode.
 */
#define _GNU_SOURCE
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "rdma/pair.h"
#include "verbs/begin.h"
#include "verbs/counted.h"
#include "verbs/fake_nic.h"

enum { SENDS = 128, SIGNAL_EVERY = 20, BATCHES = 1000 };

static struct fake_cq cq_nic;
static struct fake_qp nic;
static struct rq_cq *cq;
static struct rq_pair *pair;
static struct rq_op ops[SENDS];
static struct rq_done done[SENDS];

static void open_all(void) {
    fake_cq_open(&cq_nic, fake_device(), SENDS + 1);
    fake_qp_open(&nic, &cq_nic, 77, SENDS + 1, 0);
    struct rq_cq_setup cq_setup = {.cq = (uintptr_t)&cq_nic.ibv,
                                   .get_event = (uintptr_t)fake_get_event,
                                   .ack_events = (uintptr_t)fake_ack_events,
                                   .entry_count = SENDS + 1,
                                   .pair_count_max = 1};
    CHECK_EQUAL(rq_cq_open(&cq_setup, &cq), 0);
    struct rq_pair_setup setup = {.qp = (uintptr_t)&nic.ibv,
                                  .send_count_max = SENDS + 1,
                                  .inline_bytes_max = 64,
                                  .request_bytes_max = 4096,
                                  .signal_every = SIGNAL_EVERY};
    CHECK_EQUAL(rq_pair_open(cq, &setup, &pair), 0);
}

static void close_all(void) {
    rq_pair_close(pair);
    rq_pair_free(pair);
    rq_cq_close(cq);
    rq_cq_free(cq);
    fake_cq_close(&cq_nic);
}

/* One crossing to post, the NIC's work, one crossing to take every report. */
static void run_batch(uint32_t count, uint64_t first_token) {
    uint64_t doorbells = nic.doorbells, posted = nic.posted, signals = nic.signals;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t length_bytes = i % 2 ? 64 : 65;
        ops[i] = (struct rq_op){
            .token = first_token + i, .opcode = RQ_OP_WRITE, .length_bytes = length_bytes};
    }
    CHECK_EQUAL(rq_pair_post(pair, ops, count), count);
    CHECK_EQUAL(nic.doorbells - doorbells, 1);
    CHECK_EQUAL(nic.posted - posted, count);
    CHECK_EQUAL(nic.signals - signals, (count + SIGNAL_EVERY - 1) / SIGNAL_EVERY);
    for (uint32_t i = 0; i < count; i++) /* inline where it fits */
        CHECK_EQUAL(nic.sends[(posted + i) % FAKE_QUEUE_MAX].is_inline, i % 2);
    while (fake_execute(&nic, IBV_WC_SUCCESS, 0)) {
    }
    while (fake_deliver(&nic)) {
    }
    CHECK_EQUAL(rq_cq_poll(cq, done, SENDS, RQ_WAIT_AUTO, 0), count);
    for (uint32_t i = 0; i < count; i++) {
        CHECK_EQUAL(done[i].token, first_token + i);
        CHECK_EQUAL(done[i].outcome, RQ_OUTCOME_OK);
    }
}

static void run_batches(void) {
    for (uint32_t i = 0; i < BATCHES; i++) run_batch(1 + i % SENDS, i * 1000u);
}

static void check_that_no_system_call_is_made(void) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) _exit(3);
        run_batches();
        syscall(SYS_exit, 0); /* strict mode knows no exit_group */
    }
    int status;
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status)); /* SIGKILL: there was one */
    CHECK_EQUAL(WEXITSTATUS(status), 0);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    open_all();
    run_batch(SENDS, 1);
    uint64_t before = allocations;
    run_batches();
    CHECK_EQUAL(allocations, before);
#ifndef __SANITIZE_ADDRESS__
    CHECK(before != 0); /* or nobody counts */
    check_that_no_system_call_is_made();
#else
    (void)check_that_no_system_call_is_made;
#endif
    close_all();
    return 0;
}
