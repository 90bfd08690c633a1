/*
 * What a link and its replica tell each other besides frames and tails. Both stand in the replica's
 * live unit, behind its live words:
 *
 *   RQ_REPLICA_BEAT_OFFSET_BYTES      the publisher's NIC writes, the replica's owner reads
 *   RQ_REPLICA_FEEDBACK_OFFSET_BYTES  the owner writes, the publisher's NIC reads
 *
 * A word of 8 bytes arrives whole; several together may not. So what must not be mixed up with an
 * earlier link's carries the generation within its word, and the beat's numbers stand between two
 * equal stamps. All of it is a stranger's: nothing is believed that could do harm.
 */
#ifndef RQ_LINK_WORDS_H
#define RQ_LINK_WORDS_H

#include "ring/layout.h"

struct rq_beat {
    _Atomic uint64_t stamp; /* generation << 32 | number of the heartbeat */
    _Atomic uint64_t ticks; /* the publisher's */
    _Atomic uint64_t tail_bytes;
    _Atomic uint64_t base_ticks; /* its clock table */
    _Atomic uint64_t base_wall_ns;
    _Atomic uint64_t ns_per_tick_q32;
    _Atomic uint64_t next_sequence; /* behind tail_bytes; 0: the stream has none yet */
    _Atomic uint64_t stamp_again;
};
_Static_assert(sizeof(struct rq_beat) == 64, "one line, and inline on most devices");
_Static_assert(RQ_REPLICA_BEAT_OFFSET_BYTES + sizeof(struct rq_beat) <=
                   RQ_REPLICA_FEEDBACK_OFFSET_BYTES,
               "side by side");

struct rq_feedback {
    _Atomic uint64_t credits;      /* generation << 32 | receives posted in all, low half */
    _Atomic uint64_t cursor_bytes; /* reliable: below it every reader is done */
};
_Static_assert(RQ_REPLICA_FEEDBACK_OFFSET_BYTES + sizeof(struct rq_feedback) <=
                   RQ_OFFSET_UNIT_BYTES,
               "within the live unit");

/* The link's own registered words, RQ_LINK_WORDS_BYTES. */
struct rq_link_words {
    struct rq_beat beat;                           /* the heartbeat's WRITE begins here */
    alignas(64) struct rq_feedback feedback;       /* the READ's ends here */
    alignas(64) uint64_t origin_sequence;          /* of the stream: sent once */
    alignas(64) uint64_t tails[RQ_LINK_DEPTH_MAX]; /* one per chain in flight */
};
_Static_assert(sizeof(struct rq_link_words) <= RQ_LINK_WORDS_BYTES, "room for all of them");

static inline struct rq_beat *rq_beat_of(struct rq_live *live) {
    return (struct rq_beat *)((uint8_t *)live + RQ_REPLICA_BEAT_OFFSET_BYTES);
}

static inline struct rq_feedback *rq_feedback_of(struct rq_live *live) {
    return (struct rq_feedback *)((uint8_t *)live + RQ_REPLICA_FEEDBACK_OFFSET_BYTES);
}

/* 32 bits of a tail, for a WRITE_WITH_IMM: tails are multiples of 32, and move by 32 bits at
 * most. */
static inline uint32_t rq_tail_imm(uint64_t tail) {
    return (uint32_t)(tail / RQ_FRAME_ALIGN_BYTES);
}

#endif
