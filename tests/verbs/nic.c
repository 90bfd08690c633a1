/* The fake NIC of tests/c/verbs for Python: objects by address, and the steps that tests take. */
#include <stdlib.h>

#include "verbs/fake_nic.h"

struct fake_cq *nic_open_cq(uint32_t entry_count) {
    struct fake_cq *cq = malloc(sizeof(*cq));
    fake_cq_open(cq, fake_device(), entry_count);
    return cq;
}

struct fake_qp *nic_open_qp(struct fake_cq *cq, uint32_t qp_num, uint32_t send_count,
                            uint32_t receive_count) {
    struct fake_qp *qp = malloc(sizeof(*qp));
    fake_qp_open(qp, cq, qp_num, send_count, receive_count);
    return qp;
}

void nic_connect(struct fake_qp *one, struct fake_qp *other) {
    one->peer = other;
    other->peer = one;
}

int nic_channel_fd(const struct fake_cq *cq) { return cq->channel.fd; }

void nic_close_cq(struct fake_cq *cq) {
    fake_cq_close(cq);
    free(cq);
}

void nic_close_qp(struct fake_qp *qp) {
    free(qp->carrier);
    free(qp);
}

/* Executes and delivers up to count requests; status is that of the last. Returns how many. */
uint32_t nic_run(struct fake_qp *qp, uint32_t count, int status) {
    uint32_t done = 0;
    while (done < count && fake_execute(qp, done + 1 == count ? status : IBV_WC_SUCCESS, 0)) done++;
    while (fake_deliver(qp)) {
    }
    while (qp->peer != NULL && fake_deliver(qp->peer)) {
    }
    return done;
}

void nic_be_quick(struct fake_qp *qp, int status) {
    qp->is_quick = 1;
    qp->quick_status = status;
}

void nic_be_slow(struct fake_qp *qp) { qp->is_quick = 0; }

void nic_fail(struct fake_qp *qp) { fake_fail(qp); }

uint64_t nic_doorbells(const struct fake_qp *qp) { return qp->doorbells; }

uint64_t nic_arms(const struct fake_cq *cq) { return cq->arms; }

uint64_t nic_posted(const struct fake_qp *qp) { return qp->posted; }

/* Posts a signalled request beside rdmaq's, as pyverbs does. */
int nic_post(struct fake_qp *qp, uint64_t wr_id) {
    struct ibv_send_wr *bad = NULL, request = {.wr_id = wr_id,
                                               .opcode = IBV_WR_RDMA_WRITE,
                                               .send_flags = IBV_SEND_SIGNALED};
    return ibv_post_send(&qp->ibv, &request, &bad);
}

void nic_refuse(struct fake_qp *qp, uint32_t after, uint32_t error) {
    qp->refuse_after = after;
    qp->refuse_error = error;
}
