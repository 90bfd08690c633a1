/* Lending a frame's payload in place. It is intact or not when it is given back, not before. */
#include "ring/blocks.h"
#include "ring/reader.h"

static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* offsets[2i], offsets[2i+1]: begin and end of message i, counted from the frame's payload. */
static int lend_blocks(struct rq_reader *reader, const struct rq_peeked *peeked,
                       const uint8_t *payload, uint64_t count_max, uint32_t *offsets,
                       struct rq_batch *batch) {
    struct rq_blocks at;
    uint64_t end = smaller(rq_frame_count(&peeked->header), peeked->skip + count_max);
    int error = rq_blocks_begin(&at, reader, &peeked->header, payload, peeked->skip);
    while (error == 0 && at.index < end) {
        uint64_t length_bytes;
        error = rq_blocks_length(&at, &length_bytes);
        if (error != 0) break;
        uint64_t i = at.index - peeked->skip;
        offsets[2 * i] = (uint32_t)(at.offset_bytes + 2);
        offsets[2 * i + 1] = (uint32_t)(at.offset_bytes + 2 + length_bytes);
        batch->payload_bytes += length_bytes;
        rq_blocks_step(&at, length_bytes);
    }
    batch->message_count = (uint32_t)(end - peeked->skip);
    reader->borrowed_taken_bytes = at.offset_bytes;
    return error;
}

static int lend(struct rq_reader *reader, const struct rq_peeked *peeked, uint64_t count_max,
                uint32_t *offsets, struct rq_batch *batch) {
    const uint8_t *payload = rq_at(&reader->segment, reader->cursor) + RQ_FRAME_HEADER_BYTES;
    uint64_t record_bytes = reader->segment.record_bytes;
    batch->kind = rq_frame_kind(&peeked->header);
    batch->payload_bytes = 0;
    batch->data_offset_bytes = (uint64_t)(payload - reader->segment.data);
    switch (batch->kind) {
        case RQ_KIND_RECORDS:
            batch->message_count =
                (uint32_t)smaller(rq_frame_count(&peeked->header) - peeked->skip, count_max);
            batch->payload_bytes = batch->message_count * record_bytes;
            batch->data_offset_bytes += peeked->skip * record_bytes;
            return 0;
        case RQ_KIND_MESSAGE:
            batch->message_count = 1;
            batch->payload_bytes = peeked->header.payload_bytes;
            offsets[0] = 0;
            offsets[1] = peeked->header.payload_bytes;
            return 0;
        default: return lend_blocks(reader, peeked, payload, count_max, offsets, batch);
    }
}

int rq_borrow_batch(struct rq_reader *reader, struct rq_poll *poll, uint32_t message_count_max) {
    struct rq_batch *batch = &poll->batch;
    struct rq_frame_note *note = poll->notes;
    struct rq_peeked peeked;
    for (;;) {
        int found = rq_peek_frame(reader, &peeked);
        if (found != RQ_PEEK_MESSAGES) return rq_answer(reader, found, &peeked, batch);
        int error = lend(reader, &peeked, message_count_max, poll->offsets, batch);
        uint64_t tail;
        if (!rq_reader_is_intact(reader, reader->cursor, &tail)) {
            reader->is_lapped = 1;
            continue;
        }
        if (error != 0) return error;
        batch->sequence = peeked.header.sequence + peeked.skip;
        batch->last = batch->sequence + batch->message_count - 1;
        batch->received_ticks = rq_now_ticks();
        batch->publish_ticks = peeked.header.ticks;
        batch->frame_count = 1;
        note->ticks = peeked.header.ticks;
        note->message_count = batch->message_count;
        note->reserved = 0;
        reader->is_borrowed = 1;
        reader->borrowed_messages = batch->message_count;
        reader->borrowed_bytes = batch->payload_bytes;
        reader->borrowed_sequence = batch->last + 1;
        reader->borrowed_taken = peeked.skip + batch->message_count;
        int is_whole = peeked.skip + batch->message_count == rq_frame_count(&peeked.header);
        reader->borrowed_end = is_whole
                                   ? reader->cursor + rq_frame_bytes(peeked.header.payload_bytes)
                                   : reader->cursor;
        return (int)batch->message_count;
    }
}
