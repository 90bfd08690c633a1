#ifndef RQ_RING_WAKE_H
#define RQ_RING_WAKE_H

#include <stdatomic.h>
#include <stdint.h>

/* A reader may be woken so often at once, and once more per interval: beyond that, later. No thread
 * falls asleep and is woken again in less than the interval, and RQ_WAIT_AUTO spins for longer. */
#define RQ_WAKE_CREDIT 256u
#define RQ_WAKE_INTERVAL_NS 3000u

/* Sleeps while *word is `seen`, at most wait_ns. 0: woken; -EAGAIN, -ETIMEDOUT, -EINTR. */
int rq_futex_wait(_Atomic uint32_t *word, uint32_t seen, uint64_t wait_ns);
/* Wakes every process and thread that sleeps on the word; works on a read-only mapping. */
void rq_futex_wake(_Atomic uint32_t *word);

#endif
