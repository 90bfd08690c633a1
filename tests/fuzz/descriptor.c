/*
 * A stranger's segment: descriptor, size and seals are the input's. Either it is refused, or all of
 * what the descriptor promises is mapped and can be read.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "input.h"
#include "rdmaq_abi.h"
#include "ring/segment.h"

enum { CAPACITY_BYTES = 65536, SEALS_ALL = 0x1f, SEALS_NEEDED = 0x17 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

static uint64_t checksum(const struct rq_segment *segment) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < 2 * segment->capacity_bytes; i += 4096) sum += segment->data[i];
    for (uint64_t i = 0; i < segment->index_entry_mask + 1; i++) sum += segment->index[i].reserved;
    return sum + segment->ledger[RQ_LEDGER_ENTRIES - 1].last + segment->live->tail_bytes;
}

static void attach(int fd) {
    static struct rq_descriptor copy;
    struct rq_segment *segment = NULL;
    int error = rq_segment_attach(fd, &segment, &copy);
    CLAIM((error == 0) == (segment != NULL));
    if (error != 0) return;
    CLAIM(copy.segment_bytes == segment->mapped_bytes - copy.capacity_bytes);
    CLAIM(copy.guard_bytes <= copy.capacity_bytes / 4 && copy.record_bytes <= copy.guard_bytes);
    CLAIM(copy.name_bytes <= sizeof(copy.name) && copy.schema_bytes <= sizeof(copy.schema));
    volatile uint64_t sum = checksum(segment);
    (void)sum;
    rq_segment_free(segment);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count) {
    static struct rq_descriptor descriptor;
    struct input input = {.bytes = bytes, .left_bytes = byte_count};
    uint64_t choice = take(&input, 1);
    rq_descriptor_init(&descriptor, CAPACITY_BYTES, 0, 0);
    if (choice & 1) /* sizes that agree with each other, of the input's choice */
        rq_descriptor_init(&descriptor, 1ull << take(&input, 1) % 24, take(&input, 3),
                           (uint32_t)take(&input, 3));
    uint64_t segment_bytes = descriptor.segment_bytes;
    for (uint64_t i = take(&input, 1) % 4; i > 0; i--) {
        size_t offset = take(&input, 2) % (144 / 4) * 4; /* the numbers before the name */
        uint32_t word = (uint32_t)take(&input, 4);
        memcpy((uint8_t *)&descriptor + offset, &word, sizeof(word));
    }
    if (choice & 2) segment_bytes += (uint64_t)(int64_t)(int16_t)take(&input, 2);
    if (choice & 4) segment_bytes = take(&input, 3);
    segment_bytes &= (1u << 25) - 1;
    int fd = memfd_create("fuzz", MFD_ALLOW_SEALING | MFD_CLOEXEC);
    CLAIM(fd >= 0);
    CLAIM(choice & 8 ? ftruncate(fd, (off_t)segment_bytes) == 0
                     : segment_bytes == 0 || fallocate(fd, 0, 0, (off_t)segment_bytes) == 0);
    ssize_t written_bytes = pwrite(
        fd, &descriptor, segment_bytes < sizeof descriptor ? segment_bytes : sizeof descriptor, 0);
    CLAIM(written_bytes >= 0);
    int seals = choice & 16 ? (int)take(&input, 1) & SEALS_ALL : SEALS_NEEDED;
    CLAIM(fcntl(fd, F_ADD_SEALS, seals) == 0);
    attach(fd);
    close(fd);
    return 0;
}
