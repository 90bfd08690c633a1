/*
 * The segment, format version 1. One memfd; the publisher writes it, everybody else maps it
 * read-only. Offsets are multiples of 64 KiB (the largest page Arm uses), data begins on 2 MiB.
 *
 *   0        descriptor   never changes after creation
 *   64 KiB   live words   each on 128 B of its own: tail, origin, heartbeat, state, wake_seq, ...
 *   128 KiB  gap ledger   the last RQ_LEDGER_ENTRIES losses upstream: (first, last)
 *   192 KiB  index        a hint: (position, sequence, ticks), one per index_stride of data
 *   n*2 MiB  data         capacity bytes, mapped twice back to back
 *
 * Positions count bytes ever published and begin at `capacity`, so that zeroed memory never
 * matches the position in a frame's header. Byte p lives at data[p mod capacity].
 */
#ifndef RQ_RING_LAYOUT_H
#define RQ_RING_LAYOUT_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>

#include "rdmaq_abi.h"

#define RQ_MAGIC 0x31474553514d4452u /* "RDMQSEG1", little-endian */
#define RQ_OFFSET_UNIT_BYTES 65536u
#define RQ_HUGE_PAGE_BYTES 2097152u
#define RQ_FRAME_ALIGN_BYTES 32u
#define RQ_LIVE_OFFSET_BYTES 65536u
#define RQ_LEDGER_OFFSET_BYTES 131072u
#define RQ_INDEX_OFFSET_BYTES 196608u
#define RQ_INDEX_STRIDE_BYTES_MAX 65536u
#define RQ_INDEX_ENTRIES_MIN 64u

#define RQ_STATE_OPEN 1u
#define RQ_STATE_ENDED 2u

_Static_assert(sizeof(struct rq_descriptor) <= RQ_LIVE_OFFSET_BYTES, "descriptor has one unit");
_Static_assert(offsetof(struct rq_descriptor, format_version) == 8, "format 1");
_Static_assert(offsetof(struct rq_descriptor, capacity_bytes) == 32, "format 1");
_Static_assert(offsetof(struct rq_descriptor, data_offset_bytes) == 96, "format 1");
_Static_assert(offsetof(struct rq_descriptor, host_id) == 112, "format 1");
_Static_assert(offsetof(struct rq_descriptor, name) == 144, "format 1");
_Static_assert(offsetof(struct rq_descriptor, schema) == 336, "format 1");

/*
 * A frame is a batch; frames are padded to 32 bytes.
 *
 *   0          8                16              24              28     29           32
 *   | position | first sequence | publish ticks | payload bytes | kind | count (24) | payload...
 */
struct rq_frame_header {
    uint64_t position;
    uint64_t sequence; /* of its first message; heartbeat: the next one; end: the final one */
    uint64_t ticks;
    uint32_t payload_bytes;
    uint32_t kind_count; /* low 8 bits kind, high 24 bits message count */
};
_Static_assert(sizeof(struct rq_frame_header) == RQ_FRAME_HEADER_BYTES, "format 1");
_Static_assert(offsetof(struct rq_frame_header, ticks) == 16, "format 1");
_Static_assert(offsetof(struct rq_frame_header, kind_count) == 28, "format 1");

struct rq_gap_payload {
    uint64_t first;
    uint64_t last;
};

struct rq_index_entry {
    _Atomic uint64_t position;
    _Atomic uint64_t sequence;
    _Atomic uint64_t ticks;
    uint64_t reserved;
};
_Static_assert(sizeof(struct rq_index_entry) == 32, "format 1");

struct rq_ledger_entry {
    _Atomic uint64_t first;
    _Atomic uint64_t last;
};

/* The publisher's tick-to-wall-clock line. Seqlocked: odd while it changes. */
struct rq_clock_table {
    _Atomic uint32_t seq;
    _Atomic uint32_t kind;
    _Atomic uint64_t base_ticks;
    _Atomic uint64_t base_wall_ns;
    _Atomic uint64_t ns_per_tick_q32;
};

struct rq_counters {
    _Atomic uint64_t messages;
    _Atomic uint64_t bytes;
    _Atomic uint64_t frames;
    _Atomic uint64_t gaps;
    _Atomic uint64_t stalls;
    _Atomic uint64_t wakes;
};

struct rq_live {
    alignas(128) _Atomic uint64_t tail_bytes;
    alignas(128) _Atomic uint64_t origin_bytes; /* first valid position */
    _Atomic uint64_t origin_sequence;           /* first sequence; known once tail > origin */
    alignas(128) _Atomic uint64_t heartbeat_ticks;
    alignas(128) _Atomic uint32_t state;
    alignas(128) _Atomic uint32_t wake_seq;
    alignas(128) _Atomic uint64_t ledger_count;
    alignas(128) struct rq_clock_table clock;
    alignas(128) struct rq_counters counters;
    alignas(128) _Atomic uint64_t restart_bytes; /* a replica: where it went on after a jump, */
    _Atomic uint64_t restart_sequence;           /* and the sequence there, or 0 */
};
_Static_assert(offsetof(struct rq_live, heartbeat_ticks) == 256, "format 1");
_Static_assert(offsetof(struct rq_live, wake_seq) == 512, "format 1");
_Static_assert(offsetof(struct rq_live, ledger_count) == 640, "format 1");
_Static_assert(offsetof(struct rq_live, clock) == 768, "format 1");
_Static_assert(offsetof(struct rq_live, counters) == 896, "format 1");
_Static_assert(offsetof(struct rq_live, restart_bytes) == 1024, "format 1");
_Static_assert(sizeof(struct rq_live) <= RQ_REPLICA_BEAT_OFFSET_BYTES, "the NIC's words follow");
_Static_assert(RQ_LEDGER_ENTRIES * sizeof(struct rq_ledger_entry) <= RQ_OFFSET_UNIT_BYTES,
               "the ledger has one unit");

/*
 * What one reader tells the publisher: a page of its own, made and sealed by the publisher, its
 * content hostile. The words stand at a place that depends on the slot, or else all readers'
 * `waiting` words would fall into one set of the publisher's first-level cache.
 */
struct rq_control {
    alignas(128) _Atomic uint64_t cursor_bytes; /* reader writes */
    alignas(128) _Atomic uint32_t waiting;      /* reader sets, publisher clears */
    alignas(128) _Atomic uint32_t cut_off;      /* publisher writes RQ_CUT_* */
};
#define RQ_CONTROL_COLOURS 8u
#define RQ_CONTROL_COLOUR_BYTES 512u
#define RQ_CONTROL_PAGE_BYTES 4096u
_Static_assert(sizeof(struct rq_control) <= RQ_CONTROL_COLOUR_BYTES, "one colour each");
_Static_assert(RQ_CONTROL_COLOURS *RQ_CONTROL_COLOUR_BYTES <= RQ_CONTROL_PAGE_BYTES, "one page");

#define RQ_NOT_WAITING 0u
#define RQ_WAITING_FUTEX 1u
#define RQ_WAITING_SOCKET 2u

static inline size_t rq_control_offset(int slot) {
    return ((unsigned)slot % RQ_CONTROL_COLOURS) * RQ_CONTROL_COLOUR_BYTES;
}

/* Header, payload and padding of one frame. */
static inline uint64_t rq_frame_bytes(uint64_t payload_bytes) {
    return (RQ_FRAME_HEADER_BYTES + payload_bytes + RQ_FRAME_ALIGN_BYTES - 1) &
           ~(uint64_t)(RQ_FRAME_ALIGN_BYTES - 1);
}

static inline uint32_t rq_frame_kind(const struct rq_frame_header *header) {
    return header->kind_count & 0xffu;
}

static inline uint32_t rq_frame_count(const struct rq_frame_header *header) {
    return header->kind_count >> 8;
}

#endif
