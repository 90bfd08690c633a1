/* Counts allocations, by standing in front of the C library's; for one file of a program. */
#ifndef TESTS_VERBS_COUNTED_H
#define TESTS_VERBS_COUNTED_H

#include <stddef.h>
#include <stdint.h>

static uint64_t allocations;

#ifndef __SANITIZE_ADDRESS__ /* it stands there itself; the plain build counts */
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);

void *malloc(size_t size_bytes) {
    allocations++;
    return __libc_malloc(size_bytes);
}

void *calloc(size_t count, size_t size_bytes) {
    allocations++;
    return __libc_calloc(count, size_bytes);
}

void *realloc(void *old, size_t size_bytes) {
    allocations++;
    return __libc_realloc(old, size_bytes);
}
#endif

#endif
