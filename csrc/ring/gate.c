/*
 * Flow control of a reliable stream: the slowest live reader gates the writer, and who stalls
 * past the timeout is cut off. A lossy stream's limit is never reached.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "ring/publisher.h"

#define YIELDS_BEFORE_SLEEP 200
#define SLEEP_NS 50000

static void cut_off(struct rq_publisher *publisher, struct rq_admitted *reader, uint32_t why) {
    reader->is_gating = 0;
    publisher->readers_cut_off++;
    /* Pairs with the acquire load in rq_reader_check_standing. */
    atomic_store_explicit(&reader->control->cut_off, why, memory_order_release);
    rq_wake_everybody(publisher->live);
}

int rq_publisher_cut_off(struct rq_publisher *publisher, int slot) {
    int error = -ENOENT;
    rq_publisher_lock(publisher);
    for (uint32_t i = 0; i < publisher->reader_count; i++) {
        if (publisher->readers[i]->slot != slot) continue;
        cut_off(publisher, publisher->readers[i], RQ_CUT_STALLED);
        error = 0;
    }
    rq_publisher_unlock(publisher);
    return error;
}

/* A reader's word is hostile: loaded once, it must not run backwards or ahead of the tail. */
static void look_at_cursor(struct rq_publisher *publisher, struct rq_admitted *reader) {
    /* Pairs with the release store in rq_reader_advance: the reader has finished with the bytes
     * below its cursor before we write over them. */
    uint64_t cursor = atomic_load_explicit(&reader->control->cursor_bytes, memory_order_acquire);
    uint64_t tail = publisher->tail;
    if (publisher->is_replica) /* a reader may see the NIC's tail before we do */
        tail = atomic_load_explicit(&publisher->live->tail_bytes, memory_order_acquire);
    if (RQ_UNLESS(CURSOR_RUNS_BACK, cursor < reader->cursor_seen) || cursor > tail)
        cut_off(publisher, reader, RQ_CUT_BAD_CURSOR);
    else
        reader->cursor_seen = cursor;
}

static uint32_t gating_count(const struct rq_publisher *publisher) {
    uint32_t count = rq_taps_joined(publisher);
    for (uint32_t i = 0; i < publisher->reader_count; i++)
        count += publisher->readers[i]->is_gating != 0;
    return count;
}

uint64_t rq_gate_least_cursor(struct rq_publisher *publisher, uint64_t most) {
    for (uint32_t i = 0; i < publisher->reader_count; i++) {
        struct rq_admitted *reader = publisher->readers[i];
        if (reader->is_gating) look_at_cursor(publisher, reader);
        if (reader->is_gating && reader->cursor_seen < most) most = reader->cursor_seen;
    }
    return most;
}

int rq_gate_refresh(struct rq_publisher *publisher, uint64_t frame_bytes) {
    uint64_t limit_bytes = rq_taps_limit(publisher);
    uint64_t room_bytes = rq_room_bytes(&publisher->segment) - RQ_END_RESERVE_BYTES;
    for (uint32_t i = 0; i < publisher->reader_count; i++) {
        struct rq_admitted *reader = publisher->readers[i];
        if (reader->is_gating) look_at_cursor(publisher, reader);
        if (reader->is_gating && reader->cursor_seen + room_bytes < limit_bytes)
            limit_bytes = reader->cursor_seen + room_bytes;
    }
    if (gating_count(publisher) < publisher->readers_min) limit_bytes = 0;
    publisher->gate_limit_bytes = limit_bytes;
    return publisher->tail + frame_bytes <= limit_bytes;
}

/* Signed: another CPU's counter may have stamped `since` a little ahead of our `now`. */
static int has_passed(uint64_t since_ticks, uint64_t now_ticks, uint64_t timeout_ticks) {
    int64_t passed_ticks = (int64_t)(now_ticks - since_ticks);
    return passed_ticks > 0 && (uint64_t)passed_ticks > timeout_ticks;
}

/* Called while blocked. A reader is stalled when it is in the way and its cursor stood still. */
static void cut_off_stalled(struct rq_publisher *publisher, uint64_t frame_bytes,
                            const uint64_t *cursors_before, uint64_t now_ticks) {
    uint64_t room_bytes = rq_room_bytes(&publisher->segment) - RQ_END_RESERVE_BYTES;
    uint64_t timeout_ticks = rq_ns_ticks(publisher->timeout_ns);
    for (uint32_t i = 0; i < publisher->reader_count; i++) {
        struct rq_admitted *reader = publisher->readers[i];
        if (!reader->is_gating) continue;
        if (reader->cursor_seen != cursors_before[i] ||
            reader->cursor_seen + room_bytes >= publisher->tail + frame_bytes)
            reader->moved_ticks = now_ticks;
        else if (has_passed(reader->moved_ticks, now_ticks, timeout_ticks))
            cut_off(publisher, reader, RQ_CUT_STALLED);
    }
    for (uint32_t i = 0; i < publisher->tap_count; i++) {
        struct rq_tap *tap = publisher->taps[i];
        uint64_t flushed = atomic_load_explicit(&tap->flushed_bytes, memory_order_relaxed);
        if (flushed == RQ_TAP_GONE) continue;
        uint64_t cursor = atomic_load_explicit(&tap->cursor_bytes, memory_order_relaxed);
        if (cursor != tap->cursor_seen || cursor + room_bytes >= publisher->tail + frame_bytes)
            tap->moved_ticks = now_ticks;
        else if (has_passed(tap->moved_ticks, now_ticks, timeout_ticks))
            publisher->readers_cut_off += tap->cut_off(tap) != 0;
        tap->cursor_seen = cursor;
    }
}

/* Lossy: the one thing it waits for is a flush, which whoever ends the link sees to. */
static int is_unflushed_too_long(const struct rq_publisher *publisher, uint64_t now_ticks) {
    return has_passed(publisher->blocked_since_ticks, now_ticks, rq_ns_ticks(RQ_STALL_NS_MAX));
}

/* Too few readers for longer than the timeout: counted from when they became too few. */
static int is_too_few_too_long(struct rq_publisher *publisher, uint64_t now_ticks) {
    if (gating_count(publisher) >= publisher->readers_min) {
        publisher->too_few_since_ticks = 0;
        return 0;
    }
    if (publisher->too_few_since_ticks == 0) publisher->too_few_since_ticks = now_ticks;
    return has_passed(publisher->too_few_since_ticks, now_ticks,
                      rq_ns_ticks(publisher->timeout_ns));
}

/* Nobody looked for longer than a slice: this process stood still, and its readers may have stood
 * still with it (a paused machine, a stopped container). Such time is nobody's stall. */
static void forgive_absence(struct rq_publisher *publisher, uint64_t now_ticks) {
    int64_t away_ticks =
        (int64_t)(now_ticks - publisher->looked_ticks) - (int64_t)rq_ns_ticks(RQ_WAIT_SLICE_NS_MAX);
    publisher->looked_ticks = now_ticks;
    if (away_ticks <= 0) return;
    uint64_t forgiven_ticks = (uint64_t)away_ticks;
    publisher->blocked_since_ticks += forgiven_ticks;
    if (publisher->too_few_since_ticks != 0) publisher->too_few_since_ticks += forgiven_ticks;
    for (uint32_t i = 0; i < publisher->reader_count; i++)
        publisher->readers[i]->moved_ticks += forgiven_ticks;
    for (uint32_t i = 0; i < publisher->tap_count; i++)
        publisher->taps[i]->moved_ticks += forgiven_ticks;
}

static int try_gate(struct rq_publisher *publisher, uint64_t frame_bytes) {
    uint64_t cursors_before[RQ_READERS_MAX];
    rq_publisher_lock(publisher);
    uint64_t now_ticks = rq_now_ticks(); /* under the lock, as the stamps of who is admitted */
    forgive_absence(publisher, now_ticks);
    for (uint32_t i = 0; i < publisher->reader_count; i++)
        cursors_before[i] = publisher->readers[i]->cursor_seen;
    int is_open = rq_gate_is_open(publisher, frame_bytes), is_hopeless = 0;
    if (!is_open) {
        for (uint32_t i = 0; i < publisher->tap_count; i++)
            atomic_store_explicit(&publisher->taps[i]->is_waited_for, 1, memory_order_relaxed);
        rq_serve_taps(publisher);
        if (publisher->segment.is_reliable)
            cut_off_stalled(publisher, frame_bytes, cursors_before, now_ticks);
        is_open = rq_gate_is_open(publisher, frame_bytes);
    }
    if (!is_open)
        is_hopeless = publisher->segment.is_reliable ? is_too_few_too_long(publisher, now_ticks)
                                                     : is_unflushed_too_long(publisher, now_ticks);
    rq_publisher_unlock(publisher);
    if (is_open) return 1;
    if (!is_hopeless) return 0;
    return publisher->segment.is_reliable ? -ETIMEDOUT : -ETIME;
}

static void count_who_is_in_the_way(struct rq_publisher *publisher, uint64_t frame_bytes) {
    for (uint32_t i = 0; i < publisher->tap_count; i++)
        if (publisher->tail + frame_bytes > rq_tap_limit(publisher, publisher->taps[i]))
            rq_count(&publisher->taps[i]->stalls, 1);
}

static void begin_stall(struct rq_publisher *publisher, uint64_t frame_bytes, uint64_t now_ticks) {
    publisher->blocked_since_ticks = publisher->looked_ticks = now_ticks;
    publisher->too_few_since_ticks = 0;
    rq_publisher_lock(publisher);
    for (uint32_t i = 0; i < publisher->reader_count; i++)
        publisher->readers[i]->moved_ticks = now_ticks;
    for (uint32_t i = 0; i < publisher->tap_count; i++) publisher->taps[i]->moved_ticks = now_ticks;
    rq_count(&publisher->live->counters.stalls, 1);
    count_who_is_in_the_way(publisher, frame_bytes);
    rq_publisher_unlock(publisher);
}

static int wait_at_gate(struct rq_publisher *publisher, uint64_t frame_bytes, uint64_t wait_ns) {
    uint64_t now_ticks = rq_now_ticks();
    if (wait_ns > RQ_WAIT_SLICE_NS_MAX) wait_ns = RQ_WAIT_SLICE_NS_MAX;
    uint64_t deadline_ticks = now_ticks + rq_ns_ticks(wait_ns);
    if (publisher->blocked_since_ticks == 0) begin_stall(publisher, frame_bytes, now_ticks);
    for (int turns = 0;; turns++) {
        int result = try_gate(publisher, frame_bytes);
        if (result != 0) {
            publisher->blocked_since_ticks = 0;
            return result;
        }
        if (rq_handle_is_closing(&publisher->handle)) return -ESHUTDOWN;
        if (now_ticks >= deadline_ticks) return 0;
        if (turns < YIELDS_BEFORE_SLEEP) {
            sched_yield();
        } else {
            struct timespec pause = {.tv_sec = 0, .tv_nsec = SLEEP_NS};
            if (nanosleep(&pause, NULL) != 0) return -EINTR;
        }
        now_ticks = rq_now_ticks();
    }
}

uint64_t rq_this_thread(void) { return (uint64_t)pthread_self(); }

void rq_publisher_give_up(struct rq_publisher *publisher) {
    if (rq_handle_enter_waiting(&publisher->handle) != 0) return;
    if (publisher->waiter == rq_this_thread()) publisher->waiter = 0;
    rq_handle_leave(&publisher->handle);
}

int rq_publisher_wait(struct rq_publisher *publisher, uint64_t payload_bytes, uint64_t wait_ns) {
    int error = rq_publisher_enter(publisher);
    if (error != 0) return error;
    int result = wait_at_gate(publisher, rq_frame_bytes(payload_bytes), wait_ns);
    /* It comes back for another slice or to send: until then the handle is empty, and still its. */
    if (result >= 0 || result == -EINTR) publisher->waiter = rq_this_thread();
    rq_handle_leave(&publisher->handle);
    return result;
}
