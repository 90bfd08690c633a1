/* Loops of hostile readers; their process is stopped and killed by who measures. */
#define _GNU_SOURCE
#include "pester.h"

#include <fcntl.h>

enum { PAGE_BYTES = 4096, UNUSED_WORD = 1 };

void pester_ask(uint32_t **waiting, uint64_t reader_count, uint32_t how) {
    for (uint64_t i = 0;; i = (i + 1) % reader_count)
        if (__atomic_load_n(waiting[i], __ATOMIC_RELAXED) != how)
            __atomic_store_n(waiting[i], how, __ATOMIC_SEQ_CST);
}

void pester_store(uint32_t **waiting, uint64_t reader_count) {
    for (uint64_t i = 0;; i = (i + 1) % reader_count)
        __atomic_store_n(waiting[i] + UNUSED_WORD, (uint32_t)i, __ATOMIC_SEQ_CST);
}

void pester_punch(const int *fds, uint64_t reader_count) {
    for (uint64_t i = 0;; i = (i + 1) % reader_count)
        (void)fallocate(fds[i], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE_BYTES);
}
