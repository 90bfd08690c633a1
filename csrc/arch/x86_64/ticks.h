/* x86-64: the time-stamp counter (Intel SDM volume 3, 'Time-Stamp Counter'; volume 2, RDTSC). */
#ifndef RQ_ARCH_X86_64_TICKS_H
#define RQ_ARCH_X86_64_TICKS_H

#include <cpuid.h>
#include <stdint.h>

/* Orders nothing. Clobbers edx:eax only (outputs). */
static inline uint64_t rq_ticks_raw(void) {
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return ((uint64_t)high << 32) | low;
}

/* LFENCE waits until all earlier instructions completed, and later ones wait for it: the read
 * happens before anything that follows begins, after what came before has retired. */
static inline uint64_t rq_ticks_begin(void) {
    uint32_t low, high;
    __asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
    return ((uint64_t)high << 32) | low;
}

/* RDTSCP waits for all earlier instructions to execute (not for stores to be visible); the
 * LFENCE behind it keeps later ones from starting before the read. ecx receives the CPU's id. */
static inline uint64_t rq_ticks_end(void) {
    uint32_t low, high;
    __asm__ volatile("rdtscp\n\tlfence" : "=a"(low), "=d"(high) : : "ecx", "memory");
    return ((uint64_t)high << 32) | low;
}

/* Ordering: none. PAUSE (volume 2) frees the core's pipeline for the sibling while we spin. */
static inline void rq_cpu_relax(void) { __asm__ volatile("pause" : : : "memory"); }

/* SFENCE: non-temporal stores that follow come after all stores before it. */
static inline void rq_store_fence(void) { __asm__ volatile("sfence" : : : "memory"); }

/* CPUID 0x80000007 EDX bit 8: the counter runs at one rate in every P-, C- and T-state. */
static inline int rq_ticks_are_invariant(void) {
    uint32_t a, b, c, d;
    if (__get_cpuid(0x80000007u, &a, &b, &c, &d) == 0) return 0;
    return (d & (1u << 8)) != 0;
}

#endif
