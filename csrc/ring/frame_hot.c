/*
 * Looking at the next frame: nothing of a header is used before it has passed the guard rule, and
 * nothing of it is believed after that without its bounds being checked.
 */
#include <string.h>
#include <time.h>

#include "ring/ledger.h"
#include "ring/reader.h"

#ifndef RESYNC_TRIES_MAX /* the fuzzers want less of what only repeats */
#define RESYNC_TRIES_MAX 64
#define PASSED_OVER_MAX 65536
#endif

static int header_is_sane(const struct rq_reader *reader, const struct rq_frame_header *header,
                          uint64_t tail) {
    uint64_t count = rq_frame_count(header);
    uint32_t record_bytes = reader->segment.record_bytes;
    if (header->position != reader->cursor) return 0;
    if (header->payload_bytes > reader->segment.message_bytes_max) return 0;
    if (rq_frame_bytes(header->payload_bytes) > tail - reader->cursor) return 0;
    if (header->sequence > UINT64_MAX - RQ_FRAME_MESSAGES_MAX - 1) return 0;
    switch (rq_frame_kind(header)) {
        case RQ_KIND_MESSAGE: return record_bytes == 0 && count == 1 && header->sequence != 0;
        case RQ_KIND_RECORDS:
            return record_bytes != 0 && count != 0 && header->sequence != 0 &&
                   header->payload_bytes == count * record_bytes;
        case RQ_KIND_BLOCKS:
            return record_bytes == 0 && count != 0 && header->sequence != 0 &&
                   header->payload_bytes >= 2 * count;
        case RQ_KIND_GAP:
            return count == 0 && header->payload_bytes == sizeof(struct rq_gap_payload);
        case RQ_KIND_HEARTBEAT:
        case RQ_KIND_END: return count == 0 && header->payload_bytes == 0;
        default: return 0;
    }
}

/* The first message's sequence may be the publisher's choice, made after we joined. In a replica
 * its owner tells it, who may come later than the NIC: 0 until then. */
static int learn_origin(struct rq_reader *reader, uint64_t tail) {
    reader->next_sequence = rq_reader_next_sequence(reader, tail);
    return reader->next_sequence != 0;
}

/* Nobody asked for what a jump passed over before the time to begin has come, by this host's clock:
 * there is no frame that bears the publisher's. */
static int is_too_early(const struct rq_reader *reader) {
    struct timespec now;
    if (reader->next_sequence != 0 || reader->deliver_from_ns == 0) return 0;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec < reader->deliver_from_ns;
}

/* A replica that jumped, and nothing came since: no frame tells what was missed. */
static int restart(struct rq_reader *reader) {
    struct rq_live *live = reader->live;
    uint64_t sequence = atomic_load_explicit(&live->restart_sequence, memory_order_acquire);
    uint64_t position = atomic_load_explicit(&live->restart_bytes, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&live->tail_bytes, memory_order_acquire);
    if (sequence == 0 || position != tail) return 0;
    /* Pairs with the fence in rq_replica_restart: both are of one jump. */
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&live->restart_sequence, memory_order_relaxed) != sequence) return 0;
    if (is_too_early(reader))
        reader->deliver_from = sequence > reader->deliver_from ? sequence : reader->deliver_from;
    else if (reader->next_sequence == 0 && !learn_origin(reader, tail))
        return 0;
    reader->cursor = position;
    reader->is_lapped = 0;
    if (reader->next_sequence != 0 && sequence > reader->next_sequence) reader->hole_end = sequence;
    return 1;
}

/* Restarts at the oldest indexed frame that is intact and has a little room before the writer
 * reaches it. The entry is a hint: believed only after the frame it names passes the guard rule
 * and bears that position and sequence. */
static int resync(struct rq_reader *reader) {
    const struct rq_segment *segment = &reader->segment;
    uint64_t stride_bytes = segment->index_stride_bytes;
    for (int tries = 0; tries < RESYNC_TRIES_MAX; tries++) {
        uint64_t tail = atomic_load_explicit(&reader->live->tail_bytes, memory_order_acquire);
        uint64_t limit =
            tail - (segment->capacity_bytes - segment->guard_bytes) + segment->guard_bytes;
        for (uint64_t stride = limit / stride_bytes;
             stride - limit / stride_bytes <= segment->index_entry_mask; stride++) {
            struct rq_index_entry *entry = rq_index_at(segment, stride);
            uint64_t position = atomic_load_explicit(&entry->position, memory_order_relaxed);
            uint64_t sequence = atomic_load_explicit(&entry->sequence, memory_order_relaxed);
            if (position - limit >= tail - limit || position % RQ_FRAME_ALIGN_BYTES != 0) continue;
            struct rq_frame_header header;
            memcpy(&header, rq_at(segment, position), sizeof(header));
            RQ_STEP();
            uint64_t tail_now;
            if (!rq_reader_is_intact(reader, position, &tail_now)) break; /* lapped again */
            if (header.position != position || header.sequence != sequence) continue;
            reader->cursor = position;
            reader->is_lapped = 0;
            if (reader->next_sequence != 0 && sequence > reader->next_sequence)
                reader->hole_end = sequence;
            return 1;
        }
    }
    return restart(reader);
}

/* How many messages at the frame's beginning are not to be delivered; count when none are. */
static uint64_t skipped(const struct rq_reader *reader, const struct rq_frame_header *header) {
    uint64_t count = rq_frame_count(header);
    uint64_t behind = reader->next_sequence - header->sequence;
    return behind < count ? behind : count;
}

static void pass_over(struct rq_reader *reader, const struct rq_frame_header *header) {
    reader->cursor += rq_frame_bytes(header->payload_bytes);
}

/* A sane frame at the cursor, none of its sequences ahead of what is expected. */
static int classify(struct rq_reader *reader, struct rq_peeked *peeked) {
    const struct rq_frame_header *header = &peeked->header;
    switch (rq_frame_kind(header)) {
        case RQ_KIND_HEARTBEAT: pass_over(reader, header); return RQ_PEEK_NOTHING;
        case RQ_KIND_END: return RQ_PEEK_END;
        case RQ_KIND_GAP:
            if (peeked->gap_first != header->sequence || peeked->gap_last < peeked->gap_first ||
                peeked->gap_last == UINT64_MAX)
                return -EBADMSG;
            if (peeked->gap_last >= reader->next_sequence) return RQ_PEEK_GAP;
            pass_over(reader, header);
            return RQ_PEEK_NOTHING;
        default:
            peeked->skip = skipped(reader, header);
            if (peeked->skip < rq_frame_count(header)) return RQ_PEEK_MESSAGES;
            pass_over(reader, header);
            return RQ_PEEK_NOTHING;
    }
}

/* Copies the header at the cursor. 1: it is whole and sane; 0: we were lapped; -EBADMSG. */
static inline int load_frame(struct rq_reader *reader, struct rq_peeked *peeked, uint64_t tail) {
    struct rq_gap_payload gap;
    const uint8_t *frame = rq_at(&reader->segment, reader->cursor);
    memcpy(&peeked->header, frame, sizeof(peeked->header));
    memcpy(&gap, frame + RQ_FRAME_HEADER_BYTES, sizeof(gap));
    RQ_STEP();
    if (RQ_UNLESS(HEADER_BEFORE_CHECK, !rq_reader_is_intact(reader, reader->cursor, &tail))) {
        reader->is_lapped = 1;
        return 0;
    }
    if (!header_is_sane(reader, &peeked->header, tail)) return -EBADMSG;
    peeked->gap_first = gap.first;
    peeked->gap_last = gap.last;
    return 1;
}

/* True for a frame from before the time that was asked for. Not when its time cannot be told: what
 * may have been asked for is delivered. */
static int is_early(const struct rq_reader *reader, const struct rq_frame_header *header) {
    if (rq_frame_kind(header) == RQ_KIND_END) return 0;
    uint64_t wall_ns = rq_clock_wall_ns(&reader->live->clock, header->ticks);
    return wall_ns != 0 && wall_ns < reader->deliver_from_ns;
}

#define BEGIN_LATER 2

/* Before the first message: 1 when the frame at the cursor may hold it, 0: look again, -EBADMSG.
 * Frames that are too early are passed over, and it is remembered how far: should we be lapped, all
 * that was missed from there on counts as lost, since nobody can tell how much of it was early. */
static int begin(struct rq_reader *reader, uint64_t tail) {
    struct rq_peeked peeked;
    int loaded = reader->deliver_from_ns != 0 ? load_frame(reader, &peeked, tail) : 1;
    if (loaded <= 0) return loaded;
    if (reader->deliver_from_ns != 0 && is_early(reader, &peeked.header)) {
        uint64_t next = peeked.header.sequence + rq_frame_count(&peeked.header);
        if (rq_frame_kind(&peeked.header) == RQ_KIND_GAP && peeked.gap_last < UINT64_MAX)
            next = peeked.gap_last + 1;
        if (next > reader->deliver_from) reader->deliver_from = next;
        pass_over(reader, &peeked.header);
        return 0;
    }
    return learn_origin(reader, tail) ? 1 : BEGIN_LATER;
}

int rq_peek_frame(struct rq_reader *reader, struct rq_peeked *peeked) {
    /* Bounded, so that a writer of endless heartbeats cannot keep us from looking at the clock. */
    for (int turns = 0; turns < PASSED_OVER_MAX; turns++) {
        if (reader->hole_end > reader->next_sequence) return RQ_PEEK_HOLE;
        /* Pairs with the release store in publish_hot.c. */
        uint64_t tail = atomic_load_explicit(&reader->live->tail_bytes, memory_order_acquire);
        RQ_STEP();
        if (tail == reader->cursor) return RQ_PEEK_NOTHING;
        if (reader->is_lapped) {
            /* Stopped in between, it may have been cut off before it was lapped: that is what it is
             * told, since what it missed is not a reliable stream's loss. */
            if (atomic_load_explicit(&reader->control->cut_off, memory_order_acquire) != 0 ||
                !resync(reader))
                return RQ_PEEK_NOTHING;
            continue;
        }
        int loaded = reader->next_sequence != 0 ? 1 : begin(reader, tail);
        if (loaded == BEGIN_LATER) return RQ_PEEK_NOTHING;
        if (loaded > 0) loaded = load_frame(reader, peeked, tail);
        if (loaded < 0) return loaded;
        if (loaded == 0) continue;
        int is_end = rq_frame_kind(&peeked->header) == RQ_KIND_END;
        uint64_t sequence = peeked->header.sequence + (is_end ? 1 : 0);
        if (sequence > reader->next_sequence) {
            reader->hole_end = sequence;
            continue;
        }
        int found = classify(reader, peeked);
        if (found != RQ_PEEK_NOTHING) return found;
    }
    return RQ_PEEK_NOTHING;
}

static void take_gap(struct rq_reader *reader, const struct rq_peeked *peeked,
                     struct rq_batch *batch) {
    batch->sequence = reader->next_sequence; /* the frame's first, or later if that was not asked */
    batch->last = peeked->gap_last;
    batch->cause = RQ_CAUSE_UPSTREAM;
    pass_over(reader, &peeked->header);
}

/* The first stretch of the hole that has one cause. */
static void take_hole(struct rq_reader *reader, struct rq_batch *batch) {
    batch->sequence = reader->next_sequence;
    batch->last = reader->hole_end - 1;
    batch->cause = RQ_CAUSE_OVERRUN;
    struct rq_gap_payload lost;
    if (!rq_ledger_find(reader, batch->sequence, &lost) || lost.first > batch->last) return;
    if (lost.first > batch->sequence) {
        batch->last = lost.first - 1;
        return;
    }
    batch->cause = RQ_CAUSE_UPSTREAM;
    if (lost.last < batch->last) batch->last = lost.last;
}

static int tell_gap(struct rq_reader *reader, struct rq_batch *batch) {
    uint64_t lost = batch->last - batch->sequence + 1;
    if (batch->cause == RQ_CAUSE_UPSTREAM) {
        reader->stats.gaps_upstream++;
        reader->stats.lost_upstream += lost;
    } else {
        reader->stats.gaps_overrun++;
        reader->stats.lost_overrun += lost;
    }
    reader->next_sequence = batch->last + 1;
    batch->message_count = 0;
    batch->received_ticks = rq_now_ticks();
    batch->publish_ticks = batch->received_ticks;
    rq_reader_advance(reader);
    return RQ_POLL_GAP;
}

int rq_answer(struct rq_reader *reader, int found, const struct rq_peeked *peeked,
              struct rq_batch *batch) {
    switch (found) {
        case RQ_PEEK_GAP: take_gap(reader, peeked, batch); return tell_gap(reader, batch);
        case RQ_PEEK_HOLE: take_hole(reader, batch); return tell_gap(reader, batch);
        case RQ_PEEK_END: return RQ_POLL_END;
        case RQ_PEEK_NOTHING: rq_reader_advance(reader); return RQ_POLL_NOTHING;
        default: return found;
    }
}
