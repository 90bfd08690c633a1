/* The publisher's calls: who may enter, what is refused, and when the gate is asked. */
#include "ring/publisher.h"

#include <stdlib.h>
#include <unistd.h>

int rq_publisher_open(struct rq_segment *segment, uint64_t first_sequence, uint64_t timeout_ns,
                      uint32_t readers_min, struct rq_publisher **publisher_out) {
    *publisher_out = NULL;
    if (!segment->is_writable || first_sequence == 0) return -EINVAL;
    struct rq_publisher *publisher = calloc(1, sizeof(*publisher));
    if (publisher == NULL) return -ENOMEM;
    publisher->segment = *segment;
    publisher->live = segment->live;
    publisher->tail = publisher->origin = segment->capacity_bytes;
    publisher->next_sequence = first_sequence;
    publisher->is_fresh = 1;
    publisher->gate_limit_bytes = segment->is_reliable ? 0 : UINT64_MAX;
    publisher->index_stride_shift = (unsigned)__builtin_ctzll(segment->index_stride_bytes);
    publisher->indexed_stride = UINT64_MAX;
    publisher->timeout_ns = timeout_ns;
    publisher->readers_min = segment->is_reliable ? readers_min : 0;
    rq_clock_calibrate();
    rq_clock_publish(&segment->live->clock);
    struct rq_live *live = segment->live;
    atomic_store_explicit(&live->heartbeat_ticks, rq_now_ticks(), memory_order_relaxed);
    atomic_store_explicit(&live->origin_bytes, publisher->tail, memory_order_relaxed);
    atomic_store_explicit(&live->state, RQ_STATE_OPEN, memory_order_relaxed);
    atomic_store_explicit(&live->tail_bytes, publisher->tail, memory_order_release);
    *publisher_out = publisher;
    return 0;
}

int rq_publisher_enter(struct rq_publisher *publisher) {
    int error = rq_handle_enter(&publisher->handle);
    if (error != 0) return error;
    if (publisher->is_replica) {
        error = -EROFS;
    } else if (publisher->is_claimed) {
        error = -EALREADY;
    } else if (publisher->waiter != 0) {
        if (publisher->waiter == rq_this_thread())
            publisher->waiter = 0;
        else
            error = -EBUSY;
    }
    if (error != 0) rq_handle_leave(&publisher->handle);
    return error;
}

/* One frame, if the gate lets it pass. Returns its first sequence; 0: the gate is shut. */
static int64_t publish(struct rq_publisher *publisher, uint32_t kind, uint32_t message_count,
                       uint64_t sequence_count, const void *payload, uint64_t payload_bytes) {
    int64_t sequence = 0;
    rq_publisher_lock(publisher);
    if (rq_gate_is_open(publisher, rq_frame_bytes(payload_bytes))) {
        sequence = (int64_t)publisher->next_sequence;
        rq_write_frame(publisher, kind, message_count, sequence_count, payload, payload_bytes);
        rq_tell(publisher);
    }
    rq_publisher_unlock(publisher);
    return sequence;
}

/* Adds what one frame took, and says whether it took anything. Who waits for less than the whole
 * frame finds the gate open, and shut again when sending: for ever, and cuts nobody off. */
static int note_taken(struct rq_taken *taken, int64_t sequence, uint64_t messages, uint64_t bytes) {
    if (sequence == 0) {
        taken->shut_out_bytes = bytes;
        return 0;
    }
    if (taken->messages == 0) taken->sequence = (uint64_t)sequence;
    taken->messages += messages;
    taken->bytes += bytes;
    return 1;
}

int64_t rq_send(struct rq_publisher *publisher, const uint8_t *data, uint64_t payload_bytes) {
    uint32_t record_bytes = publisher->segment.record_bytes;
    if (payload_bytes > publisher->segment.message_bytes_max) return -EMSGSIZE;
    if (record_bytes != 0 && payload_bytes != record_bytes) return -EINVAL;
    int error = rq_publisher_enter(publisher);
    if (error != 0) return error;
    uint32_t kind = record_bytes != 0 ? RQ_KIND_RECORDS : RQ_KIND_MESSAGE;
    int64_t sequence = publish(publisher, kind, 1, 1, data, payload_bytes);
    rq_handle_leave(&publisher->handle);
    return sequence;
}

int64_t rq_send_records(struct rq_publisher *publisher, const uint8_t *data, uint64_t record_count,
                        struct rq_taken *taken) {
    uint64_t record_bytes = publisher->segment.record_bytes;
    if (record_bytes == 0) return -EINVAL;
    int error = rq_publisher_enter(publisher);
    if (error != 0) return error; /* *taken may belong to the thread that is inside */
    *taken = (struct rq_taken){0};
    uint64_t per_frame = publisher->segment.message_bytes_max / record_bytes;
    if (per_frame > RQ_FRAME_MESSAGES_MAX) per_frame = RQ_FRAME_MESSAGES_MAX;
    while (taken->messages < record_count) {
        uint64_t left = record_count - taken->messages;
        uint64_t count = left < per_frame ? left : per_frame;
        int64_t sequence = publish(publisher, RQ_KIND_RECORDS, (uint32_t)count, count,
                                   data + taken->bytes, count * record_bytes);
        if (!note_taken(taken, sequence, count, count * record_bytes)) break;
    }
    int64_t sequence = taken->messages == record_count ? (int64_t)taken->sequence : 0;
    rq_handle_leave(&publisher->handle);
    return sequence;
}

static uint64_t block_bytes_at(const uint8_t *blocks) {
    return 2 + ((uint64_t)blocks[0] << 8 | blocks[1]);
}

static int blocks_add_up(const struct rq_publisher *publisher, const uint8_t *blocks,
                         uint64_t blocks_bytes, uint64_t message_count) {
    uint64_t offset_bytes = 0;
    for (uint64_t i = 0; i < message_count; i++) {
        if (blocks_bytes - offset_bytes < 2) return -EBADMSG;
        uint64_t one_bytes = block_bytes_at(blocks + offset_bytes);
        if (one_bytes > blocks_bytes - offset_bytes) return -EBADMSG;
        if (one_bytes > publisher->segment.message_bytes_max) return -EMSGSIZE;
        offset_bytes += one_bytes;
    }
    return offset_bytes == blocks_bytes ? 0 : -EBADMSG;
}

/* The stream's first sequence may be set by whoever sends first; later ones must follow on. */
static int take_sequence(struct rq_publisher *publisher, uint64_t first_sequence) {
    if (first_sequence == publisher->next_sequence) return 0;
    if (!publisher->is_fresh || first_sequence == 0) return -ERANGE;
    rq_publisher_lock(publisher);
    publisher->next_sequence = first_sequence;
    rq_publisher_unlock(publisher);
    return 0;
}

/* As many blocks as one frame takes. */
static int publish_some_blocks(struct rq_publisher *publisher, const uint8_t *blocks,
                               uint64_t message_count, struct rq_taken *taken) {
    uint64_t count = 0, payload_bytes = 0;
    while (count < message_count && count < RQ_FRAME_MESSAGES_MAX) {
        uint64_t one_bytes = block_bytes_at(blocks + payload_bytes);
        if (payload_bytes + one_bytes > publisher->segment.message_bytes_max) break;
        payload_bytes += one_bytes;
        count++;
    }
    int64_t sequence =
        publish(publisher, RQ_KIND_BLOCKS, (uint32_t)count, count, blocks, payload_bytes);
    return note_taken(taken, sequence, count, payload_bytes);
}

int64_t rq_send_blocks(struct rq_publisher *publisher, const uint8_t *blocks, uint64_t blocks_bytes,
                       uint64_t message_count, uint64_t first_sequence, struct rq_taken *taken) {
    if (publisher->segment.record_bytes != 0) return -EINVAL;
    int error = rq_publisher_enter(publisher);
    if (error != 0) return error; /* *taken may belong to the thread that is inside */
    *taken = (struct rq_taken){0};
    error = blocks_add_up(publisher, blocks, blocks_bytes, message_count);
    if (error == 0 && first_sequence != 0) error = take_sequence(publisher, first_sequence);
    while (error == 0 && taken->messages < message_count)
        if (!publish_some_blocks(publisher, blocks + taken->bytes, message_count - taken->messages,
                                 taken))
            break;
    int64_t sequence = taken->messages == message_count ? (int64_t)taken->sequence : 0;
    rq_handle_leave(&publisher->handle);
    return error != 0 ? error : sequence;
}

int64_t rq_send_gap(struct rq_publisher *publisher, uint64_t first, uint64_t last) {
    int error = rq_publisher_enter(publisher);
    if (error != 0) return error;
    struct rq_gap_payload payload = {.first = first, .last = last};
    int64_t sequence = 0;
    if (last < first || last == UINT64_MAX) {
        sequence = -EINVAL;
    } else if ((sequence = take_sequence(publisher, first)) == 0) {
        rq_publisher_lock(publisher);
        if (rq_gate_is_open(publisher, rq_frame_bytes(sizeof(payload)))) {
            rq_write_ledger(publisher, first, last);
            rq_count(&publisher->live->counters.gaps, 1);
            rq_write_frame(publisher, RQ_KIND_GAP, 0, last - first + 1, &payload, sizeof(payload));
            rq_tell(publisher);
            sequence = (int64_t)first;
        }
        rq_publisher_unlock(publisher);
    }
    rq_handle_leave(&publisher->handle);
    return sequence;
}

int64_t rq_send_heartbeat(struct rq_publisher *publisher) {
    int error = rq_publisher_enter(publisher);
    if (error != 0) return error;
    int64_t sequence = publish(publisher, RQ_KIND_HEARTBEAT, 0, 0, NULL, 0);
    rq_handle_leave(&publisher->handle);
    return sequence;
}

int64_t rq_claim(struct rq_publisher *publisher, uint64_t payload_bytes,
                 uint64_t *data_offset_bytes_out) {
    uint32_t record_bytes = publisher->segment.record_bytes;
    if (payload_bytes > publisher->segment.message_bytes_max) return -EMSGSIZE;
    if (record_bytes != 0 && (payload_bytes == 0 || payload_bytes % record_bytes != 0))
        return -EINVAL;
    if (record_bytes != 0 && payload_bytes / record_bytes > RQ_FRAME_MESSAGES_MAX) return -EMSGSIZE;
    int error = rq_publisher_enter(publisher);
    if (error != 0) return error;
    rq_publisher_lock(publisher);
    int is_open = rq_gate_is_open(publisher, rq_frame_bytes(payload_bytes));
    publisher->is_claimed = is_open;
    publisher->claimed_bytes = payload_bytes;
    rq_publisher_unlock(publisher);
    if (is_open) {
        uint8_t *frame = rq_at(&publisher->segment, publisher->tail);
        *data_offset_bytes_out =
            (uint64_t)(frame - publisher->segment.data) + RQ_FRAME_HEADER_BYTES;
        /* The caller's stores stay behind the tail's, as in rq_write_frame. */
        atomic_thread_fence(memory_order_release);
    }
    rq_handle_leave(&publisher->handle);
    return is_open;
}

static int64_t end_claim(struct rq_publisher *publisher, int is_commit) {
    /* Waits for a thread that should not be inside: the claim must end, or nobody sends again. */
    int error = rq_handle_enter_waiting(&publisher->handle);
    if (error != 0) return error;
    int64_t result = -ENOENT;
    /* One hold for both: who is admitted meanwhile reckons with the claim, or with its frame. */
    rq_publisher_lock(publisher);
    if (publisher->is_claimed) {
        uint32_t record_bytes = publisher->segment.record_bytes;
        uint64_t payload_bytes = publisher->claimed_bytes;
        publisher->is_claimed = 0;
        result = is_commit ? (int64_t)publisher->next_sequence : 0;
        if (is_commit) {
            if (record_bytes != 0)
                rq_write_claimed(publisher, RQ_KIND_RECORDS,
                                 (uint32_t)(payload_bytes / record_bytes), payload_bytes);
            else
                rq_write_claimed(publisher, RQ_KIND_MESSAGE, 1, payload_bytes);
            rq_tell(publisher);
        }
    }
    rq_publisher_unlock(publisher);
    rq_handle_leave(&publisher->handle);
    return result;
}

int64_t rq_commit(struct rq_publisher *publisher) { return end_claim(publisher, 1); }

int64_t rq_abort(struct rq_publisher *publisher) { return end_claim(publisher, 0); }
