/* What segments, areas and control pages ask of the kernel. */
#define _GNU_SOURCE
#include "ring/memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ring/layout.h"

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

static int seals_of(enum rq_sealing sealing) {
    int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    return sealing == RQ_SEAL_WRITER ? seals | F_SEAL_FUTURE_WRITE : seals;
}

int rq_memfd_create(const char *name, uint64_t bytes) {
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return -errno;
    if (fallocate(fd, 0, 0, (off_t)bytes) == 0) return fd;
    int error = -errno;
    close(fd);
    return error;
}

int rq_memfd_seal(int fd, enum rq_sealing sealing) {
    return fcntl(fd, F_ADD_SEALS, seals_of(sealing)) == 0 ? 0 : -errno;
}

int rq_memfd_check_sealed(int fd, enum rq_sealing sealing) {
    int wanted = seals_of(sealing), seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & wanted) == wanted ? 0 : -EPERM;
}

/* Holes: reading one would allocate memory in the maker's stead, or be SIGBUS where there is none.
 * The seals keep them from being punched later: the kernel refuses that on FUTURE_WRITE. */
int rq_memfd_check_bytes(int fd, uint64_t bytes) {
    struct stat status;
    if (fstat(fd, &status) != 0) return -errno;
    if (status.st_size < 0 || (uint64_t)status.st_size != bytes) return -EBADMSG;
    return status.st_blocks >= 0 && status.st_size <= status.st_blocks * 512 ? 0 : -EBADMSG;
}

void rq_memory_collapse(void *base, uint64_t bytes) {
    if (bytes >= RQ_HUGE_PAGE_BYTES) madvise(base, bytes, MADV_COLLAPSE);
}

void rq_memory_populate(void *base, uint64_t bytes, int is_writable) {
    madvise(base, bytes, is_writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
}

void rq_memory_keep_from_fork(void *base, uint64_t bytes) { madvise(base, bytes, MADV_DONTFORK); }
