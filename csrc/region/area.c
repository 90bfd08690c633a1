/* Making, sealing, mapping and revoking an area: the set-up half, where system calls belong. */
#define _GNU_SOURCE
#include "region/area.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring/memfd.h"

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
    rq_memory_keep_from_fork(base, bytes);
    rq_memory_collapse(base, bytes);
    rq_memory_populate(base, bytes, is_writable);
    return base;
}

/* A memfd of `bytes`, all of them there, mapped for the owner and sealed. Returns fd or -errno. */
static int make(const char *name, uint64_t bytes, enum rq_sealing sealing, void **base_out) {
    int fd = rq_memfd_create(name, bytes);
    if (fd < 0) return fd;
    *base_out = map(fd, bytes, 1);
    int error = *base_out == NULL ? -errno : rq_memfd_seal(fd, sealing);
    if (error == 0) return fd;
    if (*base_out != NULL) munmap(*base_out, bytes);
    close(fd);
    return error;
}

/* Sizes, and whose it is; nothing is mapped yet. NULL: no memory. */
static struct rq_area *new_area(uint64_t data_bytes, uint32_t access, int is_owner) {
    struct rq_area *area = calloc(1, sizeof(*area));
    if (area == NULL) return NULL;
    area->data_bytes = data_bytes;
    area->mapped_bytes = whole_pages(data_bytes);
    area->control_bytes = whole_pages(sizeof(struct rq_area_control));
    area->access = access;
    area->is_owner = is_owner;
    area->owner_pid = getpid();
    return area;
}

int rq_area_create(uint64_t data_bytes, uint32_t access, struct rq_area **area_out,
                   int *data_fd_out, int *control_fd_out) {
    *area_out = NULL;
    *data_fd_out = *control_fd_out = -1;
    if (data_bytes == 0 || data_bytes > RQ_AREA_BYTES_MAX) return -EINVAL;
    struct rq_area *area = new_area(data_bytes, access, 1);
    if (area == NULL) return -ENOMEM;
    void *base;
    int control_fd = make("rdmaq-control", area->control_bytes, RQ_SEAL_WRITER, &base);
    if (control_fd < 0) {
        free(area);
        return control_fd;
    }
    area->control = base;
    enum rq_sealing sealing = is_for_writing(access) ? RQ_SEAL_SIZE : RQ_SEAL_WRITER;
    int data_fd = make("rdmaq-region", area->mapped_bytes, sealing, &base);
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
    int error = rq_memfd_check_sealed(fd, RQ_SEAL_SIZE);
    return error != 0 ? error : rq_memfd_check_bytes(fd, bytes);
}

int rq_area_attach(int data_fd, int control_fd, uint64_t data_bytes, uint32_t access,
                   struct rq_area **area_out) {
    *area_out = NULL;
    if (data_bytes == 0 || data_bytes > RQ_AREA_BYTES_MAX) return -EBADMSG;
    struct rq_area *area = new_area(data_bytes, access, 0);
    if (area == NULL) return -ENOMEM;
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
    rq_memory_keep_from_fork(own, area->mapped_bytes);
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
