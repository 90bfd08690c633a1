/* AArch64: DMB OSHST (Arm Architecture Reference Manual, 'Data Memory Barrier') orders stores for
 * the outer shareable domain, in which the devices are; a C11 fence is `dmb ish`, CPUs only. */
#ifndef RQ_ARCH_AARCH64_ORDER_H
#define RQ_ARCH_AARCH64_ORDER_H

static inline void rq_store_order(void) { __asm__ volatile("dmb oshst" : : : "memory"); }

#endif
