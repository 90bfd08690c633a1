/*
 * Rows of a table by a NIC's READs: which bytes to fetch, and which of what came is whole. A row is
 * judged by three copies in a row (csrc/region/table.h); one that moved needs but one copy more,
 * since any three that follow each other will do.
 */
#include <errno.h>
#include <string.h>

#include "rdmaq_abi.h"
#include "region/table.h"

enum { COPIES = 3 };

uint64_t rq_fetch_row_bytes(uint64_t row_bytes) {
    return 2 * rq_table_lines(row_bytes) * RQ_TABLE_LINE_BYTES;
}

uint32_t rq_fetch_row_requests(uint64_t row_bytes) {
    return (uint32_t)((rq_fetch_row_bytes(row_bytes) + RQ_CHAIN_PIECE_BYTES_MAX - 1) /
                      RQ_CHAIN_PIECE_BYTES_MAX);
}

static int is_possible(const struct rq_chain *chain, const struct rq_table_shape *shape,
                       const struct rq_fetch *fetch) {
    if (shape->row_bytes == 0 || shape->row_bytes > RQ_TABLE_ROW_BYTES_MAX) return 0;
    uint64_t row_bytes = rq_fetch_row_bytes(shape->row_bytes);
    return shape->row_count <= chain->remote_bytes / row_bytes &&
           fetch->slot_count <= fetch->copy_bytes / row_bytes &&
           fetch->pending_count <= fetch->slot_count;
}

int64_t rq_fetch_fill(const struct rq_chain *chain, const struct rq_table_shape *shape,
                      const uint64_t *rows, const uint32_t *pending, const struct rq_fetch *fetch,
                      struct rq_op *requests_out) {
    if (!is_possible(chain, shape, fetch)) return -ERANGE;
    uint64_t row_bytes = rq_fetch_row_bytes(shape->row_bytes);
    uint64_t copy = fetch->copy_address + fetch->copy_count % COPIES * fetch->copy_bytes;
    uint32_t filled = 0;
    for (uint32_t i = 0; i < fetch->pending_count;) {
        uint32_t slot = pending[i], last = slot;
        if (slot >= fetch->slot_count || rows[slot] >= shape->row_count) return -ERANGE;
        for (i++;
             i < fetch->pending_count && pending[i] == last + 1 && last + 1 < fetch->slot_count &&
             rows[last + 1] == rows[last] + 1 && rows[last + 1] < shape->row_count;
             i++)
            last++;
        uint64_t left_bytes = (last - slot + 1) * row_bytes, done_bytes = 0;
        while (left_bytes != 0) {
            uint64_t length_bytes =
                left_bytes < RQ_CHAIN_PIECE_BYTES_MAX ? left_bytes : RQ_CHAIN_PIECE_BYTES_MAX;
            if (filled == fetch->request_count_max) return -ENOSPC;
            requests_out[filled++] = (struct rq_op){
                .local_address = copy + slot * row_bytes + done_bytes,
                .remote_address = chain->remote_address + rows[slot] * row_bytes + done_bytes,
                .length_bytes = (uint32_t)length_bytes,
                .local_key = chain->local_key,
                .remote_key = chain->remote_key,
                .opcode = RQ_OP_READ,
            };
            done_bytes += length_bytes;
            left_bytes -= length_bytes;
        }
    }
    return filled;
}

uint32_t rq_fetch_judge(const struct rq_table_shape *shape, uint32_t *pending,
                        struct rq_fetch *fetch, uint8_t *out, uint64_t *versions_out) {
    fetch->copy_count++;
    if (fetch->copy_count < COPIES) return fetch->pending_count;
    uint64_t row_bytes = rq_fetch_row_bytes(shape->row_bytes);
    const uint8_t *copies[COPIES]; /* the oldest first */
    for (uint32_t i = 0; i < COPIES; i++)
        copies[i] = (const uint8_t *)(uintptr_t)fetch->copy_address +
                    (fetch->copy_count + i) % COPIES * fetch->copy_bytes;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < fetch->pending_count; i++) {
        uint64_t slot = pending[i], at = slot * row_bytes;
        if (!rq_table_judge(shape, copies[0] + at, copies[1] + at, copies[2] + at,
                            out + slot * shape->row_bytes, versions_out + slot))
            pending[kept++] = pending[i];
    }
    fetch->pending_count = kept;
    return kept;
}
