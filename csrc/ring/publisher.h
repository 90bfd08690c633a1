/* The writer's private state. Everything here lives in the publisher's own heap. */
#ifndef RQ_RING_PUBLISHER_H
#define RQ_RING_PUBLISHER_H

#include "ring/clock.h"
#include "ring/handle.h"
#include "ring/keeper.h"
#include "ring/mutation.h"
#include "ring/segment.h"

/* The `end` frame is written at close without asking anybody: reliable mode keeps room for it. */
#define RQ_END_RESERVE_BYTES RQ_FRAME_HEADER_BYTES

struct rq_admitted {
    struct rq_control *control;
    void *page;
    size_t page_bytes;
    int socket_fd; /* a duplicate, ours to close */
    int slot;
    int is_gating;
    uint64_t cursor_seen;
    uint64_t moved_ticks; /* while the publisher is blocked: when this cursor last moved */
    uint64_t wakes_paid_until_ticks;
    int is_deferred; /* nobody looks at its `waiting` before the keeper does */
};

#define RQ_TAP_GONE UINT64_MAX /* no NIC reads our bytes for it any more, nor ever will */

/* Somebody else who takes what is published: a link (csrc/link) is one. */
struct rq_tap {
    /* Something was published, or is waited for. Never waits itself; under the publish lock. */
    void (*serve)(struct rq_tap *tap, uint64_t tail);
    /* It stood in a reliable publisher's way for too long; under the publish lock. 1: it carries no
     * more from now on; 0: it had failed before. */
    int (*cut_off)(struct rq_tap *tap);
    _Atomic uint64_t flushed_bytes; /* below it no NIC reads; it only grows */
    _Atomic uint64_t cursor_bytes;  /* reliable: below it no reader of the other side does */
    _Atomic uint32_t is_waited_for; /* gate.c sets it while a sender waits; the link clears it */
    _Atomic uint64_t stalls;        /* gate.c: senders that found it in their way */
    uint64_t cursor_seen;           /* gate.c: where it was, and when it last moved */
    uint64_t moved_ticks;
};

struct rq_publisher {
    struct rq_segment segment; /* a copy: one pointer less on the hot path */
    struct rq_live *live;
    uint64_t tail;
    uint64_t next_sequence;
    uint64_t gate_limit_bytes; /* the tail may move up to here without asking the readers */
    uint64_t indexed_stride;   /* the last stride that has its index entry */
    uint64_t claimed_bytes;    /* payload bytes of the open claim */
    unsigned index_stride_shift;
    int is_fresh; /* no frame yet: the first sequence may still be chosen */
    int is_claimed;
    uint32_t reader_count;
    _Atomic uint32_t *waiting[RQ_READERS_MAX]; /* packed, for the scan at each publish */
    struct rq_admitted *readers[RQ_READERS_MAX];
    uint64_t slots_used[RQ_READERS_MAX / 64];
    uint32_t tap_count;
    uint32_t tap_first; /* who is served first: each in turn */
    struct rq_tap *taps[RQ_TAPS_MAX];
    uint64_t skew_ticks, skew_ticks_max, skew_rounds; /* from the first served to the last */
    int is_replica; /* a NIC writes the segment: nothing is sent here. Then `tail` is what its owner
                       has seen, and next_sequence 0 where he lost count */
    uint64_t origin;      /* the first position that ever was */
    uint64_t told_cursor; /* a reliable replica: below it the publisher may write over */
    int had_reader;       /* one was ever admitted */

    uint64_t timeout_ns;
    uint32_t readers_min;
    uint32_t readers_cut_off;
    uint64_t blocked_since_ticks; /* 0: not blocked */
    uint64_t looked_ticks;        /* while blocked: when the gate was last looked at */
    uint64_t waiter;              /* thread between two slices of its wait at the gate; 0: none */
    uint64_t too_few_since_ticks; /* while blocked: since when readers are fewer than readers_min */
    struct rq_handle handle;
    _Atomic int lock; /* tail and reader table: held for one frame, or one admission */
    struct rq_publisher *keeper_next;
    struct rq_keeper *keeper; /* NULL: nobody could make up for a wake, so none is deferred */
    uint64_t wake_interval_ticks;
    _Atomic uint32_t deferred_count;
    _Atomic uint32_t nobody_waits; /* always 0: stands in for a deferred reader's `waiting` */
};

static inline void rq_publisher_lock(struct rq_publisher *publisher) {
    while (atomic_exchange_explicit(&publisher->lock, 1, memory_order_acquire)) {
        RQ_STEP();
        sched_yield();
    }
}

static inline void rq_publisher_unlock(struct rq_publisher *publisher) {
    atomic_store_explicit(&publisher->lock, 0, memory_order_release);
}

static inline uint64_t rq_room_bytes(const struct rq_segment *segment) {
    return segment->capacity_bytes - segment->guard_bytes;
}

/* The counters have one writer: no read-modify-write needed. */
static inline void rq_count(_Atomic uint64_t *counter, uint64_t amount) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount,
                          memory_order_relaxed);
}

/* publish_hot.c: all of these must be called with the publish lock held and the gate open. */
void rq_write_frame(struct rq_publisher *publisher, uint32_t kind, uint32_t message_count,
                    uint64_t sequence_count, const void *payload, uint64_t payload_bytes);
void rq_write_claimed(struct rq_publisher *publisher, uint32_t kind, uint32_t message_count,
                      uint64_t payload_bytes);
void rq_write_ledger(struct rq_publisher *publisher, uint64_t first, uint64_t last);

/* publisher.c: rq_handle_enter, and -EALREADY while a claim is open, -EBUSY while another thread is
 * between two slices of its wait. */
int rq_publisher_enter(struct rq_publisher *publisher);

/* Where a tap joins. What is held does not take anything before rq_publisher_begin_tap: a reliable
 * ring is kept for it from `position` on, a lossy one is not. */
struct rq_join {
    uint64_t position;    /* of the other side's tail; 0: it has none, and `start` says where */
    uint64_t cursor;      /* reliable: of its readers, the least; 0: position */
    uint64_t start_value; /* that goes with `start` */
    uint32_t start;       /* RQ_START_* */
    int is_held;
    int may_skip; /* not -ESTALE: from the tail on */
    /* What comes back, besides `position`: where it begins. */
    uint64_t sequence;         /* of the frame there; 0: the stream has none yet */
    uint64_t deliver_sequence; /* of the first message that is asked for; 0: the stream's first */
    uint64_t origin_sequence;  /* of the stream; 0: it has none yet */
};

/* tap.c. -ESTALE: behind by more than half the capacity, but not lapped, and not held: it must
 * catch up by itself first. */
int rq_publisher_add_tap(struct rq_publisher *publisher, struct rq_tap *tap, struct rq_join *join);
/* Of one that is held: the other side's tail stands at `position` now. -ESTALE: as above, or
 * lapped; it stays held. By who alone could set flushed_bytes to RQ_TAP_GONE. */
int rq_publisher_begin_tap(struct rq_publisher *publisher, struct rq_tap *tap, uint64_t position,
                           uint64_t cursor, uint64_t *sequence_out);
void rq_publisher_remove_tap(struct rq_publisher *publisher, struct rq_tap *tap);
/* Must be called with the publish lock held. */
void rq_serve_taps(struct rq_publisher *publisher);
uint64_t rq_taps_limit(const struct rq_publisher *publisher);
uint64_t rq_tap_limit(const struct rq_publisher *publisher, const struct rq_tap *tap);
/* Those whose ring bytes are kept: links that carry, not those that failed. */
uint32_t rq_taps_joined(const struct rq_publisher *publisher);

/* gate.c */
uint64_t rq_this_thread(void);
int rq_gate_refresh(struct rq_publisher *publisher, uint64_t frame_bytes);
/* The least cursor of the readers who gate; `most` when none does. Under the publish lock. */
uint64_t rq_gate_least_cursor(struct rq_publisher *publisher, uint64_t most);

static inline int rq_gate_is_open(struct rq_publisher *publisher, uint64_t frame_bytes) {
    if (publisher->tail + frame_bytes <= publisher->gate_limit_bytes) return 1;
    return rq_gate_refresh(publisher, frame_bytes);
}

/* wake.c: the slow half of waking one reader, now or later by the keeper. All of these but the
 * last must be called with the publish lock held. */
void rq_wake_readmit(struct rq_publisher *publisher);
int rq_wake_reader(struct rq_publisher *publisher, uint32_t reader_number); /* 1: by the futex */
void rq_wake_everybody(struct rq_live *live);
/* The keeper's part: makes up for deferred wakes that are due. Returns how many are not yet. */
uint32_t rq_wake_deferred(struct rq_publisher *publisher);
#ifdef RQ_STEPPED
void rq_keeper_step(struct rq_keeper *keeper); /* one turn of the keeper's thread, and its rest */
#endif

/*
 * Publisher: store tail, fence, load waiting. Reader: store waiting, fence, load tail. Each fence
 * keeps its store before its load, so at least one side sees the other (x86 needs it, too).
 */
static inline void rq_wake_readers(struct rq_publisher *publisher) {
    if (publisher->reader_count == 0) return;
    atomic_thread_fence(memory_order_seq_cst);
    RQ_STEP();
    int is_futex_due = 0;
    for (uint32_t i = 0; i < publisher->reader_count; i++)
        if (atomic_load_explicit(publisher->waiting[i], memory_order_relaxed) != RQ_NOT_WAITING)
            is_futex_due |= rq_wake_reader(publisher, i);
    /* Once, however many sleep: they all sleep on the same word. */
    if (is_futex_due) rq_wake_everybody(publisher->live);
    RQ_STEP();
    if (RQ_MUTATED(PUBLISHER_FENCE_GONE)) /* the tail was still in the store buffer */
        atomic_store_explicit(&publisher->live->tail_bytes, publisher->tail, memory_order_release);
}

/* After a frame: whoever waits for it here, and the links. */
static inline void rq_tell(struct rq_publisher *publisher) {
    rq_wake_readers(publisher);
    if (publisher->tap_count != 0) rq_serve_taps(publisher);
}

#endif
