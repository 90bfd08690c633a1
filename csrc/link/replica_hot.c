/*
 * What arrived in a replica: the readers are told, and the owner's CPU does what the publisher's
 * did for its own ring, index and ledger. The NIC may write on meanwhile, and its words are a
 * stranger's: the owner reads frames as any reader does.
 */
#include <string.h>

#include "link/replica.h"

#define FRAMES_PER_TURN 4096

void rq_replica_fail(struct rq_replica *replica, uint32_t status) {
    replica->is_nonsense |= status == 0;
    if (atomic_load_explicit(&replica->state, memory_order_relaxed) == RQ_REPLICA_FAILED) return;
    atomic_store_explicit(&replica->status, status, memory_order_relaxed);
    atomic_store_explicit(&replica->state, RQ_REPLICA_FAILED, memory_order_release);
}

/* ---- frames ---- */

/* 1: the header, and what a gap says, are whole; 0: written over. */
static int load_frame(const struct rq_replica *replica, uint64_t position,
                      struct rq_frame_header *header, struct rq_gap_payload *gap) {
    const struct rq_segment *segment = &replica->publisher->segment;
    memcpy(header, rq_at(segment, position), sizeof(*header));
    memcpy(gap, rq_at(segment, position) + RQ_FRAME_HEADER_BYTES, sizeof(*gap));
    RQ_STEP();
    /* Pairs with the order of a link's WRITEs: data of a lap later comes behind a later tail. */
    atomic_thread_fence(memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&replica->live->tail_bytes, memory_order_acquire);
    return tail - position <= rq_room_bytes(segment);
}

static void note_in_index(struct rq_publisher *publisher, const struct rq_frame_header *header) {
    uint64_t stride = header->position >> publisher->index_stride_shift;
    if (stride == publisher->indexed_stride || rq_frame_kind(header) == RQ_KIND_END) return;
    publisher->indexed_stride = stride;
    struct rq_index_entry *entry = rq_index_at(&publisher->segment, stride);
    atomic_store_explicit(&entry->position, header->position, memory_order_relaxed);
    atomic_store_explicit(&entry->sequence, header->sequence, memory_order_relaxed);
    atomic_store_explicit(&entry->ticks, header->ticks, memory_order_relaxed);
}

/* 0: no frame of a stream looks like that. */
static int take_frame(struct rq_replica *replica, const struct rq_frame_header *header,
                      const struct rq_gap_payload *gap) {
    struct rq_publisher *publisher = replica->publisher;
    uint64_t count = rq_frame_count(header), next = header->sequence + count;
    uint32_t kind = rq_frame_kind(header);
    if (kind == RQ_KIND_GAP) {
        if (gap->first != header->sequence || gap->last < gap->first || gap->last == UINT64_MAX)
            return 0;
        next = gap->last + 1;
        rq_write_ledger(publisher, gap->first, gap->last);
        rq_count(&replica->live->counters.gaps, 1);
    } else if (kind == RQ_KIND_END) {
        next = header->sequence + 1;
        atomic_store_explicit(&replica->live->state, RQ_STATE_ENDED, memory_order_release);
        atomic_store_explicit(&replica->state, RQ_REPLICA_ENDED, memory_order_release);
    }
    note_in_index(publisher, header);
    if (publisher->is_fresh) {
        rq_replica_learn_origin(replica, kind == RQ_KIND_END ? next : header->sequence);
        publisher->is_fresh = 0;
    }
    publisher->next_sequence = next;
    publisher->tail += rq_frame_bytes(header->payload_bytes);
    rq_count(&replica->live->counters.messages, count);
    rq_count(&replica->live->counters.bytes, header->payload_bytes);
    rq_count(&replica->live->counters.frames, 1);
    rq_tally(&replica->tallies.frames, 1);
    rq_tally(&replica->tallies.messages, count);
    rq_tally(&replica->tallies.bytes, header->payload_bytes);
    return 1;
}

/* Every tail is the end of a frame: there the owner finds his place again. */
static void lose_place(struct rq_replica *replica, uint64_t tail) {
    replica->publisher->tail = tail;
    replica->publisher->next_sequence = 0;
    replica->publisher->is_fresh = 0;
    rq_tally(&replica->tallies.lapped, 1);
}

static uint32_t walk(struct rq_replica *replica, uint64_t tail) {
    struct rq_publisher *publisher = replica->publisher;
    uint32_t count = 0;
    while (publisher->tail != tail && count < FRAMES_PER_TURN) {
        struct rq_frame_header header;
        struct rq_gap_payload gap;
        uint64_t position = publisher->tail;
        count++;
        if (!load_frame(replica, position, &header, &gap)) {
            lose_place(replica, tail);
        } else if (header.position != position ||
                   header.payload_bytes > publisher->segment.message_bytes_max ||
                   rq_frame_bytes(header.payload_bytes) > tail - position ||
                   header.sequence > UINT64_MAX - RQ_FRAME_MESSAGES_MAX - 1 ||
                   !take_frame(replica, &header, &gap)) {
            rq_replica_fail(replica, 0);
            break;
        }
    }
    return count;
}

uint32_t rq_replica_notice(struct rq_replica *replica, uint64_t tail) {
    struct rq_publisher *publisher = replica->publisher;
    uint64_t seen = publisher->tail;
    if (tail == replica->told && tail == seen) return 0;
    if (replica->is_nonsense) return 0;
    if (tail < replica->told || tail % RQ_FRAME_ALIGN_BYTES != 0) {
        rq_replica_fail(replica, 0); /* a tail never goes back */
        return 1;
    }
    rq_publisher_lock(publisher);
    if (tail != replica->told) {
        replica->told = tail;
        replica->is_begun = 1;
        rq_replica_lives(replica);
        RQ_STEP();
        rq_wake_readers(publisher); /* before the index: they need not wait for that */
    }
    uint32_t count = 1 + walk(replica, tail);
    rq_publisher_unlock(publisher);
    return count;
}

/* ---- what else is told ---- */

/* The owner lost count, and the stream is idle: no frame tells him, nor readers who were lapped. */
static void find_place(struct rq_replica *replica, uint64_t tail, uint64_t sequence) {
    struct rq_publisher *publisher = replica->publisher;
    if (publisher->is_fresh || publisher->next_sequence != 0 || publisher->tail != tail ||
        replica->told != tail || sequence == 0)
        return;
    rq_publisher_lock(publisher);
    publisher->next_sequence = sequence;
    rq_replica_set_restart(replica->live, tail, sequence);
    rq_wake_everybody(replica->live); /* who was lapped waits for what has long been there */
    rq_publisher_unlock(publisher);
}

static void take_beat(struct rq_replica *replica, uint64_t stamp) {
    struct rq_beat *beat = replica->beat;
    struct rq_clock_line line = {
        .base_ticks = atomic_load_explicit(&beat->base_ticks, memory_order_relaxed),
        .base_wall_ns = atomic_load_explicit(&beat->base_wall_ns, memory_order_relaxed),
        .ns_per_tick_q32 = atomic_load_explicit(&beat->ns_per_tick_q32, memory_order_relaxed)};
    uint64_t ticks = atomic_load_explicit(&beat->ticks, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&beat->tail_bytes, memory_order_relaxed);
    uint64_t sequence = atomic_load_explicit(&beat->next_sequence, memory_order_relaxed);
    uint64_t again = atomic_load_explicit(&beat->stamp_again, memory_order_relaxed);
    /* The line may arrive in any order: both stamps, and both again, or at the next turn. */
    atomic_thread_fence(memory_order_acquire);
    if (again != stamp || atomic_load_explicit(&beat->stamp, memory_order_relaxed) != stamp) return;
    replica->stamp_seen = stamp;
    replica->is_begun = 1;
    rq_replica_lives(replica);
    rq_tally(&replica->tallies.heartbeats, 1);
    find_place(replica, tail, sequence);
    atomic_store_explicit(&replica->publisher_tail, tail, memory_order_relaxed);
    atomic_store_explicit(&replica->publisher_ticks, ticks, memory_order_relaxed);
    if (line.ns_per_tick_q32 != 0) rq_clock_write(&replica->live->clock, &line);
}

static uint32_t look_at_beat(struct rq_replica *replica) {
    uint64_t stamp = atomic_load_explicit(&replica->beat->stamp, memory_order_acquire);
    if (stamp == replica->stamp_seen || stamp >> 32 != replica->setup.generation) return 0;
    take_beat(replica, stamp);
    return 1;
}

/* Under the publish lock: who is admitted later begins no earlier than what was told. */
uint64_t rq_replica_cursor(struct rq_replica *replica) {
    struct rq_publisher *publisher = replica->publisher;
    uint64_t seen = publisher->tail, cursor = seen;
    if (!publisher->segment.is_reliable) return seen;
    /* Until somebody reads it is kept from where it began, for the first who will. */
    if (!publisher->had_reader && publisher->told_cursor == 0)
        publisher->told_cursor = publisher->origin;
    cursor = publisher->had_reader ? rq_gate_least_cursor(publisher, seen) : publisher->told_cursor;
    /* Nobody passes over the `end` frame: who stands before it is done. */
    if (atomic_load_explicit(&replica->state, memory_order_relaxed) == RQ_REPLICA_ENDED &&
        seen - cursor == RQ_FRAME_HEADER_BYTES)
        cursor = seen;
    if (cursor > publisher->told_cursor) publisher->told_cursor = cursor;
    /* Pairs with the READ of the link, and with its acquire in tap.c. */
    atomic_store_explicit(&replica->feedback->cursor_bytes, cursor, memory_order_release);
    return cursor;
}

static void report_cursor(struct rq_replica *replica) {
    if (!replica->publisher->segment.is_reliable) return;
    rq_publisher_lock(replica->publisher);
    rq_replica_cursor(replica);
    rq_publisher_unlock(replica->publisher);
}

static void look_at_silence(struct rq_replica *replica) {
    uint32_t state = atomic_load_explicit(&replica->state, memory_order_relaxed), now = state;
    uint64_t life_ticks = atomic_load_explicit(&replica->life_ticks, memory_order_relaxed);
    uint64_t now_ticks = rq_now_ticks();
    int is_silent =
        now_ticks > life_ticks && now_ticks - life_ticks > rq_ns_ticks(replica->setup.silent_ns);
    int is_waiting = state == RQ_REPLICA_WAITING;
    /* Also of a link by which nothing ever came: who is silent is asked whether he is there. */
    if (is_silent && (state == RQ_REPLICA_LIVE || is_waiting)) now = RQ_REPLICA_SILENT;
    if (!is_silent && (state == RQ_REPLICA_SILENT || (is_waiting && replica->is_begun)))
        now = RQ_REPLICA_LIVE;
    if (now != state) atomic_store_explicit(&replica->state, now, memory_order_release);
}

uint32_t rq_replica_look(struct rq_replica *replica) {
    uint32_t count = replica->pair != NULL ? rq_replica_take_receives(replica) : 0;
    /* NIC to CPU: whoever sees this tail sees the data before it, on the platforms where tails come
     * by themselves. On Arm `dmb oshld`, which this acquire is not less than. */
    uint64_t tail = atomic_load_explicit(&replica->live->tail_bytes, memory_order_acquire);
    count += rq_replica_notice(replica, tail);
    count += look_at_beat(replica);
    report_cursor(replica);
    look_at_silence(replica);
    return count;
}
