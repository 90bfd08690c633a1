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
    rq_step_wake(word);
#endif
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void rq_wake_everybody(struct rq_live *live) {
    atomic_fetch_add_explicit(&live->wake_seq, 1, memory_order_seq_cst);
    rq_futex_wake(&live->wake_seq);
}

/*
 * Wakes cost the sender a system call, and a reader may ask for one at every frame: in ignorance
 * (wait="sleep" on a dense stream) or in malice. So each reader has a credit of RQ_WAKE_CREDIT
 * wakes and one more per RQ_WAKE_INTERVAL_NS. Beyond it the publisher stops looking at that
 * reader's word: the sender's price is then nothing at all, and the keeper looks again when the
 * next wake is due.
 *
 * Nothing is lost by that. Let the tail's store be the last one before a deferred look. The keeper
 * takes the publish lock after the sender released it, so the store happens before what follows:
 * fence, load `waiting`. The reader stores `waiting`, fence, loads the tail. Whichever fence comes
 * first in their one order, the other side sees the store before it: the keeper sees `waiting` and
 * wakes, or the reader sees the tail and does not sleep. It is rq_wake_readers' own argument, with
 * the keeper in the place of the sender; the sender's own fence, made though it looks at nobody,
 * would do as well (tests/model/limiting.py: without either of them a wake is lost).
 *
 * Nor is a wake late for a reader that really sleeps in between: falling asleep and waking takes
 * longer than the interval (5 us were seen where it was fastest), spinning before it and an event
 * loop's round longer still. Late by up to 20 us are readers with wait="sleep" in a stream so dense
 * that they do not get to sleep: what they ask for is limited, what they read is not.
 */
static int has_credit(const struct rq_publisher *publisher, const struct rq_admitted *reader,
                      uint64_t now_ticks) {
#ifdef RQ_STEPPED
    return rq_step_has_credit();
#endif
    uint64_t credit_ticks = RQ_WAKE_CREDIT * publisher->wake_interval_ticks;
    return reader->wakes_paid_until_ticks <= now_ticks + credit_ticks;
}

static int take_credit(struct rq_publisher *publisher, struct rq_admitted *reader) {
    if (publisher->keeper == NULL || rq_handle_is_closing(&publisher->handle)) return 1;
    uint64_t now_ticks = rq_now_ticks();
    if (!has_credit(publisher, reader, now_ticks)) return 0;
    if (reader->wakes_paid_until_ticks < now_ticks) reader->wakes_paid_until_ticks = now_ticks;
    reader->wakes_paid_until_ticks += publisher->wake_interval_ticks;
    return 1;
}

static void defer(struct rq_publisher *publisher, uint32_t reader_number) {
    publisher->readers[reader_number]->is_deferred = 1;
    publisher->waiting[reader_number] = &publisher->nobody_waits;
    if (RQ_MUTATED(BELL_BEFORE_COUNT)) rq_keeper_ring(publisher->keeper);
    RQ_STEP();
    /* Before the bell: pairs with the exchange of the bell in keeper.c. */
    atomic_fetch_add_explicit(&publisher->deferred_count, 1, memory_order_relaxed);
    RQ_STEP();
    if (!RQ_MUTATED(BELL_BEFORE_COUNT)) rq_keeper_ring(publisher->keeper);
}

static void readmit(struct rq_publisher *publisher, uint32_t reader_number) {
    struct rq_admitted *reader = publisher->readers[reader_number];
    reader->is_deferred = 0;
    publisher->waiting[reader_number] = &reader->control->waiting;
    atomic_fetch_sub_explicit(&publisher->deferred_count, 1, memory_order_relaxed);
}

void rq_wake_readmit(struct rq_publisher *publisher) {
    for (uint32_t i = 0; i < publisher->reader_count; i++)
        if (publisher->readers[i]->is_deferred) readmit(publisher, i);
}

uint32_t rq_wake_deferred(struct rq_publisher *publisher) {
    if (atomic_load_explicit(&publisher->deferred_count, memory_order_relaxed) == 0) return 0;
    rq_publisher_lock(publisher);
    uint64_t now_ticks = rq_now_ticks();
    for (uint32_t i = 0; i < publisher->reader_count; i++)
        if (publisher->readers[i]->is_deferred &&
            has_credit(publisher, publisher->readers[i], now_ticks))
            readmit(publisher, i);
    RQ_STEP();
    if (!RQ_MUTATED(READMITTED_UNLOOKED))
        rq_wake_readers(publisher); /* with its fence: see above */
    uint32_t left = atomic_load_explicit(&publisher->deferred_count, memory_order_relaxed);
    rq_publisher_unlock(publisher);
    return left;
}

int rq_wake_reader(struct rq_publisher *publisher, uint32_t reader_number) {
    if (!take_credit(publisher, publisher->readers[reader_number])) {
        defer(publisher, reader_number);
        return 0;
    }
    /* Cleared before the wake: whoever waits again before wake_seq moves is woken in vain, and
     * whoever waits again after that has loaded the new one. */
    uint32_t waiting = atomic_exchange_explicit(publisher->waiting[reader_number], RQ_NOT_WAITING,
                                                memory_order_seq_cst);
    RQ_STEP();
    if (waiting == RQ_NOT_WAITING) return 0;
    rq_count(&publisher->live->counters.wakes, 1);
    if (waiting == RQ_WAITING_SOCKET) {
        /* EAGAIN: the buffer is full of bytes that wake it already. A dead peer is the node's
         * business, which sees the hang-up. */
        const char byte = 'w';
        (void)send(publisher->readers[reader_number]->socket_fd, &byte, 1,
                   MSG_DONTWAIT | MSG_NOSIGNAL);
    } else if (!RQ_MUTATED(CLEARED_AFTER_WAKE)) {
        return 1;
    } else {
        rq_wake_everybody(publisher->live);
    }
    RQ_STEP();
    if (RQ_MUTATED(CLEARED_AFTER_WAKE))
        atomic_store_explicit(publisher->waiting[reader_number], RQ_NOT_WAITING,
                              memory_order_seq_cst);
    return 0;
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
