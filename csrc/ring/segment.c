/* Making, mapping and sealing a segment: the set-up half, where system calls belong. */
#define _GNU_SOURCE
#include "ring/segment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring/memfd.h"

/* Maps [0, segment) and then the data once more behind it, data on a 2 MiB boundary. */
static int map_twice(int fd, const struct rq_descriptor *descriptor, int protection,
                     struct rq_segment *segment) {
    uint64_t mapped_bytes = descriptor->segment_bytes + descriptor->capacity_bytes;
    uint64_t reserved_bytes = mapped_bytes + RQ_HUGE_PAGE_BYTES;
    uint8_t *reserved =
        mmap(NULL, reserved_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED) return -errno;
    uintptr_t aligned =
        ((uintptr_t)reserved + RQ_HUGE_PAGE_BYTES - 1) & ~(uintptr_t)(RQ_HUGE_PAGE_BYTES - 1);
    uint8_t *base = reserved + (aligned - (uintptr_t)reserved);
    if (base != reserved) munmap(reserved, (size_t)(base - reserved));
    uint8_t *end = base + mapped_bytes;
    if (end != reserved + reserved_bytes) munmap(end, (size_t)(reserved + reserved_bytes - end));
    uint8_t *data = base + descriptor->data_offset_bytes;
    if (mmap(base, descriptor->segment_bytes, protection, MAP_SHARED | MAP_FIXED, fd, 0) ==
            MAP_FAILED ||
        mmap(data + descriptor->capacity_bytes, descriptor->capacity_bytes, protection,
             MAP_SHARED | MAP_FIXED, fd, (off_t)descriptor->data_offset_bytes) == MAP_FAILED) {
        int error = -errno;
        munmap(base, mapped_bytes);
        return error;
    }
    rq_memory_keep_from_fork(base, mapped_bytes);
    segment->base = base;
    segment->mapped_bytes = mapped_bytes;
    return 0;
}

static struct rq_segment *segment_over(int fd, const struct rq_descriptor *descriptor,
                                       int protection, int *error_out) {
    struct rq_segment *segment = calloc(1, sizeof(*segment));
    if (segment == NULL) {
        *error_out = -ENOMEM;
        return NULL;
    }
    *error_out = map_twice(fd, descriptor, protection, segment);
    if (*error_out != 0) {
        free(segment);
        return NULL;
    }
    segment->data = segment->base + descriptor->data_offset_bytes;
    segment->live = (struct rq_live *)(segment->base + descriptor->live_offset_bytes);
    segment->ledger = (struct rq_ledger_entry *)(segment->base + descriptor->ledger_offset_bytes);
    segment->index = (struct rq_index_entry *)(segment->base + descriptor->index_offset_bytes);
    segment->capacity_bytes = descriptor->capacity_bytes;
    segment->guard_bytes = descriptor->guard_bytes;
    segment->message_bytes_max = descriptor->message_bytes_max;
    segment->index_stride_bytes = descriptor->index_stride_bytes;
    segment->index_entry_mask = descriptor->capacity_bytes / descriptor->index_stride_bytes - 1;
    segment->record_bytes = descriptor->record_bytes;
    segment->is_reliable = descriptor->is_reliable;
    segment->is_writable = (protection & PROT_WRITE) != 0;
    segment->owner_pid = getpid();
    rq_memory_collapse(segment->data, segment->capacity_bytes);
    rq_memory_collapse(segment->data + segment->capacity_bytes, segment->capacity_bytes);
    rq_memory_populate(segment->base, segment->mapped_bytes, segment->is_writable);
    return segment;
}

int rq_segment_create(const struct rq_descriptor *descriptor, struct rq_segment **segment_out,
                      int *fd_out) {
    *segment_out = NULL;
    *fd_out = -1;
    int error = rq_descriptor_check(descriptor);
    if (error != 0) return error;
    int fd = rq_memfd_create("rdmaq-segment", descriptor->segment_bytes);
    if (fd < 0) return fd;
    struct rq_segment *segment = segment_over(fd, descriptor, PROT_READ | PROT_WRITE, &error);
    if (segment != NULL) {
        memcpy(segment->base, descriptor, sizeof(*descriptor));
        error = rq_memfd_seal(fd, RQ_SEAL_WRITER);
    }
    if (error != 0) {
        if (segment != NULL) rq_segment_free(segment);
        close(fd);
        return error;
    }
    *segment_out = segment;
    *fd_out = fd;
    return 0;
}

int rq_segment_attach(int fd, struct rq_segment **segment_out, struct rq_descriptor *copy_out) {
    *segment_out = NULL;
    int error = rq_memfd_check_sealed(fd, RQ_SEAL_WRITER);
    if (error != 0) return error;
    /* The seals hold from here on: neither the size nor a descriptor that nobody can map writable
     * again changes under the checks, except through the publisher's own first mapping; that is
     * why only this copy is ever used. */
    ssize_t got_bytes = pread(fd, copy_out, sizeof(*copy_out), 0);
    if (got_bytes != (ssize_t)sizeof(*copy_out)) return -EBADMSG;
    error = rq_descriptor_check(copy_out);
    if (error == 0) error = rq_memfd_check_bytes(fd, copy_out->segment_bytes);
    if (error != 0) return error;
    struct rq_segment *segment = segment_over(fd, copy_out, PROT_READ, &error);
    if (segment == NULL) return error;
    *segment_out = segment;
    return 0;
}

void rq_segment_free(struct rq_segment *segment) {
    if (segment == NULL) return;
    if (segment->owner_pid == getpid()) munmap(segment->base, segment->mapped_bytes);
    free(segment);
}

uint8_t *rq_segment_data(struct rq_segment *segment) { return segment->data; }
