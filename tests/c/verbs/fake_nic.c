#include "verbs/fake_nic.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "check.h"

static struct fake_cq *cq_of(struct ibv_cq *ibv) { return (struct fake_cq *)ibv; }

static struct fake_qp *qp_of(struct ibv_qp *ibv) { return (struct fake_qp *)ibv; }

static void note(struct fake_qp *qp, const struct ibv_send_wr *wr) {
    CHECK(qp->posted - qp->freed < qp->send_count); /* hardware would overflow here */
    int is_atomic =
        wr->opcode == IBV_WR_ATOMIC_FETCH_AND_ADD || wr->opcode == IBV_WR_ATOMIC_CMP_AND_SWP;
    CHECK(wr->num_sge == 0 || wr->num_sge == 1);
    CHECK(!is_atomic || wr->sg_list->length == 8);
    struct fake_request *request = &qp->sends[qp->posted++ % FAKE_QUEUE_MAX];
    *request = (struct fake_request){
        .wr_id = wr->wr_id,
        .remote_address = is_atomic ? wr->wr.atomic.remote_addr : wr->wr.rdma.remote_addr,
        .local_address = wr->num_sge ? wr->sg_list->addr : 0,
        .compare_add = is_atomic ? wr->wr.atomic.compare_add : 0,
        .swap = is_atomic ? wr->wr.atomic.swap : 0,
        .local_key = wr->num_sge ? wr->sg_list->lkey : 0,
        .remote_key = is_atomic ? wr->wr.atomic.rkey : wr->wr.rdma.rkey,
        .length = wr->num_sge ? wr->sg_list->length : 0,
        .imm = wr->opcode == IBV_WR_RDMA_WRITE_WITH_IMM ? wr->imm_data : 0,
        .opcode = (int)wr->opcode,
        .is_signalled = (wr->send_flags & IBV_SEND_SIGNALED) != 0,
        .is_inline = (wr->send_flags & IBV_SEND_INLINE) != 0,
        .is_fenced = (wr->send_flags & IBV_SEND_FENCE) != 0,
    };
    if ((qp->carry != NULL || qp->wire != NULL) && request->is_inline) {
        CHECK(request->length <= FAKE_INLINE_MAX);
        memcpy(request->inline_bytes, (const void *)(uintptr_t)request->local_address,
               request->length);
    }
    if (qp->wire != NULL) qp->wire->note(request);
    qp->signals += (uint64_t)request->is_signalled;
}

static int post_send(struct ibv_qp *ibv, struct ibv_send_wr *wr, struct ibv_send_wr **bad_wr) {
    struct fake_qp *qp = qp_of(ibv);
    uint32_t taken = 0;
    qp->doorbells++;
    for (; wr != NULL; wr = wr->next, taken++) {
        if (qp->refuse_error != 0 && taken == qp->refuse_after) {
            int error = (int)qp->refuse_error;
            if (!qp->refuse_again) qp->refuse_error = 0;
            qp->refuse_again = 0;
            qp->refuse_after = 0;
            *bad_wr = qp->refuse_hides_bad_wr ? NULL : wr;
            return error;
        }
        note(qp, wr);
    }
    while (qp->is_quick && fake_execute(qp, (enum ibv_wc_status)qp->quick_status, 0)) {
    }
    while (qp->is_quick && fake_deliver(qp)) {
    }
    return 0;
}

static void add_late(struct fake_qp *qp, const struct ibv_wc *wc) {
    uint32_t room = sizeof(qp->late) / sizeof(*qp->late);
    CHECK(qp->late_count < room);
    qp->late[(qp->late_first + qp->late_count++) % room] = *wc;
}

static struct ibv_wc completion(const struct fake_qp *qp, uint64_t wr_id,
                                enum ibv_wc_status status) {
    struct ibv_wc wc;
    memset(&wc, 0xee, sizeof(wc)); /* only these members are valid in an error */
    wc.wr_id = wr_id;
    wc.status = status;
    wc.qp_num = qp->ibv.qp_num;
    wc.vendor_err = status == IBV_WC_SUCCESS ? 0xeeeeeeee : 0x80u + status;
    return wc;
}

static int post_recv(struct ibv_qp *ibv, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad_wr) {
    struct fake_qp *qp = qp_of(ibv);
    (void)bad_wr;
    for (; wr != NULL; wr = wr->next) {
        CHECK(qp->receives_posted - qp->receives_freed < qp->receive_count);
        qp->receive_ids[qp->receives_posted++ % FAKE_QUEUE_MAX] = wr->wr_id;
        if (!qp->is_in_error) continue;
        struct ibv_wc wc = completion(qp, wr->wr_id, IBV_WC_WR_FLUSH_ERR);
        qp->receives_used++;
        add_late(qp, &wc);
    }
    return 0;
}

/* Polling frees slots, as it does in a provider: by the completion's own place in the queue. */
static void free_slots(struct fake_qp *qp, uint64_t wr_id) {
    for (uint64_t at = qp->freed; at < qp->executed; at++)
        if (qp->sends[at % FAKE_QUEUE_MAX].wr_id == wr_id) qp->freed = at + 1;
    for (uint64_t at = qp->receives_freed; at < qp->receives_used; at++)
        if (qp->receive_ids[at % FAKE_QUEUE_MAX] == wr_id) qp->receives_freed = at + 1;
}

static struct fake_qp *all_qps[64]; /* by qp_num % 64 */

static int poll_cq(struct ibv_cq *ibv, int entry_count_max, struct ibv_wc *wc) {
    struct fake_cq *cq = cq_of(ibv);
    int count = 0;
    cq->polls++;
    if (cq->is_dead) return -1;
    for (; count < entry_count_max && cq->count != 0; count++) {
        wc[count] = cq->entries[cq->first];
        cq->first = (cq->first + 1) % FAKE_CQ_MAX;
        cq->count--;
        struct fake_qp *qp = all_qps[wc[count].qp_num % 64];
        if (qp != NULL && qp->ibv.qp_num == wc[count].qp_num) free_slots(qp, wc[count].wr_id);
    }
    return count;
}

static int req_notify_cq(struct ibv_cq *ibv, int solicited_only) {
    CHECK_EQUAL(solicited_only, 0);
    cq_of(ibv)->is_armed = 1;
    cq_of(ibv)->arms++;
    return 0;
}

struct ibv_context *fake_device(void) {
    static struct ibv_context context;
    if (context.ops.post_send != NULL) return &context; /* a test may stand in front of them */
    context.ops.post_send = post_send;
    context.ops.post_recv = post_recv;
    context.ops.poll_cq = poll_cq;
    context.ops.req_notify_cq = req_notify_cq;
    return &context;
}

void fake_cq_open(struct fake_cq *cq, struct ibv_context *context, uint32_t entry_count) {
    CHECK(entry_count <= FAKE_CQ_MAX);
    memset(cq, 0, sizeof(*cq));
    cq->channel.context = context;
    cq->channel.fd = eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(cq->channel.fd >= 0);
    cq->ibv.context = context;
    cq->ibv.channel = &cq->channel;
    cq->entry_count = entry_count;
}

void fake_cq_close(struct fake_cq *cq) {
    CHECK_EQUAL(cq->events_taken, cq->events_acked); /* or ibv_destroy_cq would wait for ever */
    close(cq->channel.fd);
    memset(cq, 0xdd, sizeof(*cq));
}

void fake_qp_open(struct fake_qp *qp, struct fake_cq *cq, uint32_t qp_num, uint32_t send_count,
                  uint32_t receive_count) {
    CHECK(send_count <= FAKE_QUEUE_MAX && receive_count <= FAKE_QUEUE_MAX);
    memset(qp, 0, sizeof(*qp));
    qp->ibv.context = cq->ibv.context;
    qp->ibv.send_cq = qp->ibv.recv_cq = &cq->ibv;
    qp->ibv.qp_num = qp_num;
    qp->ibv.qp_type = IBV_QPT_RC;
    qp->cq = cq;
    qp->send_count = send_count;
    qp->receive_count = receive_count;
    all_qps[qp_num % 64] = qp;
}

static void arrive(struct fake_cq *cq, const struct ibv_wc *wc) {
    CHECK(cq->count < cq->entry_count); /* hardware would overflow here */
    cq->entries[(cq->first + cq->count++) % FAKE_CQ_MAX] = *wc;
    if (!cq->is_armed) return;
    cq->is_armed = 0;
    cq->events++;
    CHECK_EQUAL(eventfd_write(cq->channel.fd, 1), 0);
}

static void consume_receive(struct fake_qp *qp, const struct fake_request *by) {
    if (qp->is_in_error || qp->is_destroyed) return;
    if (qp->peer != NULL && qp->peer->receives_unchecked &&
        qp->receives_used == qp->receives_posted)
        return;
    CHECK(qp->receives_used < qp->receives_posted); /* posted without a receive credit */
    struct ibv_wc wc =
        completion(qp, qp->receive_ids[qp->receives_used++ % FAKE_QUEUE_MAX], IBV_WC_SUCCESS);
    wc.opcode = IBV_WC_RECV_RDMA_WITH_IMM;
    wc.byte_len = by->length;
    wc.imm_data = by->imm;
    wc.wc_flags = IBV_WC_WITH_IMM;
    add_late(qp, &wc);
}

void fake_fail(struct fake_qp *qp) {
    if (qp->is_in_error) return;
    qp->is_in_error = 1;
    while (qp->receives_used < qp->receives_posted) {
        uint64_t wr_id = qp->receive_ids[qp->receives_used++ % FAKE_QUEUE_MAX];
        struct ibv_wc wc = completion(qp, wr_id, IBV_WC_WR_FLUSH_ERR);
        add_late(qp, &wc);
    }
}

int fake_execute(struct fake_qp *qp, enum ibv_wc_status status, int is_lost) {
    if (qp->executed == qp->posted) return 0;
    struct fake_request *request = &qp->sends[qp->executed++ % FAKE_QUEUE_MAX];
    if (qp->wire != NULL && qp->wire->is_cut(qp)) status = IBV_WC_RETRY_EXC_ERR;
    if (qp->is_in_error) status = IBV_WC_WR_FLUSH_ERR;
    if (status == IBV_WC_SUCCESS && qp->carry != NULL) status = qp->carry(qp, request);
    if (qp->wire != NULL && status == IBV_WC_SUCCESS) qp->wire->move_rest(request);
    if (status == IBV_WC_SUCCESS) {
        if (request->opcode == IBV_WR_RDMA_WRITE_WITH_IMM && qp->peer != NULL)
            consume_receive(qp->peer, request);
        if (!request->is_signalled) return 1;
    }
    struct ibv_wc wc = completion(qp, request->wr_id, status);
    if (is_lost)
        qp->lost++;
    else
        add_late(qp, &wc);
    if (status != IBV_WC_SUCCESS) fake_fail(qp);
    return 1;
}

int fake_deliver(struct fake_qp *qp) {
    if (qp->late_count == 0) return 0;
    if (qp->carry != NULL) qp->carry(qp, NULL);
    arrive(qp->cq, &qp->late[qp->late_first]);
    qp->late_first = (qp->late_first + 1) % (sizeof(qp->late) / sizeof(*qp->late));
    qp->late_count--;
    return 1;
}

void fake_deliver_stray(struct fake_cq *cq, const struct ibv_wc *wc) { arrive(cq, wc); }

int fake_get_event(struct ibv_comp_channel *channel, struct ibv_cq **cq_out, void **context_out) {
    eventfd_t value;
    if (eventfd_read(channel->fd, &value) != 0) return -1;
    struct fake_cq *cq = (struct fake_cq *)((char *)channel - offsetof(struct fake_cq, channel));
    cq->events_taken++;
    *cq_out = &cq->ibv;
    *context_out = NULL;
    return 0;
}

void fake_ack_events(struct ibv_cq *cq, unsigned int count) { cq_of(cq)->events_acked += count; }
