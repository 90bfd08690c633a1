/*
 * The boundary between Python and C: this file is both the C header and, between the two cffi
 * marks, the definition that cffi compiles. There is no second copy, so none can drift.
 *
 * Between the marks stand plain declarations and `#define NAME integer` only (cffi's parser knows
 * no preprocessor). Functions return a count or status >= 0, or -errno when something is broken.
 * Full, empty and lapped are answers, not errors. No function here touches a Python object, so
 * the GIL is released in every call.
 */
#ifndef RDMAQ_ABI_H
#define RDMAQ_ABI_H

#include <stdint.h>

/* cffi: begin */

/* ---- bounds, summed in csrc/ring/layout.h ---------------------------------------------- */
#define RQ_FORMAT_VERSION 1
#define RQ_FRAME_HEADER_BYTES 32
#define RQ_CAPACITY_BYTES_MIN 65536
#define RQ_CAPACITY_BYTES_MAX 1099511627776
#define RQ_GUARD_BYTES_DEFAULT_MAX 1048576
#define RQ_GUARD_BYTES_MIN 4096
#define RQ_READERS_MAX 128
#define RQ_TAPS_MAX 256 /* links to other hosts */
#define RQ_FRAME_MESSAGES_MAX 16777215
#define RQ_BLOCK_PAYLOAD_BYTES_MAX 65535
#define RQ_LEDGER_ENTRIES 4096
#define RQ_NAME_BYTES_MAX 192
#define RQ_SCHEMA_BYTES_MAX 32768
#define RQ_WAIT_SLICE_NS_MAX 50000000
#define RQ_STALL_NS_MAX 2000000000 /* how long a lossy sender waits for a link's flush */

/* ---- the segment's descriptor: the first bytes of every segment, never changed ------------- */
struct rq_descriptor {
    uint64_t magic;
    uint32_t format_version;
    uint32_t record_bytes; /* 0: untyped */
    uint64_t epoch;
    uint64_t segment_bytes;
    uint64_t capacity_bytes;
    uint64_t guard_bytes;
    uint64_t message_bytes_max;
    uint64_t live_offset_bytes;
    uint64_t ledger_offset_bytes;
    uint64_t ledger_entry_count;
    uint64_t index_offset_bytes;
    uint64_t index_stride_bytes;
    uint64_t data_offset_bytes;
    uint64_t schema_hash; /* first 8 bytes of SHA-256 of the schema text, big-endian */
    uint8_t host_id[16];  /* the kernel's boot id */
    uint32_t publisher_pid;
    uint32_t is_reliable;
    uint32_t name_bytes;
    uint32_t schema_bytes;
    uint8_t name[192];
    uint8_t schema[32768];
};

/* ---- statuses and kinds ------------------------------------------------------------------ */
#define RQ_KIND_MESSAGE 1
#define RQ_KIND_RECORDS 2
#define RQ_KIND_BLOCKS 3
#define RQ_KIND_GAP 4
#define RQ_KIND_HEARTBEAT 5
#define RQ_KIND_END 6

/* What a poll returns besides a message count (1 or more) and -errno (above -4096). */
#define RQ_POLL_NOTHING 0
#define RQ_POLL_GAP -10001
#define RQ_POLL_END -10002
#define RQ_POLL_TOO_SMALL -10003
#define RQ_POLL_CUT_OFF -10004

#define RQ_CAUSE_UPSTREAM 1
#define RQ_CAUSE_OVERRUN 2

#define RQ_WAIT_AUTO 0
#define RQ_WAIT_SPIN 1
#define RQ_WAIT_YIELD 2
#define RQ_WAIT_SLEEP 3

#define RQ_START_LIVE 0
#define RQ_START_OLDEST 1
#define RQ_START_SEQUENCE 2
#define RQ_START_WALL_NS 3

#define RQ_CUT_STALLED 1
#define RQ_CUT_BAD_CURSOR 2

/* One frame, or the part of one, inside a batch. */
struct rq_frame_note {
    uint64_t ticks; /* the publisher's, at publish */
    uint32_t message_count;
    uint32_t reserved;
};

/* What one poll found. Which members are valid follows from the status that came with it. */
struct rq_batch {
    uint64_t sequence; /* of the first message; the first lost one for a gap */
    uint64_t last;     /* of the last message; the last lost one for a gap */
    uint64_t payload_bytes;
    uint64_t data_offset_bytes; /* a borrowed batch: where its payload begins in the data area */
    uint64_t received_ticks;
    uint64_t publish_ticks; /* of the first frame */
    uint32_t kind;
    uint32_t cause;
    uint32_t message_count;
    uint32_t frame_count;
};

/* Where a reader copies to, and how it waits: set once, used by every poll. */
struct rq_poll {
    uint8_t *out; /* message payloads, one after the other */
    uint64_t out_bytes;
    uint32_t *offsets;           /* untyped: message_count_max + 1 of them; else NULL */
    struct rq_frame_note *notes; /* note_count_max of them */
    uint32_t note_count_max;
    uint32_t wait_mode; /* RQ_WAIT_* */
    struct rq_batch batch;
};

struct rq_publisher_stats {
    uint64_t messages;
    uint64_t bytes;
    uint64_t frames;
    uint64_t gaps;
    uint64_t stalls;
    uint64_t wakes;
    uint64_t next_sequence;
    uint64_t tail_bytes;
    uint32_t reader_count;
    uint32_t readers_cut_off;
    uint64_t skew_rounds; /* publishes over two links or more: from the first served to the last */
    uint64_t skew_ns;     /* in all */
    uint64_t skew_ns_max;
};

struct rq_reader_stats {
    uint64_t messages;
    uint64_t bytes;
    uint64_t batches;
    uint64_t frames;
    uint64_t gaps_upstream;
    uint64_t gaps_overrun;
    uint64_t lost_upstream;
    uint64_t lost_overrun;
    uint64_t wakes;
    uint64_t next_sequence;
    uint64_t cursor_bytes;
    uint64_t tail_bytes;
    uint64_t heartbeat_age_ns;
};

/* ---- segment: created by the publisher, attached by readers -------------------------------- */
struct rq_segment;

/* Fills sizes and offsets for a new segment; guard_bytes 0 means the default. -EINVAL: capacity
 * is no power of two or out of range; -ERANGE: guard out of range; -EMSGSIZE: a record does not
 * fit into guard. The caller adds epoch, names, identity and schema. */
int rq_descriptor_init(struct rq_descriptor *descriptor, uint64_t capacity_bytes,
                       uint64_t guard_bytes, uint32_t record_bytes);
/* Creates, populates, maps and seals. *fd_out is the caller's to close. */
int rq_segment_create(const struct rq_descriptor *descriptor, struct rq_segment **segment_out,
                      int *fd_out);
/* Checks seals, size and descriptor of a stranger's descriptor before mapping it read-only.
 * -EPERM: a seal is missing; -EBADMSG: the bytes are no segment; -EPROTONOSUPPORT: other format
 * version. The fd stays the caller's. */
int rq_segment_attach(int fd, struct rq_segment **segment_out, struct rq_descriptor *copy_out);
/* The mapping goes here: nothing may point into it any more. */
void rq_segment_free(struct rq_segment *segment);
uint8_t *rq_segment_data(struct rq_segment *segment);

/* ---- publisher --------------------------------------------------------------------------- */
struct rq_publisher;

int rq_publisher_open(struct rq_segment *segment, uint64_t first_sequence, uint64_t timeout_ns,
                      uint32_t readers_min, struct rq_publisher **publisher_out);
/* What a call got done before the gate shut, and the sequence of the first of it. */
struct rq_taken {
    uint64_t messages;
    uint64_t bytes;
    uint64_t sequence;
    uint64_t shut_out_bytes; /* payload of the frame that found the gate shut: wait for so many */
};

/* The calls below return the sequence of the first message when everything was published, and 0
 * when the gate shut: wait, then send the rest. */

/* One message (untyped) or one record (typed). */
int64_t rq_send(struct rq_publisher *publisher, const uint8_t *data, uint64_t payload_bytes);
/* Equal records: one frame, or several when they are longer than the guard. */
int64_t rq_send_records(struct rq_publisher *publisher, const uint8_t *data, uint64_t record_count,
                        struct rq_taken *taken);
/* Length-prefixed messages as they came (u16 big-endian + bytes). first_sequence 0 means the next
 * one; -ERANGE: not the next one; -EBADMSG: the blocks do not add up (nothing was published). */
int64_t rq_send_blocks(struct rq_publisher *publisher, const uint8_t *blocks, uint64_t blocks_bytes,
                       uint64_t message_count, uint64_t first_sequence, struct rq_taken *taken);
/* Sequences first to last were lost upstream. */
int64_t rq_send_gap(struct rq_publisher *publisher, uint64_t first, uint64_t last);
int64_t rq_send_heartbeat(struct rq_publisher *publisher);
/* Room for payload_bytes behind the tail, the caller's to fill until commit or abort. 1, or 0:
 * wait. -EALREADY: a claim is open. */
int64_t rq_claim(struct rq_publisher *publisher, uint64_t payload_bytes,
                 uint64_t *data_offset_bytes_out);
int64_t rq_commit(struct rq_publisher *publisher);
int64_t rq_abort(struct rq_publisher *publisher);
/* Waits until a frame of payload_bytes would pass the gate, at most wait_ns. Cuts off readers
 * that stalled past the stream's timeout. 1: open; 0: not yet; -ETIMEDOUT: fewer readers than
 * readers_min for longer than the timeout; -ETIME: a lossy stream, and a failed link's NIC has not
 * let go of the ring for RQ_STALL_NS_MAX; -EINTR: a signal came. After 1, 0 and -EINTR the handle
 * is kept for this thread, and others get -EBUSY, until it sends or gives up. */
int rq_publisher_wait(struct rq_publisher *publisher, uint64_t payload_bytes, uint64_t wait_ns);
/* Whoever waited does not come back: others may enter. Nothing, if no wait is to be given up. */
void rq_publisher_give_up(struct rq_publisher *publisher);
/* Admits a reader under the publish lock. control_fd_out is the control page (the caller's to
 * close after passing it on); socket_fd takes wake bytes. Returns the slot, or -ENOSPC; -EAGAIN: a
 * replica that was lapped knows where it stands again with the next frame. */
int rq_publisher_admit(struct rq_publisher *publisher, uint32_t start, uint64_t start_value,
                       int socket_fd, int *control_fd_out, uint64_t *position_out,
                       uint64_t *sequence_out);
/* Forgets a reader whose process or socket went. Idempotent; -ENOENT: no such slot. */
int rq_publisher_dismiss(struct rq_publisher *publisher, int slot);
/* Tells a reader that it stalled and gets no more: a replica's owner says it for the publisher.
 * -ENOENT: no such slot. */
int rq_publisher_cut_off(struct rq_publisher *publisher, int slot);
void rq_publisher_read_stats(struct rq_publisher *publisher, struct rq_publisher_stats *out);
/* Writes `end`, wakes the one inside and every reader, waits until the handle is idle.
 * After it every call returns -ESHUTDOWN. Idempotent. The segment outlives it. */
int rq_publisher_close(struct rq_publisher *publisher);
/* In a forked child: every later call returns -ESHUTDOWN; touches no mapping. */
void rq_publisher_forget(struct rq_publisher *publisher);
/* Must be called after close or forget, when no thread can enter any more. */
void rq_publisher_free(struct rq_publisher *publisher);

/* ---- keeper: one thread per node, for heartbeats and clock tables --------------------------- */
struct rq_keeper;

int rq_keeper_start(struct rq_keeper **keeper_out);
int rq_keeper_add(struct rq_keeper *keeper, struct rq_publisher *publisher);
int rq_keeper_remove(struct rq_keeper *keeper, struct rq_publisher *publisher);
void rq_keeper_stop(struct rq_keeper *keeper);

/* ---- reader ------------------------------------------------------------------------------ */
struct rq_reader;

/* position and sequence are the publisher's grant, control_fd the page it made: all of them are
 * checked. deliver_from: messages below it were not asked for and are passed over. */
int rq_reader_open(struct rq_segment *segment, int control_fd, int slot, uint64_t position,
                   uint64_t sequence, uint64_t deliver_from, struct rq_reader **reader_out);
/* What was published before that time (ns since 1970, by the publisher's table) was not asked for
 * either. Must be called before the first poll. */
void rq_reader_deliver_from_time(struct rq_reader *reader, uint64_t wall_ns);
/* Of a replica in this process: nobody hears a NIC write, so the keeper's thread looks at it, and
 * more often while somebody sleeps: it is told of that from now on. Must be called before the first
 * poll; the keeper must be stopped after rq_reader_close. */
void rq_reader_ring_before_sleep(struct rq_reader *reader, struct rq_keeper *keeper);
/* Copies what is there, up to message_count_max messages, into poll->out; waits up to wait_ns (one
 * slice of at most RQ_WAIT_SLICE_NS_MAX) when there is nothing. A batch never crosses a gap.
 * Returns the message count, or RQ_POLL_*; poll->batch says more. */
int rq_reader_poll(struct rq_reader *reader, struct rq_poll *poll, uint32_t message_count_max,
                   uint64_t wait_ns);
/* As poll, but nothing is copied: the batch (one frame, or part of one) stays in the ring until
 * rq_reader_release. offsets takes 2 entries a message: begin and end within the frame's payload.
 * -EALREADY: the last one was not released. */
int rq_reader_borrow(struct rq_reader *reader, struct rq_poll *poll, uint32_t message_count_max,
                     uint64_t wait_ns);
/* 1: the bytes were intact until now; 0: overwritten meanwhile, they must not be trusted (and
 * will be declared as a gap). consume 0 leaves the batch to be delivered again. */
int rq_reader_release(struct rq_reader *reader, int consume);
/* Asks for a byte on the socket at the next publish. 1: something is there already (not armed). */
int rq_reader_arm(struct rq_reader *reader);
void rq_reader_read_stats(struct rq_reader *reader, struct rq_reader_stats *out);
/* Wall-clock time in ns since 1970 of a publisher's tick, by the publisher's own table. */
uint64_t rq_reader_wall_ns(struct rq_reader *reader, uint64_t ticks);
/* ns between publish and receive of each frame; negative never (0 at least). */
void rq_frame_latencies_ns(const struct rq_frame_note *notes, uint32_t note_count,
                           uint64_t received_ticks, int64_t *out);
int rq_reader_close(struct rq_reader *reader);
void rq_reader_forget(struct rq_reader *reader);
void rq_reader_free(struct rq_reader *reader);

/* ---- clock ------------------------------------------------------------------------------- */
uint64_t rq_clock_ticks(void);
uint64_t rq_clock_ticks_to_ns(uint64_t ticks);
uint64_t rq_clock_ns_per_tick_q32(void);
/* Measures the rate again over all the time since the extension was loaded. */
void rq_clock_calibrate(void);
/* 1: the CPU's time-stamp counter; 2: CLOCK_MONOTONIC_RAW. */
int rq_clock_kind(void);

/* ---- benchmarks (rdmaq bench): the same copies in bare C ------------------------------------ */
/* Limits are in ns; what takes longer returns what it got done. Messages: at most 4,096 bytes. */
void rq_bench_empty(void);
/* A word handed to and fro between two processes that share `words` (256 zeroed bytes): one asks,
 * the other answers. Return the exchanges done; elapsed is without the first one. */
uint64_t rq_bench_word_ask(uint64_t *words, uint64_t count, uint64_t limit_ns,
                           uint64_t *elapsed_ns_out);
uint64_t rq_bench_word_answer(uint64_t *words, uint64_t count, uint64_t limit_ns);
/* Round trips over two rings, spinning. Return how many were made, or -errno. */
int64_t rq_bench_ping(struct rq_publisher *publisher, struct rq_reader *reader,
                      const uint8_t *message, uint64_t message_bytes, uint64_t count,
                      uint64_t limit_ns, uint64_t *round_trips_ns_out);
int64_t rq_bench_pong(struct rq_publisher *publisher, struct rq_reader *reader, uint64_t count,
                      uint64_t limit_ns);
/* The same records again and again, batch_count times, as rq_send_records takes them; and as many
 * messages read by rq_reader_poll. Return the records, or -errno. */
int64_t rq_bench_publish(struct rq_publisher *publisher, const uint8_t *records,
                         uint64_t record_count, uint64_t record_bytes, uint64_t batch_count);
int64_t rq_bench_drain(struct rq_reader *reader, uint8_t *out, uint64_t out_bytes,
                       uint32_t message_count_max, uint64_t message_count);
/* The least that carries bytes between two processes, in an area that both map from one zeroed
 * memfd of rq_bench_plain_bytes; slot_count * slot_bytes is at most capacity_bytes. One writes, one
 * reads; all return count, 0 when the limit passed before, or -EMSGSIZE. */
#define RQ_BENCH_PLAIN_HEADER_BYTES 4096
struct rq_bench_plain {
    uint64_t slot_count; /* a power of two */
    uint64_t slot_bytes;
};
uint64_t rq_bench_plain_bytes(uint64_t capacity_bytes);
uint64_t *rq_bench_plain_map(int fd, uint64_t capacity_bytes); /* NULL: errno says why */
void rq_bench_plain_unmap(uint64_t *area, uint64_t capacity_bytes);
int64_t rq_bench_plain_write(uint64_t *area, const struct rq_bench_plain *shape,
                             const uint8_t *data, uint64_t data_bytes, uint64_t count,
                             uint64_t limit_ns);
int64_t rq_bench_plain_read(uint64_t *area, const struct rq_bench_plain *shape, uint8_t *out,
                            uint64_t out_bytes, uint64_t data_bytes, uint64_t count,
                            uint64_t limit_ns);
int64_t rq_bench_plain_ping(uint64_t *there, uint64_t *back, const struct rq_bench_plain *shape,
                            const uint8_t *message, uint64_t message_bytes, uint64_t count,
                            uint64_t limit_ns, uint64_t *round_trips_ns_out);
int64_t rq_bench_plain_pong(uint64_t *there, uint64_t *back, const struct rq_bench_plain *shape,
                            uint64_t message_bytes, uint64_t count, uint64_t limit_ns);

/* cffi: end */

/* A part of the boundary, like what stands above. */
#include "rdmaq_link.h"
#include "rdmaq_region.h"
#include "rdmaq_verbs.h"

/* Names structs of both. */
#include "rdmaq_chain.h"

#endif
