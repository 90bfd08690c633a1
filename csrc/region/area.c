/* Making, sealing, mapping and revoking an area: the set-up half, where system calls belong. */
#define _GNU_SOURCE
#include "region/area.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring/segment.h"

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

/* The size never changes: no peer's access can end in SIGBUS, on either side. */
#define SEALS_SIZE (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static uint64_t whole_pages(uint64_t bytes) {
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    return (bytes + page_bytes - 1) & ~(page_bytes - 1);
}

static int is_for_writing(uint32_t access) {
    return (access & (RQ_ACCESS_WRITE | RQ_ACCESS_ATOMIC)) != 0;
}

static void *map(int fd, uint64_t bytes, int is_writable) {
    int protection = is_writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *base = mmap(NULL, bytes, protection, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) return NULL;
    /* A forked child that touches a region by accident must fault, not write. */
    madvise(base, bytes, MADV_DONTFORK);
    if (bytes >= RQ_HUGE_PAGE_BYTES) madvise(base, bytes, MADV_COLLAPSE);
    madvise(base, bytes, is_writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
    return base;
}

/* A memfd of `bytes`, all of them there, mapped for the owner and sealed. Returns fd or -errno. */
static int make(const char *name, uint64_t bytes, int seals, void **base_out) {
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return -errno;
    int error = 0;
    *base_out = NULL;
    if (fallocate(fd, 0, 0, (off_t)bytes) != 0 || (*base_out = map(fd, bytes, 1)) == NULL)
        error = -errno;
    else if (fcntl(fd, F_ADD_SEALS, seals) != 0)
        error = -errno;
    if (error == 0) return fd;
    if (*base_out != NULL) munmap(*base_out, bytes);
    close(fd);
    return error;
}

int rq_area_create(uint64_t data_bytes, uint32_t access, struct rq_area **area_out,
                   int *data_fd_out, int *control_fd_out) {
    *area_out = NULL;
    *data_fd_out = *control_fd_out = -1;
    if (data_bytes == 0 || data_bytes > RQ_AREA_BYTES_MAX) return -EINVAL;
    struct rq_area *area = calloc(1, sizeof(*area));
    if (area == NULL) return -ENOMEM;
    area->data_bytes = data_bytes;
    area->mapped_bytes = whole_pages(data_bytes);
    area->control_bytes = whole_pages(sizeof(struct rq_area_control));
    area->access = access;
    area->is_owner = 1;
    area->owner_pid = getpid();
    void *base;
    /* FUTURE_WRITE: nobody but this very mapping writes, whoever holds the descriptor. */
    int control_fd =
        make("rdmaq-control", area->control_bytes, SEALS_SIZE | F_SEAL_FUTURE_WRITE, &base);
    if (control_fd < 0) {
        free(area);
        return control_fd;
    }
    area->control = base;
    int data_seals = SEALS_SIZE | (is_for_writing(access) ? 0 : F_SEAL_FUTURE_WRITE);
    int data_fd = make("rdmaq-region", area->mapped_bytes, data_seals, &base);
    if (data_fd < 0) {
        munmap(area->control, area->control_bytes);
        close(control_fd);
        free(area);
        return data_fd;
    }
    area->data = base;
    *area_out = area;
    *data_fd_out = data_fd;
    *control_fd_out = control_fd;
    return 0;
}

/* What a stranger handed over: of a size that cannot change, and without holes. */
static int check(int fd, uint64_t bytes) {
    struct stat status;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS_SIZE) != SEALS_SIZE) return -EPERM;
    if (fstat(fd, &status) != 0) return -errno;
    if (status.st_size < 0 || (uint64_t)status.st_size != bytes || !rq_is_allocated(&status))
        return -EBADMSG;
    return 0;
}

int rq_area_attach(int data_fd, int control_fd, uint64_t data_bytes, uint32_t access,
                   struct rq_area **area_out) {
    *area_out = NULL;
    if (data_bytes == 0 || data_bytes > RQ_AREA_BYTES_MAX) return -EBADMSG;
    struct rq_area *area = calloc(1, sizeof(*area));
    if (area == NULL) return -ENOMEM;
    area->data_bytes = data_bytes;
    area->mapped_bytes = whole_pages(data_bytes);
    area->control_bytes = whole_pages(sizeof(struct rq_area_control));
    area->access = access;
    area->owner_pid = getpid();
    int error = check(data_fd, area->mapped_bytes);
    if (error == 0) error = check(control_fd, area->control_bytes);
    if (error == 0 && (area->control = map(control_fd, area->control_bytes, 0)) == NULL)
        error = -errno;
    if (error == 0 &&
        (area->data = map(data_fd, area->mapped_bytes, is_for_writing(access))) == NULL)
        error = -errno;
    if (error == 0) {
        *area_out = area;
        return 0;
    }
    if (area->control != NULL) munmap(area->control, area->control_bytes);
    free(area);
    return error;
}

uint8_t *rq_area_data(struct rq_area *area) { return area->data; }

int rq_area_revoke(struct rq_area *area) {
    if (!area->is_owner || area->owner_pid != getpid()) return -EPERM;
    /* Pairs with the acquire load in rq_area_is_revoked. */
    if (atomic_exchange_explicit(&area->control->revoked, 1, memory_order_acq_rel) != 0) return 0;
    if (!is_for_writing(area->access)) return 0;
    /* A mapping cannot be taken back. So the owner moves away: its addresses get memory of its
     * own, with the same bytes, and what a peer writes from now on lands where nobody looks. */
    void *own =
        mmap(NULL, area->mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (own == MAP_FAILED) return -errno;
    memcpy(own, area->data, area->mapped_bytes);
    madvise(own, area->mapped_bytes, MADV_DONTFORK);
    if (mremap(own, area->mapped_bytes, area->mapped_bytes, MREMAP_MAYMOVE | MREMAP_FIXED,
               area->data) == MAP_FAILED) {
        int error = -errno;
        munmap(own, area->mapped_bytes);
        return error;
    }
    return 0;
}

void rq_area_free(struct rq_area *area) {
    if (area == NULL) return;
    if (area->owner_pid == getpid()) {
        munmap(area->data, area->mapped_bytes);
        munmap(area->control, area->control_bytes);
    }
    free(area);
}
