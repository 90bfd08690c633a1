/* Memory behind a descriptor: made whole, of a size that is sealed, and checked by a stranger. */
#ifndef RQ_RING_MEMFD_H
#define RQ_RING_MEMFD_H

#include <stdint.h>

/* What is sealed besides the size, which always is. */
enum rq_sealing {
    RQ_SEAL_SIZE = 0, /* no access of whoever maps it can end in SIGBUS */
    RQ_SEAL_WRITER,   /* and who has not mapped it writable by then never will */
};

/* `bytes` that are all there: what the machine lacks fails here, not as SIGBUS later. Not sealed
 * yet. Returns a descriptor, which is the caller's, or -errno. */
int rq_memfd_create(const char *name, uint64_t bytes);

/* From here on the size stands. RQ_SEAL_WRITER must come after the writer's own mapping. */
int rq_memfd_seal(int fd, enum rq_sealing sealing);

/* A descriptor that a stranger handed over: -EPERM when it is not sealed so, or no memfd. */
int rq_memfd_check_sealed(int fd, enum rq_sealing sealing);

/* Must be called after rq_memfd_check_sealed: -EBADMSG when it is of another size, or has holes. */
int rq_memfd_check_bytes(int fd, uint64_t bytes);

/* Large pages where the kernel grants them; best effort. Nothing below 2 MiB. */
void rq_memory_collapse(void *base, uint64_t bytes);

/* No first-touch fault later; best effort. */
void rq_memory_populate(void *base, uint64_t bytes, int is_writable);

/* A forked child that touches the memory by accident must fault, not write. */
void rq_memory_keep_from_fork(void *base, uint64_t bytes);

#endif
