/* What else the node's thread keeps going: a link, a replica. */
#ifndef RQ_RING_KEEPER_H
#define RQ_RING_KEEPER_H

#include <stdint.h>

struct rq_keeper;

/* Every call comes from the thread, one at a time, and never waits. */
struct rq_duty {
    uint32_t (*work)(struct rq_duty *duty); /* a turn; returns how much was done */
    int (*arm)(struct rq_duty *duty); /* before sleeping on fd, if it needs to be told; 1: it need
                                         not: there is something to do */
    void (*clear)(struct rq_duty *duty);             /* after sleeping: takes the events off fd */
    void (*slept)(struct rq_duty *duty);             /* NULL, or: the thread slept, after clear */
    void (*beat)(struct rq_duty *duty, int is_sync); /* each heartbeat; is_sync: clocks, too */
    int fd;                                          /* -1: none */
    uint64_t nap_ns; /* written by `work`: look again after so long; UINT64_MAX: fd tells */
    struct rq_duty *next;
};

int rq_keeper_take_on(struct rq_keeper *keeper, struct rq_duty *duty);
/* Afterwards the thread is not inside it, and never comes back. */
void rq_keeper_release(struct rq_keeper *keeper, struct rq_duty *duty);
/* Wakes the thread, from any thread: no lock, and no system call unless it sleeps. */
void rq_keeper_ring(struct rq_keeper *keeper);

#endif
