/* x86-64: stores to ordinary memory become visible in program order (Intel SDM volume 3, 'Memory
 * Ordering'), to devices too, since DMA is coherent: only the compiler has to be held. */
#ifndef RQ_ARCH_X86_64_ORDER_H
#define RQ_ARCH_X86_64_ORDER_H

static inline void rq_store_order(void) { __asm__ volatile("" : : : "memory"); }

#endif
