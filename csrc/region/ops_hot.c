/* One-sided operations on a mapped area: all of a batch is checked, then all of it is done. */
#include <string.h>

#include "region/region.h"

static int check_one(uint32_t access, uint64_t area_bytes, const struct rq_region_op *op) {
    static const uint32_t needed_access[] = {
        [RQ_REGION_READ] = RQ_ACCESS_READ,
        [RQ_REGION_WRITE] = RQ_ACCESS_WRITE,
        [RQ_REGION_FETCH_ADD] = RQ_ACCESS_ATOMIC,
        [RQ_REGION_COMPARE_SWAP] = RQ_ACCESS_ATOMIC,
    };
    if (op->kind < RQ_REGION_READ || op->kind > RQ_REGION_COMPARE_SWAP) return -EINVAL;
    if ((access & needed_access[op->kind]) == 0) return -EACCES;
    if (op->offset_bytes > area_bytes || op->length_bytes > area_bytes - op->offset_bytes)
        return -ERANGE;
    if (op->kind >= RQ_REGION_FETCH_ADD && (op->length_bytes != 8 || op->offset_bytes % 8 != 0))
        return -EINVAL;
    return 0;
}

int rq_region_check(uint32_t access, uint64_t area_bytes, const struct rq_region_op *ops,
                    uint64_t count, uint64_t *bad_index_out) {
    for (uint64_t i = 0; i < count; i++) {
        int error = check_one(access, area_bytes, ops + i);
        if (error == 0) continue;
        *bad_index_out = i;
        return error;
    }
    return 0;
}

/* Others may write here or read there at the same moment: bytes are copied as they are found, and
 * nothing is promised of their order. Who needs more uses an atomic or a table. TSan is told. */
__attribute__((no_sanitize("thread"))) static void copy(void *to, const void *from,
                                                        uint64_t bytes) {
    memcpy(to, from, bytes);
}

void rq_region_do(const struct rq_region *region, struct rq_region_op *ops, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        struct rq_region_op *op = ops + i;
        uint8_t *remote = region->area->data + op->offset_bytes;
        uint8_t *local = (uint8_t *)(uintptr_t)op->local_address;
        /* The area begins on a page and the offset was checked: aligned to 8. */
        _Atomic uint64_t *word = (_Atomic uint64_t *)(void *)remote;
        switch (op->kind) {
            case RQ_REGION_READ: copy(local, remote, op->length_bytes); break;
            case RQ_REGION_WRITE: copy(remote, local, op->length_bytes); break;
            case RQ_REGION_FETCH_ADD:
                op->result = atomic_fetch_add_explicit(word, op->operand, memory_order_seq_cst);
                break;
            default: /* compare-and-swap; nothing else passed the check */
                op->result = op->compare;
                atomic_compare_exchange_strong_explicit(word, &op->result, op->operand,
                                                        memory_order_seq_cst, memory_order_seq_cst);
        }
    }
}
