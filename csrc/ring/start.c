/*
 * Where a new reader begins. The publisher answers, under its own lock, from its own memory: no
 * race with the writing, and in reliable mode the reader gates from that very position.
 */
#include <string.h>

#include "ring/publisher.h"
#include "ring/start.h"

#define TRIES_MAX 16 /* a replica: until the NIC is not faster */

static struct rq_frame_header header_at(const struct rq_publisher *publisher, uint64_t position) {
    struct rq_frame_header header;
    memcpy(&header, rq_at(&publisher->segment, position), sizeof(header));
    return header;
}

/* The first position that a reader could still read whole, by the guard rule. An open claim has
 * passed the gate already: a reader that begins behind it does not hold it back. */
static uint64_t oldest_valid(const struct rq_publisher *publisher) {
    uint64_t tail = publisher->tail;
    uint64_t room_bytes = rq_room_bytes(&publisher->segment) - RQ_END_RESERVE_BYTES;
    if (RQ_UNLESS(CLAIM_FORGOTTEN, publisher->is_claimed))
        room_bytes -= rq_frame_bytes(publisher->claimed_bytes);
    if (publisher->is_replica) { /* the NIC does not wait for us: some way ahead of it */
        tail = atomic_load_explicit(&publisher->live->tail_bytes, memory_order_acquire);
        room_bytes -= publisher->segment.guard_bytes;
    }
    uint64_t oldest = publisher->origin;
    if (tail - oldest > room_bytes) oldest = tail - room_bytes;
    /* Behind the end nothing is written any more. */
    if (atomic_load_explicit(&publisher->live->state, memory_order_relaxed) == RQ_STATE_ENDED)
        return oldest;
    return oldest > publisher->told_cursor ? oldest : publisher->told_cursor;
}

/* A replica's frames may be written over while we look at them: the guard rule, afterwards. */
static int was_intact(const struct rq_publisher *publisher, uint64_t position) {
    if (!publisher->is_replica) return 1;
    atomic_thread_fence(memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&publisher->live->tail_bytes, memory_order_acquire);
    return tail - position <= rq_room_bytes(&publisher->segment);
}

/* What is asked for: which frames come before it. Both grow along the ring. */
struct wanted {
    uint32_t start; /* RQ_START_* */
    uint64_t value; /* sequence or ticks */
};

static int is_before(const struct wanted *wanted, uint64_t sequence, uint64_t ticks) {
    if (wanted->start == RQ_START_SEQUENCE) return sequence <= wanted->value;
    return wanted->start == RQ_START_WALL_NS && ticks < wanted->value;
}

struct found {
    uint64_t stride;
    uint64_t position;
    uint64_t sequence;
    uint64_t ticks;
};

/* The first indexed frame from `stride` to `last`, 0 if there is none: a long frame spans several
 * strides. The publisher may trust its own index, once an entry is seen to be of this lap. */
static int next_indexed(const struct rq_publisher *publisher, uint64_t stride, uint64_t last,
                        struct found *out) {
    for (; stride <= last; stride++) {
        struct rq_index_entry *entry = rq_index_at(&publisher->segment, stride);
        out->position = atomic_load_explicit(&entry->position, memory_order_relaxed);
        if (out->position >> publisher->index_stride_shift != stride) continue;
        out->stride = stride;
        out->sequence = atomic_load_explicit(&entry->sequence, memory_order_relaxed);
        out->ticks = atomic_load_explicit(&entry->ticks, memory_order_relaxed);
        return 1;
    }
    return 0;
}

/* The last indexed frame that comes before what is wanted, also if it is written over by now; 0:
 * there is none. By halves: a large ring has millions of entries, and senders wait for us. */
static int last_before(const struct rq_publisher *publisher, const struct wanted *wanted,
                       struct found *out) {
    uint64_t high = publisher->indexed_stride;
    uint64_t span = publisher->segment.index_entry_mask;
    uint64_t low = high > span ? high - span : 0;
    int is_found = 0;
    while (low <= high) {
        uint64_t middle = low + (high - low) / 2;
        struct found at;
        if (next_indexed(publisher, middle, high, &at) &&
            is_before(wanted, at.sequence, at.ticks)) {
            *out = at;
            is_found = 1;
            low = at.stride + 1;
        } else {
            high = middle - 1; /* never 0: positions begin at capacity */
        }
    }
    return is_found;
}

/* The oldest indexed frame that a reader could still read; 0: there is none. */
static int oldest_indexed(const struct rq_publisher *publisher, struct found *out) {
    uint64_t oldest = oldest_valid(publisher);
    uint64_t stride = oldest >> publisher->index_stride_shift;
    if (!next_indexed(publisher, stride, publisher->indexed_stride, out)) return 0;
    if (out->position >= oldest) return 1;
    return next_indexed(publisher, stride + 1, publisher->indexed_stride, out);
}

static void begin_live(const struct rq_publisher *publisher, struct rq_start *out) {
    out->position = publisher->tail;
    out->sequence = publisher->is_fresh ? 0 : publisher->next_sequence;
}

/* 0: the NIC was faster. */
static int find_start(const struct rq_publisher *publisher, uint32_t start, uint64_t value,
                      struct rq_start *out) {
    begin_live(publisher, out);
    if (start == RQ_START_LIVE || publisher->is_fresh) return 1;
    if (start == RQ_START_SEQUENCE && value >= publisher->next_sequence) {
        out->sequence = value; /* what comes before it was not asked for */
        return 1;
    }
    if (publisher->indexed_stride == UINT64_MAX) return 1; /* a replica to which nothing came */
    struct wanted wanted = {.start = start, .value = value};
    if (start == RQ_START_WALL_NS) wanted.value = rq_clock_ticks_at(&publisher->live->clock, value);
    struct found before = {0}, from = {0};
    if (!oldest_indexed(publisher, &from)) return 1;
    int is_any_before = last_before(publisher, &wanted, &before);
    int is_exact = is_any_before && before.position >= from.position;
    uint64_t position = is_exact ? before.position : from.position;
    uint64_t sequence = 0, first_looked_at = position;
    while (position < publisher->tail) {
        struct rq_frame_header header = header_at(publisher, position);
        sequence = header.sequence;
        uint32_t count = rq_frame_count(&header);
        uint64_t after = header.sequence + (count != 0 ? count : 1);
        int is_early = start == RQ_START_SEQUENCE  ? count != 0 && after <= value
                       : start == RQ_START_WALL_NS ? header.ticks < wanted.value
                                                   : 0;
        if (!is_early) break;
        position += rq_frame_bytes(header.payload_bytes);
    }
    if (!was_intact(publisher, first_looked_at)) return 0;
    if (position >= publisher->tail) return 1; /* everything is older: live */
    out->position = position;
    out->sequence = sequence;
    /* Too old: the reader declares what lies between as overrun. Never more than existed. */
    uint64_t origin_sequence =
        atomic_load_explicit(&publisher->live->origin_sequence, memory_order_relaxed);
    if (start == RQ_START_SEQUENCE) {
        out->sequence = value > origin_sequence ? value : origin_sequence;
    } else if (start == RQ_START_WALL_NS && !is_exact) {
        /* Which of them were published at that time or later, the ring no longer tells: none may
         * be missed in silence, so from the earliest that could be. */
        out->sequence = is_any_before ? before.sequence : origin_sequence;
    }
    return 1;
}

void rq_find_start(const struct rq_publisher *publisher, uint32_t start, uint64_t value,
                   struct rq_start *out) {
    for (int tries = 0; tries < TRIES_MAX; tries++)
        if (find_start(publisher, start, value, out)) return;
    begin_live(publisher, out);
}
