/*
 * Regions and tables over verbs (csrc/region/chain_hot.c, fetch_hot.c): a region's operations
 * become chains of requests, a table's rows are fetched and judged. The rules are those of
 * rdmaq_abi.h, which includes this file behind theirs.
 */
#ifndef RDMAQ_CHAIN_H
#define RDMAQ_CHAIN_H

#include <stdint.h>

/* cffi: begin */

#define RQ_CHAIN_PIECE_BYTES_MAX 1048576 /* one request's; every port's messages may be longer */
#define RQ_CHAIN_ALIGN_BYTES 64          /* where each piece begins in the buffer */

/* Where a region is, for the NIC: set once. */
struct rq_chain {
    uint64_t remote_address;
    uint64_t remote_bytes;
    uint32_t remote_key;
    uint32_t local_key;        /* of the registered buffer that bytes pass through */
    uint32_t access;           /* RQ_ACCESS_*: what the owner granted */
    uint32_t inline_bytes_max; /* WRITEs of up to so many bytes travel within their requests */
};

/* What all operations of a batch need, to know whether one chain will do. */
struct rq_chain_needs {
    uint64_t buffer_bytes;
    uint64_t request_count;
};

/* A run of operations that goes as one chain: the caller says where it begins and what room there
 * is, the filling says where it ends. */
struct rq_chain_part {
    uint64_t buffer_address; /* aligned to RQ_CHAIN_ALIGN_BYTES; lent to the NIC until it is done */
    uint64_t buffer_bytes;   /* a multiple of that */
    uint64_t first_op;
    uint64_t first_bytes; /* of that operation are in the part before */
    uint64_t next_op;     /* out: where the next part begins; count when all are in */
    uint64_t next_bytes;
    uint32_t request_count_max;
    uint32_t request_count; /* out */
    uint32_t has_unfenced;  /* in and out: a READ or an atomic that nothing has waited for yet */
    uint32_t reserved;
};

/* As rq_region_run checks, before anything is posted. */
int rq_chain_check(const struct rq_chain *chain, const struct rq_region_op *ops, uint64_t count,
                   struct rq_chain_needs *needs_out, uint64_t *bad_index_out);
/* Makes requests of operations that were checked, takes the bytes of WRITEs, and returns how many
 * requests there are: 0 when nothing is left that moves a byte. */
uint32_t rq_chain_fill(const struct rq_chain *chain, const struct rq_region_op *ops, uint64_t count,
                       struct rq_chain_part *part, struct rq_op *requests_out);
/* After the part's requests were carried out: READs' bytes go to the caller's memory, atomics' old
 * values to `result`. */
void rq_chain_take(const struct rq_chain *chain, struct rq_region_op *ops, uint64_t count,
                   const struct rq_chain_part *part);

/* Rows of a table on their way: row number `rows[slot]` has the place `slot` in each of three
 * copies, which the NIC fetches one after the other and then anew, in turn. */
struct rq_fetch {
    uint64_t copy_address; /* three copies of copy_bytes each, aligned to 64 */
    uint64_t copy_bytes;
    uint32_t slot_count;    /* in the window: at most copy_bytes / bytes of a row */
    uint32_t pending_count; /* of them: not judged whole yet */
    uint32_t copy_count;    /* fetched so far */
    uint32_t request_count_max;
};

/* The bytes of one row at its owner, and so in a copy. */
uint64_t rq_fetch_row_bytes(uint64_t row_bytes);
/* Requests that any one row needs at most. */
uint32_t rq_fetch_row_requests(uint64_t row_bytes);
/* The READs of the pending slots (pending[0..pending_count), ascending) into the copy whose turn it
 * is; rows that are neighbours go as one. -ENOSPC: more than request_count_max; -ERANGE: a row that
 * is not there, or a table that is longer than its memory. */
int64_t rq_fetch_fill(const struct rq_chain *chain, const struct rq_table_shape *shape,
                      const uint64_t *rows, const uint32_t *pending, const struct rq_fetch *fetch,
                      struct rq_op *requests_out);
/* After those READs were carried out, each begun after those of the copy before had ended: takes
 * the rows that are whole out of the last three copies, and strikes them off pending. Returns how
 * many are pending still. */
uint32_t rq_fetch_judge(const struct rq_table_shape *shape, uint32_t *pending,
                        struct rq_fetch *fetch, uint8_t *out, uint64_t *versions_out);

/* cffi: end */

#endif
