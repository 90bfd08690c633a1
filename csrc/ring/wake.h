#ifndef RQ_RING_WAKE_H
#define RQ_RING_WAKE_H

#include <stdatomic.h>
#include <stdint.h>

/* Sleeps while *word is `seen`, at most wait_ns. 0: woken; -EAGAIN, -ETIMEDOUT, -EINTR. */
int rq_futex_wait(_Atomic uint32_t *word, uint32_t seen, uint64_t wait_ns);
/* Wakes every process and thread that sleeps on the word; works on a read-only mapping. */
void rq_futex_wake(_Atomic uint32_t *word);

#endif
