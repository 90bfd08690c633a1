/* The reader's calls: opening on a grant, waiting, and what each answer means to the caller. */
#define _GNU_SOURCE
#include "ring/reader.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring/keeper.h"
#include "ring/memfd.h"
#include "ring/wake.h"

#define SPIN_NS 20000
#define SPINS_PER_LOOK 32
_Static_assert(SPIN_NS > RQ_WAKE_INTERVAL_NS, "who spins first is never woken late");

/* The page must be what the publisher promised: sealed and of one page, or a later truncation
 * would kill us with SIGBUS. */
static int map_control_page(struct rq_reader *reader, int control_fd, int slot) {
    if (slot < 0 || slot >= RQ_READERS_MAX) return -EINVAL;
    reader->control_page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    int error = rq_memfd_check_sealed(control_fd, RQ_SEAL_SIZE);
    if (error == 0) error = rq_memfd_check_bytes(control_fd, reader->control_page_bytes);
    if (error != 0) return error;
    reader->control_page = mmap(NULL, reader->control_page_bytes, PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_POPULATE, control_fd, 0);
    if (reader->control_page == MAP_FAILED) return -errno;
    rq_memory_keep_from_fork(reader->control_page, reader->control_page_bytes);
    reader->control =
        (struct rq_control *)((uint8_t *)reader->control_page + rq_control_offset(slot));
    return 0;
}

int rq_reader_open(struct rq_segment *segment, int control_fd, int slot, uint64_t position,
                   uint64_t sequence, uint64_t deliver_from, struct rq_reader **reader_out) {
    *reader_out = NULL;
    uint64_t tail = atomic_load_explicit(&segment->live->tail_bytes, memory_order_acquire);
    if (position % RQ_FRAME_ALIGN_BYTES != 0 || position < segment->capacity_bytes ||
        position > tail)
        return -EBADMSG;
    struct rq_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL) return -ENOMEM;
    int error = map_control_page(reader, control_fd, slot);
    if (error != 0) {
        free(reader);
        return error;
    }
    rq_clock_calibrate();
    reader->owner_pid = getpid();
    reader->segment = *segment;
    reader->live = segment->live;
    reader->cursor = position;
    reader->next_sequence = sequence;
    reader->deliver_from = deliver_from;
    rq_reader_advance(reader);
    *reader_out = reader;
    return 0;
}

void rq_reader_deliver_from_time(struct rq_reader *reader, uint64_t wall_ns) {
    reader->deliver_from_ns = wall_ns;
    reader->deliver_from = reader->next_sequence; /* of the grant */
    reader->next_sequence = 0;                    /* found out by looking at frames */
}

void rq_reader_ring_before_sleep(struct rq_reader *reader, struct rq_keeper *keeper) {
    reader->keeper = keeper;
}

/* After `waiting` was stored, and the fence. */
static void ring(const struct rq_reader *reader) {
    if (reader->keeper != NULL) rq_keeper_ring(reader->keeper);
}

static int spin(struct rq_reader *reader, uint64_t until_ticks, int is_yielding) {
    for (;;) {
        for (int i = 0; i < SPINS_PER_LOOK; i++) {
            if (rq_reader_has_news(reader)) return 0;
            if (is_yielding)
                sched_yield();
            else
                rq_cpu_relax();
        }
        if (rq_handle_is_closing(&reader->handle)) return -ESHUTDOWN;
        if (rq_now_ticks() >= until_ticks) return 0;
    }
}

static int sleep_until(struct rq_reader *reader, uint64_t until_ticks) {
    _Atomic uint32_t *wake_seq = &reader->live->wake_seq;
    for (;;) {
        uint32_t seen = atomic_load_explicit(wake_seq, memory_order_acquire);
        if (!RQ_MUTATED(READER_FENCE_GONE))
            atomic_store_explicit(&reader->control->waiting, RQ_WAITING_FUTEX,
                                  memory_order_relaxed);
        /* Pairs with the fence in rq_wake_readers: see there. */
        atomic_thread_fence(memory_order_seq_cst);
        int error = 0;
        uint64_t now_ticks = rq_now_ticks();
        RQ_STEP();
        if (!rq_reader_has_news(reader) && !rq_handle_is_closing(&reader->handle) &&
            now_ticks < until_ticks) {
            RQ_STEP();
            if (RQ_MUTATED(READER_FENCE_GONE)) /* `waiting` was still in the store buffer */
                atomic_store_explicit(&reader->control->waiting, RQ_WAITING_FUTEX,
                                      memory_order_relaxed);
            uint64_t wait_ns = rq_clock_ticks_to_ns(until_ticks - now_ticks);
            ring(reader);
            error = rq_futex_wait(wake_seq, seen, wait_ns);
            reader->stats.wakes++;
        }
        atomic_store_explicit(&reader->control->waiting, RQ_NOT_WAITING, memory_order_relaxed);
        if (rq_handle_is_closing(&reader->handle)) return -ESHUTDOWN;
        if (rq_reader_has_news(reader) || error == -EINTR || rq_now_ticks() >= until_ticks)
            return 0;
    }
}

/* One slice. Returns when there is news, or time is up, or a signal came: the caller looks. */
static int wait_for_news(struct rq_reader *reader, uint32_t wait_mode, uint64_t wait_ns) {
    if (wait_ns > RQ_WAIT_SLICE_NS_MAX) wait_ns = RQ_WAIT_SLICE_NS_MAX;
    uint64_t now_ticks = rq_now_ticks();
    uint64_t until_ticks = now_ticks + rq_ns_ticks(wait_ns);
    switch (wait_mode) {
        case RQ_WAIT_SPIN: return spin(reader, until_ticks, 0);
        case RQ_WAIT_YIELD: return spin(reader, until_ticks, 1);
        case RQ_WAIT_SLEEP: return sleep_until(reader, until_ticks);
        default: break;
    }
    uint64_t spin_until_ticks = now_ticks + rq_ns_ticks(SPIN_NS);
    if (spin_until_ticks > until_ticks) spin_until_ticks = until_ticks;
    int error = spin(reader, spin_until_ticks, 0);
    if (error != 0 || rq_reader_has_news(reader)) return error;
    return sleep_until(reader, until_ticks);
}

static int is_cut_off(struct rq_reader *reader, struct rq_batch *batch) {
    /* Pairs with the release store in gate.c. */
    batch->cause = atomic_load_explicit(&reader->control->cut_off, memory_order_acquire);
    return batch->cause != 0;
}

typedef int read_step(struct rq_reader *reader, struct rq_poll *poll, uint32_t message_count_max);

/* Tries, waits for one slice, tries again: poll and borrow differ only in the step. */
static int read_or_wait(struct rq_reader *reader, read_step *step, struct rq_poll *poll,
                        uint32_t message_count_max, uint64_t wait_ns) {
    if (reader->is_borrowed) return -EALREADY;
    if (is_cut_off(reader, &poll->batch)) return RQ_POLL_CUT_OFF;
    int found = step(reader, poll, message_count_max);
    if (found != RQ_POLL_NOTHING || wait_ns == 0) return found;
    int error = wait_for_news(reader, poll->wait_mode, wait_ns);
    if (error != 0) return error;
    if (is_cut_off(reader, &poll->batch)) return RQ_POLL_CUT_OFF;
    return step(reader, poll, message_count_max);
}

int rq_reader_poll(struct rq_reader *reader, struct rq_poll *poll, uint32_t message_count_max,
                   uint64_t wait_ns) {
    int found = rq_handle_enter(&reader->handle);
    if (found != 0) return found;
    found = read_or_wait(reader, rq_read_batch, poll, message_count_max, wait_ns);
    rq_handle_leave(&reader->handle);
    return found;
}

int rq_reader_borrow(struct rq_reader *reader, struct rq_poll *poll, uint32_t message_count_max,
                     uint64_t wait_ns) {
    int found = rq_handle_enter(&reader->handle);
    if (found != 0) return found;
    found = read_or_wait(reader, rq_borrow_batch, poll, message_count_max, wait_ns);
    rq_handle_leave(&reader->handle);
    return found;
}

/* The borrowed messages count as received only if they were intact up to now. */
static int end_borrow(struct rq_reader *reader, int consume) {
    if (!reader->is_borrowed) return -ENOENT;
    reader->is_borrowed = 0;
    uint64_t tail;
    if (!rq_reader_is_intact(reader, reader->cursor, &tail)) {
        reader->is_lapped = 1;
        return 0;
    }
    if (!consume) return 1;
    if (reader->borrowed_end == reader->cursor) { /* part of a frame */
        reader->blocks_position = reader->cursor;
        reader->blocks_taken_bytes = reader->borrowed_taken_bytes;
        reader->blocks_taken = reader->borrowed_taken;
    }
    reader->cursor = reader->borrowed_end;
    reader->next_sequence = reader->borrowed_sequence;
    reader->stats.messages += reader->borrowed_messages;
    reader->stats.bytes += reader->borrowed_bytes;
    reader->stats.frames++;
    reader->stats.batches++;
    rq_reader_advance(reader);
    return 1;
}

int rq_reader_release(struct rq_reader *reader, int consume) {
    /* Waits for a thread that should not be inside: the view must end, or nobody reads again. */
    int status = rq_handle_enter_waiting(&reader->handle);
    if (status != 0) return status;
    status = end_borrow(reader, consume);
    rq_handle_leave(&reader->handle);
    return status;
}

int rq_reader_arm(struct rq_reader *reader) {
    int status = rq_handle_enter(&reader->handle);
    if (status != 0) return status;
    atomic_store_explicit(&reader->control->waiting, RQ_WAITING_SOCKET, memory_order_relaxed);
    /* Pairs with the fence in rq_wake_readers: see there. */
    atomic_thread_fence(memory_order_seq_cst);
    status = rq_reader_has_news(reader);
    if (status)
        atomic_store_explicit(&reader->control->waiting, RQ_NOT_WAITING, memory_order_relaxed);
    else
        ring(reader);
    rq_handle_leave(&reader->handle);
    return status;
}

void rq_reader_read_stats(struct rq_reader *reader, struct rq_reader_stats *out) {
    *out = reader->stats; /* from another thread: each word is whole, their moments may differ */
    out->cursor_bytes = reader->cursor;
    /* Pairs with the release store in publish_hot.c: a tail that moved brings its origin along. */
    out->tail_bytes = atomic_load_explicit(&reader->live->tail_bytes, memory_order_acquire);
    out->next_sequence = rq_reader_next_sequence(reader, out->tail_bytes);
    uint64_t beat_ticks =
        atomic_load_explicit(&reader->live->heartbeat_ticks, memory_order_relaxed);
    uint64_t now_ticks = rq_now_ticks();
    out->heartbeat_age_ns =
        now_ticks > beat_ticks ? rq_clock_ticks_to_ns(now_ticks - beat_ticks) : 0;
}

uint64_t rq_reader_wall_ns(struct rq_reader *reader, uint64_t ticks) {
    return rq_clock_wall_ns(&reader->live->clock, ticks);
}

void rq_frame_latencies_ns(const struct rq_frame_note *notes, uint32_t note_count,
                           uint64_t received_ticks, int64_t *out) {
    for (uint32_t i = 0; i < note_count; i++)
        out[i] = received_ticks > notes[i].ticks
                     ? (int64_t)rq_clock_ticks_to_ns(received_ticks - notes[i].ticks)
                     : 0;
}

int rq_reader_close(struct rq_reader *reader) {
    if (!rq_handle_begin_close(&reader->handle)) return 0;
    /* Whoever sleeps inside wakes, and so does everybody else's reader: they look and sleep on.
     * Again and again, since the one inside may be about to sleep: it looked before we began, and
     * we cannot change wake_seq, which is the publisher's. */
    do {
        rq_futex_wake(&reader->live->wake_seq);
    } while (!rq_handle_try_idle(&reader->handle));
    return 0;
}

void rq_reader_forget(struct rq_reader *reader) {
    atomic_store_explicit(&reader->handle.is_closing, 1, memory_order_relaxed);
    reader->control_page = NULL; /* was never mapped in this process */
}

void rq_reader_free(struct rq_reader *reader) {
    if (reader == NULL) return;
    if (reader->control_page != NULL && reader->owner_pid == getpid())
        munmap(reader->control_page, reader->control_page_bytes);
    free(reader);
}
