/* Making, mapping and sealing a segment: the set-up half, where system calls belong. */
#define _GNU_SOURCE
#include "ring/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010 /* linux/fcntl.h, since 5.1 */
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* linux/mman.h, since 6.1 */
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* linux/mman.h, since 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

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
    /* A forked child that touches a ring by accident must fault, not publish. */
    madvise(base, mapped_bytes, MADV_DONTFORK);
    segment->base = base;
    segment->mapped_bytes = mapped_bytes;
    return 0;
}

/* Large pages where the kernel grants them, and no first-touch fault later: both best effort. */
static void warm(const struct rq_segment *segment, const struct rq_descriptor *descriptor) {
    if (descriptor->capacity_bytes >= RQ_HUGE_PAGE_BYTES) {
        madvise(segment->data, descriptor->capacity_bytes, MADV_COLLAPSE);
        madvise(segment->data + descriptor->capacity_bytes, descriptor->capacity_bytes,
                MADV_COLLAPSE);
    }
    madvise(segment->base, segment->mapped_bytes,
            segment->is_writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
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
    warm(segment, descriptor);
    return segment;
}

int rq_segment_create(const struct rq_descriptor *descriptor, struct rq_segment **segment_out,
                      int *fd_out) {
    *segment_out = NULL;
    *fd_out = -1;
    int error = rq_descriptor_check(descriptor);
    if (error != 0) return error;
    int fd = memfd_create("rdmaq-segment", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return -errno;
    struct rq_segment *segment = NULL;
    /* fallocate, not ftruncate: memory that is not there must fail here, not as SIGBUS later. */
    if (fallocate(fd, 0, 0, (off_t)descriptor->segment_bytes) != 0)
        error = -errno;
    else
        segment = segment_over(fd, descriptor, PROT_READ | PROT_WRITE, &error);
    if (segment != NULL) {
        memcpy(segment->base, descriptor, sizeof(*descriptor));
        if (fcntl(fd, F_ADD_SEALS, SEALS) != 0) error = -errno;
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
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0) return -EPERM; /* not a memfd at all */
    if ((seals & SEALS) != SEALS) return -EPERM;
    /* The seals hold from here on: neither the size nor a descriptor that nobody can map writable
     * again changes under the checks, except through the publisher's own first mapping; that is
     * why only this copy is ever used. */
    struct stat status;
    if (fstat(fd, &status) != 0) return -errno;
    ssize_t got_bytes = pread(fd, copy_out, sizeof(*copy_out), 0);
    if (got_bytes != (ssize_t)sizeof(*copy_out)) return -EBADMSG;
    int error = rq_descriptor_check(copy_out);
    if (error != 0) return error;
    if (status.st_size < 0 || (uint64_t)status.st_size != copy_out->segment_bytes) return -EBADMSG;
    if (!rq_is_allocated(&status)) return -EBADMSG;
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
