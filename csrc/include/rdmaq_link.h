/*
 * Streams over verbs: the links' part of the boundary (csrc/link). A link at the publisher writes a
 * replica of its ring elsewhere; a replica is that ring, and who wakes its readers; a backfill
 * reads out of the publisher's own ring what a replica missed. The rules are those of rdmaq_abi.h,
 * which includes this file.
 */
#ifndef RDMAQ_LINK_H
#define RDMAQ_LINK_H

#include <stdint.h>

/* cffi: begin */

#define RQ_LINK_DEPTH_MAX 64    /* chains in flight */
#define RQ_LINK_CREDITS_MAX 256 /* receives of the other side, for WRITE_WITH_IMM */
#define RQ_LINK_WORDS_BYTES 1024
/* From a segment's live words: what a link writes into a replica, and what it reads there. */
#define RQ_REPLICA_BEAT_OFFSET_BYTES 2048
#define RQ_REPLICA_FEEDBACK_OFFSET_BYTES 2176

#define RQ_TAIL_BY_WRITE 0 /* the tail is a WRITE of its own: where a platform keeps their order */
#define RQ_TAIL_BY_IMM 1   /* the receiver's CPU stores it after the completion: anywhere */

#define RQ_LINK_OPENING 1 /* nothing is posted before rq_link_start, or rq_link_begin */
#define RQ_LINK_LIVE 2
#define RQ_LINK_LAGGING 3 /* behind by more than a quarter of the capacity */
#define RQ_LINK_FAILED 4  /* posts nothing any more; `cause` says why */
#define RQ_LINK_CLOSED 5

#define RQ_LINK_CAUSE_COMPLETION 1 /* `status` and `vendor_error`: what arrived is unknown */
#define RQ_LINK_CAUSE_LAGGED 2     /* lossy: more than half the capacity behind */
#define RQ_LINK_CAUSE_STALLED 3    /* reliable: in the way for longer than the stream's timeout */
#define RQ_LINK_CAUSE_REFUSED 4    /* the provider refused a post; `status` is its errno */
#define RQ_LINK_CAUSE_NONSENSE 5   /* the other side's feedback cannot be */
#define RQ_LINK_CAUSE_STOPPED 6    /* rq_link_stop */
#define RQ_LINK_CAUSE_OVERDUE 7    /* completions ought to come, and none came for overdue_ns */

struct rq_pair;
struct rq_link;
struct rq_replica;
struct rq_backfill;

/* What explains a publisher's ticks, as of a moment; ns_per_tick_q32 0: nothing does yet. */
struct rq_clock_told {
    uint64_t base_ticks;
    uint64_t base_wall_ns;
    uint64_t ns_per_tick_q32;
};

/* A ring in another host's memory: its data and live words, as registered there. */
struct rq_ring_there {
    uint64_t data_address;
    uint64_t live_address;
    uint32_t data_key;
    uint32_t live_key;
};

/* `words`: RQ_LINK_WORDS_BYTES of zeroed, registered memory with local write, the link's until
 * rq_link_close. The publisher's data (one copy of it) is registered as data_key. Work requests in
 * flight: at most 3 * depth + 3, which pair's send queue must hold. */
struct rq_link_setup {
    struct rq_ring_there replica;
    uint64_t words_address;
    uint64_t position;    /* of the replica's tail, resuming; 0: from the tail on */
    uint64_t cursor;      /* reliable, resuming: the least of the readers there; 0: position */
    uint64_t start_value; /* that goes with `start` */
    uint64_t overdue_ns;  /* longer than all retries take; 0: ten seconds */
    uint64_t modify_qp;   /* ibv_modify_qp, found by the caller; 0: the caller moves it to ERR */
    uint32_t words_key;
    uint32_t data_key;
    uint32_t generation;   /* not 0; another one for each link to one replica */
    uint32_t tail_mode;    /* RQ_TAIL_BY_* */
    uint32_t depth;        /* chains in flight: 1 to RQ_LINK_DEPTH_MAX */
    uint32_t credit_count; /* RQ_TAIL_BY_IMM: receives posted before; a power of two */
    int32_t event_fd;      /* an eventfd, the caller's: written when the state changes; -1 */
    uint32_t feedback_ns;  /* between READs of feedback by itself, doubling; 0: 20,000 */
    uint32_t start;        /* RQ_START_*: where, if position is 0 */
    uint32_t is_held;      /* the other side READs first; it begins by rq_link_begin */
    uint32_t may_skip;     /* too far behind to be resumed: from the tail on, and not -ESTALE */
    uint32_t reserved;
};

struct rq_link_stats {
    uint64_t start_bytes;      /* where it began */
    uint64_t start_sequence;   /* there; 0: the stream had none yet */
    uint64_t deliver_sequence; /* of the first message that `start` asks for; 0: the stream's */
    uint64_t origin_sequence;  /* of the stream's first message; 0: it had none yet */
    struct rq_clock_told clock;
    uint64_t sent_bytes;    /* the replica's tail when all that was posted has arrived */
    uint64_t flushed_bytes; /* below it nothing of ours is read by the NIC any more */
    uint64_t cursor_bytes;  /* reliable: below it every reader there is done */
    uint64_t lag_bytes;     /* published and not flushed */
    uint64_t lag_bytes_max;
    uint64_t chains;
    uint64_t writes;  /* data, tails and heartbeats */
    uint64_t reads;   /* of feedback */
    uint64_t bytes;   /* of data */
    uint64_t starved; /* times that published bytes waited for credits or the guard */
    uint64_t credits_granted;
    uint64_t credits_used;
    uint64_t heartbeats;
    uint64_t stalls; /* senders that found this link in their way */
    uint32_t state;  /* RQ_LINK_* */
    uint32_t cause;  /* RQ_LINK_CAUSE_*, once failed */
    uint32_t status;
    uint32_t vendor_error;
    uint32_t outstanding; /* requests whose completion has not come */
    uint32_t is_flushed;  /* failed, and the NIC reads nothing of the ring any more */
    uint32_t generation;
    uint32_t reserved;
};

/* Joins the publisher: from now on nothing from `position` on is written over. The pair is
 * connected (or will be by rq_link_start), and alone with its completion queue, which the keeper's
 * thread polls from now on: nobody else may post or poll. Where the link begins and the sequence
 * there stand in its stats: `position`, or the tail when the ring has no longer what follows it;
 * then the replica must be put there first (rq_replica_restart). -EINVAL: bounds, or a position
 * that is none of ours; -EMSGSIZE: the pair's requests are shorter than the guard; -ESTALE: too far
 * behind to be resumed, not far enough to be lapped: backfill first; -ENOSPC; -ESHUTDOWN: the
 * publisher is closed. */
int rq_link_open(struct rq_publisher *publisher, struct rq_keeper *keeper, struct rq_pair *pair,
                 const struct rq_link_setup *setup, struct rq_link **link_out);
/* Both sides are ready: posts what waits, and from now on what is published. One that is held stays
 * so; but a reliable stream's READs how far the readers there are, and the ring is kept from there
 * on. */
int rq_link_start(struct rq_link *link);
/* The same of one that is held: the replica has been filled by READs up to `position`, and the link
 * begins there; cursor as in the setup. A reliable stream's ring was kept since rq_link_open, from
 * start_bytes on, or from where the readers are; a lossy one's is from now on. 0, also when it
 * began there before; -ESTALE: more than half the ring behind: READ on, and ask again; -EINVAL: no
 * frame of ours begins there, or it is not held; -EALREADY: it began elsewhere; -ENOSPC;
 * -ESHUTDOWN: it has ended. One thread. */
int rq_link_begin(struct rq_link *link, uint64_t position, uint64_t cursor);
/* Posts nothing any more (idempotent, any thread). What is in flight completes: move the QP to ERR,
 * unless modify_qp was given, wait until is_flushed, then close. */
int rq_link_stop(struct rq_link *link);
/* For a QP that does not flush: the pair and its queue are not touched any more, but the ring is
 * kept. Destroy the QP, then close. Idempotent; one thread. */
int rq_link_detach(struct rq_link *link);
/* Must be called when is_flushed is 1, or when the QP was destroyed: the ring is no longer
 * kept for it. The pair, its queue and `words` are the caller's again. Idempotent; one thread. */
int rq_link_close(struct rq_link *link);
/* Any thread; no lock. Each word is whole, their moments may differ. */
void rq_link_read_stats(struct rq_link *link, struct rq_link_stats *out);
/* After close; in a forked child without it. */
void rq_link_free(struct rq_link *link);

/* ---- replica ------------------------------------------------------------------------------- */
#define RQ_REPLICA_WAITING 1 /* nothing came yet, nor was it missed */
#define RQ_REPLICA_LIVE 2
#define RQ_REPLICA_SILENT 3          /* no heartbeat for silent_ns: told, nothing is torn down */
#define RQ_REPLICA_ENDED 4           /* the stream's `end` has arrived */
#define RQ_REPLICA_FAILED 5          /* a receive failed or was flushed, or what came cannot be */
#define RQ_REPLICA_STATUS_DEVICE 255 /* the device refuses to be polled, or a receive */

struct rq_replica_setup {
    uint64_t position;          /* where the link will begin: the publisher's, not 0 */
    uint64_t sequence;          /* there; 0: the stream has none yet */
    uint64_t origin_sequence;   /* of the stream's first message; 0: `sequence` */
    struct rq_clock_told clock; /* until a heartbeat brings it */
    uint64_t silent_ns;         /* 0: one second */
    uint64_t nap_ns_max; /* how long the thread sleeps between looks when nothing comes; 0: 1 ms */
    uint32_t generation; /* of the link that writes it */
    int32_t event_fd;    /* as in rq_link_setup */
};

struct rq_replica_stats {
    uint64_t tail_bytes;    /* what has arrived */
    uint64_t seen_bytes;    /* what of it is in the index */
    uint64_t next_sequence; /* behind seen_bytes; 0: not known */
    uint64_t cursor_bytes;  /* reliable: the least of its readers, else the tail */
    uint64_t frames;
    uint64_t messages;
    uint64_t bytes;
    uint64_t wakes;
    uint64_t lapped;   /* times that the NIC wrote over what was not yet in the index */
    uint64_t receives; /* completed */
    uint64_t heartbeats;
    uint64_t life_age_ns;    /* since the last sign of life */
    uint64_t publisher_tail; /* as of its last heartbeat */
    uint64_t publisher_ticks;
    uint32_t state;  /* RQ_REPLICA_* */
    uint32_t status; /* of the receive that failed; 0: what came was nonsense */
    uint32_t reader_count;
    uint32_t readers_cut_off;
    uint32_t generation;
    uint32_t reserved;
};

/* The segment was made by rq_segment_create, from the publisher's own descriptor but for the
 * identity; its data (one copy) and live words are registered for the link. Readers are admitted to
 * `rq_replica_publisher`, whose send calls return -EROFS. */
int rq_replica_open(struct rq_segment *segment, const struct rq_replica_setup *setup,
                    struct rq_replica **replica_out);
struct rq_publisher *rq_replica_publisher(struct rq_replica *replica);
/* The keeper's thread looks for what arrives, from now on until rq_replica_detach. pair: NULL, or
 * the one whose receives bear the tails (RQ_TAIL_BY_IMM), alone with its completion queue: receives
 * are posted here, so many as the link's credit_count says, before the link is started. */
int rq_replica_attach(struct rq_replica *replica, struct rq_keeper *keeper, struct rq_pair *pair,
                      uint32_t credit_count);
/* The link is over, and its QP destroyed: the tail does not move any more, but by a backfill.
 * Readers stay. Returns where it stands, for the next link's `position`. */
uint64_t rq_replica_detach(struct rq_replica *replica);
/* While detached: the next link has this generation (attach before that link is started), and
 * begins at `position` with `sequence`: at the tail, or beyond it. Then what lies between is lost,
 * and every reader is told: it knows itself lapped, or finds heartbeats that say so. -EINVAL: no
 * link begins there, or its sequence is not behind what came. -EBADMSG: what came could not be
 * (FAILED, status 0): only a new replica helps. */
int rq_replica_restart(struct rq_replica *replica, uint32_t generation, uint64_t position,
                       uint64_t sequence);
/* Before that: the sequence of the stream's first message, as the next link's publisher knows it;
 * 0: there was none yet. A link tells it with its first data, and those may have been lost: without
 * it a reader who saw no frame yet cannot be told what it missed. */
void rq_replica_learn_origin(struct rq_replica *replica, uint64_t sequence);
void rq_replica_read_stats(struct rq_replica *replica, struct rq_replica_stats *out);
/* Below it every reader is done, of a lossy stream, too; the tail when there is none. */
uint64_t rq_replica_reader_cursor(struct rq_replica *replica);
/* The publisher's memory answers, though its CPU may not: readers shall not be told of silence. */
void rq_replica_mark_alive(struct rq_replica *replica);
/* Ends the readers' waiting; after detach. The segment outlives it. */
int rq_replica_close(struct rq_replica *replica);
/* In a forked child: its readers' pages are not there. A link and a backfill are simply freed. */
void rq_replica_forget(struct rq_replica *replica);
void rq_replica_free(struct rq_replica *replica);

/* ---- backfill ------------------------------------------------------------------------------ */
#define RQ_BACKFILL_NOTHING 0 /* still under way: call again */
#define RQ_BACKFILL_FRAMES 1  /* whole frames, checked: see the report */
#define RQ_BACKFILL_GAP 2     /* first to last are lost: written over there */
#define RQ_BACKFILL_REACHED 3 /* position is the publisher's tail, or `until` */
#define RQ_BACKFILL_PACED 4   /* readers here have not read what would be written over */

/* Into a replica (detached: its data's one copy is registered as local_key), or, with replica NULL,
 * into a buffer of at least guard_bytes. `words`: 64 zeroed registered bytes of the caller. */
struct rq_backfill_setup {
    struct rq_ring_there publisher;
    uint64_t position; /* of a frame: where to begin */
    uint64_t sequence; /* expected there; 0: whatever it has */
    uint64_t buffer_address;
    uint64_t buffer_bytes;
    uint64_t words_address;
    uint32_t local_key;
    uint32_t words_key;
    uint32_t is_paced; /* into a replica: no reader of it loses what has come already */
    uint32_t reserved;
};

struct rq_backfill_report {
    uint64_t position;      /* of the first frame in the buffer */
    uint64_t end_position;  /* behind the last one: where the next call goes on */
    uint64_t first;         /* sequence of the first message, or of the first lost one */
    uint64_t last;          /* RQ_BACKFILL_GAP: of the last lost one */
    uint64_t next_sequence; /* expected at end_position; 0: not known */
    uint64_t messages;      /* in these frames */
    uint64_t publisher_tail;
    uint64_t reads; /* in all */
    uint64_t read_bytes;
    uint32_t status; /* of the completion that failed */
    uint32_t vendor_error;
};

/* The descriptor is the publisher's, checked. The pair is connected and alone with its completion
 * queue; nobody else posts or polls while a call is inside. */
int rq_backfill_open(const struct rq_descriptor *descriptor, struct rq_pair *pair,
                     struct rq_replica *replica, const struct rq_backfill_setup *setup,
                     struct rq_backfill **backfill_out);
/* Goes on, waiting at most wait_ns (one slice, RQ_WAIT_*); never beyond `until` (0: the tail
 * there). RQ_BACKFILL_*; -EIO: a READ failed, the report says how; -EBADMSG: what was read cannot
 * be a stream; -ENODATA: all that the stream began with is gone, and where it began is not known:
 * the next link's grant says that (rq_replica_learn_origin); -EBUSY, -ESHUTDOWN. Frames in a buffer
 * stand until the next call; those in a replica are published to its readers already. */
int rq_backfill_run(struct rq_backfill *backfill, uint64_t until, uint32_t wait_mode,
                    uint64_t wait_ns, struct rq_backfill_report *report);
/* When nothing is in flight any more: the QP in ERR and flushed, or destroyed. */
void rq_backfill_free(struct rq_backfill *backfill);

/* ---- benchmarks (rdmaq bench latency --transport verbs): a link's chain in a bare loop ------- */
#define RQ_BENCH_FRAME_BYTES_MAX 4096
struct rq_op;
struct rq_cq;
struct rq_bench_chain {
    const struct rq_op *ops;  /* two: a frame's WRITE from its ring to the peer's, and the tail's */
    const uint8_t *ring;      /* where the peer's frames arrive */
    const uint64_t *arriving; /* the peer's tail */
    uint64_t ring_bytes;      /* a multiple of frame_bytes, at both ends */
    uint64_t frame_bytes;
    uint64_t first_tail; /* frame_bytes or more; the tails go on from here, a frame each */
    uint32_t is_first;   /* 1: we begin each round trip, the peer answers with what it got */
    uint32_t reserved;
};
/* Spins, at both ends; limit and returned count as in rdmaq_verbs.h. */
int64_t rq_bench_chain_ping(struct rq_pair *pair, struct rq_cq *cq,
                            const struct rq_bench_chain *chain, uint64_t count, uint64_t limit_ns,
                            uint64_t *round_trips_ns_out);
/* One thread looks at all readers, in turn, until each has got `count` messages: when, in ticks,
 * into reader_count * count words, reader after reader. Returns the messages that the one with the
 * fewest got when the limit passed, or -errno. */
int64_t rq_bench_arrivals(struct rq_reader **readers, uint32_t reader_count, uint64_t count,
                          uint64_t limit_ns, uint64_t *ticks_out);

/* cffi: end */

#endif
