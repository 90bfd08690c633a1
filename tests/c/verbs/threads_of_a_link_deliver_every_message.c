/*
 * Two nodes' threads, a NIC in a thread of its own, a sender and a reader: every message of a
 * reliable stream arrives, in both tail modes, while each thread sleeps whenever it can; and the
 * nodes' threads sleep when all is quiet. With the stream's end the link is flushed and taken down.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "verbs/begin.h"
#include "verbs/linked.h"

enum { MESSAGES = 30000, PAYLOAD = 48, PATIENCE_MS = 60000 };

static pthread_mutex_t nic_mutex = PTHREAD_MUTEX_INITIALIZER; /* the fake NIC knows one thread */
static struct ibv_context_ops plain;
static _Atomic int is_over;
static struct linked linked;
static struct end ends[2]; /* the publisher's, the subscriber's */

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

/* ibv_modify_qp: to ERR, which is all that a link asks of it. */
static int modify_qp(struct ibv_qp *qp, struct ibv_qp_attr *attributes, int mask) {
    CHECK_EQUAL(mask, IBV_QP_STATE);
    CHECK_EQUAL(attributes->qp_state, IBV_QPS_ERR);
    pthread_mutex_lock(&nic_mutex);
    fake_fail((struct fake_qp *)qp);
    pthread_mutex_unlock(&nic_mutex);
    return 0;
}

static void *be_the_nic(void *unused) {
    uint64_t random = 88172645463325252u;
    (void)unused;
    while (!atomic_load(&is_over)) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        int idle = 1;
        pthread_mutex_lock(&nic_mutex);
        for (int i = 0; i < 2; i++) {
            for (uint64_t count = random >> 32 & 31; count != 0; count--)
                idle &= !wire_move(&ends[i].nic, random >> 20);
            if (random & 1) idle &= !fake_execute(&ends[i].nic, IBV_WC_SUCCESS, 0);
            if (random & 2) idle &= !fake_deliver(&ends[i].nic);
        }
        pthread_mutex_unlock(&nic_mutex);
        if (idle || (random & 0xf0) == 0) sched_yield();
    }
    return NULL;
}

static void fill(uint64_t sequence, uint8_t *bytes) {
    for (uint64_t at = 0; at < PAYLOAD; at++) bytes[at] = (uint8_t)(sequence * 31 + at);
}

static void *send_all(void *unused) {
    uint8_t message[PAYLOAD];
    (void)unused;
    for (uint64_t sequence = 1; sequence <= MESSAGES; sequence++) {
        int64_t result;
        fill(sequence, message);
        while ((result = rq_send(linked.publisher, message, PAYLOAD)) == 0)
            CHECK(rq_publisher_wait(linked.publisher, PAYLOAD, RQ_WAIT_SLICE_NS_MAX) >= 0);
        CHECK_EQUAL(result, sequence);
        if (sequence % 5000 == 0) usleep(30000); /* everybody falls asleep now and then */
    }
    CHECK_EQUAL(rq_publisher_close(linked.publisher), 0);
    return NULL;
}

static void read_all(struct slot *slot) {
    static const uint32_t modes[] = {RQ_WAIT_SLEEP, RQ_WAIT_AUTO, RQ_WAIT_YIELD};
    uint64_t next = 1;
    for (uint64_t turn = 0;; turn++) {
        uint8_t message[PAYLOAD];
        linked.poll.wait_mode = modes[turn / 64 % 3];
        int count = rq_reader_poll(slot->reader, &linked.poll, 64, RQ_WAIT_SLICE_NS_MAX);
        if (count == RQ_POLL_END) break;
        if (count < 0) CHECK_EQUAL(count, 0);
        for (int i = 0; i < count; i++) {
            fill(next++, message);
            CHECK_EQUAL(linked.poll.offsets[i + 1] - linked.poll.offsets[i], PAYLOAD);
            CHECK(memcmp(linked.poll.out + linked.poll.offsets[i], message, PAYLOAD) == 0);
        }
    }
    CHECK_EQUAL(next, MESSAGES + 1);
}

static void wait_for_the_cursor(struct slot *slot) {
    struct rq_link_stats stats;
    for (int tries = 0; tries < 6000; tries++) {
        rq_link_read_stats(slot->link, &stats);
        if (stats.cursor_bytes == linked.publisher->tail) return;
        usleep(10000);
    }
    CHECK(!"all of it is read, and told");
}

/* When the cursor has arrived nothing is left to ask for. */
static void check_that_the_threads_sleep(void) {
    struct rq_cq_stats before, after;
    rq_cq_read_stats(ends[0].cq, &before);
    for (int tries = 0; tries < 600; tries++) { /* until two looks see no more than heartbeats */
        usleep(100000);
        rq_cq_read_stats(ends[0].cq, &after);
        if (after.polls - before.polls < 20) return;
        before = after;
    }
    CHECK(!"the thread polls for ever");
}

static void open_link(struct slot *slot, struct rq_keeper **keepers, int event_fd) {
    int is_imm = linked.tail_mode == RQ_TAIL_BY_IMM;
    for (int i = 0; i < 2; i++) end_open(&linked, &ends[i], is_imm ? LINKED_CREDITS : 0);
    end_connect(&ends[0], &ends[1]);
    slot->generation = 1;
    linked_make_replica(&linked, slot, linked.descriptor.capacity_bytes, 0);
    CHECK_EQUAL(rq_replica_attach(slot->replica, keepers[1], is_imm ? ends[1].pair : NULL,
                                  is_imm ? LINKED_CREDITS : 0),
                0);
    linked_prepare(&linked, slot, 0);
    slot->setup.feedback_ns = 0;
    slot->setup.event_fd = event_fd;
    slot->setup.modify_qp = (uintptr_t)modify_qp;
    CHECK_EQUAL(rq_link_open(linked.publisher, keepers[0], ends[0].pair, &slot->setup, &slot->link),
                0);
    CHECK_EQUAL(rq_link_start(slot->link), 0);
}

static void wait_until_flushed(struct slot *slot, int event_fd) {
    struct pollfd fd = {.fd = event_fd, .events = POLLIN};
    struct rq_link_stats stats;
    do { /* a lost event would be a hang */
        eventfd_t events;
        CHECK_EQUAL(poll(&fd, 1, PATIENCE_MS), 1);
        CHECK_EQUAL(eventfd_read(event_fd, &events), 0);
        rq_link_read_stats(slot->link, &stats);
    } while (!stats.is_flushed);
    CHECK_EQUAL(stats.state, RQ_LINK_FAILED);
    CHECK_EQUAL(stats.cause, RQ_LINK_CAUSE_STOPPED);
    CHECK_EQUAL(stats.sent_bytes, linked.publisher->tail);
    CHECK(stats.chains < MESSAGES); /* what waited went together */
    CHECK(stats.heartbeats > 0);
}

static void run(uint32_t tail_mode) {
    pthread_t nic, sender;
    struct rq_keeper *keepers[2];
    struct slot *slot = &linked.slots[0];
    struct rq_replica_stats there;
    int event_fd = eventfd(0, EFD_CLOEXEC);
    linked_open(&linked, 1, 1, tail_mode);
    for (int i = 0; i < 2; i++) CHECK_EQUAL(rq_keeper_start(&keepers[i]), 0);
    CHECK_EQUAL(rq_keeper_add(keepers[0], linked.publisher), 0);
    open_link(slot, keepers, event_fd);
    atomic_store(&is_over, 0);
    CHECK_EQUAL(pthread_create(&nic, NULL, be_the_nic, NULL), 0);
    CHECK_EQUAL(pthread_create(&sender, NULL, send_all, NULL), 0);
    read_all(slot);
    pthread_join(sender, NULL);
    wait_for_the_cursor(slot);
    check_that_the_threads_sleep();
    CHECK_EQUAL(rq_link_stop(slot->link), 0);
    wait_until_flushed(slot, event_fd);
    CHECK_EQUAL(rq_link_close(slot->link), 0);
    CHECK_EQUAL(rq_link_close(slot->link), 0);
    atomic_store(&is_over, 1);
    pthread_join(nic, NULL);
    rq_link_free(slot->link);
    slot->link = NULL;
    end_close(&ends[0]);
    rq_replica_read_stats(slot->replica, &there);
    CHECK_EQUAL(there.messages, MESSAGES);
    CHECK_EQUAL(there.state, RQ_REPLICA_ENDED);
    CHECK(there.heartbeats > 0 && there.wakes > 0);
    CHECK_EQUAL(rq_replica_detach(slot->replica), linked.publisher->tail);
    end_close(&ends[1]);
    CHECK_EQUAL(rq_keeper_remove(keepers[0], linked.publisher), 0);
    for (int i = 0; i < 2; i++) rq_keeper_stop(keepers[i]);
    wire_deregister(slot->setup.words_key);
    linked_close(&linked);
    close(event_fd);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    struct ibv_context *device = fake_device();
    plain = device->ops;
    device->ops.post_send = locked_post_send;
    device->ops.post_recv = locked_post_recv;
    device->ops.poll_cq = locked_poll_cq;
    device->ops.req_notify_cq = locked_notify;
    run(RQ_TAIL_BY_WRITE);
    run(RQ_TAIL_BY_IMM);
    return 0;
}
