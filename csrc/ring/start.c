/*
 * Where a new reader begins. The publisher answers, under its own lock, from its own memory: no
 * race with the writing, and in reliable mode the reader gates from that very position.
 */
#include <string.h>

#include "ring/publisher.h"
#include "ring/start.h"

static struct rq_frame_header header_at(const struct rq_publisher *publisher, uint64_t position) {
    struct rq_frame_header header;
    memcpy(&header, rq_at(&publisher->segment, position), sizeof(header));
    return header;
}

/* The first position that a reader could still read whole, by the guard rule. An open claim has
 * passed the gate already: a reader that begins behind it does not hold it back. */
static uint64_t oldest_valid(const struct rq_publisher *publisher) {
    uint64_t origin = publisher->segment.capacity_bytes;
    uint64_t room_bytes = rq_room_bytes(&publisher->segment) - RQ_END_RESERVE_BYTES;
    if (RQ_UNLESS(CLAIM_FORGOTTEN, publisher->is_claimed))
        room_bytes -= rq_frame_bytes(publisher->claimed_bytes);
    return publisher->tail - origin <= room_bytes ? origin : publisher->tail - room_bytes;
}

/* The last indexed frame for which `is_before` holds, or the oldest indexed one; 0: none. The
 * publisher may trust its own index, once an entry is seen to be of this lap. */
static int find_indexed(const struct rq_publisher *publisher, uint32_t start, uint64_t value,
                        uint64_t *position_out) {
    unsigned shift = publisher->index_stride_shift;
    uint64_t oldest = oldest_valid(publisher);
    int is_found = 0;
    for (uint64_t stride = oldest >> shift; stride <= publisher->tail >> shift; stride++) {
        struct rq_index_entry *entry = rq_index_at(&publisher->segment, stride);
        uint64_t position = atomic_load_explicit(&entry->position, memory_order_relaxed);
        if (position >> shift != stride || position < oldest || position >= publisher->tail)
            continue;
        uint64_t sequence = atomic_load_explicit(&entry->sequence, memory_order_relaxed);
        uint64_t ticks = atomic_load_explicit(&entry->ticks, memory_order_relaxed);
        int is_before = start == RQ_START_SEQUENCE  ? sequence <= value
                        : start == RQ_START_WALL_NS ? ticks < value
                                                    : 0;
        if (is_found && !is_before) break;
        *position_out = position;
        is_found = 1;
        if (!is_before) break;
    }
    return is_found;
}

static void begin_live(const struct rq_publisher *publisher, struct rq_start *out) {
    out->position = publisher->tail;
    out->sequence = publisher->is_fresh ? 0 : publisher->next_sequence;
}

void rq_find_start(const struct rq_publisher *publisher, uint32_t start, uint64_t value,
                   struct rq_start *out) {
    begin_live(publisher, out);
    if (start == RQ_START_LIVE || publisher->is_fresh) return;
    if (start == RQ_START_SEQUENCE && value >= publisher->next_sequence) {
        out->sequence = value; /* what comes before it was not asked for */
        return;
    }
    if (start == RQ_START_WALL_NS) value = rq_clock_ticks_at(&publisher->live->clock, value);
    uint64_t position = 0;
    if (!find_indexed(publisher, start, value, &position)) return;
    uint64_t sequence = 0;
    while (position < publisher->tail) {
        struct rq_frame_header header = header_at(publisher, position);
        sequence = header.sequence;
        uint32_t count = rq_frame_count(&header);
        uint64_t after = header.sequence + (count != 0 ? count : 1);
        int is_early = start == RQ_START_SEQUENCE  ? count != 0 && after <= value
                       : start == RQ_START_WALL_NS ? header.ticks < value
                                                   : 0;
        if (!is_early) break;
        position += rq_frame_bytes(header.payload_bytes);
    }
    if (position >= publisher->tail) return; /* everything is older: live */
    out->position = position;
    out->sequence = sequence;
    if (start == RQ_START_SEQUENCE) {
        /* Too old: the reader declares what lies between as overrun. Never more than existed. */
        uint64_t origin_sequence =
            atomic_load_explicit(&publisher->live->origin_sequence, memory_order_relaxed);
        out->sequence = value > origin_sequence ? value : origin_sequence;
    }
}
