/*
 * What a publish costs with links: per link one doorbell, a WRITE of the data (two where it wraps)
 * and one of the tail, one signal; no allocation and no system call. What is published while a
 * chain is in flight goes as one chain, however many messages it is. Links are served in turn.
 */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "verbs/begin.h"
#include "verbs/counted.h"
#include "verbs/linked.h"

enum { MESSAGES = 3000, PAYLOAD = 64, BURST = 40 };

static struct linked linked;
static uint8_t message[PAYLOAD];

struct costs {
    uint64_t doorbells, requests, signals;
};

static struct costs costs_of(const struct slot *slot) {
    const struct fake_qp *nic = &slot->publisher_end.nic;
    return (struct costs){
        .doorbells = nic->doorbells, .requests = nic->posted, .signals = nic->signals};
}

/* The whole frame, header and padding, in one piece or around the end of the ring? */
static int wraps(void) {
    uint64_t offset = linked.publisher->tail % LINKED_CAPACITY;
    return offset + rq_frame_bytes(PAYLOAD) > LINKED_CAPACITY;
}

static void publish_each_by_itself(void) {
    for (int i = 0; i < MESSAGES; i++) {
        struct costs before[LINKED_SLOTS];
        uint64_t data_requests = wraps() ? 2 : 1;
        for (int j = 0; j < LINKED_SLOTS; j++) before[j] = costs_of(&linked.slots[j]);
        CHECK(rq_send(linked.publisher, message, PAYLOAD) > 0);
        for (int j = 0; j < LINKED_SLOTS; j++) {
            struct costs after = costs_of(&linked.slots[j]);
            CHECK_EQUAL(after.doorbells - before[j].doorbells, 1);
            CHECK_EQUAL(after.requests - before[j].requests, data_requests + 1);
            CHECK_EQUAL(after.signals - before[j].signals, 1);
            CHECK_EQUAL(atomic_load(&linked.slots[j].replica->live->tail_bytes),
                        linked.publisher->tail);
        }
    }
}

static void set_quick(int is_quick) {
    for (int i = 0; i < LINKED_SLOTS; i++) linked.slots[i].publisher_end.nic.is_quick = is_quick;
}

static void finish(struct slot *slot) {
    struct fake_qp *nic = &slot->publisher_end.nic;
    while (fake_execute(nic, IBV_WC_SUCCESS, 0) || fake_deliver(nic) ||
           rq_pair_outstanding(slot->publisher_end.pair) != 0)
        linked_work(slot);
}

static void publish_while_chains_are_in_flight(void) {
    struct slot *slot = &linked.slots[0];
    struct fake_qp *nic = &slot->publisher_end.nic;
    set_quick(0);
    struct costs before = costs_of(slot);
    for (int i = 0; i < BURST; i++) CHECK(rq_send(linked.publisher, message, PAYLOAD) > 0);
    CHECK_EQUAL(costs_of(slot).doorbells - before.doorbells, slot->setup.depth);
    while (fake_execute(nic, IBV_WC_SUCCESS, 0)) {
    }
    while (fake_deliver(nic)) {
    }
    linked_work(slot);
    CHECK_EQUAL(costs_of(slot).doorbells - before.doorbells, slot->setup.depth + 1);
    CHECK_EQUAL(slot->link->chain_next - slot->link->chain_first, 1);
    CHECK_EQUAL(rq_link_sent(slot->link), linked.publisher->tail);
}

/* The publisher counts how long the last link waited for those served before it. */
static void check_the_skew(void) {
    struct rq_publisher_stats before, after;
    rq_publisher_read_stats(linked.publisher, &before);
    for (int i = 0; i < MESSAGES; i++) CHECK(rq_send(linked.publisher, message, PAYLOAD) > 0);
    rq_publisher_read_stats(linked.publisher, &after);
    CHECK_EQUAL(after.skew_rounds - before.skew_rounds, MESSAGES);
    CHECK(after.skew_ns > before.skew_ns);
    CHECK(after.skew_ns_max != 0 && after.skew_ns_max <= after.skew_ns);
}

static void inherit(const struct rq_segment *segment) {
    CHECK_EQUAL(madvise(segment->base, segment->mapped_bytes, MADV_DOFORK), 0);
}

/* All but exit. Not seccomp's strict mode: that forbids reading the CPU's counter, too. */
static void forbid_system_calls(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(3);
}

/* The last of all: the child moves the rings on, and nobody here knows. */
static void check_that_no_system_call_is_made(void) {
    inherit(linked.segment);
    for (int i = 0; i < LINKED_SLOTS; i++) inherit(linked.slots[i].segment);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        forbid_system_calls();
        publish_each_by_itself();
        syscall(SYS_exit, 0);
    }
    int status;
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status)); /* SIGSYS: there was one */
    CHECK_EQUAL(WEXITSTATUS(status), 0);
}

static void check_the_turn(void) {
    uint32_t first[LINKED_SLOTS] = {0};
    for (int i = 0; i < 3 * LINKED_SLOTS; i++) {
        CHECK(rq_send(linked.publisher, message, PAYLOAD) > 0);
        first[linked.publisher->tap_first]++;
    }
    for (int i = 0; i < LINKED_SLOTS; i++) CHECK_EQUAL(first[i], 3);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    linked_open(&linked, 1, 0, RQ_TAIL_BY_WRITE);
    for (int i = 0; i < LINKED_SLOTS; i++) {
        linked_up(&linked, &linked.slots[i]);
        CHECK_EQUAL(rq_link_start(linked.slots[i].link), 0);
    }
    set_quick(1);
    CHECK(rq_send(linked.publisher, message, PAYLOAD) > 0); /* the origin goes with the first */
    uint64_t before = allocations;
    publish_each_by_itself();
    CHECK_EQUAL(allocations, before);
    check_the_turn();
    check_the_skew();
    publish_while_chains_are_in_flight();
    set_quick(1);
    for (int i = 0; i < LINKED_SLOTS; i++) finish(&linked.slots[i]);
#ifndef __SANITIZE_ADDRESS__
    CHECK(before != 0); /* or nobody counts */
    check_that_no_system_call_is_made();
#else
    (void)check_that_no_system_call_is_made;
    linked_close(&linked);
#endif
    return 0;
}
