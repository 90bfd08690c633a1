/*
 * The tick counter and the CPU's hint for spinning. One idea per function; each architecture has
 * its own file under arch/, and arch/generic is the portable twin.
 *
 *   rq_ticks_raw()    cheapest stamp; may drift a few instructions to either side
 *   rq_ticks_begin()  nothing that follows has begun when it is read
 *   rq_ticks_end()    everything before has finished when it is read
 *   rq_cpu_relax()    tells the sibling thread that we spin
 *   rq_store_fence()  stores that go past the cache stay behind the stores before it
 */
#ifndef RQ_ARCH_TICKS_H
#define RQ_ARCH_TICKS_H

#include <stdint.h>

#if defined(__x86_64__)
#include "arch/x86_64/ticks.h"
#else
#include "arch/generic/ticks.h"
#endif

#endif
