/*
 * The fake NIC's bytes, for Python: requests are carried out between memories of this process, as
 * strictly as a device would, and as late as a device may. A READ or an atomic touches memory only
 * when its completion is told, or when a fenced request comes: what overtakes it without a fence is
 * seen to have done so.
 */
#include <stdlib.h>
#include <string.h>

#include "verbs/fake_nic.h"

struct range {
    uint64_t begin, end;
    uint32_t key;
};

struct carrier {
    struct range local, remote;
    int may_write, may_atomic;
    struct fake_request late[FAKE_QUEUE_MAX];
    uint32_t late_count;
    uint64_t fences, inlines, bytes;
    void (*during)(void); /* runs in the middle of each READ */
};

static int is_inside(const struct range *range, uint64_t address, uint32_t length, uint32_t key) {
    return key == range->key && address >= range->begin && length <= range->end - address &&
           address <= range->end;
}

/* The odd words first, then whatever the test does, then the others: in no order that helps. */
static void read(struct carrier *carrier, uint8_t *local, const uint8_t *remote, uint32_t length) {
    for (int is_even = 0; is_even < 2; is_even++) {
        for (uint32_t at = is_even ? 0 : 8; at < length; at += 16)
            memcpy(local + at, remote + at, length - at < 8 ? length - at : 8);
        if (!is_even && carrier->during != NULL) carrier->during();
    }
}

static void touch(struct carrier *carrier, const struct fake_request *request) {
    void *local = (void *)(uintptr_t)request->local_address;
    void *remote = (void *)(uintptr_t)request->remote_address;
    uint64_t old, new;
    switch (request->opcode) {
        case IBV_WR_RDMA_WRITE:
            memcpy(remote, request->is_inline ? request->inline_bytes : local, request->length);
            return;
        case IBV_WR_RDMA_READ: read(carrier, local, remote, request->length); return;
        default: break;
    }
    memcpy(&old, remote, 8);
    new = old + request->compare_add;
    if (request->opcode == IBV_WR_ATOMIC_CMP_AND_SWP)
        new = old == request->compare_add ? request->swap : old;
    memcpy(remote, &new, 8);
    memcpy(local, &old, 8);
}

static void touch_late(struct carrier *carrier) {
    for (uint32_t i = 0; i < carrier->late_count; i++) touch(carrier, &carrier->late[i]);
    carrier->late_count = 0;
}

static enum ibv_wc_status carry(struct fake_qp *qp, const struct fake_request *request) {
    struct carrier *carrier = qp->carrier;
    if (request == NULL) {
        touch_late(carrier);
        return IBV_WC_SUCCESS;
    }
    int is_atomic = request->opcode == IBV_WR_ATOMIC_FETCH_AND_ADD ||
                    request->opcode == IBV_WR_ATOMIC_CMP_AND_SWP;
    int is_read = request->opcode == IBV_WR_RDMA_READ;
    if (request->is_fenced) touch_late(carrier);
    carrier->fences += (uint64_t)request->is_fenced;
    carrier->inlines += (uint64_t)request->is_inline;
    carrier->bytes += request->length;
    if (!request->is_inline &&
        !is_inside(&carrier->local, request->local_address, request->length, request->local_key))
        return IBV_WC_LOC_PROT_ERR;
    if (!is_inside(&carrier->remote, request->remote_address, request->length,
                   request->remote_key) ||
        !(is_read || (is_atomic ? carrier->may_atomic : carrier->may_write)))
        return IBV_WC_REM_ACCESS_ERR;
    if (is_read || is_atomic)
        carrier->late[carrier->late_count++] = *request;
    else
        touch(carrier, request);
    return IBV_WC_SUCCESS;
}

void nic_carry(struct fake_qp *qp, uint64_t remote, uint64_t length, uint32_t key, int may_write,
               int may_atomic) {
    struct carrier *carrier = calloc(1, sizeof(*carrier));
    carrier->remote = (struct range){remote, remote + length, key};
    carrier->may_write = may_write;
    carrier->may_atomic = may_atomic;
    qp->carrier = carrier;
    qp->carry = carry;
}

void nic_register(struct fake_qp *qp, uint64_t local, uint64_t length, uint32_t key) {
    struct carrier *carrier = qp->carrier;
    carrier->local = (struct range){local, local + length, key};
}

/* As deregistering at the owner does. */
void nic_revoke(struct fake_qp *qp) {
    struct carrier *carrier = qp->carrier;
    carrier->remote.key++;
}

void nic_during_reads(struct fake_qp *qp, void (*during)(void)) {
    struct carrier *carrier = qp->carrier;
    carrier->during = during;
}

uint64_t nic_fences(const struct fake_qp *qp) { return ((struct carrier *)qp->carrier)->fences; }

uint64_t nic_inlines(const struct fake_qp *qp) { return ((struct carrier *)qp->carrier)->inlines; }

uint64_t nic_bytes(const struct fake_qp *qp) { return ((struct carrier *)qp->carrier)->bytes; }
