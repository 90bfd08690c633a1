#include "verbs/wire.h"

#include <stdatomic.h>
#include <string.h>

#include "check.h"

enum { PIECE_BYTES = 64, KEY_BASE = 0x1000 };

struct region {
    uintptr_t address;
    uint64_t bytes;
    int access;
    int is_used;
    uint32_t uses; /* so that a key never comes again */
};

static struct region regions[FAKE_REGIONS_MAX];

uint32_t wire_register(const void *address, uint64_t bytes, int access) {
    for (uint32_t i = 0; i < FAKE_REGIONS_MAX; i++) {
        struct region *region = &regions[i];
        if (region->is_used) continue;
        *region = (struct region){.address = (uintptr_t)address,
                                  .bytes = bytes,
                                  .access = access,
                                  .is_used = 1,
                                  .uses = region->uses + 1};
        return KEY_BASE + region->uses * FAKE_REGIONS_MAX + i;
    }
    CHECK(!"room for another region");
    return 0;
}

static struct region *region_of(uint32_t key) {
    struct region *region = &regions[(key - KEY_BASE) % FAKE_REGIONS_MAX];
    CHECK(region->is_used); /* a key that was taken back */
    CHECK_EQUAL(key, KEY_BASE + region->uses * FAKE_REGIONS_MAX + (uint32_t)(region - regions));
    return region;
}

void wire_deregister(uint32_t key) { region_of(key)->is_used = 0; }

static void check_access(uint32_t key, uint64_t address, uint64_t bytes, int access) {
    const struct region *region = region_of(key);
    CHECK(address >= region->address && bytes <= region->bytes &&
          address - region->address <= region->bytes - bytes);
    CHECK((region->access & access) == access);
}

static int is_read(const struct fake_request *request) {
    return request->opcode == IBV_WR_RDMA_READ;
}

static void note(const struct fake_request *request) {
    if (request->length == 0) return; /* its address and keys are not looked at */
    CHECK(request->length <= sizeof(request->moved) * 8 * PIECE_BYTES);
    if (!request->is_inline)
        check_access(request->local_key, request->local_address, request->length,
                     is_read(request) ? IBV_ACCESS_LOCAL_WRITE : 0);
    check_access(request->remote_key, request->remote_address, request->length,
                 is_read(request) ? IBV_ACCESS_REMOTE_READ : IBV_ACCESS_REMOTE_WRITE);
}

/* Words arrive whole, and the last of them behind what came before; nothing else is promised. */
static void copy(uint8_t *to, const uint8_t *from, uint32_t bytes) {
    if (bytes % 8 == 0 && (uintptr_t)to % 8 == 0 && (uintptr_t)from % 8 == 0 && bytes <= 64) {
        for (uint32_t at = 0; at < bytes; at += 8)
            atomic_store_explicit(
                (_Atomic uint64_t *)(void *)(to + at),
                atomic_load_explicit((const _Atomic uint64_t *)(const void *)(from + at),
                                     memory_order_acquire),
                memory_order_release);
    } else {
        memcpy(to, from, bytes);
    }
}

static uint32_t piece_count(const struct fake_request *request) {
    return (request->length + PIECE_BYTES - 1) / PIECE_BYTES;
}

static int has_moved(const struct fake_request *request, uint32_t piece) {
    return (request->moved[piece / 64] >> piece % 64 & 1) != 0;
}

static void move_piece(struct fake_request *request, uint32_t piece) {
    uint32_t at = piece * PIECE_BYTES, bytes = request->length - at;
    if (bytes > PIECE_BYTES) bytes = PIECE_BYTES;
    uint8_t *here = (uint8_t *)(uintptr_t)request->local_address + at;
    uint8_t *there = (uint8_t *)(uintptr_t)request->remote_address + at;
    request->moved[piece / 64] |= (uint64_t)1 << piece % 64;
    if (is_read(request))
        copy(here, there, bytes);
    else
        copy(there, request->is_inline ? request->inline_bytes + at : here, bytes);
}

static void move_rest(struct fake_request *request) {
    for (uint32_t piece = 0; piece < piece_count(request); piece++)
        if (!has_moved(request, piece)) move_piece(request, piece);
}

static int move_some(struct fake_request *request, uint64_t random) {
    uint32_t count = piece_count(request);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t piece = (uint32_t)((random + i) % count);
        if (has_moved(request, piece)) continue;
        move_piece(request, piece);
        return 1;
    }
    return 0;
}

static int is_cut(const struct fake_qp *qp) {
    return qp->peer == NULL || qp->peer->is_in_error || qp->peer->is_destroyed;
}

int wire_move(struct fake_qp *qp, uint64_t random) {
    if (qp->is_in_error || is_cut(qp)) return 0;
    for (uint64_t at = qp->executed; at != qp->posted; at++) {
        struct fake_request *request = &qp->sends[at % FAKE_QUEUE_MAX];
        if (at != qp->executed && (!is_read(request) || request->is_fenced)) return 0;
        int is_overtaken = is_read(request) && random % 3 == 0;
        random /= 3;
        if (!is_overtaken && move_some(request, random)) return 1;
        if (!is_read(request)) return 0;
    }
    return 0;
}

const struct fake_wire wire = {.note = note, .move_rest = move_rest, .is_cut = is_cut};
