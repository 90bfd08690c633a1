/* Links at a publisher: joining and leaving, being served, and how far they let the writer go. */
#include "ring/publisher.h"
#include "ring/start.h"

/* A frame of ours begins there, or will. */
static int is_frame(const struct rq_publisher *publisher, uint64_t position) {
    const struct rq_frame_header *header =
        (const struct rq_frame_header *)rq_at(&publisher->segment, position);
    if (position > publisher->tail || position < publisher->segment.capacity_bytes ||
        position % RQ_FRAME_ALIGN_BYTES != 0)
        return 0;
    return position == publisher->tail ||
           publisher->tail - position > rq_room_bytes(&publisher->segment) ||
           header->position == position; /* else inside a frame */
}

static uint64_t sequence_at(const struct rq_publisher *publisher, uint64_t position) {
    if (position == publisher->tail) return publisher->is_fresh ? 0 : publisher->next_sequence;
    return ((const struct rq_frame_header *)rq_at(&publisher->segment, position))->sequence;
}

/* 0, and where the tap begins. */
static int find_place(const struct rq_publisher *publisher, struct rq_join *join) {
    const struct rq_segment *segment = &publisher->segment;
    struct rq_start begin = {.position = join->position};
    uint64_t lag_bytes = publisher->tail - join->position;
    join->origin_sequence =
        publisher->is_fresh
            ? 0
            : atomic_load_explicit(&publisher->live->origin_sequence, memory_order_relaxed);
    if (join->position == 0) {
        rq_find_start(publisher, join->is_held ? join->start : RQ_START_LIVE, join->start_value,
                      &begin);
    } else if (!is_frame(publisher, join->position)) {
        return -EINVAL;
    } else if (lag_bytes > rq_room_bytes(segment)) {
        /* Gone, and so far that every reader there knows itself lapped. Who READs goes on where our
         * index says. */
        rq_find_start(publisher, join->is_held ? RQ_START_OLDEST : RQ_START_LIVE, 0, &begin);
    } else if (lag_bytes > segment->capacity_bytes / 2 && !join->is_held) {
        if (!join->may_skip) return -ESTALE;
        rq_find_start(publisher, RQ_START_LIVE, 0, &begin);
    }
    join->position = begin.position;
    join->deliver_sequence = begin.sequence;
    join->sequence = sequence_at(publisher, begin.position);
    return 0;
}

/* Under the publish lock. */
static int join_at(struct rq_publisher *publisher, struct rq_tap *tap, uint64_t position,
                   uint64_t cursor) {
    if (publisher->tap_count == RQ_TAPS_MAX) return -ENOSPC;
    atomic_store_explicit(&tap->flushed_bytes, position, memory_order_relaxed);
    if (cursor == 0 || cursor > position) cursor = position;
    atomic_store_explicit(&tap->cursor_bytes, cursor, memory_order_relaxed);
    tap->moved_ticks = rq_now_ticks();
    tap->cursor_seen = cursor;
    publisher->taps[publisher->tap_count++] = tap;
    if (!RQ_MUTATED(TAP_LIMIT_KEPT)) publisher->gate_limit_bytes = 0; /* ask at the next frame */
    return 0;
}

int rq_publisher_add_tap(struct rq_publisher *publisher, struct rq_tap *tap, struct rq_join *join) {
    rq_publisher_lock(publisher);
    int error = rq_handle_is_closing(&publisher->handle) ? -ESHUTDOWN : find_place(publisher, join);
    if (error == 0 && join->is_held && !publisher->segment.is_reliable)
        atomic_store_explicit(&tap->flushed_bytes, RQ_TAP_GONE, memory_order_relaxed);
    else if (error == 0)
        error = join_at(publisher, tap, join->position, join->cursor);
    rq_publisher_unlock(publisher);
    return error;
}

int rq_publisher_begin_tap(struct rq_publisher *publisher, struct rq_tap *tap, uint64_t position,
                           uint64_t cursor, uint64_t *sequence_out) {
    const struct rq_segment *segment = &publisher->segment;
    int error = 0;
    rq_publisher_lock(publisher);
    uint64_t held = atomic_load_explicit(&tap->flushed_bytes, memory_order_relaxed);
    uint64_t lag_bytes = publisher->tail - position;
    if (!is_frame(publisher, position)) {
        error = -EINVAL;
    } else if (held != RQ_TAP_GONE) { /* reliable: a member since it was added */
        if (position < held) error = -EINVAL;
        if (cursor > position) cursor = position;
        if (error == 0) {
            atomic_store_explicit(&tap->flushed_bytes, position, memory_order_relaxed);
            if (cursor > atomic_load_explicit(&tap->cursor_bytes, memory_order_relaxed))
                atomic_store_explicit(&tap->cursor_bytes, cursor, memory_order_relaxed);
        }
    } else if (lag_bytes > segment->capacity_bytes / 2) {
        error = -ESTALE;
    } else { /* also while it is being closed: its end is yet to be sent, unless that was READ */
        int has_ended =
            atomic_load_explicit(&publisher->live->state, memory_order_relaxed) == RQ_STATE_ENDED;
        error =
            has_ended && lag_bytes == 0 ? -ESHUTDOWN : join_at(publisher, tap, position, cursor);
    }
    if (error == 0) *sequence_out = sequence_at(publisher, position);
    rq_publisher_unlock(publisher);
    return error;
}

void rq_publisher_remove_tap(struct rq_publisher *publisher, struct rq_tap *tap) {
    rq_publisher_lock(publisher);
    for (uint32_t i = 0; i < publisher->tap_count; i++) {
        if (publisher->taps[i] != tap) continue;
        publisher->taps[i] = publisher->taps[--publisher->tap_count];
        publisher->gate_limit_bytes =
            publisher->segment.is_reliable || publisher->tap_count ? 0 : UINT64_MAX;
        break;
    }
    rq_publisher_unlock(publisher);
}

/* How long the last one waited for those before him. Not while a sender is blocked: then nothing
 * new goes. */
static void note_skew(struct rq_publisher *publisher, uint64_t skew_ticks) {
    if (publisher->blocked_since_ticks != 0) return;
    publisher->skew_ticks += skew_ticks;
    publisher->skew_rounds++;
    if (skew_ticks > publisher->skew_ticks_max) publisher->skew_ticks_max = skew_ticks;
}

void rq_serve_taps(struct rq_publisher *publisher) {
    uint32_t count = publisher->tap_count;
    uint64_t first_ticks = 0;
    if (++publisher->tap_first >= count) publisher->tap_first = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = publisher->tap_first + i;
        struct rq_tap *tap = publisher->taps[number < count ? number : number - count];
        tap->serve(tap, publisher->tail);
        if (i == 0 && count > 1) first_ticks = rq_now_ticks();
    }
    if (count > 1) note_skew(publisher, rq_now_ticks() - first_ticks);
}

/*
 * Source protection. A NIC reads again what it must retransmit, so no byte is written over before
 * the chain that covers it is flushed, nor while it is still to be sent. The word only grows, and
 * is never "none" while a chain may come, so a limit that was reckoned from an older value is too
 * low at worst: writer and poster need no other agreement.
 */
uint64_t rq_tap_limit(const struct rq_publisher *publisher, const struct rq_tap *tap) {
    /* Pairs with the release store in link_hot.c: the NIC read those bytes before. */
    uint64_t flushed = atomic_load_explicit(&tap->flushed_bytes, memory_order_acquire);
    if (flushed == RQ_TAP_GONE) return UINT64_MAX;
    flushed += publisher->segment.capacity_bytes - RQ_END_RESERVE_BYTES;
    if (!publisher->segment.is_reliable) return flushed;
    uint64_t cursor = atomic_load_explicit(&tap->cursor_bytes, memory_order_acquire) +
                      rq_room_bytes(&publisher->segment) - RQ_END_RESERVE_BYTES;
    return cursor < flushed ? cursor : flushed;
}

uint64_t rq_taps_limit(const struct rq_publisher *publisher) {
    uint64_t limit_bytes = UINT64_MAX;
    for (uint32_t i = 0; i < publisher->tap_count; i++) {
        uint64_t limit_of_one = rq_tap_limit(publisher, publisher->taps[i]);
        if (limit_of_one < limit_bytes) limit_bytes = limit_of_one;
    }
    return limit_bytes;
}

uint32_t rq_taps_joined(const struct rq_publisher *publisher) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < publisher->tap_count; i++)
        count += atomic_load_explicit(&publisher->taps[i]->flushed_bytes, memory_order_relaxed) !=
                 RQ_TAP_GONE;
    return count;
}
