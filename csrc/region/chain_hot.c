/*
 * A region's operations as chains of a NIC's requests. Bytes pass through a registered buffer,
 * since the caller's own memory is not registered; short WRITEs travel within their requests.
 */
#include <string.h>

#include "rdmaq_abi.h"
#include "region/region.h"

struct walk {
    uint64_t op;
    uint64_t op_bytes;     /* of that operation that are done */
    uint64_t buffer_bytes; /* of the buffer that are used */
};

struct piece {
    uint64_t op;
    uint64_t op_bytes; /* where it begins in the operation */
    uint64_t length_bytes;
    uint64_t buffer_bytes; /* where it begins in the buffer; nowhere when it is inline */
    int is_inline;
};

static uint64_t aligned(uint64_t bytes) {
    return (bytes + RQ_CHAIN_ALIGN_BYTES - 1) / RQ_CHAIN_ALIGN_BYTES * RQ_CHAIN_ALIGN_BYTES;
}

static int goes_inline(const struct rq_chain *chain, const struct rq_region_op *op) {
    return op->kind == RQ_REGION_WRITE && op->length_bytes <= chain->inline_bytes_max;
}

/* The next piece that there is room for; 0: none. Filling and taking walk alike, so that nothing
 * need be remembered between them. */
static int next_piece(const struct rq_chain *chain, const struct rq_region_op *ops, uint64_t count,
                      uint64_t room_bytes, struct walk *walk, struct piece *piece) {
    while (walk->op < count && ops[walk->op].length_bytes == walk->op_bytes) {
        walk->op++; /* it is done, or has no bytes */
        walk->op_bytes = 0;
    }
    if (walk->op == count) return 0;
    const struct rq_region_op *op = ops + walk->op;
    *piece = (struct piece){.op = walk->op,
                            .op_bytes = walk->op_bytes,
                            .length_bytes = op->length_bytes - walk->op_bytes,
                            .buffer_bytes = walk->buffer_bytes,
                            .is_inline = goes_inline(chain, op)};
    if (!piece->is_inline) {
        uint64_t free_bytes = room_bytes - walk->buffer_bytes;
        if (free_bytes == 0) return 0;
        if (piece->length_bytes > RQ_CHAIN_PIECE_BYTES_MAX)
            piece->length_bytes = RQ_CHAIN_PIECE_BYTES_MAX;
        if (piece->length_bytes > free_bytes) piece->length_bytes = free_bytes;
        walk->buffer_bytes += aligned(piece->length_bytes);
    }
    walk->op_bytes += piece->length_bytes;
    return 1;
}

int rq_chain_check(const struct rq_chain *chain, const struct rq_region_op *ops, uint64_t count,
                   struct rq_chain_needs *needs_out, uint64_t *bad_index_out) {
    int error = rq_region_check(chain->access, chain->remote_bytes, ops, count, bad_index_out);
    if (error != 0) return error;
    *needs_out = (struct rq_chain_needs){0};
    for (uint64_t i = 0; i < count; i++) {
        uint64_t length_bytes = ops[i].length_bytes;
        needs_out->request_count += length_bytes / RQ_CHAIN_PIECE_BYTES_MAX +
                                    (length_bytes % RQ_CHAIN_PIECE_BYTES_MAX != 0);
        if (!goes_inline(chain, ops + i)) needs_out->buffer_bytes += aligned(length_bytes);
    }
    return 0;
}

static void fill_one(const struct rq_chain *chain, const struct rq_region_op *op,
                     const struct piece *piece, uint8_t *buffer, uint32_t *has_unfenced,
                     struct rq_op *request) {
    static const uint8_t opcodes[] = {
        [RQ_REGION_READ] = RQ_OP_READ,
        [RQ_REGION_WRITE] = RQ_OP_WRITE,
        [RQ_REGION_FETCH_ADD] = RQ_OP_FETCH_ADD,
        [RQ_REGION_COMPARE_SWAP] = RQ_OP_COMPARE_SWAP,
    };
    uint8_t *caller = (uint8_t *)(uintptr_t)op->local_address + piece->op_bytes;
    uint8_t *place = buffer + piece->buffer_bytes;
    *request = (struct rq_op){
        .local_address = (uint64_t)(uintptr_t)(piece->is_inline ? caller : place),
        .remote_address = chain->remote_address + op->offset_bytes + piece->op_bytes,
        .length_bytes = (uint32_t)piece->length_bytes,
        .local_key = chain->local_key,
        .remote_key = chain->remote_key,
        .opcode = opcodes[op->kind],
    };
    if (op->kind == RQ_REGION_FETCH_ADD) request->compare_add = op->operand;
    if (op->kind == RQ_REGION_COMPARE_SWAP) {
        request->compare_add = op->compare;
        request->swap = op->operand;
    }
    if (piece->is_inline) request->flags = RQ_OP_INLINE;
    if (op->kind == RQ_REGION_WRITE && !piece->is_inline)
        memcpy(place, caller, piece->length_bytes);
    /* READs keep their order behind READs and atomics; what writes may overtake them (IBTA volume
     * 1, work request ordering), unless it is fenced, which waits for all of them. */
    if (op->kind != RQ_REGION_READ && *has_unfenced) {
        request->flags |= RQ_OP_FENCE;
        *has_unfenced = 0;
    }
    if (op->kind != RQ_REGION_WRITE) *has_unfenced = 1;
}

uint32_t rq_chain_fill(const struct rq_chain *chain, const struct rq_region_op *ops, uint64_t count,
                       struct rq_chain_part *part, struct rq_op *requests_out) {
    struct walk walk = {.op = part->first_op, .op_bytes = part->first_bytes};
    struct piece piece;
    uint8_t *buffer = (uint8_t *)(uintptr_t)part->buffer_address;
    uint32_t filled = 0;
    while (filled < part->request_count_max &&
           next_piece(chain, ops, count, part->buffer_bytes, &walk, &piece))
        fill_one(chain, ops + piece.op, &piece, buffer, &part->has_unfenced,
                 requests_out + filled++);
    part->request_count = filled;
    part->next_op = walk.op;
    part->next_bytes = walk.op_bytes;
    return filled;
}

void rq_chain_take(const struct rq_chain *chain, struct rq_region_op *ops, uint64_t count,
                   const struct rq_chain_part *part) {
    struct walk walk = {.op = part->first_op, .op_bytes = part->first_bytes};
    struct piece piece;
    const uint8_t *buffer = (const uint8_t *)(uintptr_t)part->buffer_address;
    for (uint32_t i = 0; i < part->request_count; i++) {
        if (!next_piece(chain, ops, count, part->buffer_bytes, &walk, &piece)) return;
        struct rq_region_op *op = ops + piece.op;
        const uint8_t *place = buffer + piece.buffer_bytes;
        if (op->kind == RQ_REGION_READ)
            memcpy((uint8_t *)(uintptr_t)op->local_address + piece.op_bytes, place,
                   piece.length_bytes);
        else if (op->kind != RQ_REGION_WRITE)
            memcpy(&op->result, place, sizeof(op->result));
    }
}
