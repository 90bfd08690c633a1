/*
 * A publisher, links, replicas and their readers over a NIC that moves bytes late, in any order
 * within a request, in part; loses completions, fails, flushes, stands still. The control plane
 * resumes, catches up by READs, begins anew. In an order that follows from a seed alone. What each
 * reader received and what it was told to be lost are together everything that was published, in
 * order, byte for byte; a late joiner reads the same bytes out of the publisher's own ring.
 *
 * Mutations: those of csrc/rdma/mutation.h from DATA_PAST_GUARD on.
 */
#include <string.h>

#include "ring/start.h"
#include "verbs/begin.h"
#include "verbs/linked.h"

enum { STEPS = 1000000, RUNS = 4, FLUSH_STEPS = 3000 };

static struct linked linked;

static struct slot *any_slot(void) { return &linked.slots[linked_random(&linked, LINKED_SLOTS)]; }

static int all_are_posting(void) {
    for (int i = 0; i < LINKED_SLOTS; i++) {
        const struct slot *slot = &linked.slots[i];
        if (slot->link == NULL || !slot->is_started || !rq_link_is_posting(slot->link)) return 0;
    }
    return 1;
}

/* ---- the control plane's steps ---- */

static void end_link(struct slot *slot) {
    struct rq_link_stats stats;
    rq_link_read_stats(slot->link, &stats);
    if (slot->ended_for++ == 0) {
        if (linked_random(&linked, 4) == 0) fake_fail(&slot->publisher_end.nic);
        return;
    }
    if (slot->ended_for % 8 == 0) fake_fail(&slot->publisher_end.nic);
    if (stats.is_flushed || slot->ended_for > FLUSH_STEPS / 100) linked_down(&linked, slot);
}

/* A word of an earlier link, as of an owner who has yet to come round to the new one. */
static void be_stale(struct slot *slot) {
    struct fake_qp *nic = &slot->publisher_end.nic;
    struct rq_feedback *there = rq_feedback_of(slot->segment->live);
    uint64_t word = atomic_load(&there->credits), earlier = slot->generation - 1;
    if (linked.tail_mode != RQ_TAIL_BY_IMM || !slot->link->is_read_in_flight) return;
    atomic_store(&there->credits, earlier << 32 | (uint32_t)(word + 5));
    while (slot->link->is_read_in_flight && rq_link_is_posting(slot->link) &&
           (fake_execute(nic, IBV_WC_SUCCESS, 0) || fake_deliver(nic)))
        slot->link->duty.work(&slot->link->duty);
    atomic_store(&there->credits, word);
    linked.stale++;
}

static void control(struct slot *slot) {
    uint64_t kind = linked_random(&linked, 100);
    if (slot->link == NULL) {
        if (slot->replica != NULL && kind < 10) linked_reborn(&linked, slot);
        linked_up(&linked, slot);
    } else if (!slot->is_started) {
        CHECK(rq_link_start(slot->link) == 0 || !rq_link_is_posting(slot->link));
        slot->is_started = 1;
    } else if (!rq_link_is_posting(slot->link)) {
        end_link(slot);
    } else if (kind < 3) {
        CHECK_EQUAL(rq_link_stop(slot->link), 0);
    } else if (kind < 6) {
        slot->is_stopped = 1;
    } else if (kind < 7) {
        fake_fail(&slot->publisher_end.nic);
    } else if (kind < 40) {
        rq_link_set_beat(slot->link);
    } else if (kind < 60) {
        be_stale(slot);
    } else {
        slot->is_stopped = 0;
    }
}

/* ---- a late joiner ---- */

static void check_frames(const struct rq_backfill_report *report, const uint8_t *buffer) {
    uint64_t at = 0, sequence = report->first;
    while (at != report->end_position - report->position) {
        struct rq_frame_header header;
        memcpy(&header, buffer + at, sizeof(header));
        const uint8_t *payload = buffer + at + sizeof(header);
        uint64_t offset = 0, count = rq_frame_count(&header);
        CHECK_EQUAL(header.position, report->position + at);
        if (rq_frame_kind(&header) == RQ_KIND_MESSAGE) {
            linked_check_message(sequence++, payload, header.payload_bytes);
        } else if (rq_frame_kind(&header) == RQ_KIND_BLOCKS) {
            for (uint64_t i = 0; i < count; i++) {
                uint64_t bytes = (uint64_t)payload[offset] << 8 | payload[offset + 1];
                linked_check_message(sequence++, payload + offset + 2, bytes);
                offset += 2 + bytes;
            }
        } else if (rq_frame_kind(&header) == RQ_KIND_GAP) {
            struct rq_gap_payload gap;
            memcpy(&gap, payload, sizeof(gap));
            CHECK_EQUAL(gap.first, sequence);
            for (; sequence <= gap.last; sequence++) CHECK(linked_is_upstream(sequence));
        }
        at += rq_frame_bytes(header.payload_bytes);
    }
    CHECK_EQUAL(sequence, report->next_sequence);
    linked.backfilled += sequence - report->first;
}

static struct end joiner, joined;

static void run_backfill(struct rq_backfill *backfill, uint64_t expected, const uint8_t *buffer) {
    struct rq_backfill_report report;
    int fails = linked_random(&linked, 10) == 0;
    for (int steps = 0;; steps++) {
        CHECK(steps < 200000);
        int result = rq_backfill_run(backfill, 0, RQ_WAIT_SPIN, 0, &report);
        if (result == RQ_BACKFILL_REACHED) return;
        if (fails && result == -EIO) {
            linked.backfill_failures++;
            return;
        }
        CHECK(result >= 0);
        if (result == RQ_BACKFILL_FRAMES) {
            CHECK_EQUAL(report.first, expected);
            check_frames(&report, buffer);
            expected = report.next_sequence;
        } else if (result == RQ_BACKFILL_GAP) {
            CHECK_EQUAL(report.first, expected);
            CHECK(report.last >= report.first && report.last < linked.next);
            expected = report.last + 1;
            linked.backfill_gaps++;
        }
        uint64_t burst = linked_random(&linked, 40) == 0 ? linked_random(&linked, 40) : 0;
        for (; burst != 0 && (!linked.is_reliable || all_are_posting()); burst--)
            linked_send(&linked);
        linked_move(&linked, NULL, &joiner);
        if (fails && linked_random(&linked, 100) == 0)
            fake_execute(&joiner.nic, IBV_WC_REM_ACCESS_ERR, 0);
    }
}

static void join_late(void) {
    struct rq_start start;
    struct rq_backfill *backfill;
    struct rq_frame_header header;
    static _Atomic uint64_t words[8];
    uint64_t wanted = 1 + linked_random(&linked, linked.next);
    if (linked.publisher->is_fresh) return;
    rq_find_start(linked.publisher, linked_random(&linked, 2) ? RQ_START_OLDEST : RQ_START_SEQUENCE,
                  wanted, &start);
    if (start.position == linked.publisher->tail) return;
    memcpy(&header, rq_at(linked.segment, start.position), sizeof(header));
    uint8_t *buffer = malloc(linked.descriptor.guard_bytes); /* ASan sees a byte beyond */
    struct rq_backfill_setup setup = {
        .publisher = {.data_address = (uintptr_t)linked.segment->data,
                      .live_address = (uintptr_t)linked.segment->live,
                      .data_key = linked.data_key,
                      .live_key = linked.live_key},
        .position = start.position,
        .sequence = header.sequence,
        .buffer_address = (uintptr_t)buffer,
        .buffer_bytes = linked.descriptor.guard_bytes,
        .words_address = (uintptr_t)words,
        .local_key = wire_register(buffer, linked.descriptor.guard_bytes, IBV_ACCESS_LOCAL_WRITE),
        .words_key = wire_register(words, sizeof(words), IBV_ACCESS_LOCAL_WRITE)};
    end_open(&linked, &joiner, 0);
    end_open(&linked, &joined, 0);
    end_connect(&joiner, &joined);
    CHECK_EQUAL(rq_backfill_open(&linked.descriptor, joiner.pair, NULL, &setup, &backfill), 0);
    run_backfill(backfill, header.sequence, buffer);
    end_close(&joiner);
    end_close(&joined);
    rq_backfill_free(backfill);
    wire_deregister(setup.local_key);
    wire_deregister(setup.words_key);
    free(buffer);
}

/* ---- steps ---- */

static void step(void) {
    struct slot *slot = any_slot();
    uint64_t kind = linked_random(&linked, 1000);
    if (slot->link == NULL || !slot->is_started || !rq_link_is_posting(slot->link))
        if (linked_random(&linked, 12) == 0) kind = 990;
    if (kind < 110) {
        uint64_t burst = linked_random(&linked, 50) == 0 ? 60 : 1 + linked_random(&linked, 2);
        for (; burst != 0 && (!linked.is_reliable || all_are_posting()); burst--)
            if (!linked_send(&linked)) break;
    } else if (kind < 985 && (slot->link == NULL || slot->is_stopped)) {
        if (slot->replica != NULL) linked_read(&linked, slot);
    } else if (kind < 700) {
        linked_move(&linked, slot, &slot->publisher_end);
    } else if (kind < 760) {
        linked_move(&linked, NULL, &slot->subscriber_end);
    } else if (kind < 880) {
        linked_work(slot);
    } else if (kind < 985) {
        linked_read(&linked, slot);
    } else if (kind < 998) {
        control(slot);
    } else if (linked_random(&linked, 4) == 0) {
        join_late();
    }
}

static void check_sums(void) {
    uint64_t chains = 0, overrun = 0;
    for (int i = 0; i < LINKED_SLOTS; i++) {
        const struct slot *slot = &linked.slots[i];
        CHECK_EQUAL(slot->expected, linked.next);
        CHECK(slot->received > 1000);
        chains += slot->chains;
        overrun += slot->overrun;
    }
    printf("published %" PRIu64 ", chains %" PRIu64 ", gaps %" PRIu64 ", overrun %" PRIu64
           ", resumed %" PRIu64 ", jumped %" PRIu64 ", caught up %" PRIu64 ", reborn %" PRIu64
           ", unflushed %" PRIu64 ", shut %" PRIu64 ", lagged %" PRIu64 ", failed %" PRIu64
           ", starved %" PRIu64 ", stale %" PRIu64 ", backfilled %" PRIu64 " with %" PRIu64
           " gaps, %" PRIu64 " failures, held %" PRIu64 ", behind %" PRIu64 "\n",
           linked.next, chains, linked.gaps, overrun, linked.resumed, linked.jumped,
           linked.caught_up, linked.reborn, linked.let_go, linked.shut,
           linked.failures[RQ_LINK_CAUSE_LAGGED], linked.failures[RQ_LINK_CAUSE_COMPLETION],
           linked.starved, linked.stale, linked.backfilled, linked.backfill_gaps,
           linked.backfill_failures, linked.held, linked.behind);
    /* A walk that never came to some place would prove nothing about it. */
    CHECK(linked.resumed > 50 && linked.reborn > 3 && linked.let_go > 0);
    CHECK(linked.failures[RQ_LINK_CAUSE_COMPLETION] > 10);
    CHECK(linked.backfilled > 1000 && linked.held > 10);
    if (linked.is_reliable) CHECK(overrun == 0 && linked.shut > 10 && linked.sent_while_held > 10);
    if (!linked.is_reliable) {
        CHECK(overrun > 100 && linked.jumped > 10 && linked.caught_up > 10 && linked.behind > 0);
        CHECK(linked.failures[RQ_LINK_CAUSE_LAGGED] > 20 && linked.backfill_gaps > 10);
    }
    if (linked.tail_mode == RQ_TAIL_BY_IMM) CHECK(linked.starved > 20 && linked.stale > 20);
}

int main(int argc, char **argv) {
    uint64_t seed = 1 + begin(argc, argv);
    for (int run = 0; run < RUNS; run++) {
        linked_open(&linked, seed * RUNS + (uint64_t)run, run & 1,
                    run & 2 ? RQ_TAIL_BY_IMM : RQ_TAIL_BY_WRITE);
        linked.holds = 1;
        for (uint64_t i = 0; i < STEPS / RUNS; i++) {
            step();
        }
        linked_settle(&linked);
        check_sums();
        linked_close(&linked);
    }
    return 0;
}
