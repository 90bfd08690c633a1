/*
 * A publisher, and links to replicas over the fake NIC whose bytes really move. The test is NIC,
 * node's thread and control plane at once: nothing happens but by its steps. Every message tells
 * its own sequence and content, so that a reader of a replica knows what it should have got.
 */
#ifndef RDMAQ_TESTS_LINKED_H
#define RDMAQ_TESTS_LINKED_H

#include "check.h"
#include "link/backfill.h"
#include "link/link.h"
#include "link/replica.h"
#include "ring/reader.h"
#include "verbs/fake_nic.h"
#include "verbs/wire.h"

enum {
    LINKED_SLOTS = 3,
    LINKED_CAPACITY = 65536,
    LINKED_SENDS = 64,
    LINKED_CREDITS = 8,
    LINKED_MESSAGE_MAX = 3000,
    LINKED_SEQUENCES = 8000000
};

/* One end of a connection: a queue pair, and its completion queue. */
struct end {
    struct fake_cq cq_nic;
    struct fake_qp nic;
    struct rq_cq *cq;
    struct rq_pair *pair;
};

struct slot {
    struct end publisher_end, subscriber_end;
    struct rq_link *link; /* NULL: down */
    struct rq_link_setup setup;
    struct rq_link_words words;
    uint32_t generation;
    int is_started;
    int is_stopped;     /* the NIC does nothing for it, for a while */
    int loses;          /* completions */
    uint64_t ended_for; /* steps since it was moved to ERR */

    struct rq_descriptor descriptor;
    struct rq_segment *segment; /* the replica */
    struct rq_segment *mapped;  /* its reader's */
    struct rq_replica *replica;
    uint32_t data_key, live_key;
    int fd;

    struct rq_reader *reader;
    int control_fd, reader_slot;
    uint64_t expected; /* next sequence; 0: whatever comes */
    uint64_t received, overrun, upstream;
    uint64_t chains, stale_beats; /* of the links so far */
};

struct linked {
    uint64_t random;
    int is_reliable;
    int is_hostile; /* one side: nonsense is to be expected */
    int holds;      /* some links wait for READs */
    uint32_t tail_mode;
    struct rq_keeper *keeper; /* NULL: linked_work is the node's thread */
    int (*modify_qp)(struct ibv_qp *, struct ibv_qp_attr *, int); /* NULL: the test fails the QP */
    struct rq_descriptor descriptor;
    struct rq_segment *segment;
    struct rq_publisher *publisher;
    uint32_t data_key, live_key;
    int fd;
    uint64_t next;  /* sequence */
    uint64_t ahead; /* how many a reader may have of a send that has not returned */
    struct slot slots[LINKED_SLOTS];
    struct rq_poll poll;
    uint32_t qp_numbers;
    uint64_t failures[8]; /* by RQ_LINK_CAUSE_* */
    uint64_t resumed, jumped, caught_up, reborn, let_go, shut, stale, gaps, lost_upstream;
    uint64_t held, behind; /* links that began behind READs, and those that had to READ on */
    uint64_t sent_while_held, torn_links, backfilled, backfill_gaps, backfill_failures, starved,
        unflushed;
};

uint64_t linked_random(struct linked *linked, uint64_t bound);
void linked_open(struct linked *linked, uint64_t seed, int is_reliable, uint32_t tail_mode);
void linked_close(struct linked *linked);

/* One message, block of messages, gap or heartbeat. 0: the gate is shut. */
int linked_send(struct linked *linked);
/* Is it what was published with that sequence? */
void linked_check_message(uint64_t sequence, const uint8_t *bytes, uint64_t length_bytes);
int linked_is_upstream(uint64_t sequence);
void linked_forget(void);

/* The NIC's work for one end: pieces, executions, completions. */
void linked_move(struct linked *linked, struct slot *slot, struct end *end);
/* The node's thread, on both sides. */
void linked_work(struct slot *slot);
/* The reader takes what there is, and checks it. */
int linked_read(struct linked *linked, struct slot *slot);

/* The control plane. */
void linked_up(struct linked *linked, struct slot *slot);
void linked_down(struct linked *linked, struct slot *slot);
void linked_reborn(struct linked *linked, struct slot *slot);
/* Parts of it, for tests that go another way. */
void linked_make_replica(struct linked *linked, struct slot *slot, uint64_t position,
                         uint64_t sequence);
void linked_prepare(struct linked *linked, struct slot *slot, uint64_t position);
/* Everything is delivered, everywhere. */
void linked_settle(struct linked *linked);

void end_open(struct linked *linked, struct end *end, uint32_t receive_count);
void end_connect(struct end *one, struct end *other);
/* Flushes what is left, and destroys the QP. */
void end_close(struct end *end);

#endif
