/*
 * Each way in which a link ends: its state, cause and status are told, its event is given, the
 * publisher is held up only while the NIC may still read, and a lossy one goes on afterwards.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "verbs/begin.h"
#include "verbs/linked.h"

enum { PAYLOAD = 1000 };

static struct linked linked;
static uint8_t message[PAYLOAD];
static int event_fd;
static int modified;

static int modify_qp(struct ibv_qp *qp, struct ibv_qp_attr *attributes, int mask) {
    CHECK(mask == IBV_QP_STATE && attributes->qp_state == IBV_QPS_ERR);
    modified++;
    fake_fail((struct fake_qp *)qp);
    return 0;
}

static struct slot *begin_link(int is_reliable, uint32_t tail_mode) {
    struct slot *slot = &linked.slots[0];
    linked_open(&linked, 1, is_reliable, tail_mode);
    linked_up(&linked, slot);
    slot->link->setup.event_fd = event_fd;
    slot->link->modify_qp = modify_qp;
    modified = 0;
    CHECK_EQUAL(rq_link_start(slot->link), 0);
    linked_work(slot);
    return slot;
}

static struct rq_link_stats stats_of(const struct slot *slot) {
    struct rq_link_stats stats;
    rq_link_read_stats(slot->link, &stats);
    return stats;
}

static int events(void) {
    eventfd_t count = 0;
    eventfd_read(event_fd, &count);
    return (int)count;
}

static void run_nic(struct slot *slot) {
    struct fake_qp *nic = &slot->publisher_end.nic;
    while (fake_execute(nic, IBV_WC_SUCCESS, 0) || fake_deliver(nic)) {
    }
    linked_work(slot);
}

/* Moved to ERR by the thread, flushed, let go. */
static void check_end(struct slot *slot, uint32_t cause, uint32_t status) {
    struct rq_link_stats stats = stats_of(slot);
    CHECK_EQUAL(stats.state, RQ_LINK_FAILED);
    CHECK_EQUAL(stats.cause, cause);
    CHECK_EQUAL(stats.status, status);
    linked_work(slot);
    CHECK(events() > 0);
    CHECK_EQUAL(modified, 1);
    CHECK_EQUAL(rq_link_start(slot->link), -ESHUTDOWN);
    run_nic(slot);
    CHECK_EQUAL(stats_of(slot).is_flushed, 1);
    for (int i = 0; i < 500; i++) CHECK(rq_send(linked.publisher, message, PAYLOAD) > 0);
    CHECK_EQUAL(rq_link_close(slot->link), 0);
    CHECK_EQUAL(stats_of(slot).state, RQ_LINK_CLOSED);
    CHECK_EQUAL(stats_of(slot).cause, cause);
    rq_link_free(slot->link);
    slot->link = NULL;
    end_close(&slot->publisher_end);
    rq_replica_detach(slot->replica);
    end_close(&slot->subscriber_end);
    wire_deregister(slot->setup.words_key);
    events();
    linked_close(&linked);
}

static void a_completion_fails(void) {
    struct slot *slot = begin_link(0, RQ_TAIL_BY_WRITE);
    CHECK(rq_send(linked.publisher, message, PAYLOAD) > 0);
    while (fake_execute(&slot->publisher_end.nic, IBV_WC_REM_ACCESS_ERR, 0)) {
    }
    while (fake_deliver(&slot->publisher_end.nic)) {
    }
    linked_work(slot);
    CHECK_EQUAL(stats_of(slot).vendor_error, 0x80 + IBV_WC_REM_ACCESS_ERR);
    check_end(slot, RQ_LINK_CAUSE_COMPLETION, IBV_WC_REM_ACCESS_ERR);
}

/* It fails half a ring behind; the writer comes to its bytes, waits, and goes on with the flush. */
static void it_lags(void) {
    struct slot *slot = begin_link(0, RQ_TAIL_BY_WRITE);
    uint64_t stalls = atomic_load(&linked.publisher->live->counters.stalls);
    int64_t sequence = 1;
    uint32_t was_lagging = 0;
    while (sequence > 0) {
        sequence = rq_send(linked.publisher, message, PAYLOAD);
        was_lagging |= stats_of(slot).state == RQ_LINK_LAGGING;
    }
    CHECK(was_lagging);
    CHECK_EQUAL(sequence, 0);
    struct rq_link_stats stats = stats_of(slot);
    CHECK(stats.lag_bytes > LINKED_CAPACITY / 2 && stats.lag_bytes <= LINKED_CAPACITY);
    CHECK(linked.publisher->tail + rq_frame_bytes(PAYLOAD) + RQ_END_RESERVE_BYTES >
          stats.flushed_bytes + LINKED_CAPACITY);
    CHECK_EQUAL(rq_publisher_wait(linked.publisher, PAYLOAD, 0), 0);
    CHECK_EQUAL(atomic_load(&linked.publisher->live->counters.stalls), stalls + 1);
    CHECK_EQUAL(atomic_load(&slot->link->tap.stalls), 1); /* it is this one that is in the way */
    linked_work(slot);
    CHECK_EQUAL(modified, 1);
    run_nic(slot);
    CHECK_EQUAL(rq_publisher_wait(linked.publisher, PAYLOAD, 0), 1);
    check_end(slot, RQ_LINK_CAUSE_LAGGED, 0);
}

static void its_reader_stalls(void) {
    struct slot *slot = begin_link(1, RQ_TAIL_BY_WRITE);
    linked.publisher->timeout_ns = 1;
    while (rq_send(linked.publisher, message, PAYLOAD) > 0) {
        run_nic(slot);
        run_nic(slot);
    }
    CHECK_EQUAL(stats_of(slot).flushed_bytes, linked.publisher->tail); /* it is not the NIC */
    struct rq_publisher_stats stats;
    rq_publisher_read_stats(linked.publisher, &stats);
    CHECK_EQUAL(stats.reader_count, 1);
    CHECK_EQUAL(stats.readers_cut_off, 0);
    while (rq_publisher_wait(linked.publisher, PAYLOAD, 1000000) == 0) run_nic(slot);
    rq_publisher_read_stats(linked.publisher, &stats);
    CHECK_EQUAL(stats.readers_cut_off, 1); /* once, however often it was looked at */
    check_end(slot, RQ_LINK_CAUSE_STALLED, 0);
}

static void the_provider_refuses(void) {
    struct slot *slot = begin_link(0, RQ_TAIL_BY_WRITE);
    slot->publisher_end.nic.refuse_error = ENOMEM;
    slot->publisher_end.nic.refuse_after = 1;
    CHECK(rq_send(linked.publisher, message, PAYLOAD) > 0);
    check_end(slot, RQ_LINK_CAUSE_REFUSED, ENOMEM);
}

/* More credits than receives were used; a cursor beyond what was sent. */
static void feedback_is_nonsense(void) {
    struct slot *slot = begin_link(0, RQ_TAIL_BY_IMM);
    struct rq_feedback *feedback = rq_feedback_of(slot->segment->live);
    atomic_store(&feedback->credits, (uint64_t)slot->generation << 32 | (LINKED_CREDITS + 2));
    CHECK(rq_send(linked.publisher, message, PAYLOAD) > 0);
    while (fake_execute(&slot->publisher_end.nic, IBV_WC_SUCCESS, 0) ||
           fake_deliver(&slot->publisher_end.nic)) {
    }
    slot->link->duty.work(&slot->link->duty);
    check_end(slot, RQ_LINK_CAUSE_NONSENSE, 0);
}

static void a_cursor_is_nonsense(void) {
    struct slot *slot = begin_link(1, RQ_TAIL_BY_WRITE);
    struct rq_feedback *feedback = rq_feedback_of(slot->segment->live);
    CHECK(rq_send(linked.publisher, message, PAYLOAD) > 0);
    atomic_store(&feedback->cursor_bytes, linked.publisher->tail + 32);
    while (fake_execute(&slot->publisher_end.nic, IBV_WC_SUCCESS, 0) ||
           fake_deliver(&slot->publisher_end.nic)) {
    }
    slot->link->duty.work(&slot->link->duty);
    check_end(slot, RQ_LINK_CAUSE_NONSENSE, 0);
}

static void it_is_stopped(void) {
    struct slot *slot = begin_link(0, RQ_TAIL_BY_WRITE);
    CHECK(rq_send(linked.publisher, message, PAYLOAD) > 0);
    CHECK_EQUAL(rq_link_stop(slot->link), 0);
    CHECK_EQUAL(rq_link_stop(slot->link), 0);
    CHECK_EQUAL(stats_of(slot).is_flushed, 0); /* the NIC reads still */
    check_end(slot, RQ_LINK_CAUSE_STOPPED, 0);
}

/* Completions are due and none comes: told when some heartbeats have looked in vain. */
static void nothing_is_heard(void) {
    struct slot *slot = begin_link(0, RQ_TAIL_BY_WRITE);
    slot->link->setup.overdue_ns = 1;
    CHECK(rq_send(linked.publisher, message, PAYLOAD) > 0);
    for (int beats = 0; beats < 16; beats++) slot->link->duty.beat(&slot->link->duty, 0);
    check_end(slot, RQ_LINK_CAUSE_OVERDUE, 0);
}

/* Something is in flight when its clock first looks, or its process stood still for an hour: that
 * says nothing of the device. */
static void nobody_looked(void) {
    struct slot *slot = begin_link(0, RQ_TAIL_BY_WRITE);
    CHECK(rq_send(linked.publisher, message, PAYLOAD) > 0);
    for (int beats = 0; beats < 4; beats++) {
        slot->link->duty.beat(&slot->link->duty, 0);
        CHECK_EQUAL(stats_of(slot).state, RQ_LINK_LIVE);
        CHECK(slot->link->looked_ticks != 0);
        slot->link->looked_ticks = 1;
    }
    run_nic(slot);
    slot->link->duty.beat(&slot->link->duty, 0);
    CHECK_EQUAL(slot->link->waited_ticks, 0);
    CHECK_EQUAL(rq_link_stop(slot->link), 0);
    check_end(slot, RQ_LINK_CAUSE_STOPPED, 0);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    a_completion_fails();
    it_lags();
    its_reader_stalls();
    the_provider_refuses();
    feedback_is_nonsense();
    a_cursor_is_nonsense();
    it_is_stopped();
    nobody_looked();
    nothing_is_heard();
    close(event_fd);
    return 0;
}
