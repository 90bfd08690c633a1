/* Ticks of this process, their rate, and the publisher's table that lets others read them. */
#ifndef RQ_RING_CLOCK_H
#define RQ_RING_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>

#include "arch/ticks.h"
#include "ring/layout.h"

#define RQ_CLOCK_TSC 1u
#define RQ_CLOCK_MONOTONIC_RAW 2u

/* Set once when the extension is loaded: a relaxed read of a variable that never changes again. */
extern uint32_t rq_clock_kind_now;
extern _Atomic uint64_t rq_clock_q32;

uint64_t rq_clock_monotonic_raw_ns(void);

static inline uint64_t rq_now_ticks(void) {
    if (rq_clock_kind_now == RQ_CLOCK_TSC) return rq_ticks_raw();
    return rq_clock_monotonic_raw_ns();
}

/* 64 x 64 -> 128 bit, so that no span overflows: 2^64 ticks of 3 GHz are 195 years. */
static inline uint64_t rq_ticks_ns(uint64_t ticks, uint64_t ns_per_tick_q32) {
    return (uint64_t)(((unsigned __int128)ticks * ns_per_tick_q32) >> 32);
}

static inline uint64_t rq_ns_ticks(uint64_t ns) {
    uint64_t q32 = atomic_load_explicit(&rq_clock_q32, memory_order_relaxed);
    return (uint64_t)(((unsigned __int128)ns << 32) / q32);
}

/* Writes the table under its seqlock. Must be called by one thread only. */
void rq_clock_publish(struct rq_clock_table *table);
/* The line of a table, and of a table that shall have another's line. Lines of other hosts bear
 * ticks of their own, whose kind does not matter here. */
struct rq_clock_line {
    uint64_t base_ticks;
    uint64_t base_wall_ns;
    uint64_t ns_per_tick_q32; /* not 0 */
};
int rq_clock_read(const struct rq_clock_table *table, struct rq_clock_line *out);
void rq_clock_write(struct rq_clock_table *table, const struct rq_clock_line *line);
/* Reads it; 0 when the writer died in the middle or the table is of another clock. */
uint64_t rq_clock_wall_ns(const struct rq_clock_table *table, uint64_t ticks);
/* The inverse, for a start by time. */
uint64_t rq_clock_ticks_at(const struct rq_clock_table *table, uint64_t wall_ns);

#endif
