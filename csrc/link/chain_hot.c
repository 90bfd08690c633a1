/*
 * A chain: the data from where the last one ended to the end of some frame, one WRITE, or two where
 * it wraps; then the tail. One doorbell for all of it.
 */
#include "arch/order.h"
#include "link/link.h"
#include "rdma/mutation.h"

static uint64_t frame_end(const struct rq_link *link, uint64_t position) {
    const struct rq_frame_header *header =
        (const struct rq_frame_header *)rq_at(&link->segment, position);
    return position + rq_frame_bytes(header->payload_bytes);
}

/*
 * The last frame that the index names within reach: entries of strides behind `from`'s own are not
 * written over as long as the ring is kept for us. None: the frames are walked one by one, which
 * are then so long that there are few.
 */
static uint64_t indexed_before(const struct rq_link *link, uint64_t from, uint64_t limit) {
    for (uint64_t stride = limit >> link->index_stride_shift;
         stride > from >> link->index_stride_shift; stride--) {
        struct rq_index_entry *entry = rq_index_at(&link->segment, stride);
        uint64_t position = atomic_load_explicit(&entry->position, memory_order_relaxed);
        if (position >> link->index_stride_shift == stride && position <= limit) return position;
    }
    return from;
}

uint64_t rq_chain_end(const struct rq_link *link, uint64_t from, uint64_t limit, uint64_t tail) {
    if (tail <= limit) return tail;
    if (RQ_WRONG(CHAIN_ENDS_IN_A_FRAME)) return limit;
    uint64_t end = indexed_before(link, from, limit);
    if (end != from) return end;
    for (;;) {
        uint64_t next = frame_end(link, end);
        if (next > limit) return end;
        end = next;
    }
}

static void feedback_op(const struct rq_link *link, struct rq_op *op) {
    *op = (struct rq_op){
        .token = rq_token(0, RQ_TOKEN_READ),
        .local_address = (uintptr_t)&link->words->feedback,
        .remote_address = link->setup.replica.live_address + RQ_REPLICA_FEEDBACK_OFFSET_BYTES,
        .length_bytes = sizeof(struct rq_feedback),
        .local_key = link->setup.words_key,
        .remote_key = link->setup.replica.live_key,
        .opcode = RQ_OP_READ,
    };
}

static void data_op(const struct rq_link *link, uint64_t from, uint64_t bytes, struct rq_op *op) {
    uint64_t offset_bytes = from & (link->segment.capacity_bytes - 1);
    *op = (struct rq_op){
        .token = rq_token(link->chain_next, RQ_TOKEN_DATA),
        .local_address = (uintptr_t)link->segment.data + offset_bytes,
        .remote_address = link->setup.replica.data_address + offset_bytes,
        .length_bytes = (uint32_t)bytes,
        .local_key = link->setup.data_key,
        .remote_key = link->setup.replica.data_key,
        .opcode = RQ_OP_WRITE,
    };
}

/* The value is taken now, or stands in a word of this chain's own: never the live word, which may
 * have moved beyond the data by the time that the NIC reads it. */
static void tail_op(const struct rq_link *link, uint64_t end, struct rq_op *op) {
    uint64_t *word = &link->words->tails[link->chain_next % link->setup.depth];
    *word = end;
    *op = (struct rq_op){
        .token = rq_token(link->chain_next, RQ_TOKEN_END),
        .local_address = (uintptr_t)word,
        .remote_address = link->setup.replica.live_address,
        .length_bytes = sizeof(*word),
        .local_key = link->setup.words_key,
        .remote_key = link->setup.replica.live_key,
        .opcode = RQ_OP_WRITE, /* inline wherever the device has it: post_hot.c */
    };
}

/* Readers who joined before the stream began learn from it what its first sequence is: ahead of the
 * first data, and without the owner, who may be slow. */
static void origin_op(const struct rq_link *link, struct rq_op *op) {
    link->words->origin_sequence =
        atomic_load_explicit(&link->publisher->live->origin_sequence, memory_order_relaxed);
    *op = (struct rq_op){
        .token = rq_token(link->chain_next, RQ_TOKEN_DATA),
        .local_address = (uintptr_t)&link->words->origin_sequence,
        .remote_address =
            link->setup.replica.live_address + offsetof(struct rq_live, origin_sequence),
        .length_bytes = sizeof(uint64_t),
        .local_key = link->setup.words_key,
        .remote_key = link->setup.replica.live_key,
        .opcode = RQ_OP_WRITE,
    };
}

static uint32_t build(const struct rq_link *link, uint64_t end, struct rq_op *ops) {
    uint64_t from = rq_link_sent(link), bytes = end - from;
    uint64_t to_wrap = link->segment.capacity_bytes - (from & (link->segment.capacity_bytes - 1));
    uint64_t first_bytes = bytes < to_wrap ? bytes : to_wrap;
    uint32_t count = 0;
    if (link->chain_next == 0) origin_op(link, &ops[count++]);
    data_op(link, from, first_bytes, &ops[count++]);
    if (first_bytes < bytes) data_op(link, from + first_bytes, bytes - first_bytes, &ops[count++]);
    if (link->setup.tail_mode == RQ_TAIL_BY_IMM) {
        ops[count - 1].opcode = RQ_OP_WRITE_WITH_IMM;
        ops[count - 1].imm = rq_tail_imm(end);
        ops[count - 1].token = rq_token(link->chain_next, RQ_TOKEN_END);
    } else {
        tail_op(link, end, &ops[count++]);
        if (RQ_WRONG(TAIL_BEFORE_DATA)) {
            struct rq_op tail = ops[count - 1];
            for (uint32_t i = count - 1; i > 0; i--) ops[i] = ops[i - 1];
            ops[0] = tail;
        }
    }
    if (link->wants_feedback && !link->is_read_in_flight) feedback_op(link, &ops[count++]);
    return count;
}

static void note_posted(struct rq_link *link, uint64_t end, const struct rq_op *ops,
                        uint32_t count) {
    uint32_t is_read = ops[count - 1].opcode == RQ_OP_READ;
    *rq_link_end_of(link, link->chain_next++) = end;
    if (RQ_WRONG(SOURCE_OVERWRITTEN)) /* as if the NIC read it all at once, and never again */
        atomic_store_explicit(&link->tap.flushed_bytes, end, memory_order_release);
    if (is_read) {
        link->is_read_in_flight = 1;
        link->is_read_early = 0;
    }
    rq_tally(&link->tallies.chains, 1);
    rq_tally(&link->tallies.writes, count - is_read);
    rq_tally(&link->tallies.reads, is_read);
    rq_tally(&link->tallies.bytes, end - rq_link_sent(link));
    if (link->setup.tail_mode == RQ_TAIL_BY_IMM) rq_tally(&link->credits_used, 1);
    atomic_store_explicit(&link->sent, end, memory_order_release);
}

int rq_chain_post(struct rq_link *link, uint64_t end) {
    struct rq_op ops[RQ_CHAIN_REQUESTS + 2]; /* and the origin, and a READ */
    uint32_t count = build(link, end, ops);
    rq_store_order(); /* CPU to NIC: the frames stand before it is told of them */
    int posted = rq_pair_post(link->pair, ops, count);
    if (posted == (int)count) {
        note_posted(link, end, ops, count);
        return 1;
    }
    if (posted == 0) return 0;
    /* In part: what went bears no tail, or a tail whose data went before it. */
    rq_link_fail(link, RQ_LINK_CAUSE_REFUSED,
                 posted < 0 ? (uint32_t)-posted : link->pair->last_error, 0);
    return -1;
}

void rq_link_read_feedback(struct rq_link *link) {
    struct rq_op op;
    feedback_op(link, &op);
    int posted = rq_pair_post(link->pair, &op, 1);
    if (posted == 1) {
        link->is_read_in_flight = 1;
        link->is_read_early = rq_link_state(link) == RQ_LINK_OPENING;
        rq_tally(&link->tallies.reads, 1);
    } else if (posted < 0) {
        rq_link_fail(link, RQ_LINK_CAUSE_REFUSED, (uint32_t)-posted, 0);
    }
}
