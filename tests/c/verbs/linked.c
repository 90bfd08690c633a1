#define _GNU_SOURCE
#include "verbs/linked.h"

#include <string.h>
#include <unistd.h>

enum { OUT_BYTES = 65536, NOTES = 64, OFFSETS = 8192, PATIENCE_STEPS = 200000 };

uint64_t linked_random(struct linked *linked, uint64_t bound) { /* xorshift64*, by S. Vigna */
    linked->random ^= linked->random >> 12;
    linked->random ^= linked->random << 25;
    linked->random ^= linked->random >> 27;
    return (linked->random * 2685821657736338717u >> 33) % bound;
}

/* ---- replicas ---- */

/* Before Connect, which tells its keys. */
static void make_segment(struct linked *linked, struct slot *slot) {
    struct rq_descriptor copy;
    slot->descriptor = linked->descriptor;
    CHECK_EQUAL(rq_segment_create(&slot->descriptor, &slot->segment, &slot->fd), 0);
    CHECK_EQUAL(rq_segment_attach(slot->fd, &slot->mapped, &copy), 0);
    slot->data_key = wire_register(slot->segment->data, LINKED_CAPACITY,
                                   IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
    slot->live_key =
        wire_register(slot->segment->live, RQ_OFFSET_UNIT_BYTES,
                      IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ);
}

/* After it: the reply tells where the link begins. */
static void open_replica(struct slot *slot, uint64_t position, uint64_t sequence) {
    struct rq_replica_setup setup = {
        .position = position, .sequence = sequence, .generation = slot->generation, .event_fd = -1};
    CHECK_EQUAL(rq_replica_open(slot->segment, &setup, &slot->replica), 0);
    uint64_t at, first;
    slot->reader_slot = rq_publisher_admit(rq_replica_publisher(slot->replica), RQ_START_OLDEST, 0,
                                           -1, &slot->control_fd, &at, &first);
    CHECK(slot->reader_slot >= 0);
    CHECK_EQUAL(rq_reader_open(slot->mapped, slot->control_fd, slot->reader_slot, at, first, 0,
                               &slot->reader),
                0);
    slot->expected = sequence;
}

void linked_make_replica(struct linked *linked, struct slot *slot, uint64_t position,
                         uint64_t sequence) {
    make_segment(linked, slot);
    open_replica(slot, position, sequence);
}

static void drop_replica(struct slot *slot) {
    rq_reader_close(slot->reader);
    rq_reader_free(slot->reader);
    close(slot->control_fd);
    CHECK_EQUAL(rq_replica_close(slot->replica), 0);
    rq_replica_free(slot->replica);
    wire_deregister(slot->data_key);
    wire_deregister(slot->live_key);
    rq_segment_free(slot->mapped);
    rq_segment_free(slot->segment);
    close(slot->fd);
    slot->replica = NULL;
}

/* ---- the control plane ---- */

void linked_prepare(struct linked *linked, struct slot *slot, uint64_t position) {
    slot->setup = (struct rq_link_setup){
        .words_address = (uintptr_t)&slot->words,
        .position = position,
        .words_key = wire_register(&slot->words, sizeof(slot->words), IBV_ACCESS_LOCAL_WRITE),
        .data_key = linked->data_key,
        .generation = slot->generation,
        .tail_mode = linked->tail_mode,
        .depth = 1 + (uint32_t)linked_random(linked, 4),
        .credit_count = linked->tail_mode == RQ_TAIL_BY_IMM ? LINKED_CREDITS : 0,
        .modify_qp = (uintptr_t)linked->modify_qp,
        .event_fd = -1,
        .feedback_ns = 1, /* no clock: the steps follow from the seed */
    };
    slot->setup.replica = (struct rq_ring_there){.data_address = (uintptr_t)slot->segment->data,
                                                 .live_address = (uintptr_t)slot->segment->live,
                                                 .data_key = slot->data_key,
                                                 .live_key = slot->live_key};
}

static int others_are_posting(const struct linked *linked, const struct slot *slot) {
    for (int i = 0; i < LINKED_SLOTS; i++) {
        const struct slot *other = &linked->slots[i];
        if (other == slot) continue;
        if (other->link == NULL || !other->is_started || !rq_link_is_posting(other->link)) return 0;
    }
    return 1;
}

/* A held link READs how far its readers are, and a reliable publisher may go on by so much. */
static void be_asked(struct linked *linked, struct slot *slot) {
    struct rq_replica_stats there;
    if (linked_random(linked, 4) == 0) rq_replica_read_stats(slot->replica, &there);
    slot->link->duty.work(&slot->link->duty);
    linked_move(linked, NULL, &slot->publisher_end);
    if (!linked->is_reliable || rq_link_state(slot->link) != RQ_LINK_OPENING) return;
    if (linked_random(linked, 8) == 0 && others_are_posting(linked, slot))
        linked->sent_while_held += (uint64_t)linked_send(linked);
}

/* The replica reads what it missed by itself, as far as the tail, and then tries again. */
static void catch_up(struct linked *linked, struct slot *slot) {
    struct rq_backfill_setup setup = {
        .publisher = {.data_address = (uintptr_t)linked->segment->data,
                      .live_address = (uintptr_t)linked->segment->live,
                      .data_key = linked->data_key,
                      .live_key = linked->live_key},
        .position = slot->replica->told,
        .sequence = slot->replica->publisher->next_sequence,
        .words_address = (uintptr_t)&slot->words,
        .local_key = slot->data_key,
    };
    static struct end here, there;
    struct rq_backfill *backfill;
    struct rq_backfill_report report;
    setup.words_key = wire_register(&slot->words, sizeof(slot->words), IBV_ACCESS_LOCAL_WRITE);
    end_open(linked, &here, 0);
    end_open(linked, &there, 0);
    end_connect(&here, &there);
    CHECK_EQUAL(rq_backfill_open(&linked->descriptor, here.pair, slot->replica, &setup, &backfill),
                0);
    int result = RQ_BACKFILL_NOTHING;
    for (int steps = 0; result != RQ_BACKFILL_REACHED; steps++) {
        CHECK(steps < PATIENCE_STEPS);
        result = rq_backfill_run(backfill, 0, RQ_WAIT_SPIN, 0, &report);
        if (result == -ENODATA) /* as the next link's grant says it */
            rq_replica_learn_origin(slot->replica,
                                    atomic_load(&linked->segment->live->origin_sequence));
        CHECK(result >= 0 || result == -ENODATA);
        if (!linked->is_reliable && linked_random(linked, 400) == 0) linked_send(linked);
        if (linked_random(linked, 50) == 0) linked_read(linked, slot);
        if (slot->link != NULL) be_asked(linked, slot);
        linked_move(linked, NULL, &here);
    }
    linked->caught_up++;
    end_close(&here);
    end_close(&there);
    rq_backfill_free(backfill);
    wire_deregister(setup.words_key);
}

static void attach(struct linked *linked, struct slot *slot) {
    int is_imm = linked->tail_mode == RQ_TAIL_BY_IMM;
    CHECK_EQUAL(rq_replica_attach(slot->replica, NULL, is_imm ? slot->subscriber_end.pair : NULL,
                                  is_imm ? LINKED_CREDITS : 0),
                0);
}

static void resume(struct linked *linked, struct slot *slot, const struct rq_link_stats *stats) {
    uint64_t tail = slot->replica->told;
    if (stats->start_bytes == tail)
        linked->resumed++;
    else
        linked->jumped++;
    CHECK(stats->start_bytes == tail || stats->start_bytes - tail > LINKED_CAPACITY / 4 * 3);
    CHECK_EQUAL(rq_replica_restart(slot->replica, slot->generation, stats->start_bytes,
                                   stats->start_sequence),
                0);
}

/* A link that is held: READs fill the replica, then it begins where they ended, if that is not too
 * far behind by then. */
static void begin_held(struct linked *linked, struct slot *slot) {
    int error;
    CHECK_EQUAL(rq_replica_restart(slot->replica, slot->generation, slot->replica->told, 0), 0);
    if (linked_random(linked, 4)) CHECK_EQUAL(rq_link_start(slot->link), 0);
    for (;;) {
        struct rq_replica_stats there;
        catch_up(linked, slot);
        attach(linked, slot);
        uint64_t burst = linked_random(linked, 5) == 0 ? 300 : linked_random(linked, 8);
        for (; !linked->is_reliable && burst != 0; burst--) linked_send(linked);
        if (linked_random(linked, 2)) linked_read(linked, slot);
        rq_replica_read_stats(slot->replica, &there);
        error = rq_link_begin(slot->link, there.tail_bytes, there.cursor_bytes);
        if (error != -ESTALE) break;
        rq_replica_detach(slot->replica);
        linked->behind++;
    }
    CHECK(error == 0 || error == -ESHUTDOWN);
    if (error == 0) CHECK_EQUAL(rq_link_begin(slot->link, slot->link->start_bytes, 0), 0);
    linked->held++;
}

void linked_up(struct linked *linked, struct slot *slot) {
    int is_imm = linked->tail_mode == RQ_TAIL_BY_IMM, error;
    int is_held = linked->holds && slot->replica != NULL && linked_random(linked, 3) == 0;
    struct rq_link_stats stats;
    if (slot->replica == NULL) make_segment(linked, slot);
    slot->generation++;
    end_open(linked, &slot->publisher_end, 0);
    end_open(linked, &slot->subscriber_end, is_imm ? LINKED_CREDITS : 0);
    end_connect(&slot->publisher_end, &slot->subscriber_end);
    for (;;) {
        linked_prepare(linked, slot, slot->replica == NULL ? 0 : slot->replica->told);
        if (slot->replica != NULL) {
            struct rq_replica_stats there;
            rq_replica_read_stats(slot->replica, &there);
            slot->setup.cursor = there.cursor_bytes;
        }
        slot->setup.is_held = is_held != 0;
        error = rq_link_open(linked->publisher, linked->keeper, slot->publisher_end.pair,
                             &slot->setup, &slot->link);
        if (error == 0) break;
        CHECK_EQUAL(error, -ESTALE);
        wire_deregister(slot->setup.words_key);
        catch_up(linked, slot);
    }
    rq_link_read_stats(slot->link, &stats);
    if (slot->replica != NULL) rq_replica_learn_origin(slot->replica, stats.origin_sequence);
    if (is_held) {
        begin_held(linked, slot);
    } else {
        if (slot->replica != NULL)
            resume(linked, slot, &stats);
        else
            open_replica(slot, stats.start_bytes, stats.start_sequence);
        attach(linked, slot);
    }
    slot->is_started = is_held;
    slot->is_stopped = 0;
    slot->ended_for = 0;
    slot->loses = linked_random(linked, 6) == 0;
}

static void note_end(struct linked *linked, struct slot *slot) {
    struct rq_link_stats stats;
    rq_link_read_stats(slot->link, &stats);
    CHECK_EQUAL(stats.state, RQ_LINK_FAILED);
    CHECK(stats.cause != 0 && stats.cause < 8);
    CHECK(linked->is_hostile || stats.cause != RQ_LINK_CAUSE_NONSENSE);
    CHECK(stats.cause != RQ_LINK_CAUSE_REFUSED); /* this NIC refuses nothing */
    linked->failures[stats.cause]++;
    linked->starved += stats.starved;
    slot->chains += stats.chains;
    if (!stats.is_flushed) linked->let_go++;
}

void linked_down(struct linked *linked, struct slot *slot) {
    rq_link_stop(slot->link);
    note_end(linked, slot);
    CHECK_EQUAL(rq_link_detach(slot->link), 0);
    end_close(&slot->publisher_end);
    CHECK_EQUAL(rq_link_close(slot->link), 0);
    rq_link_free(slot->link);
    slot->link = NULL;
    wire_deregister(slot->setup.words_key);
    slot->subscriber_end.nic.is_destroyed = 1; /* no late WRITE; then the tail is read */
    if (linked->tail_mode == RQ_TAIL_BY_IMM && linked_random(linked, 2)) {
        fake_fail(&slot->subscriber_end.nic);
        while (fake_deliver(&slot->subscriber_end.nic)) {
        }
        linked_work(slot);
    }
    rq_replica_detach(slot->replica);
    end_close(&slot->subscriber_end);
}

void linked_reborn(struct linked *linked, struct slot *slot) {
    drop_replica(slot);
    linked->reborn++;
}

/* ---- steps ---- */

static enum ibv_wc_status random_status(struct linked *linked) {
    static const enum ibv_wc_status failures[] = {IBV_WC_REM_ACCESS_ERR, IBV_WC_RETRY_EXC_ERR,
                                                  IBV_WC_RNR_RETRY_EXC_ERR, IBV_WC_WR_FLUSH_ERR};
    return linked_random(linked, 2500) == 0 ? failures[linked_random(linked, 4)] : IBV_WC_SUCCESS;
}

void linked_move(struct linked *linked, struct slot *slot, struct end *end) {
    uint64_t kind = linked_random(linked, 10), count = 1 + linked_random(linked, 40);
    enum ibv_wc_status status = slot != NULL ? random_status(linked) : IBV_WC_SUCCESS;
    int is_lost = slot != NULL && slot->loses && linked_random(linked, 200) == 0;
    if (kind < 6) {
        while (count-- != 0 && wire_move(&end->nic, linked_random(linked, 1 << 30))) {
        }
    } else if (kind < 8) {
        for (count = 1 + count % 5; count != 0; count--)
            if (!fake_execute(&end->nic, status, is_lost)) break;
    } else {
        while (count-- != 0 && fake_deliver(&end->nic)) {
        }
    }
}

void linked_work(struct slot *slot) {
    if (slot->link != NULL) {
        slot->link->duty.work(&slot->link->duty);
        /* No credit is lost between the two who count them. */
        CHECK_EQUAL(slot->link->pair->receives_granted, slot->link->credits_granted);
        CHECK_EQUAL(slot->link->pair->receives_used, slot->link->credits_used);
    }
    if (slot->replica != NULL && slot->replica->is_attached)
        slot->replica->duty.work(&slot->replica->duty);
}

/* ---- all of it ---- */

void linked_open(struct linked *linked, uint64_t seed, int is_reliable, uint32_t tail_mode) {
    memset(linked, 0, sizeof(*linked));
    linked_forget();
    linked->random = seed * 0x9e3779b97f4a7c15u + 1;
    linked->is_reliable = is_reliable;
    linked->tail_mode = tail_mode;
    linked->next = 1;
    CHECK_EQUAL(rq_descriptor_init(&linked->descriptor, LINKED_CAPACITY, 0, 0), 0);
    linked->descriptor.is_reliable = (uint32_t)is_reliable;
    CHECK_EQUAL(rq_segment_create(&linked->descriptor, &linked->segment, &linked->fd), 0);
    CHECK_EQUAL(rq_publisher_open(linked->segment, 1, UINT64_MAX >> 2, 0, &linked->publisher), 0);
    linked->data_key = wire_register(linked->segment->data, LINKED_CAPACITY,
                                     IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ);
    linked->live_key =
        wire_register(linked->segment->live,
                      linked->descriptor.data_offset_bytes - linked->descriptor.live_offset_bytes,
                      IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ);
    linked->poll = (struct rq_poll){.out = malloc(OUT_BYTES),
                                    .out_bytes = OUT_BYTES,
                                    .offsets = malloc(OFFSETS * sizeof(uint32_t)),
                                    .notes = malloc(NOTES * sizeof(struct rq_frame_note)),
                                    .note_count_max = NOTES};
}

static int is_settled(struct linked *linked, struct slot *slot) {
    return slot->link != NULL && rq_link_is_posting(slot->link) && slot->expected == linked->next &&
           atomic_load(&slot->replica->live->tail_bytes) == linked->publisher->tail;
}

/* A completion was lost, and none comes that implies it: the link's own clock would end it. */
static int is_overdue(const struct slot *slot) {
    const struct fake_qp *nic = &slot->publisher_end.nic;
    return nic->lost != 0 && nic->executed == nic->posted && nic->late_count == 0 &&
           nic->cq->count == 0 && rq_pair_outstanding(slot->publisher_end.pair) != 0;
}

void linked_settle(struct linked *linked) {
    for (int i = 0; i < 2 * LINKED_SLOTS; i++) { /* catching up, one may have sent: once more */
        struct slot *slot = &linked->slots[i % LINKED_SLOTS];
        for (int steps = 0; !is_settled(linked, slot); steps++) {
            CHECK(steps < PATIENCE_STEPS); /* the tail stands still, or the reader does */
            if (slot->link == NULL) linked_up(linked, slot);
            if (!slot->is_started) (void)rq_link_start(slot->link); /* it may have lagged */
            slot->is_started = 1;
            slot->loses = 0;
            linked_move(linked, NULL, &slot->publisher_end); /* nothing fails any more */
            while (fake_deliver(&slot->subscriber_end.nic)) {
            }
            linked_work(slot);
            while (linked_read(linked, slot)) {
            }
            if (!rq_link_is_posting(slot->link) || is_overdue(slot)) linked_down(linked, slot);
        }
    }
}

void linked_close(struct linked *linked) {
    for (int i = 0; i < LINKED_SLOTS; i++) {
        struct slot *slot = &linked->slots[i];
        if (slot->link != NULL) linked_down(linked, slot);
        if (slot->replica != NULL) drop_replica(slot);
    }
    CHECK_EQUAL(rq_publisher_close(linked->publisher), 0);
    rq_publisher_free(linked->publisher);
    wire_deregister(linked->data_key);
    wire_deregister(linked->live_key);
    rq_segment_free(linked->segment);
    close(linked->fd);
    free(linked->poll.out);
    free(linked->poll.offsets);
    free(linked->poll.notes);
}
