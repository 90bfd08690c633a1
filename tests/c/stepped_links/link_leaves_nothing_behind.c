/*
 * A sender and the keeper's thread take turns at one link while its NIC moves bytes in pieces and a
 * reader reads the replica; a switch of tasks may come within each of them. The link lags, fails,
 * is stopped, and another one goes on. What was published arrives or is declared; nothing that was
 * overwritten is sent; nobody waits in vain; a failed link is flushed.
 *
 * Mutations: WORD_NOT_LEFT, WORD_UNREAD, RELEASED_OUTSIDE, FAILURE_NOT_RUNG, WAITING_NOT_RUNG,
 * WAITING_NOT_ARMED, TAP_LIMIT_KEPT, and of the others RELEASED_EARLY, SOURCE_OVERWRITTEN,
 * DATA_PAST_GUARD, TAIL_BEFORE_DATA.
 */
#include "stepped/stepper.h"
#include "verbs/begin.h"
#include "verbs/linked.h"

enum { ROUNDS = 500, MESSAGES_FEW = 12, MESSAGES_MANY = 300 };

static struct linked linked;
static struct slot *slot = &linked.slots[0];
static uint64_t messages, stalls, words_left;
static int is_published, is_slow, is_dead, is_err_due;
static int is_to_be_stopped; /* by the reader, at some moment */

static int to_err(struct ibv_qp *qp, struct ibv_qp_attr *attributes, int mask) {
    CHECK(mask == IBV_QP_STATE && attributes->qp_state == IBV_QPS_ERR);
    CHECK(qp == &slot->publisher_end.nic.ibv);
    is_err_due = 1; /* the NIC stops when it comes to it: only a flush says that it has */
    return 0;
}

static int is_flushed(void) { return atomic_load(&slot->link->tap.flushed_bytes) == RQ_TAP_GONE; }

/* ---- tasks ---- */

static void publish(void) {
    for (uint64_t i = 0; i < messages; i++) {
        while (!linked_send(&linked)) {
            stalls++;
            int64_t result = rq_publisher_wait(linked.publisher, LINKED_MESSAGE_MAX, 0);
            CHECK(result >= 0 || result == -ETIME); /* of that many steps, not of time */
            rq_publisher_give_up(linked.publisher);
            rq_step();
        }
    }
    is_published = 1;
}

/* The replica's owner, and its reader. */
static int is_read(void) {
    if (!is_published) return 0;
    return rq_link_is_posting(slot->link) ? slot->expected == linked.next : is_flushed();
}

static void read(void) {
    while (!is_read()) {
        slot->replica->duty.work(&slot->replica->duty);
        linked_read(&linked, slot);
        words_left += atomic_load(&slot->link->turn) == RQ_TURN_HELD_AGAIN;
        if (is_to_be_stopped && linked_random(&linked, 20) == 0)
            CHECK_EQUAL(rq_link_stop(slot->link), 0);
        rq_step();
    }
}

static void keep(void) {
    for (;;) rq_keeper_step(linked.keeper);
}

/* What the NIC has yet to send, it may read: none of that is written over, also while it stands
 * still. */
static void check_source(const struct fake_qp *nic) {
    uint64_t first = rq_link_sent(slot->link);
    if (nic->is_in_error || nic->executed == nic->posted) return;
    for (uint64_t at = nic->executed; at != nic->posted; at++) {
        const struct fake_request *request = &nic->sends[at % FAKE_QUEUE_MAX];
        if (request->remote_address - (uintptr_t)slot->segment->data < LINKED_CAPACITY)
            first -= request->length;
    }
    CHECK(linked.publisher->tail <= first + LINKED_CAPACITY); /* overwritten */
}

/* The NIC. What completes rings if the thread armed its channel, as the event there would; and an
 * error in any case, as the look does that comes a millisecond later without an event. */
static int move_something(struct fake_qp *nic) {
    if (is_slow && !is_published && linked_random(&linked, 150) != 0) return 0;
    if (is_err_due && linked_random(&linked, 40) == 0) fake_fail(nic);
    if (!is_slow && linked_random(&linked, 20000) == 0) fake_fail(nic);
    uint64_t kind = linked_random(&linked, 8);
    if (is_dead && kind < 3 && !nic->is_in_error) return 0; /* nobody acknowledges anything */
    if (kind == 0) return fake_execute(nic, IBV_WC_SUCCESS, 0);
    if (kind == 1) return fake_deliver(&slot->subscriber_end.nic);
    if (kind == 2) {
        int is_armed = nic->cq->is_armed;
        if (!fake_deliver(nic)) return 0;
        if (is_armed || nic->is_in_error) rq_keeper_ring(linked.keeper);
        return 1;
    }
    if (!wire_move(nic, linked_random(&linked, 1 << 30))) return 0;
    CHECK(!is_flushed()); /* or the publisher may be writing what was just read */
    return 1;
}

static void move(void) {
    struct fake_qp *nic = &slot->publisher_end.nic, *other = &slot->subscriber_end.nic;
    while (!stepper_is_over() || nic->executed != nic->posted || nic->late_count != 0 ||
           other->late_count != 0) {
        move_something(nic);
        check_source(nic);
        rq_step();
    }
}

/* ---- between the rounds ---- */

static void begin_link(void) {
    linked_up(&linked, slot);
    CHECK_EQUAL(rq_link_start(slot->link), 0);
    slot->is_started = 1;
}

/* Another link brings the rest. */
static void go_on(void) {
    linked_down(&linked, slot);
    begin_link();
    for (int steps = 0; slot->expected != linked.next; steps++) {
        CHECK(steps < 200000);
        linked_move(&linked, NULL, &slot->publisher_end);
        while (fake_deliver(&slot->subscriber_end.nic)) {
        }
        linked_work(slot);
        linked_read(&linked, slot);
        if (rq_link_is_posting(slot->link)) continue;
        linked_down(&linked, slot);
        begin_link();
    }
}

static void run(uint64_t seed, uint32_t tail_mode) {
    linked_open(&linked, seed, 0, tail_mode);
    linked.modify_qp = to_err;
    linked.ahead = 16;
    CHECK_EQUAL(rq_keeper_start(&linked.keeper), 0);
    begin_link();
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        messages = round % 4 == 0 ? MESSAGES_MANY : MESSAGES_FEW;
        is_to_be_stopped = round % 4 == 1;
        is_slow = round % 16 == 0;
        is_dead = round % 64 == 0;
        is_published = is_err_due = 0;
        stepper_run_linked(seed + round, publish, read, keep, move);
        if (!rq_link_is_posting(slot->link)) go_on();
        CHECK_EQUAL(slot->expected, linked.next);
    }
    printf("resumed %" PRIu64 ", jumped %" PRIu64 ", caught up %" PRIu64 ", lagged %" PRIu64
           ", overrun %" PRIu64 ", received %" PRIu64 ", words left %" PRIu64 ", stalls %" PRIu64
           "\n",
           linked.resumed, linked.jumped, linked.caught_up, linked.failures[RQ_LINK_CAUSE_LAGGED],
           slot->overrun, slot->received, words_left, stalls);
    /* A run that never came to some place would prove nothing about it. */
    CHECK(linked.failures[RQ_LINK_CAUSE_LAGGED] > 5 && linked.failures[RQ_LINK_CAUSE_STOPPED] > 5);
    CHECK(linked.resumed > 20 && slot->received > 1000);
    linked_close(&linked);
    rq_keeper_stop(linked.keeper);
}

int main(int argc, char **argv) {
    stepper_begin(argc, argv);
    for (uint64_t seed = 0; seed < 4; seed++)
        run(seed * ROUNDS, seed % 2 ? RQ_TAIL_BY_IMM : RQ_TAIL_BY_WRITE);
    CHECK(words_left > 1000 && stalls > 100);
    return 0;
}
