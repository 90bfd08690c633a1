/* Connections: a queue pair at each end, over the fake NIC. */
#include "verbs/linked.h"

/* The fake NIC finds a QP by the low bits of its number: each end has its own. */
static uint32_t place_of(const struct end *end) {
    static const struct end *ends[64];
    uint32_t place = 0;
    while (ends[place] != NULL && ends[place] != end) place++;
    ends[place] = end;
    return place;
}

void end_open(struct linked *linked, struct end *end, uint32_t receive_count) {
    uint32_t entries = LINKED_SENDS + receive_count;
    uint32_t number = (1 + linked->qp_numbers++ % 0x1ffff) * 64 + place_of(end);
    fake_cq_open(&end->cq_nic, fake_device(), entries);
    fake_qp_open(&end->nic, &end->cq_nic, number, LINKED_SENDS, receive_count);
    end->nic.wire = &wire;
    struct rq_cq_setup cq_setup = {.cq = (uintptr_t)&end->cq_nic.ibv,
                                   .get_event = (uintptr_t)fake_get_event,
                                   .ack_events = (uintptr_t)fake_ack_events,
                                   .entry_count = entries,
                                   .pair_count_max = 1};
    CHECK_EQUAL(rq_cq_open(&cq_setup, &end->cq), 0);
    struct rq_pair_setup setup = {.qp = (uintptr_t)&end->nic.ibv,
                                  .token = number,
                                  .send_count_max = LINKED_SENDS,
                                  .receive_count_max = receive_count,
                                  .inline_bytes_max = number / 64 % 3 == 0 ? 0 : FAKE_INLINE_MAX,
                                  .request_bytes_max = 1 << 14,
                                  .signal_every = LINKED_SENDS / 2};
    CHECK_EQUAL(rq_pair_open(end->cq, &setup, &end->pair), 0);
}

void end_connect(struct end *one, struct end *other) {
    one->nic.peer = &other->nic;
    other->nic.peer = &one->nic;
}

void end_close(struct end *end) {
    struct rq_done done[16];
    rq_pair_close(end->pair);
    fake_fail(&end->nic);
    for (int more = 1; more;) {
        more = 0;
        while (fake_execute(&end->nic, IBV_WC_SUCCESS, 0)) more = 1;
        while (end->cq_nic.count < end->cq_nic.entry_count / 2 && fake_deliver(&end->nic)) more = 1;
        while (rq_cq_poll(end->cq, done, 16, RQ_WAIT_SPIN, 0) > 0) more = 1;
    }
    end->nic.is_destroyed = 1;
    while (rq_pair_abandon(end->pair, done, 16) > 0) {
    }
    CHECK_EQUAL(rq_pair_outstanding(end->pair), 0);
    rq_pair_free(end->pair);
    CHECK_EQUAL(rq_cq_close(end->cq), 1);
    rq_cq_drain(end->cq, done, 16, 0);
    rq_cq_free(end->cq);
    fake_cq_close(&end->cq_nic);
}
