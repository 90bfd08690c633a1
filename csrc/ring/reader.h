/* The reader's private state. Nothing of it is shared; its words to the publisher are `control`. */
#ifndef RQ_RING_READER_H
#define RQ_RING_READER_H

#include "ring/clock.h"
#include "ring/handle.h"
#include "ring/mutation.h"
#include "ring/segment.h"

struct rq_reader {
    struct rq_segment segment;
    struct rq_live *live;
    struct rq_control *control;
    uint64_t cursor;          /* position of the frame that is read next, or in part */
    uint64_t next_sequence;   /* 0: not known before the first frame */
    uint64_t deliver_from;    /* messages below it were not asked for */
    uint64_t deliver_from_ns; /* nor, while next_sequence is 0, those from before that time */
    uint64_t hole_end;        /* sequences [next_sequence, hole_end) are lost and not yet told */
    uint64_t blocks_position; /* the frame for which the two below hold */
    uint64_t blocks_taken;    /* messages already delivered of it, and the bytes they took */
    uint64_t blocks_taken_bytes;
    int is_lapped;
    uint64_t told_cursor; /* what the publisher knows */

    int is_borrowed;
    uint64_t borrowed_end;      /* the cursor after a release with consume */
    uint64_t borrowed_sequence; /* next_sequence after it */
    uint64_t borrowed_bytes;
    uint64_t borrowed_messages;
    uint64_t borrowed_taken; /* of its frame, for blocks_taken */
    uint64_t borrowed_taken_bytes;

    struct rq_reader_stats stats;
    struct rq_keeper *keeper; /* NULL, or: of the replica, rung before each sleep */
    void *control_page;
    size_t control_page_bytes;
    int owner_pid; /* the page is not inherited by a forked child */
    struct rq_handle handle;
};

/* What lies at the cursor. */
enum rq_peek { RQ_PEEK_NOTHING, RQ_PEEK_MESSAGES, RQ_PEEK_GAP, RQ_PEEK_HOLE, RQ_PEEK_END };

struct rq_peeked {
    struct rq_frame_header header;
    uint64_t skip;      /* messages at its beginning that were delivered or not asked for */
    uint64_t gap_first; /* RQ_PEEK_GAP */
    uint64_t gap_last;
};

/* frame_hot.c: looks at the next frame; passes over heartbeats and frames with nothing new; finds
 * a new place after a lap. Returns an rq_peek, or -EBADMSG when the writer wrote nonsense. */
int rq_peek_frame(struct rq_reader *reader, struct rq_peeked *peeked);
/* What a peek that found no messages means to the caller: takes a gap or (a piece of) a hole out
 * of the way, describes it and returns RQ_POLL_GAP; else RQ_POLL_NOTHING, RQ_POLL_END, -errno. */
int rq_answer(struct rq_reader *reader, int found, const struct rq_peeked *peeked,
              struct rq_batch *batch);

/* read_hot.c: returns a message count, RQ_POLL_* or -errno. */
int rq_read_batch(struct rq_reader *reader, struct rq_poll *poll, uint32_t message_count_max);
/* borrow_hot.c: the same. */
int rq_borrow_batch(struct rq_reader *reader, struct rq_poll *poll, uint32_t message_count_max);

/*
 * The guard rule. True when every byte from `position` on, as far as the tail seen before, is
 * still what it was when it was read: the writer goes at most `guard` beyond its tail. Nothing
 * read is used before this has been asked. The difference is unsigned: a hostile tail below the
 * position counts as lapped.
 */
static inline int rq_reader_is_intact(const struct rq_reader *reader, uint64_t position,
                                      uint64_t *tail_out) {
    /* Keeps the reads before the load: pairs with begin_burst in publish_hot.c. */
    atomic_thread_fence(memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&reader->live->tail_bytes, memory_order_acquire);
    *tail_out = tail;
    if (RQ_MUTATED(GUARD_0)) return tail - position <= reader->segment.capacity_bytes;
    return tail - position <= reader->segment.capacity_bytes - reader->segment.guard_bytes;
}

/* The next sequence to deliver; before the first look at a frame, where the stream began. 0: it
 * has not begun (or its publisher wrote nonsense). */
static inline uint64_t rq_reader_next_sequence(const struct rq_reader *reader, uint64_t tail) {
    if (reader->next_sequence != 0) return reader->next_sequence;
    if (tail == reader->cursor) return reader->deliver_from_ns != 0 ? reader->deliver_from : 0;
    uint64_t origin = atomic_load_explicit(&reader->live->origin_sequence, memory_order_relaxed);
    return origin > reader->deliver_from ? origin : reader->deliver_from;
}

/* A hint, outside of the handle: is there something for a poll to look at, and how much? */
static inline int rq_reader_has_news(const struct rq_reader *reader) {
    return atomic_load_explicit(&reader->live->tail_bytes, memory_order_relaxed) !=
               reader->cursor ||
           atomic_load_explicit(&reader->control->cut_off, memory_order_relaxed) != 0;
}

static inline uint64_t rq_reader_pending_bytes(const struct rq_reader *reader) {
    return atomic_load_explicit(&reader->live->tail_bytes, memory_order_relaxed) - reader->cursor;
}

/* Tells a reliable publisher that the bytes below the cursor may be written over. */
static inline void rq_reader_advance(struct rq_reader *reader) {
    /* Pairs with the acquire load in gate.c: our reads are over before it sees the cursor. */
    if (reader->told_cursor == reader->cursor) return;
    reader->told_cursor = reader->cursor;
    atomic_store_explicit(&reader->control->cursor_bytes, reader->cursor, memory_order_release);
}

#endif
