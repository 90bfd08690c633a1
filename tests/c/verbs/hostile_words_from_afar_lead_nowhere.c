/*
 * The other side writes nonsense: into a replica's tail, words, heartbeat and frames; into a link's
 * feedback; into the ring that a backfill reads. Owner, readers, link and backfill may stop with a
 * stated failure, but they stay within their memory, come back, and what they accept follows on.
 */
#include <string.h>
#include <unistd.h>

#include "verbs/begin.h"
#include "verbs/linked.h"

enum { ROUNDS = 150, TURNS = 60, STEPS_MAX = 4000 };

static struct linked linked;
static uint64_t refusals[4];

static uint64_t interesting(void) {
    static const uint64_t values[] = {0,
                                      1,
                                      31,
                                      32,
                                      LINKED_CAPACITY,
                                      LINKED_CAPACITY + 32,
                                      LINKED_CAPACITY * 2,
                                      UINT64_MAX,
                                      UINT64_MAX - 31,
                                      (uint64_t)1 << 63,
                                      UINT32_MAX};
    uint64_t dice = linked_random(&linked, 4);
    if (dice == 0) return linked_random(&linked, 1 << 30) << 32 | linked_random(&linked, 1 << 30);
    if (dice == 1) return linked.publisher->tail + 32 * linked_random(&linked, 300);
    return values[linked_random(&linked, sizeof(values) / sizeof(*values))];
}

static void store(_Atomic uint64_t *word) { atomic_store(word, interesting()); }

/* A word of a frame's header somewhere, or any word. */
static void damage_data(struct rq_segment *segment) {
    uint64_t offset = 8 * linked_random(&linked, LINKED_CAPACITY / 8);
    uint64_t value = interesting();
    memcpy(segment->data + offset, &value, sizeof(value));
}

static void damage_words(struct rq_segment *segment) {
    struct rq_live *live = segment->live;
    struct rq_beat *beat = rq_beat_of(live);
    switch (linked_random(&linked, 10)) {
        case 0: store(&live->tail_bytes); break;
        case 1: store(&live->origin_sequence); break;
        case 2: store(&live->restart_bytes); break;
        case 3: store(&live->restart_sequence); break;
        case 4:
            atomic_store(&live->restart_bytes, atomic_load(&live->tail_bytes));
            store(&live->restart_sequence);
            break;
        case 5: store(&beat->base_ticks); break;
        case 6: store(&beat->ns_per_tick_q32); break;
        case 7: store(&beat->next_sequence); break;
        case 8: store(&beat->tail_bytes); break;
        default:
            atomic_store(&beat->stamp, atomic_load(&beat->stamp) + 1);
            atomic_store(&beat->stamp_again, atomic_load(&beat->stamp));
    }
}

static void step_nic(struct slot *slot) {
    for (int i = 0; i < 12; i++) linked_move(&linked, NULL, &slot->publisher_end);
    for (int i = 0; i < 12; i++) linked_move(&linked, NULL, &slot->subscriber_end);
}

static void look_in(struct slot *slot) {
    int count = rq_reader_poll(slot->reader, &linked.poll, 16, 0);
    CHECK(count >= 0 || count == -EBADMSG || count <= RQ_POLL_GAP);
    if (count == RQ_POLL_GAP) CHECK(linked.poll.batch.last >= linked.poll.batch.sequence);
    int fd;
    uint64_t position, sequence;
    struct rq_publisher *owner = rq_replica_publisher(slot->replica);
    int place = rq_publisher_admit(owner, (uint32_t)linked_random(&linked, 4), interesting(), -1,
                                   &fd, &position, &sequence);
    CHECK(place >= 0 || place == -EAGAIN);
    if (place < 0) return;
    struct rq_reader *reader = NULL;
    if (rq_reader_open(slot->mapped, fd, place, position, sequence, 0, &reader) == 0) {
        (void)rq_reader_poll(reader, &linked.poll, 16, 0);
        rq_reader_close(reader);
        rq_reader_free(reader);
    }
    close(fd);
    rq_publisher_dismiss(owner, place);
}

static void begin_round(uint64_t seed, int is_reliable, uint32_t tail_mode) {
    linked_open(&linked, seed, is_reliable, tail_mode);
    linked.is_hostile = 1;
    struct slot *slot = &linked.slots[0];
    linked_up(&linked, slot);
    CHECK_EQUAL(rq_link_start(slot->link), 0);
    for (int i = 0; i < 30; i++) {
        linked_send(&linked);
        step_nic(slot);
        linked_work(slot);
    }
}

static void hostile_publisher(uint64_t seed) {
    begin_round(seed, seed & 1, RQ_TAIL_BY_WRITE);
    struct slot *slot = &linked.slots[0];
    struct rq_replica_stats stats;
    for (int turn = 0; turn < TURNS; turn++) {
        for (uint64_t i = linked_random(&linked, 4); i != 0; i--) damage_data(slot->segment);
        if (linked_random(&linked, 3) == 0) damage_words(slot->segment);
        linked_send(&linked);
        step_nic(slot);
        linked_work(slot);
        look_in(slot);
        rq_replica_read_stats(slot->replica, &stats);
    }
    refusals[0] += stats.state == RQ_REPLICA_FAILED;
    linked_down(&linked, slot);
    int error =
        rq_replica_restart(slot->replica, 1000, interesting() & ~(uint64_t)31, interesting() >> 1);
    CHECK(error == 0 || error == -EINVAL || error == -EBADMSG);
    if (stats.state == RQ_REPLICA_FAILED && stats.status == 0) CHECK_EQUAL(error, -EBADMSG);
    linked_close(&linked);
}

static void hostile_subscriber(uint64_t seed) {
    uint32_t tail_mode = seed & 2 ? RQ_TAIL_BY_IMM : RQ_TAIL_BY_WRITE;
    begin_round(seed, tail_mode == RQ_TAIL_BY_WRITE, tail_mode);
    struct slot *slot = &linked.slots[0];
    struct rq_feedback *feedback = rq_feedback_of(slot->segment->live);
    struct rq_link_stats stats;
    /* Its receives are its own affair: the device would retry, and then fail the request. */
    slot->publisher_end.nic.receives_unchecked = 1;
    for (int turn = 0; turn < TURNS; turn++) {
        if (linked_random(&linked, 2) == 0) store(&feedback->cursor_bytes);
        uint64_t generation = linked_random(&linked, 4) == 0 ? interesting() : slot->generation;
        if (linked_random(&linked, 2) == 0)
            atomic_store(&feedback->credits,
                         generation << 32 |
                             (uint32_t)(linked_random(&linked, 3) == 0 ? interesting()
                                                                       : slot->link->credits_used));
        linked_send(&linked);
        step_nic(slot);
        slot->link->duty.work(&slot->link->duty);
        rq_link_read_stats(slot->link, &stats);
        CHECK(stats.credits_used <= stats.credits_granted);
        CHECK(stats.cursor_bytes <= stats.sent_bytes);
        CHECK(stats.sent_bytes <= linked.publisher->tail);
    }
    refusals[1] += stats.state == RQ_LINK_FAILED;
    rq_link_stop(slot->link);
    rq_link_detach(slot->link);
    end_close(&slot->publisher_end);
    rq_link_close(slot->link);
    rq_link_free(slot->link);
    slot->link = NULL;
    wire_deregister(slot->setup.words_key);
    rq_replica_detach(slot->replica);
    end_close(&slot->subscriber_end);
    linked_close(&linked);
}

/* ---- backfill ---- */

static struct end here, there;

/* What it gives out follows on, whatever stands there. */
static void read_all(struct rq_backfill *backfill, const uint8_t *buffer, uint64_t position) {
    struct rq_backfill_report report;
    uint64_t expected = 0;
    for (int steps = 0; steps < STEPS_MAX; steps++) {
        int result = rq_backfill_run(backfill, 0, RQ_WAIT_SPIN, 0, &report);
        if (result == -EBADMSG) refusals[2]++;
        if (result == RQ_BACKFILL_REACHED) refusals[3]++;
        if (result < 0 || result == RQ_BACKFILL_REACHED) return;
        if (result == RQ_BACKFILL_FRAMES) {
            CHECK_EQUAL(report.position, position);
            CHECK(expected == 0 || report.first >= expected - 1);
            for (uint64_t at = 0; at < report.end_position - position;) {
                struct rq_frame_header header;
                CHECK(at + sizeof(header) <= linked.descriptor.guard_bytes);
                memcpy(&header, buffer + at, sizeof(header));
                CHECK_EQUAL(header.position, position + at);
                at += rq_frame_bytes(header.payload_bytes);
                CHECK(at <= report.end_position - position);
            }
            position = report.end_position;
            expected = report.next_sequence;
        } else if (result == RQ_BACKFILL_GAP) {
            CHECK(report.end_position >= position);
            position = report.end_position;
            expected = report.next_sequence;
        }
        linked_move(&linked, NULL, &here);
        if (linked_random(&linked, 30) == 0) damage_data(linked.segment);
        if (linked_random(&linked, 300) == 0) store(&linked.segment->live->tail_bytes);
        if (linked_random(&linked, 50) == 0)
            store(&linked.segment->index[linked_random(&linked, 64)].position);
    }
}

/* A tail so far ahead that no entry of the index is safe; READs are answered at once, for ever. */
static void lead_on(struct rq_backfill *backfill) {
    struct rq_backfill_report report;
    atomic_store(&linked.segment->live->tail_bytes, (uint64_t)1 << 40);
    here.nic.is_quick = 1;
    for (int calls = 0; calls < 3; calls++)
        CHECK_EQUAL(rq_backfill_run(backfill, 0, RQ_WAIT_SPIN, 0, &report), RQ_BACKFILL_NOTHING);
    here.nic.is_quick = 0;
    atomic_store(&linked.segment->live->tail_bytes, linked.publisher->tail);
}

static void hostile_ring(uint64_t seed, int is_led_on) {
    static _Atomic uint64_t words[8];
    struct rq_backfill *backfill;
    linked_open(&linked, seed, 0, RQ_TAIL_BY_WRITE);
    for (int i = 0; i < 200 + (int)(seed % 3) * 400; i++) linked_send(&linked);
    uint8_t *buffer = malloc(linked.descriptor.guard_bytes); /* ASan sees a byte beyond */
    struct rq_backfill_setup setup = {
        .publisher = {.data_address = (uintptr_t)linked.segment->data,
                      .live_address = (uintptr_t)linked.segment->live,
                      .data_key = linked.data_key,
                      .live_key = linked.live_key},
        .position = LINKED_CAPACITY,
        .sequence = 1,
        .buffer_address = (uintptr_t)buffer,
        .buffer_bytes = linked.descriptor.guard_bytes,
        .words_address = (uintptr_t)words,
        .local_key = wire_register(buffer, linked.descriptor.guard_bytes, IBV_ACCESS_LOCAL_WRITE),
        .words_key = wire_register(words, sizeof(words), IBV_ACCESS_LOCAL_WRITE)};
    end_open(&linked, &here, 0);
    end_open(&linked, &there, 0);
    end_connect(&here, &there);
    CHECK_EQUAL(rq_backfill_open(&linked.descriptor, here.pair, NULL, &setup, &backfill), 0);
    if (is_led_on)
        lead_on(backfill);
    else
        read_all(backfill, buffer, LINKED_CAPACITY);
    end_close(&here);
    end_close(&there);
    rq_backfill_free(backfill);
    wire_deregister(setup.local_key);
    wire_deregister(setup.words_key);
    free(buffer);
    linked_close(&linked);
}

int main(int argc, char **argv) {
    uint64_t seed = 1 + begin(argc, argv) * ROUNDS;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        hostile_publisher(seed + round);
        hostile_subscriber(seed + round);
        hostile_ring(seed + round, 0);
    }
    hostile_ring(seed, 1);
    /* Or nothing was hostile, or everything. */
    printf("replicas refused %" PRIu64 ", links %" PRIu64 ", backfills %" PRIu64
           ", reached the tail %" PRIu64 "\n",
           refusals[0], refusals[1], refusals[2], refusals[3]);
    for (int i = 0; i < 4; i++) CHECK(refusals[i] > ROUNDS / 20);
    return 0;
}
