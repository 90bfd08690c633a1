/* Telling sleepers: a futex in the segment for threads, a byte on the socket for event loops. */
#define _GNU_SOURCE
#include <limits.h>
#include <linux/futex.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "ring/publisher.h"
#include "ring/wake.h"

/* Not FUTEX_PRIVATE: the sleepers are other processes, on read-only mappings. */
void rq_futex_wake(_Atomic uint32_t *word) {
#ifdef RQ_STEPPED
    rq_step_wake();
#endif
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void rq_wake_everybody(struct rq_live *live) {
    atomic_fetch_add_explicit(&live->wake_seq, 1, memory_order_seq_cst);
    rq_futex_wake(&live->wake_seq);
}

void rq_wake_reader(struct rq_publisher *publisher, uint32_t reader_number) {
    /* Cleared before the wake: whoever waits again after this has loaded wake_seq after it. */
    uint32_t waiting = atomic_exchange_explicit(publisher->waiting[reader_number], RQ_NOT_WAITING,
                                                memory_order_seq_cst);
    RQ_STEP();
    if (waiting == RQ_NOT_WAITING) return;
    rq_count(&publisher->live->counters.wakes, 1);
    if (waiting == RQ_WAITING_SOCKET) {
        /* EAGAIN: the buffer is full of bytes that wake it already. A dead peer is the node's
         * business, which sees the hang-up. */
        const char byte = 'w';
        (void)send(publisher->readers[reader_number]->socket_fd, &byte, 1,
                   MSG_DONTWAIT | MSG_NOSIGNAL);
    } else {
        rq_wake_everybody(publisher->live);
    }
    RQ_STEP();
    if (RQ_MUTATED(CLEARED_AFTER_WAKE))
        atomic_store_explicit(publisher->waiting[reader_number], RQ_NOT_WAITING,
                              memory_order_seq_cst);
}

int rq_futex_wait(_Atomic uint32_t *word, uint32_t seen, uint64_t wait_ns) {
#ifdef RQ_STEPPED
    rq_step_sleep(word, seen);
    return 0;
#endif
    struct timespec limit = {.tv_sec = (time_t)(wait_ns / 1000000000u),
                             .tv_nsec = (long)(wait_ns % 1000000000u)};
    if (syscall(SYS_futex, word, FUTEX_WAIT, seen, &limit, NULL, 0) == 0) return 0;
    return -errno;
}
