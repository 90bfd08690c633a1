/*
 * A subscription that begins in the past: where it begins is the publisher's answer; a reliable
 * ring is kept from there on, a lossy one is not; READs fill the replica, and wait for a reader who
 * has not read; then the link begins where they ended, neither earlier nor too far behind.
 */
#include <string.h>

#include "verbs/begin.h"
#include "verbs/linked.h"

enum { PAYLOAD = 500, FRAME = 544, ROOM = LINKED_CAPACITY / 8 * 7, STEPS_MAX = 100000 };

static struct linked linked;
static struct slot *slot;
static struct end here, there;
static struct rq_backfill *backfill;
static struct rq_backfill_report report;
static uint8_t message[PAYLOAD];

static uint64_t place_of(uint64_t sequence) { return LINKED_CAPACITY + (sequence - 1) * FRAME; }

static uint64_t send(uint64_t count) {
    uint64_t sent = 0;
    while (sent < count && rq_send(linked.publisher, message, PAYLOAD) > 0) sent++;
    return sent;
}

static int open_held(uint32_t start, uint64_t value, uint64_t first) {
    slot = &linked.slots[0];
    slot->generation++;
    end_open(&linked, &slot->publisher_end, 0);
    end_open(&linked, &slot->subscriber_end, 0);
    end_connect(&slot->publisher_end, &slot->subscriber_end);
    linked_make_replica(&linked, slot, place_of(first), first);
    linked_prepare(&linked, slot, 0);
    slot->setup.start = start;
    slot->setup.start_value = value;
    slot->setup.is_held = 1;
    return rq_link_open(linked.publisher, NULL, slot->publisher_end.pair, &slot->setup,
                        &slot->link);
}

static struct rq_link_stats stats(void) {
    struct rq_link_stats out;
    rq_link_read_stats(slot->link, &out);
    return out;
}

static void run_nic(void) {
    struct fake_qp *nic = &slot->publisher_end.nic;
    do {
        slot->link->duty.work(&slot->link->duty);
    } while (fake_execute(nic, IBV_WC_SUCCESS, 0) || fake_deliver(nic));
    if (slot->replica->is_attached) slot->replica->duty.work(&slot->replica->duty);
}

static void begin_backfill(int is_paced) {
    struct rq_backfill_setup setup = {
        .publisher = {.data_address = (uintptr_t)linked.segment->data,
                      .live_address = (uintptr_t)linked.segment->live,
                      .data_key = linked.data_key,
                      .live_key = linked.live_key},
        .position = slot->replica->told,
        .sequence = slot->replica->publisher->next_sequence,
        .words_address = (uintptr_t)&slot->words,
        .words_key = slot->setup.words_key,
        .local_key = slot->data_key,
        .is_paced = (uint32_t)is_paced,
    };
    end_open(&linked, &here, 0);
    end_open(&linked, &there, 0);
    end_connect(&here, &there);
    CHECK_EQUAL(rq_backfill_open(&linked.descriptor, here.pair, slot->replica, &setup, &backfill),
                0);
}

static void end_backfill(void) {
    end_close(&here);
    end_close(&there);
    rq_backfill_free(backfill);
}

/* As far as it goes. */
static int fill(void) {
    for (int steps = 0; steps < STEPS_MAX; steps++) {
        int result = rq_backfill_run(backfill, 0, RQ_WAIT_SPIN, 0, &report);
        CHECK(result >= 0);
        if (result != RQ_BACKFILL_NOTHING && result != RQ_BACKFILL_FRAMES) return result;
        linked_move(&linked, NULL, &here);
    }
    CHECK(!"it ends");
    return 0;
}

/* Reads on, from `first` to `last`: none is missing. */
static void read_whole(uint64_t first, uint64_t last) {
    for (uint64_t sequence = first; sequence <= last; sequence++) {
        CHECK_EQUAL(rq_reader_poll(slot->reader, &linked.poll, 1, 0), 1);
        CHECK_EQUAL(linked.poll.batch.sequence, sequence);
    }
}

static void publisher_says_where_it_begins(void) {
    linked_open(&linked, 1, 0, RQ_TAIL_BY_WRITE);
    CHECK_EQUAL(send(60), 60);
    CHECK_EQUAL(open_held(RQ_START_SEQUENCE, 10, 10), 0);
    CHECK_EQUAL(stats().state, RQ_LINK_OPENING);
    CHECK_EQUAL(stats().start_bytes, place_of(10));
    CHECK_EQUAL(stats().start_sequence, 10);
    CHECK_EQUAL(stats().deliver_sequence, 10);
    CHECK_EQUAL(stats().origin_sequence, 1);
    CHECK_EQUAL(rq_link_start(slot->link), 0); /* it is there, and held all the same */
    CHECK_EQUAL(stats().state, RQ_LINK_OPENING);
    begin_backfill(1);
    CHECK_EQUAL(fill(), RQ_BACKFILL_REACHED);
    CHECK_EQUAL(report.end_position, place_of(61));
    read_whole(10, 60);
    CHECK_EQUAL(rq_link_begin(slot->link, place_of(61) - 32, 0), -EINVAL);
    CHECK_EQUAL(rq_link_begin(slot->link, place_of(62), 0), -EINVAL);
    CHECK_EQUAL(send(70), 70); /* a lossy ring waits for nobody who READs */
    CHECK_EQUAL(rq_link_begin(slot->link, place_of(61), 0), -ESTALE);
    CHECK_EQUAL(fill(), RQ_BACKFILL_REACHED);
    CHECK_EQUAL(send(5), 5);
    CHECK_EQUAL(rq_replica_attach(slot->replica, NULL, NULL, 0), 0);
    CHECK_EQUAL(rq_link_begin(slot->link, place_of(131), 0), 0);
    CHECK_EQUAL(rq_link_begin(slot->link, place_of(131), 0), 0); /* its answer was lost */
    CHECK_EQUAL(rq_link_begin(slot->link, place_of(132), 0), -EALREADY);
    CHECK_EQUAL(stats().state, RQ_LINK_LIVE);
    run_nic();
    CHECK_EQUAL(send(5), 5);
    run_nic();
    read_whole(61, 140);
    rq_link_stop(slot->link);
    CHECK_EQUAL(rq_link_begin(slot->link, place_of(141), 0), -ESHUTDOWN);
    end_backfill();
    linked_close(&linked);
}

static void reliable_ring_is_kept_from_where_it_begins(void) {
    linked_open(&linked, 2, 1, RQ_TAIL_BY_WRITE);
    CHECK_EQUAL(send(20), 20);
    CHECK_EQUAL(open_held(RQ_START_OLDEST, 0, 1), 0);
    CHECK_EQUAL(stats().start_bytes, place_of(1));
    uint64_t most = 20 + send(1000); /* the gate shuts */
    CHECK(place_of(most + 1) <= place_of(1) + ROOM && place_of(most + 3) > place_of(1) + ROOM);
    begin_backfill(0);
    CHECK_EQUAL(fill(), RQ_BACKFILL_REACHED);
    struct rq_replica_stats told;
    read_whole(1, 40);
    rq_replica_read_stats(slot->replica, &told);
    run_nic();
    CHECK_EQUAL(send(1), 0); /* nobody asks him who may not be ready */
    CHECK_EQUAL(rq_link_start(slot->link), 0);
    run_nic();
    CHECK_EQUAL(stats().state, RQ_LINK_OPENING);
    CHECK_EQUAL(stats().cursor_bytes, place_of(41));
    CHECK_EQUAL(send(1000), 40); /* the publisher goes on by what is read */
    CHECK_EQUAL(fill(), RQ_BACKFILL_REACHED);
    CHECK_EQUAL(rq_link_begin(slot->link, place_of(40), 0), -EINVAL); /* given up already */
    read_whole(41, 60);
    CHECK_EQUAL(rq_replica_attach(slot->replica, NULL, NULL, 0), 0);
    CHECK_EQUAL(rq_link_begin(slot->link, place_of(most + 41), place_of(61)), 0);
    CHECK_EQUAL(stats().cursor_bytes, place_of(61));
    CHECK_EQUAL(send(1000), 20);
    run_nic();
    read_whole(61, most + 60);
    end_backfill();
    linked_close(&linked);
}

/* What its readers claim to have read beyond what there is, or nothing at all: it ends, and the
 * publisher goes on. */
static void held_link_whose_other_side_lies_or_is_gone_keeps_nobody(void) {
    for (int is_gone = 0; is_gone < 2; is_gone++) {
        linked_open(&linked, 4, 1, RQ_TAIL_BY_WRITE);
        linked.is_hostile = 1;
        CHECK_EQUAL(send(20), 20);
        CHECK_EQUAL(open_held(RQ_START_OLDEST, 0, 1), 0);
        send(1000);
        CHECK_EQUAL(send(1), 0);
        CHECK_EQUAL(rq_link_start(slot->link), 0);
        atomic_store(&rq_feedback_of(slot->segment->live)->cursor_bytes, UINT64_MAX - 31);
        slot->link->duty.work(&slot->link->duty);
        CHECK_EQUAL(fake_execute(&slot->publisher_end.nic,
                                 is_gone ? IBV_WC_RETRY_EXC_ERR : IBV_WC_SUCCESS, 0),
                    1);
        run_nic();
        CHECK_EQUAL(stats().state, RQ_LINK_FAILED);
        CHECK_EQUAL(stats().cause, is_gone ? RQ_LINK_CAUSE_COMPLETION : RQ_LINK_CAUSE_NONSENSE);
        CHECK_EQUAL(send(1000), 1000);
        CHECK_EQUAL(rq_link_begin(slot->link, place_of(1), 0), -ESHUTDOWN);
        linked_close(&linked);
    }
}

/* All is READ, and the publisher is being closed: who begins then still gets the end. */
static void end_is_sent_to_who_begins_before_it(void) {
    linked_open(&linked, 5, 0, RQ_TAIL_BY_WRITE);
    CHECK_EQUAL(send(20), 20);
    CHECK_EQUAL(open_held(RQ_START_OLDEST, 0, 1), 0);
    begin_backfill(1);
    CHECK_EQUAL(fill(), RQ_BACKFILL_REACHED);
    read_whole(1, 20);
    atomic_store(&linked.publisher->handle.is_closing, 1);
    CHECK_EQUAL(rq_replica_attach(slot->replica, NULL, NULL, 0), 0);
    CHECK_EQUAL(rq_link_begin(slot->link, place_of(21), 0), 0);
    atomic_store(&linked.publisher->handle.is_closing, 0);
    CHECK_EQUAL(rq_publisher_close(linked.publisher), 0);
    run_nic();
    CHECK_EQUAL(rq_reader_poll(slot->reader, &linked.poll, 1, 0), RQ_POLL_END);
    end_backfill();
    linked_close(&linked);
}

static void reads_wait_for_who_has_not_read(void) {
    linked_open(&linked, 3, 0, RQ_TAIL_BY_WRITE);
    CHECK_EQUAL(send(100), 100);
    CHECK_EQUAL(open_held(RQ_START_OLDEST, 0, 1), 0);
    begin_backfill(1);
    CHECK_EQUAL(fill(), RQ_BACKFILL_REACHED);
    CHECK_EQUAL(send(60), 60); /* more than fits in beside what nobody has read */
    CHECK_EQUAL(fill(), RQ_BACKFILL_PACED);
    uint64_t reads = report.reads;
    CHECK_EQUAL(fill(), RQ_BACKFILL_PACED);
    CHECK_EQUAL(report.reads, reads + 1); /* of the tail: a sign of life */
    read_whole(1, 30);
    CHECK_EQUAL(fill(), RQ_BACKFILL_PACED);
    CHECK(report.end_position > place_of(101));
    read_whole(31, 100);
    CHECK_EQUAL(fill(), RQ_BACKFILL_REACHED);
    read_whole(101, 160);
    /* Lapped there: what is read stays until it is read, then the gap is told. */
    CHECK_EQUAL(send(10), 10);
    CHECK_EQUAL(fill(), RQ_BACKFILL_REACHED);
    CHECK_EQUAL(send(300), 300);
    CHECK_EQUAL(fill(), RQ_BACKFILL_PACED);
    read_whole(161, 170);
    CHECK_EQUAL(fill(), RQ_BACKFILL_GAP);
    CHECK_EQUAL(report.first, 171);
    uint64_t next = report.last + 1;
    CHECK_EQUAL(fill(), RQ_BACKFILL_REACHED);
    CHECK_EQUAL(rq_reader_poll(slot->reader, &linked.poll, 1, 0), RQ_POLL_GAP);
    CHECK_EQUAL(linked.poll.batch.sequence, 171);
    CHECK_EQUAL(linked.poll.batch.last, next - 1);
    read_whole(next, 470);
    end_backfill();
    linked_close(&linked);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    publisher_says_where_it_begins();
    reliable_ring_is_kept_from_where_it_begins();
    held_link_whose_other_side_lies_or_is_gone_keeps_nobody();
    end_is_sent_to_who_begins_before_it();
    reads_wait_for_who_has_not_read();
    return 0;
}
