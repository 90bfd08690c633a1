/* Memory for the plainest ring, with the large pages that rdmaq's own ring gets: else the two would
 * differ by their page tables. */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include "rdmaq_abi.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* linux/mman.h, since 6.1 */
#endif
#define HUGE_PAGE_BYTES 2097152u

uint64_t rq_bench_plain_bytes(uint64_t capacity_bytes) {
    uint64_t area_bytes = RQ_BENCH_PLAIN_HEADER_BYTES + capacity_bytes;
    return (area_bytes + HUGE_PAGE_BYTES - 1) & ~(uint64_t)(HUGE_PAGE_BYTES - 1);
}

uint64_t *rq_bench_plain_map(int fd, uint64_t capacity_bytes) {
    uint64_t area_bytes = rq_bench_plain_bytes(capacity_bytes);
    uint64_t reserved_bytes = area_bytes + HUGE_PAGE_BYTES;
    uint8_t *reserved =
        mmap(NULL, reserved_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED) return NULL;
    size_t before_bytes = -(uintptr_t)reserved & (HUGE_PAGE_BYTES - 1);
    uint8_t *area = reserved + before_bytes;
    if (before_bytes != 0) munmap(reserved, before_bytes);
    munmap(area + area_bytes, reserved_bytes - before_bytes - area_bytes);
    if (mmap(area, area_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd,
             0) == MAP_FAILED) {
        munmap(area, area_bytes);
        return NULL;
    }
    if (capacity_bytes >= HUGE_PAGE_BYTES) madvise(area, area_bytes, MADV_COLLAPSE);
    return (uint64_t *)(void *)area;
}

void rq_bench_plain_unmap(uint64_t *area, uint64_t capacity_bytes) {
    munmap(area, rq_bench_plain_bytes(capacity_bytes));
}
