/*
 * A segment or control page with holes is refused: its reader would allocate a stranger's memory,
 * and die of SIGBUS where there is none. Seals keep what is allocated from being punched out again.
 */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rdmaq_abi.h"
#include "ring/segment.h"

enum { CAPACITY_BYTES = 65536, SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, FUTURE = 0x10 };

static int make_memfd(const void *bytes, size_t byte_count, uint64_t file_bytes, int is_sparse,
                      int seals) {
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(fd >= 0);
    CHECK_EQUAL(ftruncate(fd, (off_t)file_bytes), 0);
    if (!is_sparse) CHECK_EQUAL(fallocate(fd, 0, 0, (off_t)file_bytes), 0);
    CHECK_EQUAL(pwrite(fd, bytes, byte_count, 0), byte_count);
    CHECK_EQUAL(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static int attach_status(const struct rq_descriptor *descriptor, int is_sparse) {
    static struct rq_descriptor copy;
    struct rq_segment *segment;
    int fd = make_memfd(descriptor, sizeof *descriptor, descriptor->segment_bytes, is_sparse,
                        SEALS | FUTURE);
    int status = rq_segment_attach(fd, &segment, &copy);
    CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 65536) != 0);
    rq_segment_free(segment);
    close(fd);
    return status;
}

static int open_status(struct rq_segment *segment, int is_sparse) {
    struct rq_reader *reader;
    int fd = make_memfd("", 0, (uint64_t)sysconf(_SC_PAGESIZE), is_sparse, SEALS);
    int status = rq_reader_open(segment, fd, 0, CAPACITY_BYTES, 0, 0, &reader);
    rq_reader_free(reader);
    close(fd);
    return status;
}

int main(void) {
    static struct rq_descriptor descriptor;
    CHECK_EQUAL(rq_descriptor_init(&descriptor, CAPACITY_BYTES, 0, 0), 0);
    CHECK_EQUAL(attach_status(&descriptor, 0), 0);
    CHECK_EQUAL(attach_status(&descriptor, 1), -EBADMSG);

    struct rq_segment *segment;
    struct rq_publisher *publisher;
    int fd;
    CHECK_EQUAL(rq_segment_create(&descriptor, &segment, &fd), 0);
    CHECK_EQUAL(rq_publisher_open(segment, 1, 0, 0, &publisher), 0);
    CHECK_EQUAL(open_status(segment, 0), 0);
    CHECK_EQUAL(open_status(segment, 1), -EBADMSG);
    rq_publisher_close(publisher);
    rq_publisher_free(publisher);
    rq_segment_free(segment);
    close(fd);
    return 0;
}
