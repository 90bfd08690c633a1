/*
 * Random batches of operations, filled into chains of random room and carried out by this test as a
 * NIC would: what comes out is what the same operations do one by one on a plain array, no request
 * reaches outside the region or the buffer, and nothing is written that was not asked for. Then
 * rows of a table: the READs name each pending row's bytes once, and a hostile table is refused.
 */
#include <stdlib.h>
#include <string.h>

#include "pair.h"

enum { REGION_BYTES = 5000, BUFFER_BYTES = 1024, OPS_MAX = 12, REQUESTS_MAX = 7, ROUNDS = 4000 };

struct place {
    uint8_t *region;
    uint8_t *buffer;
    uint64_t buffer_bytes;
};

static void carry_out(const struct place *place, const struct rq_op *requests, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        const struct rq_op *request = requests + i;
        uint64_t offset = request->remote_address - (uint64_t)(uintptr_t)place->region;
        uint8_t *local = (uint8_t *)(uintptr_t)request->local_address;
        uint64_t old, new, length = request->length_bytes;
        CHECK(offset <= REGION_BYTES && length <= REGION_BYTES - offset && length != 0);
        if (!(request->flags & RQ_OP_INLINE))
            CHECK(local >= place->buffer && local + length <= place->buffer + place->buffer_bytes);
        switch (request->opcode) {
            case RQ_OP_READ: memcpy(local, place->region + offset, length); break;
            case RQ_OP_WRITE: memcpy(place->region + offset, local, length); break;
            default:
                CHECK_EQUAL(length, 8);
                memcpy(&old, place->region + offset, 8);
                new = old + request->compare_add;
                if (request->opcode == RQ_OP_COMPARE_SWAP)
                    new = old == request->compare_add ? request->swap : old;
                memcpy(place->region + offset, &new, 8);
                memcpy(local, &old, 8);
        }
    }
}

/* One operation on the model, as shared memory does it. */
static void model_do(uint8_t *model, const struct rq_region_op *op, uint8_t *read_out,
                     uint64_t *result_out) {
    uint64_t old, new;
    uint8_t *at = model + op->offset_bytes;
    if (op->kind == RQ_REGION_READ) memcpy(read_out, at, op->length_bytes);
    if (op->kind == RQ_REGION_WRITE)
        memcpy(at, (void *)(uintptr_t)op->local_address, op->length_bytes);
    if (op->kind < RQ_REGION_FETCH_ADD) return;
    memcpy(&old, at, 8);
    new = op->kind == RQ_REGION_FETCH_ADD ? old + op->operand
                                          : (old == op->compare ? op->operand : old);
    memcpy(at, &new, 8);
    *result_out = old;
}

static struct rq_region_op random_op(uint64_t *random, uint8_t *local) {
    struct rq_region_op op = {.kind = 1 + (uint32_t)(pair_random(random) % 4),
                              .length_bytes = pair_random(random) % 1500,
                              .local_address = (uint64_t)(uintptr_t)local,
                              .operand = pair_random(random) % 3,
                              .compare = pair_random(random) % 3};
    if (pair_random(random) % 2) op.length_bytes %= 80;
    if (op.kind >= RQ_REGION_FETCH_ADD) op.length_bytes = 8;
    op.offset_bytes = pair_random(random) % (REGION_BYTES - op.length_bytes);
    if (op.kind >= RQ_REGION_FETCH_ADD) op.offset_bytes = op.offset_bytes % 64 / 8 * 8;
    return op;
}

static void run_batch(uint64_t *random, struct rq_chain *chain, const struct place *place,
                      uint8_t *model) {
    uint64_t count = pair_random(random) % (OPS_MAX + 1), bad_index, results[OPS_MAX];
    struct rq_region_op ops[OPS_MAX];
    uint8_t *locals[OPS_MAX], *expected[OPS_MAX];
    struct rq_chain_needs needs;
    for (uint64_t i = 0; i < count; i++) {
        ops[i] = random_op(random, NULL);
        locals[i] = malloc(ops[i].length_bytes + 1); /* exactly so many: the sanitizer looks */
        expected[i] = malloc(ops[i].length_bytes + 1);
        memset(locals[i], (int)(pair_random(random) % 256), ops[i].length_bytes + 1);
        memcpy(expected[i], locals[i], ops[i].length_bytes + 1);
        ops[i].local_address = (uint64_t)(uintptr_t)locals[i];
        model_do(model, ops + i, expected[i], results + i);
    }
    CHECK_EQUAL(rq_chain_check(chain, ops, count, &needs, &bad_index), 0);
    struct rq_chain_part part = {.buffer_address = (uint64_t)(uintptr_t)place->buffer,
                                 .buffer_bytes = 64 * (1 + pair_random(random) % 16),
                                 .request_count_max =
                                     1 + (uint32_t)(pair_random(random) % REQUESTS_MAX)};
    int is_one =
        needs.buffer_bytes <= part.buffer_bytes && needs.request_count <= part.request_count_max;
    uint64_t request_count = 0, chain_count = 0;
    do {
        struct rq_op requests[REQUESTS_MAX];
        uint32_t filled = rq_chain_fill(chain, ops, count, &part, requests);
        CHECK(filled <= part.request_count_max);
        carry_out(place, requests, filled);
        rq_chain_take(chain, ops, count, &part);
        request_count += filled;
        CHECK(filled != 0 || part.next_op == count);
        chain_count += filled != 0;
        part.first_op = part.next_op;
        part.first_bytes = part.next_bytes;
    } while (part.first_op != count);
    CHECK(request_count >= needs.request_count);
    if (is_one) CHECK(chain_count <= 1 && request_count == needs.request_count);
    CHECK(memcmp(place->region, model, REGION_BYTES) == 0);
    for (uint64_t i = 0; i < count; i++) {
        CHECK(memcmp(locals[i], expected[i], ops[i].length_bytes + 1) == 0);
        if (ops[i].kind >= RQ_REGION_FETCH_ADD) CHECK_EQUAL(ops[i].result, results[i]);
        free(locals[i]);
        free(expected[i]);
    }
}

/* Rows 2, 3, 4 and 9 of ten, of which 3 is no longer pending: two neighbours are no more. */
static void fetch_rows(void) {
    const struct rq_table_shape shape = {.row_bytes = 100, .row_count = 10};
    uint64_t row_bytes = rq_fetch_row_bytes(100), rows[] = {2, 3, 4, 9};
    uint32_t all[] = {0, 1, 2, 3}, some[] = {0, 2, 3};
    struct rq_chain chain = {.remote_address = 1 << 20, .remote_bytes = 10 * row_bytes};
    struct rq_fetch fetch = {.copy_address = 1 << 16,
                             .copy_bytes = 4 * row_bytes,
                             .slot_count = 4,
                             .pending_count = 4,
                             .request_count_max = 3};
    struct rq_op requests[3];
    CHECK_EQUAL(row_bytes, 256);
    CHECK_EQUAL(rq_fetch_fill(&chain, &shape, rows, all, &fetch, requests), 2);
    CHECK_EQUAL(requests[0].length_bytes, 3 * row_bytes);
    CHECK_EQUAL(requests[0].remote_address, (1 << 20) + 2 * row_bytes);
    CHECK_EQUAL(requests[1].remote_address, (1 << 20) + 9 * row_bytes);
    CHECK_EQUAL(requests[1].local_address, (1 << 16) + 3 * row_bytes);
    fetch.pending_count = 3;
    fetch.copy_count = 4; /* the second place again */
    CHECK_EQUAL(rq_fetch_fill(&chain, &shape, rows, some, &fetch, requests), 3);
    CHECK_EQUAL(requests[1].local_address, (1 << 16) + fetch.copy_bytes + 2 * row_bytes);
    fetch.request_count_max = 2;
    CHECK_EQUAL(rq_fetch_fill(&chain, &shape, rows, some, &fetch, requests), -ENOSPC);
    rows[3] = 10;
    CHECK_EQUAL(rq_fetch_fill(&chain, &shape, rows, some, &fetch, requests), -ERANGE);
    rows[3] = 9;
    chain.remote_bytes--; /* the table would end beyond its memory */
    CHECK_EQUAL(rq_fetch_fill(&chain, &shape, rows, some, &fetch, requests), -ERANGE);
}

int main(void) {
    uint64_t random = 88172645463325252u;
    _Alignas(64) static uint8_t region[REGION_BYTES], buffer[BUFFER_BYTES], model[REGION_BYTES];
    struct place place = {.region = region, .buffer = buffer, .buffer_bytes = BUFFER_BYTES};
    struct rq_chain chain = {.remote_address = (uint64_t)(uintptr_t)region,
                             .remote_bytes = REGION_BYTES,
                             .access = RQ_ACCESS_READ | RQ_ACCESS_WRITE | RQ_ACCESS_ATOMIC};
    for (int round = 0; round < ROUNDS; round++) {
        chain.inline_bytes_max = round % 2 ? 64 : 0;
        run_batch(&random, &chain, &place, model);
    }
    fetch_rows();
    return 0;
}
