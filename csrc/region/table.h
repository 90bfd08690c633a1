/*
 * A table: rows of one size, updated by their owner, read by anybody who can fetch bytes.
 *
 * A row is two slots, a slot is whole lines, a line is 64 bytes and begins on 64:
 *
 *     row r    | slot 0: line line line | slot 1: line line line |
 *     line     | version (8) | payload (56) |
 *
 * Update number n of a row writes slot n mod 2 and leaves the other one alone, so that an owner
 * that is stopped or killed in the middle of an update leaves the row before it readable. Each
 * line is a seqlock of its own: its version becomes 2n - 1, then the payload, then 2n. The first
 * line is written last, so that it alone tells which slot to take. A slot counts when all its lines
 * bear one even version; docs/regions.md has the argument, and tests/model/table.py tries it.
 */
#ifndef RQ_REGION_TABLE_H
#define RQ_REGION_TABLE_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>

#include "rdmaq_abi.h"

struct rq_table_line {
    alignas(64) _Atomic uint64_t version;
    uint8_t payload[RQ_TABLE_PAYLOAD_BYTES];
};
_Static_assert(sizeof(struct rq_table_line) == RQ_TABLE_LINE_BYTES, "table format 1");
_Static_assert(offsetof(struct rq_table_line, payload) == 8, "table format 1");

/* The lines of one slot. */
static inline uint64_t rq_table_lines(uint64_t row_bytes) {
    return (row_bytes + RQ_TABLE_PAYLOAD_BYTES - 1) / RQ_TABLE_PAYLOAD_BYTES;
}

/* The payload bytes of line number `line`: the last one may be short. */
static inline uint64_t rq_table_part(uint64_t row_bytes, uint64_t line) {
    uint64_t left_bytes = row_bytes - line * RQ_TABLE_PAYLOAD_BYTES;
    return left_bytes < RQ_TABLE_PAYLOAD_BYTES ? left_bytes : RQ_TABLE_PAYLOAD_BYTES;
}

/* The slot with the newest complete version, as the first lines tell it; -1: neither will do. A
 * slot two updates behind the other one is refused: one READ may have fetched it long before, and
 * who has seen the newer one would be taken back in time. */
static inline int rq_table_choose(const uint64_t versions[2]) {
    int slot = versions[1] > versions[0] ? 1 : 0;
    if (versions[slot] % 2 != 0) slot ^= 1;
    if (versions[slot] % 2 != 0 || versions[slot ^ 1] >= versions[slot] + 2) return -1;
    return slot;
}

#endif
