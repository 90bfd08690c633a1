/*
 * Every single damaged byte of a descriptor's numbers, under the right seals and at the right
 * size: attach refuses it, or it changes nothing that the mapping depends on.
 */
#define _GNU_SOURCE
#include "pair.h"

#include <fcntl.h>
#include <sys/mman.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010 /* linux/fcntl.h, since 5.1 */
#endif

enum { CAPACITY_BYTES = 65536, NUMBERS_BYTES = offsetof(struct rq_descriptor, name) };

static const int SEALS[] = {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_FUTURE_WRITE, F_SEAL_SEAL};

static int sealed_memfd(const struct rq_descriptor *descriptor, uint64_t size_bytes, int seals) {
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(fd >= 0);
    CHECK(fallocate(fd, 0, 0, (off_t)size_bytes) == 0);
    CHECK(pwrite(fd, descriptor, sizeof(*descriptor), 0) == (ssize_t)sizeof(*descriptor));
    CHECK(fcntl(fd, F_ADD_SEALS, seals) == 0);
    return fd;
}

static int attach(const struct rq_descriptor *descriptor, uint64_t size_bytes, int seals) {
    static struct rq_descriptor copy;
    int fd = sealed_memfd(descriptor, size_bytes, seals);
    struct rq_segment *segment;
    int status = rq_segment_attach(fd, &segment, &copy);
    if (status == 0) {
        CHECK_EQUAL(segment->capacity_bytes, CAPACITY_BYTES);
        CHECK_EQUAL(segment->mapped_bytes, size_bytes + CAPACITY_BYTES);
        CHECK_EQUAL(segment->is_writable, 0);
        rq_segment_free(segment);
    } else {
        CHECK(segment == NULL);
    }
    close(fd);
    return status;
}

int main(void) {
    static struct rq_descriptor good;
    CHECK_EQUAL(rq_descriptor_init(&good, CAPACITY_BYTES, 0, 24), 0);
    int all_seals = SEALS[0] | SEALS[1] | SEALS[2] | SEALS[3];
    CHECK_EQUAL(attach(&good, good.segment_bytes, all_seals), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(attach(&good, good.segment_bytes, all_seals & ~SEALS[i]), -EPERM);
    for (int i = 1; i < 4; i++) {
        CHECK_EQUAL(attach(&good, good.segment_bytes + (uint64_t)i * 4096, all_seals), -EBADMSG);
        CHECK_EQUAL(attach(&good, good.segment_bytes - (uint64_t)i * 4096, all_seals), -EBADMSG);
    }
    int refused = 0;
    for (int offset = 0; offset < NUMBERS_BYTES; offset++) {
        for (int bit = 0; bit < 8; bit++) {
            struct rq_descriptor bad = good;
            ((uint8_t *)&bad)[offset] ^= (uint8_t)(1 << bit);
            int status = attach(&bad, good.segment_bytes, all_seals);
            CHECK(status == 0 || status == -EBADMSG || status == -EPROTONOSUPPORT);
            refused += status != 0;
            if (offset < 8) CHECK_EQUAL(status, -EBADMSG);
            if (offset >= 8 && offset < 12) CHECK_EQUAL(status, -EPROTONOSUPPORT);
        }
    }
    CHECK(refused > 600); /* all but identity, epoch, hash, and record sizes that fit */
    return 0;
}
