/*
 * Writing frames. A burst (header, payload, padding) reaches at most `guard` bytes beyond the
 * published tail; readers rely on that and on nothing else.
 */
#include <string.h>

#include "ring/publisher.h"

/* From some size on memcpy writes past the cache, and such stores overtake earlier ones: glibc
 * begins at three quarters of the shared cache, which is more than this on all that we know. */
#define RQ_STREAMED_BYTES_MIN 262144u

/* A hint for readers that lost their place: the first frame that begins in each stride. */
static inline void note_in_index(struct rq_publisher *publisher, uint64_t ticks) {
    uint64_t stride = publisher->tail >> publisher->index_stride_shift;
    if (stride == publisher->indexed_stride) return;
    publisher->indexed_stride = stride;
    struct rq_index_entry *entry = rq_index_at(&publisher->segment, stride);
    atomic_store_explicit(&entry->position, publisher->tail, memory_order_relaxed);
    atomic_store_explicit(&entry->sequence, publisher->next_sequence, memory_order_relaxed);
    atomic_store_explicit(&entry->ticks, ticks, memory_order_relaxed);
}

/* The header, the index, the counters and, last, the tail. The payload stands already. */
static inline void finish_frame(struct rq_publisher *publisher, uint32_t kind,
                                uint32_t message_count, uint64_t sequence_count,
                                uint64_t payload_bytes) {
    struct rq_live *live = publisher->live;
    struct rq_frame_header header = {
        .position = publisher->tail,
        .sequence = publisher->next_sequence,
        .ticks = rq_now_ticks(),
        .payload_bytes = (uint32_t)payload_bytes,
        .kind_count = kind | message_count << 8,
    };
    if (kind == RQ_KIND_END)
        header.sequence = publisher->next_sequence - 1; /* final; and never indexed */
    else
        note_in_index(publisher, header.ticks);
    RQ_STEP();
    memcpy(rq_at(&publisher->segment, publisher->tail), &header, sizeof(header));
    RQ_STEP();
    if (publisher->is_fresh) {
        atomic_store_explicit(&live->origin_sequence, publisher->next_sequence,
                              memory_order_relaxed);
        publisher->is_fresh = 0;
    }
    publisher->blocked_since_ticks = 0; /* a stall that a signal ended is over now, too */
    publisher->next_sequence += sequence_count;
    publisher->tail += rq_frame_bytes(payload_bytes);
    rq_count(&live->counters.messages, message_count);
    rq_count(&live->counters.bytes, payload_bytes);
    rq_count(&live->counters.frames, 1);
    /* Pairs with the acquire loads of tail_bytes in read_hot.c: whoever sees the new tail sees
     * the frame, its index entry and its ledger entry. */
    int is_late =
        RQ_MUTATED(PUBLISHER_FENCE_GONE) || (RQ_MUTATED(WRITER_FENCE_GONE) && kind != RQ_KIND_END);
    if (!is_late) atomic_store_explicit(&live->tail_bytes, publisher->tail, memory_order_release);
    RQ_STEP();
}

/* Keeps this burst's stores behind the store of the tail before it: a reader that sees any byte
 * of the burst sees that tail, or a later one, when it loads the tail again. Pairs with the
 * acquire fence in rq_reader_is_intact. A compiler barrier on x86, `dmb ish` on Arm. */
static inline void begin_burst(uint64_t payload_bytes) {
    atomic_thread_fence(memory_order_release);
    if (payload_bytes >= RQ_STREAMED_BYTES_MIN) rq_store_fence();
}

void rq_write_frame(struct rq_publisher *publisher, uint32_t kind, uint32_t message_count,
                    uint64_t sequence_count, const void *payload, uint64_t payload_bytes) {
    begin_burst(payload_bytes);
    uint8_t *frame = rq_at(&publisher->segment, publisher->tail);
    if (RQ_MUTATED(TAIL_BEFORE_DATA))
        atomic_store_explicit(&publisher->live->tail_bytes,
                              publisher->tail + rq_frame_bytes(payload_bytes),
                              memory_order_release);
    RQ_STEP();
    if (payload_bytes != 0) memcpy(frame + RQ_FRAME_HEADER_BYTES, payload, payload_bytes);
    RQ_STEP();
    if (RQ_MUTATED(WRITER_FENCE_GONE)) /* the burst overtook the store of the tail before it */
        atomic_store_explicit(&publisher->live->tail_bytes, publisher->tail, memory_order_release);
    finish_frame(publisher, kind, message_count, sequence_count, payload_bytes);
}

/* rq_claim made the fence: the caller has been writing into the guard zone since then. */
void rq_write_claimed(struct rq_publisher *publisher, uint32_t kind, uint32_t message_count,
                      uint64_t payload_bytes) {
    finish_frame(publisher, kind, message_count, message_count, payload_bytes);
}

void rq_write_ledger(struct rq_publisher *publisher, uint64_t first, uint64_t last) {
    struct rq_live *live = publisher->live;
    begin_burst(0); /* as for data: pairs with the acquire fence in ledger_hot.c */
    uint64_t count = atomic_load_explicit(&live->ledger_count, memory_order_relaxed);
    struct rq_ledger_entry *entry = publisher->segment.ledger + count % RQ_LEDGER_ENTRIES;
    atomic_store_explicit(&entry->first, first, memory_order_relaxed);
    atomic_store_explicit(&entry->last, last, memory_order_relaxed);
    RQ_STEP();
    /* Pairs with the acquire load in ledger_hot.c. */
    atomic_store_explicit(&live->ledger_count, count + 1, memory_order_release);
}
