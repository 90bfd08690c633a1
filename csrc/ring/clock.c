/*
 * Calibration. CPUID leaves 0x15 and 0x16 are often empty in virtual machines, so the rate is
 * measured against CLOCK_MONOTONIC_RAW over the time since the extension was loaded: the longer
 * the process lives, the better it is known.
 */
#define _GNU_SOURCE
#include "ring/clock.h"

#include <sched.h>
#include <time.h>

#define CALIBRATION_NS_MIN 10000000u
#define PAIR_TRIES 8

uint32_t rq_clock_kind_now = RQ_CLOCK_MONOTONIC_RAW;
_Atomic uint64_t rq_clock_q32 = (uint64_t)1 << 32;

static uint64_t origin_ticks;
static uint64_t origin_raw_ns;
static _Atomic int is_calibrated;

static uint64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t rq_clock_monotonic_raw_ns(void) { return clock_ns(CLOCK_MONOTONIC_RAW); }

/* A clock and the ticks at the same moment: of several tries, the one that took least time (the
 * others were interrupted in between). */
static void sample_pair(clockid_t clock, uint64_t *ticks_out, uint64_t *ns_out) {
    uint64_t best_span = UINT64_MAX;
    for (int i = 0; i < PAIR_TRIES; i++) {
        uint64_t before = rq_clock_kind_now == RQ_CLOCK_TSC ? rq_ticks_begin() : rq_now_ticks();
        uint64_t ns = clock_ns(clock);
        uint64_t after = rq_clock_kind_now == RQ_CLOCK_TSC ? rq_ticks_end() : rq_now_ticks();
        if (after - before < best_span) {
            best_span = after - before;
            *ticks_out = before + (after - before) / 2;
            *ns_out = ns;
        }
    }
}

__attribute__((constructor)) static void clock_start(void) {
    if (rq_ticks_are_invariant()) rq_clock_kind_now = RQ_CLOCK_TSC;
    sample_pair(CLOCK_MONOTONIC_RAW, &origin_ticks, &origin_raw_ns);
}

void rq_clock_calibrate(void) {
    if (rq_clock_kind_now != RQ_CLOCK_TSC) {
        atomic_store_explicit(&is_calibrated, 1, memory_order_release);
        return;
    }
    uint64_t ticks = origin_ticks, raw_ns = origin_raw_ns;
    while (raw_ns - origin_raw_ns < CALIBRATION_NS_MIN) {
        sched_yield();
        sample_pair(CLOCK_MONOTONIC_RAW, &ticks, &raw_ns);
    }
    uint64_t q32 =
        (uint64_t)(((unsigned __int128)(raw_ns - origin_raw_ns) << 32) / (ticks - origin_ticks));
    atomic_store_explicit(&rq_clock_q32, q32, memory_order_relaxed);
    atomic_store_explicit(&is_calibrated, 1, memory_order_release);
}

static uint64_t rate_q32(void) {
    if (!atomic_load_explicit(&is_calibrated, memory_order_acquire)) rq_clock_calibrate();
    return atomic_load_explicit(&rq_clock_q32, memory_order_relaxed);
}

uint64_t rq_clock_ticks(void) { return rq_now_ticks(); }

uint64_t rq_clock_ticks_to_ns(uint64_t ticks) { return rq_ticks_ns(ticks, rate_q32()); }

uint64_t rq_clock_ns_per_tick_q32(void) { return rate_q32(); }

int rq_clock_kind(void) { return (int)rq_clock_kind_now; }

void rq_clock_write(struct rq_clock_table *table, const struct rq_clock_line *line) {
    uint32_t seq = atomic_load_explicit(&table->seq, memory_order_relaxed);
    atomic_store_explicit(&table->seq, seq + 1, memory_order_relaxed);
    /* Pairs with the acquire fence in rq_clock_read: no new word without the odd number. */
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&table->kind, rq_clock_kind_now, memory_order_relaxed);
    atomic_store_explicit(&table->base_ticks, line->base_ticks, memory_order_relaxed);
    atomic_store_explicit(&table->base_wall_ns, line->base_wall_ns, memory_order_relaxed);
    atomic_store_explicit(&table->ns_per_tick_q32, line->ns_per_tick_q32, memory_order_relaxed);
    /* Pairs with the acquire load of seq in rq_clock_read: the even number comes last. */
    atomic_store_explicit(&table->seq, seq + 2, memory_order_release);
}

void rq_clock_publish(struct rq_clock_table *table) {
    struct rq_clock_line line = {.ns_per_tick_q32 = rate_q32()};
    sample_pair(CLOCK_REALTIME, &line.base_ticks, &line.base_wall_ns);
    rq_clock_write(table, &line);
}

/* A writer that was killed in the middle leaves an odd number for ever: hence the bound. */
int rq_clock_read(const struct rq_clock_table *table, struct rq_clock_line *line) {
    for (int tries = 0; tries < 1000; tries++) {
        uint32_t before = atomic_load_explicit(&table->seq, memory_order_acquire);
        uint32_t kind = atomic_load_explicit(&table->kind, memory_order_relaxed);
        line->base_ticks = atomic_load_explicit(&table->base_ticks, memory_order_relaxed);
        line->base_wall_ns = atomic_load_explicit(&table->base_wall_ns, memory_order_relaxed);
        line->ns_per_tick_q32 = atomic_load_explicit(&table->ns_per_tick_q32, memory_order_relaxed);
        atomic_thread_fence(memory_order_acquire);
        uint32_t after = atomic_load_explicit(&table->seq, memory_order_relaxed);
        if (before == after && (before & 1) == 0)
            return before != 0 && kind == rq_clock_kind_now && line->ns_per_tick_q32 != 0;
        rq_cpu_relax();
    }
    return 0;
}

uint64_t rq_clock_wall_ns(const struct rq_clock_table *table, uint64_t ticks) {
    struct rq_clock_line line;
    if (!rq_clock_read(table, &line)) return 0;
    if (ticks >= line.base_ticks)
        return line.base_wall_ns + rq_ticks_ns(ticks - line.base_ticks, line.ns_per_tick_q32);
    return line.base_wall_ns - rq_ticks_ns(line.base_ticks - ticks, line.ns_per_tick_q32);
}

uint64_t rq_clock_ticks_at(const struct rq_clock_table *table, uint64_t wall_ns) {
    struct rq_clock_line line;
    if (!rq_clock_read(table, &line)) return 0;
    uint64_t distance_ns =
        wall_ns >= line.base_wall_ns ? wall_ns - line.base_wall_ns : line.base_wall_ns - wall_ns;
    unsigned __int128 distance = ((unsigned __int128)distance_ns << 32) / line.ns_per_tick_q32;
    if (wall_ns < line.base_wall_ns)
        return distance > line.base_ticks ? 0 : line.base_ticks - (uint64_t)distance;
    return distance > UINT64_MAX - line.base_ticks ? UINT64_MAX
                                                   : line.base_ticks + (uint64_t)distance;
}
