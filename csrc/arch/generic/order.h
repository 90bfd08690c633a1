/* The portable twin: the strongest fence that C has. It orders CPUs; for a device's sake an
 * architecture gets a file of its own. */
#ifndef RQ_ARCH_GENERIC_ORDER_H
#define RQ_ARCH_GENERIC_ORDER_H

#include <stdatomic.h>

static inline void rq_store_order(void) { atomic_thread_fence(memory_order_seq_cst); }

#endif
