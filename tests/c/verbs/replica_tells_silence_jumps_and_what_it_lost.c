/*
 * A replica beside its frames: waiting, live, silent, live again, ended; heartbeats of an earlier
 * link are none; the publisher's clock explains ticks. A jump is told exactly though nothing
 * follows it, and so is what was lost while the owner slept. What cannot be is refused.
 */
#include <string.h>
#include <unistd.h>

#include "verbs/begin.h"
#include "verbs/linked.h"

enum { PAYLOAD = 500, MESSAGES = 40 };

static struct linked linked;
static struct slot *slot;
static uint8_t message[PAYLOAD];

static void run_nic(void) {
    struct fake_qp *nic = &slot->publisher_end.nic;
    do {
        if (slot->link != NULL) slot->link->duty.work(&slot->link->duty);
    } while (fake_execute(nic, IBV_WC_SUCCESS, 0) || fake_deliver(nic));
}

static struct rq_replica_stats stats(void) {
    struct rq_replica_stats out;
    rq_replica_read_stats(slot->replica, &out);
    return out;
}

static void look(void) { slot->replica->duty.work(&slot->replica->duty); }

static void beat(void) {
    rq_link_set_beat(slot->link);
    run_nic();
    look();
}

static void begin_link(int is_reliable) {
    linked_open(&linked, 1, is_reliable, RQ_TAIL_BY_WRITE);
    slot = &linked.slots[0];
    linked_up(&linked, slot);
    CHECK_EQUAL(rq_link_start(slot->link), 0);
}

static void send(uint64_t count) {
    for (; count != 0; count--) CHECK(rq_send(linked.publisher, message, PAYLOAD) > 0);
}

static int poll_one(void) { return rq_reader_poll(slot->reader, &linked.poll, 1, 0); }

static void expect_gap(uint64_t first, uint64_t last) {
    CHECK_EQUAL(poll_one(), RQ_POLL_GAP);
    CHECK_EQUAL(linked.poll.batch.sequence, first);
    CHECK_EQUAL(linked.poll.batch.last, last);
    CHECK_EQUAL(linked.poll.batch.cause, RQ_CAUSE_OVERRUN);
}

static void states_follow_signs_of_life(void) {
    begin_link(0);
    slot->replica->setup.silent_ns = UINT64_MAX >> 16;
    look();
    CHECK_EQUAL(stats().state, RQ_REPLICA_WAITING);
    slot->replica->setup.silent_ns = 1; /* or a publisher that died at once is never missed */
    look();
    CHECK_EQUAL(stats().state, RQ_REPLICA_SILENT);
    slot->replica->setup.silent_ns = UINT64_MAX >> 16;
    beat();
    CHECK_EQUAL(stats().state, RQ_REPLICA_LIVE);
    CHECK_EQUAL(stats().heartbeats, 1);
    slot->replica->setup.silent_ns = 1; /* whatever there was, is long ago */
    look();
    CHECK_EQUAL(stats().state, RQ_REPLICA_SILENT);
    slot->replica->setup.silent_ns = UINT64_MAX >> 16;
    send(1);
    run_nic();
    look();
    CHECK_EQUAL(stats().state, RQ_REPLICA_LIVE); /* frames are life, too */
    beat();
    CHECK_EQUAL(stats().heartbeats, 2);
    CHECK_EQUAL(stats().publisher_tail, linked.publisher->tail);
    /* One of an earlier link that comes late. */
    struct rq_beat *words = rq_beat_of(slot->segment->live);
    uint64_t late = (uint64_t)(slot->generation - 1) << 32 | 77;
    atomic_store(&words->stamp, late);
    atomic_store(&words->stamp_again, late);
    look();
    CHECK_EQUAL(stats().heartbeats, 2);
    /* The replica's readers read the publisher's clock. */
    uint64_t ticks = rq_clock_ticks();
    CHECK_EQUAL(poll_one(), 1);
    uint64_t here = rq_reader_wall_ns(slot->reader, ticks);
    uint64_t there = rq_clock_wall_ns(&linked.publisher->live->clock, ticks);
    CHECK(here != 0);
    CHECK_EQUAL(here, there);
    CHECK_EQUAL(rq_publisher_close(linked.publisher), 0);
    run_nic();
    look();
    CHECK_EQUAL(stats().state, RQ_REPLICA_ENDED);
    CHECK_EQUAL(poll_one(), RQ_POLL_END);
    CHECK_EQUAL(rq_send(rq_replica_publisher(slot->replica), message, PAYLOAD), -EROFS);
    linked_close(&linked);
}

static void jump_is_told_though_nothing_follows(void) {
    begin_link(0);
    send(MESSAGES);
    run_nic();
    look();
    for (int i = 0; i < MESSAGES; i++) CHECK_EQUAL(poll_one(), 1);
    linked_down(&linked, slot);
    send(200); /* more than the ring has room for */
    linked_up(&linked, slot);
    CHECK_EQUAL(linked.jumped, 1);
    look();
    expect_gap(MESSAGES + 1, MESSAGES + 200);
    CHECK_EQUAL(poll_one(), RQ_POLL_NOTHING);
    CHECK_EQUAL(rq_link_start(slot->link), 0);
    send(1);
    run_nic();
    look();
    CHECK_EQUAL(poll_one(), 1);
    CHECK_EQUAL(linked.poll.batch.sequence, MESSAGES + 201);
    linked_close(&linked);
}

/* The next link, which begins at the publisher's tail though the replica is behind. */
static struct rq_link_stats link_beyond(void) {
    slot->generation++;
    end_open(&linked, &slot->publisher_end, 0);
    end_open(&linked, &slot->subscriber_end, 0);
    end_connect(&slot->publisher_end, &slot->subscriber_end);
    linked_prepare(&linked, slot, slot->replica->told);
    struct rq_link *link;
    CHECK_EQUAL(rq_link_open(linked.publisher, NULL, slot->publisher_end.pair, &slot->setup, &link),
                -ESTALE);
    slot->setup.may_skip = 1;
    CHECK_EQUAL(
        rq_link_open(linked.publisher, NULL, slot->publisher_end.pair, &slot->setup, &slot->link),
        0);
    struct rq_link_stats there;
    rq_link_read_stats(slot->link, &there);
    CHECK_EQUAL(there.start_bytes, linked.publisher->tail);
    return there;
}

/* More than half the ring behind, and less than all that it holds: the link begins at the tail, and
 * what lies between is told at once, though nothing follows. */
static void short_jump_is_bridged_and_told(void) {
    begin_link(0);
    send(MESSAGES);
    run_nic();
    look();
    for (int i = 0; i < MESSAGES - 1; i++) CHECK_EQUAL(poll_one(), 1);
    linked_down(&linked, slot);
    send(80);
    struct rq_link_stats there = link_beyond();
    CHECK_EQUAL(there.start_sequence, MESSAGES + 81);
    CHECK_EQUAL(rq_replica_restart(slot->replica, slot->generation, there.start_bytes, MESSAGES),
                -EINVAL); /* what came already would come again */
    CHECK_EQUAL(rq_replica_restart(slot->replica, slot->generation, there.start_bytes,
                                   there.start_sequence),
                0);
    CHECK_EQUAL(rq_replica_attach(slot->replica, NULL, NULL, 0), 0);
    CHECK_EQUAL(stats().state, RQ_REPLICA_WAITING);
    CHECK_EQUAL(poll_one(), 1); /* what had come is still there */
    expect_gap(MESSAGES + 1, MESSAGES + 80);
    CHECK_EQUAL(poll_one(), RQ_POLL_NOTHING);
    CHECK_EQUAL(rq_link_start(slot->link), 0);
    send(1);
    run_nic();
    look();
    CHECK_EQUAL(poll_one(), 1);
    CHECK_EQUAL(linked.poll.batch.sequence, MESSAGES + 81);
    linked_close(&linked);
}

/* Its first link brought nothing, not even where the stream began: the next grant says it. */
static void who_saw_no_frame_is_told_what_was_lost_though_nothing_follows(void) {
    for (uint64_t lost = 80; lost <= 200; lost += 120) { /* bridged; more than the ring holds */
        begin_link(0);
        linked_down(&linked, slot);
        send(lost);
        if (lost == 200) {
            linked_up(&linked, slot);
        } else {
            struct rq_link_stats there = link_beyond();
            rq_replica_learn_origin(slot->replica, there.origin_sequence);
            CHECK_EQUAL(rq_replica_restart(slot->replica, slot->generation, there.start_bytes,
                                           there.start_sequence),
                        0);
            CHECK_EQUAL(rq_replica_attach(slot->replica, NULL, NULL, 0), 0);
        }
        look();
        expect_gap(1, lost);
        CHECK_EQUAL(poll_one(), RQ_POLL_NOTHING);
        linked_close(&linked);
    }
}

/* Who asked for a time that has come is told what he may have missed of it; else he goes on waiting
 * for it, and nothing was lost that he asked for. */
static void who_waits_for_a_time_is_told_what_was_lost_behind_it(void) {
    for (int is_early = 0; is_early < 2; is_early++) {
        begin_link(0);
        rq_reader_deliver_from_time(slot->reader, is_early ? UINT64_MAX / 2 : 1);
        CHECK_EQUAL(poll_one(), RQ_POLL_NOTHING);
        linked_down(&linked, slot);
        send(200);
        linked_up(&linked, slot);
        look();
        if (!is_early) expect_gap(1, 200);
        CHECK_EQUAL(poll_one(), RQ_POLL_NOTHING);
        CHECK_EQUAL(rq_link_start(slot->link), 0);
        send(1);
        run_nic();
        look();
        CHECK_EQUAL(poll_one(), is_early ? RQ_POLL_NOTHING : 1);
        linked_close(&linked);
    }
}

static void lapped_owner_finds_his_place_by_a_heartbeat(void) {
    begin_link(0);
    send(1);
    run_nic();
    look();
    CHECK_EQUAL(poll_one(), 1);
    for (int i = 0; i < 300; i++) { /* the owner sleeps; the NIC does not */
        send(1);
        run_nic();
    }
    look();
    CHECK_EQUAL(stats().lapped, 1);
    CHECK_EQUAL(stats().next_sequence, 0);
    CHECK_EQUAL(poll_one(), RQ_POLL_NOTHING); /* nobody here can know yet what it was */
    int fd;
    uint64_t position, sequence;
    CHECK_EQUAL(rq_publisher_admit(rq_replica_publisher(slot->replica), RQ_START_LIVE, 0, -1, &fd,
                                   &position, &sequence),
                -EAGAIN);
    beat();
    CHECK_EQUAL(stats().next_sequence, 302);
    expect_gap(2, 301);
    linked_close(&linked);
}

/* The stream began while the owner slept, and lapped him: its first sequence came by itself. */
static void origin_comes_ahead_of_the_first_data(void) {
    begin_link(0);
    uint64_t count = 0;
    while (linked.publisher->tail < 3 * LINKED_CAPACITY) {
        send(1);
        run_nic();
        count++;
    }
    CHECK_EQUAL(atomic_load(&slot->segment->live->origin_sequence), 1);
    look();
    beat();
    send(1);
    run_nic();
    look();
    expect_gap(1, count);
    CHECK_EQUAL(poll_one(), 1);
    linked_close(&linked);
}

/* Reliable: what the publisher was told it may write over, nobody is let in to read. */
static void who_joins_late_begins_no_earlier_than_was_told(void) {
    begin_link(1);
    send(MESSAGES);
    run_nic();
    look();
    uint64_t told = stats().cursor_bytes;
    CHECK_EQUAL(told, slot->reader->cursor); /* it has read nothing yet */
    CHECK_EQUAL(told, slot->replica->setup.position);
    for (int i = 0; i < MESSAGES / 2; i++) CHECK_EQUAL(poll_one(), 1);
    look();
    told = atomic_load(&rq_feedback_of(slot->segment->live)->cursor_bytes);
    CHECK(told >= slot->reader->cursor - rq_frame_bytes(PAYLOAD) && told <= slot->reader->cursor);
    int fd;
    uint64_t position, sequence;
    int place = rq_publisher_admit(rq_replica_publisher(slot->replica), RQ_START_OLDEST, 0, -1, &fd,
                                   &position, &sequence);
    CHECK(place >= 0);
    CHECK(position >= told);
    look();
    CHECK(atomic_load(&rq_feedback_of(slot->segment->live)->cursor_bytes) <= position);
    rq_publisher_dismiss(rq_replica_publisher(slot->replica), place);
    close(fd);
    CHECK_EQUAL(rq_publisher_close(linked.publisher), 0);
    run_nic();
    while (poll_one() != RQ_POLL_END) look();
    look();
    CHECK_EQUAL(stats().cursor_bytes, linked.publisher->tail); /* all is read */
    place = rq_publisher_admit(rq_replica_publisher(slot->replica), RQ_START_OLDEST, 0, -1, &fd,
                               &position, &sequence);
    CHECK(place >= 0);
    CHECK_EQUAL(position, slot->replica->setup.position); /* and nothing is written over any more */
    rq_publisher_dismiss(rq_replica_publisher(slot->replica), place);
    close(fd);
    linked_close(&linked);
}

static void impossible_positions_are_refused(void) {
    struct rq_replica *replica = NULL;
    struct rq_link *link = NULL;
    begin_link(0);
    send(MESSAGES);
    run_nic();
    look();
    struct rq_link_setup setup = slot->setup;
    uint64_t tail = linked.publisher->tail;
    const uint64_t positions[] = {tail + 32, tail - 16, tail - 32, 32, LINKED_CAPACITY - 32};
    linked_down(&linked, slot);
    end_open(&linked, &slot->publisher_end, 0);
    for (size_t i = 0; i < sizeof(positions) / sizeof(*positions); i++) {
        setup.position = positions[i];
        CHECK_EQUAL(rq_link_open(linked.publisher, NULL, slot->publisher_end.pair, &setup, &link),
                    -EINVAL);
        CHECK(link == NULL);
    }
    end_close(&slot->publisher_end);
    for (uint64_t step = 32; step <= rq_room_bytes(slot->segment); step += 4096 - 32)
        CHECK_EQUAL(rq_replica_restart(slot->replica, 99, tail + step, 1), -EINVAL);
    CHECK_EQUAL(rq_replica_restart(slot->replica, 99, tail - 32, 1), -EINVAL);
    CHECK_EQUAL(rq_replica_restart(slot->replica, slot->generation, tail, 1), -EINVAL);
    struct rq_replica_setup other = {.position = 32, .generation = 1, .event_fd = -1};
    CHECK_EQUAL(rq_replica_open(slot->segment, &other, &replica), -EINVAL);
    CHECK_EQUAL(rq_replica_open(slot->mapped, &other, &replica), -EINVAL);
    linked_close(&linked);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    states_follow_signs_of_life();
    jump_is_told_though_nothing_follows();
    who_saw_no_frame_is_told_what_was_lost_though_nothing_follows();
    short_jump_is_bridged_and_told();
    who_waits_for_a_time_is_told_what_was_lost_behind_it();
    lapped_owner_finds_his_place_by_a_heartbeat();
    origin_comes_ahead_of_the_first_data();
    who_joins_late_begins_no_earlier_than_was_told();
    impossible_positions_are_refused();
    return 0;
}
