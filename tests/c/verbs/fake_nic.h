/*
 * A NIC of the test's own: a struct ibv_context whose ops are functions of this file. Nothing
 * happens by itself; the test says what completes, fails, is lost or comes late, and in what order.
 *
 * It is as strict as hardware: a send slot is free only after a later signalled completion was
 * polled, and what would overflow a queue there ends the test here.
 */
#ifndef RDMAQ_TESTS_FAKE_NIC_H
#define RDMAQ_TESTS_FAKE_NIC_H

#include <infiniband/verbs.h>
#include <stdint.h>

enum { FAKE_QUEUE_MAX = 256, FAKE_CQ_MAX = 8192, FAKE_INLINE_MAX = 64, FAKE_REGIONS_MAX = 64 };

struct fake_request {
    uint64_t wr_id;
    uint64_t remote_address; /* the test's own: it finds its request by it */
    uint64_t local_address;
    uint64_t compare_add, swap;
    uint32_t local_key, remote_key;
    uint32_t length;
    uint32_t imm;
    int opcode;
    int is_signalled;
    int is_inline;
    int is_fenced;
    uint64_t moved[4];                     /* wire.c: pieces that were moved, bit by bit */
    uint8_t inline_bytes[FAKE_INLINE_MAX]; /* taken when it was posted, where it carries bytes */
};

struct fake_qp;

/* wire.c's part in it, when the test has one. */
struct fake_wire {
    void (*note)(const struct fake_request *request);
    void (*move_rest)(struct fake_request *request);
    int (*is_cut)(const struct fake_qp *qp); /* nothing arrives at the peer any more */
};

struct fake_cq {
    struct ibv_cq ibv;
    struct ibv_comp_channel channel;
    struct ibv_wc entries[FAKE_CQ_MAX];
    uint32_t first, count, entry_count;
    int is_armed;
    int is_dead; /* polling it fails */
    uint64_t polls, arms, events, events_taken, events_acked;
};

struct fake_qp {
    struct ibv_qp ibv;
    struct fake_cq *cq;
    struct fake_qp *peer; /* whose receives our WRITE_WITH_IMM consume */
    struct fake_request sends[FAKE_QUEUE_MAX];
    uint64_t posted, executed, freed; /* requests, counted from the first */
    uint32_t send_count;
    uint64_t receive_ids[FAKE_QUEUE_MAX];
    uint64_t receives_posted, receives_used, receives_freed;
    uint32_t receive_count;
    struct ibv_wc late[2 * FAKE_QUEUE_MAX]; /* completed, not yet in the completion queue */
    uint32_t late_first, late_count;
    int is_in_error;
    int is_destroyed;
    int receives_unchecked;       /* its WRITE_WITH_IMM may find no receive: nothing tells then */
    const struct fake_wire *wire; /* NULL, or: bytes move piece by piece, see wire.h */
    uint32_t lost;                /* completions that never came */
    uint32_t refuse_after, refuse_error; /* the next chain is torn: 0 error, not */
    int refuse_hides_bad_wr;
    int refuse_again; /* and the first of the chain after it */
    int is_quick;     /* each chain is carried out before its post returns, with this status */
    int quick_status;
    uint64_t doorbells, signals;
    /* Moves a request's bytes and says how it ends; NULL: requests move nothing. With NULL for the
     * request: what was put off is due, since a completion tells of it. */
    enum ibv_wc_status (*carry)(struct fake_qp *qp, const struct fake_request *request);
    void *carrier; /* carry's own */
};

void fake_cq_open(struct fake_cq *cq, struct ibv_context *context, uint32_t entry_count);
void fake_cq_close(struct fake_cq *cq);
void fake_qp_open(struct fake_qp *qp, struct fake_cq *cq, uint32_t qp_num, uint32_t send_count,
                  uint32_t receive_count);
/* The device that all of them belong to. */
struct ibv_context *fake_device(void);

/* The NIC executes the oldest waiting request. In error it flushes it; status other than success
 * fails it and moves the QP to error. is_lost: its completion never comes. 0: none waits. */
int fake_execute(struct fake_qp *qp, enum ibv_wc_status status, int is_lost);
/* The oldest late completion of the QP arrives. 0: there is none. */
int fake_deliver(struct fake_qp *qp);
/* Any completion at all, whoever's: garbage, or one that came before. */
void fake_deliver_stray(struct fake_cq *cq, const struct ibv_wc *wc);
/* As ibv_modify_qp to ERR: flushes receives; sends are flushed as they are executed. */
void fake_fail(struct fake_qp *qp);

/* ibv_get_cq_event and ibv_ack_cq_events of this NIC. */
int fake_get_event(struct ibv_comp_channel *channel, struct ibv_cq **cq_out, void **context_out);
void fake_ack_events(struct ibv_cq *cq, unsigned int count);

#endif
