/* The portable twin: no counter of its own, so the clock of csrc/ring/clock.c is used instead. */
#ifndef RQ_ARCH_GENERIC_TICKS_H
#define RQ_ARCH_GENERIC_TICKS_H

#include <stdint.h>
#include <time.h>

/* One system clock read in ns; ordered by the call itself as far as the vDSO orders it. */
static inline uint64_t rq_ticks_raw(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t rq_ticks_begin(void) { return rq_ticks_raw(); }

static inline uint64_t rq_ticks_end(void) { return rq_ticks_raw(); }

static inline void rq_cpu_relax(void) { __asm__ volatile("" : : : "memory"); }

/* The release fence beside each use orders all stores there are. */
static inline void rq_store_fence(void) { __asm__ volatile("" : : : "memory"); }

static inline int rq_ticks_are_invariant(void) { return 0; }

#endif
