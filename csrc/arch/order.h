/*
 * The order of stores as a device that reads our memory sees it. C11 fences order CPUs only.
 *
 *   rq_store_order()  CPU to CPU and CPU to NIC: stores before it are visible before those after it
 */
#ifndef RQ_ARCH_ORDER_H
#define RQ_ARCH_ORDER_H

#if defined(__x86_64__)
#include "arch/x86_64/order.h"
#elif defined(__aarch64__)
#include "arch/aarch64/order.h"
#else
#include "arch/generic/order.h"
#endif

#endif
