/*
 * Two tasks, or up to four, on one thread. Which of them goes on at an RQ_STEP() follows from a
 * seed alone, so a failure comes again. And a ring to go with it.
 */
#ifndef RDMAQ_TESTS_STEPPER_H
#define RDMAQ_TESTS_STEPPER_H

#include "check.h"
#include "rdmaq_abi.h"
#include "ring/mutation.h"

/* Sets rq_mutation from argv[1] ("NONE" or a name of mutation.h); no such name: status 2. */
void stepper_begin(int argc, char **argv);

/* Runs both tasks to their ends. Who sleeps with nobody left to wake it: status 1. */
void stepper_run(uint64_t seed, void (*publisher)(void), void (*reader)(void));
/* The same with a keeper, which has no end: it is left where it sleeps when both are done. */
void stepper_run_kept(uint64_t seed, void (*publisher)(void), void (*reader)(void),
                      void (*keeper)(void));

/* And with a NIC, which ends when it has nothing to do and stepper_is_over(). */
void stepper_run_linked(uint64_t seed, void (*publisher)(void), void (*reader)(void),
                        void (*keeper)(void), void (*nic)(void));
/* Publisher and reader are. */
int stepper_is_over(void);

/* Between the two the other task makes no step, wherever it stands. */
void stepper_stop_other(void);
void stepper_resume_other(void);

struct ring {
    struct rq_segment *written, *mapped;
    struct rq_publisher *publisher;
    struct rq_reader *reader;
    void *control_page; /* the reader's words to the publisher, as the reader may write them */
    int fd, control_fd;
};

enum { CAPACITY_BYTES = 65536, GUARD_BYTES = 8192, PAYLOAD_BYTES_MAX = GUARD_BYTES - 32 };

void ring_open(struct ring *ring, int is_reliable);
void ring_admit(struct ring *ring); /* from the oldest message on */
void ring_close(struct ring *ring);

/* One message of PAYLOAD_BYTES_MAX at most; every byte of it follows from its sequence. */
void ring_send(struct ring *ring, uint64_t sequence);
/* Polls for one message. Checks it; the next sequence, or 0: nothing, -1: the end. */
int64_t ring_receive(struct ring *ring, uint64_t sequence, uint64_t wait_ns);

#endif
