/*
 * What a work request carries in its 64-bit wr_id, so that any completion, also that of a failed
 * unsignalled request, names its request:
 *
 *   63            32 31             8 7      0
 *   +---------------+----------------+--------+
 *   | number, low 32 | pair's index   | kind   |
 *   +---------------+----------------+--------+
 *
 * Numbers count a pair's requests from 0; a queue is much shorter than 2^32, so the low half is
 * enough to find the whole one. Kinds are odd bytes, so that zeroed or foreign ids are noticed.
 */
#ifndef RQ_RDMA_WR_ID_H
#define RQ_RDMA_WR_ID_H

#include <stdint.h>

#include "rdmaq_abi.h"

enum { RQ_WR_SEND = 0x5a, RQ_WR_RECEIVE = 0xa5 };

_Static_assert(RQ_CQ_PAIRS_MAX <= 1 << 24, "a pair's index has 24 bits");
_Static_assert(RQ_SENDS_MAX < 1u << 31 && RQ_RECEIVES_MAX < 1u << 31, "32 bits tell them apart");

static inline uint64_t rq_wr_id(uint32_t kind, uint32_t pair_index, uint64_t number) {
    return number << 32 | (uint64_t)pair_index << 8 | kind;
}

static inline uint32_t rq_wr_kind(uint64_t wr_id) { return (uint32_t)wr_id & 0xff; }

static inline uint32_t rq_wr_pair_index(uint64_t wr_id) { return (uint32_t)wr_id >> 8; }

/* How far behind `first` the request is, modulo 2^32: valid when below the number outstanding. */
static inline uint32_t rq_wr_distance(uint64_t wr_id, uint64_t first) {
    return (uint32_t)(wr_id >> 32) - (uint32_t)first;
}

#endif
