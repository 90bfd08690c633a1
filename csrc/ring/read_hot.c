/*
 * Copying batches out of the ring: header, guard rule, bounds, copy, guard rule, and only then
 * does a message count as received. What was copied under a writer's pen is dropped again.
 */
#include <string.h>

#include "ring/blocks.h"
#include "ring/reader.h"

struct sink {
    uint8_t *out;
    uint64_t out_bytes;
    uint32_t *offsets;
    uint64_t used_bytes;
    uint32_t message_count;
    uint32_t message_count_max;
};

/* How many whole messages of one size still fit. */
static uint64_t fitting(const struct sink *sink, uint64_t one_bytes) {
    uint64_t by_bytes = (sink->out_bytes - sink->used_bytes) / one_bytes;
    uint64_t by_count = sink->message_count_max - sink->message_count;
    return by_bytes < by_count ? by_bytes : by_count;
}

struct taken {
    uint64_t messages;
    uint64_t bytes;        /* into the sink */
    uint64_t blocks_bytes; /* of the frame's blocks up to here: see blocks_taken_bytes */
};

static void copy_records(struct sink *sink, const struct rq_segment *segment,
                         const struct rq_peeked *peeked, const uint8_t *payload,
                         struct taken *taken) {
    uint64_t record_bytes = segment->record_bytes;
    uint64_t count = rq_frame_count(&peeked->header) - peeked->skip;
    uint64_t room = fitting(sink, record_bytes);
    taken->messages = count < room ? count : room;
    taken->bytes = taken->messages * record_bytes;
    memcpy(sink->out + sink->used_bytes, payload + peeked->skip * record_bytes, taken->bytes);
}

static void copy_message(struct sink *sink, const struct rq_peeked *peeked, const uint8_t *payload,
                         struct taken *taken) {
    uint64_t payload_bytes = peeked->header.payload_bytes;
    if (payload_bytes > sink->out_bytes - sink->used_bytes) return;
    memcpy(sink->out + sink->used_bytes, payload, payload_bytes);
    sink->offsets[sink->message_count + 1] = (uint32_t)(sink->used_bytes + payload_bytes);
    taken->messages = 1;
    taken->bytes = payload_bytes;
}

/* 0, or -EBADMSG when the lengths do not add up (which may just mean that they are torn). */
static int copy_blocks(const struct rq_reader *reader, struct sink *sink,
                       const struct rq_peeked *peeked, const uint8_t *payload,
                       struct taken *taken) {
    struct rq_blocks at;
    uint64_t count = rq_frame_count(&peeked->header);
    int error = rq_blocks_begin(&at, reader, &peeked->header, payload, peeked->skip);
    uint64_t used_bytes = sink->used_bytes;
    while (error == 0 && at.index < count &&
           sink->message_count + taken->messages < sink->message_count_max) {
        uint64_t one_bytes;
        error = rq_blocks_length(&at, &one_bytes);
        if (error != 0 || one_bytes > sink->out_bytes - used_bytes) break;
        memcpy(sink->out + used_bytes, at.payload + at.offset_bytes + 2, one_bytes);
        used_bytes += one_bytes;
        taken->messages++;
        sink->offsets[sink->message_count + taken->messages] = (uint32_t)used_bytes;
        rq_blocks_step(&at, one_bytes);
    }
    if (error == 0 && at.index == count && at.offset_bytes != peeked->header.payload_bytes)
        error = -EBADMSG;
    taken->bytes = used_bytes - sink->used_bytes;
    taken->blocks_bytes = at.offset_bytes;
    return error;
}

static int copy_frame(struct rq_reader *reader, struct sink *sink, const struct rq_peeked *peeked,
                      struct taken *taken) {
    const uint8_t *payload = rq_at(&reader->segment, reader->cursor) + RQ_FRAME_HEADER_BYTES;
    switch (rq_frame_kind(&peeked->header)) {
        case RQ_KIND_RECORDS:
            copy_records(sink, &reader->segment, peeked, payload, taken);
            return 0;
        case RQ_KIND_MESSAGE: copy_message(sink, peeked, payload, taken); return 0;
        default: return copy_blocks(reader, sink, peeked, payload, taken);
    }
}

static void accept(struct rq_reader *reader, struct sink *sink, const struct rq_peeked *peeked,
                   const struct taken *taken, struct rq_frame_note *note) {
    note->ticks = peeked->header.ticks;
    note->message_count = (uint32_t)taken->messages;
    note->reserved = 0;
    sink->message_count += (uint32_t)taken->messages;
    sink->used_bytes += taken->bytes;
    reader->next_sequence = peeked->header.sequence + peeked->skip + taken->messages;
    if (peeked->skip + taken->messages == rq_frame_count(&peeked->header)) {
        reader->cursor += rq_frame_bytes(peeked->header.payload_bytes);
    } else {
        reader->blocks_position = reader->cursor;
        reader->blocks_taken = peeked->skip + taken->messages;
        reader->blocks_taken_bytes = taken->blocks_bytes;
    }
}

/* The batch is whole: count it, and let the publisher know how far we are. */
static int describe(struct rq_reader *reader, const struct sink *sink, struct rq_batch *batch) {
    batch->received_ticks = rq_now_ticks();
    batch->message_count = sink->message_count;
    batch->payload_bytes = sink->used_bytes;
    batch->last = batch->sequence + sink->message_count - 1;
    batch->kind = reader->segment.record_bytes != 0 ? RQ_KIND_RECORDS : RQ_KIND_MESSAGE;
    reader->stats.messages += sink->message_count;
    reader->stats.bytes += sink->used_bytes;
    reader->stats.frames += batch->frame_count;
    reader->stats.batches++;
    rq_reader_advance(reader);
    return (int)sink->message_count;
}

static uint64_t needed_bytes(const struct rq_reader *reader, const struct rq_peeked *peeked) {
    if (reader->segment.record_bytes != 0) return reader->segment.record_bytes;
    return peeked->header.payload_bytes;
}

int rq_read_batch(struct rq_reader *reader, struct rq_poll *poll, uint32_t message_count_max) {
    struct rq_batch *batch = &poll->batch;
    struct sink sink = {.out = poll->out,
                        .out_bytes = poll->out_bytes < UINT32_MAX ? poll->out_bytes : UINT32_MAX,
                        .offsets = poll->offsets,
                        .message_count_max = message_count_max};
    struct rq_peeked peeked;
    batch->frame_count = 0;
    if (sink.offsets != NULL) sink.offsets[0] = 0;
    while (sink.message_count < message_count_max && batch->frame_count < poll->note_count_max) {
        int found = rq_peek_frame(reader, &peeked);
        if (found != RQ_PEEK_MESSAGES) {
            if (sink.message_count != 0) break; /* a batch never crosses a gap */
            return rq_answer(reader, found, &peeked, batch);
        }
        struct taken taken = {0};
        RQ_STEP();
        int error = copy_frame(reader, &sink, &peeked, &taken);
        uint64_t tail;
        RQ_STEP();
        if (RQ_UNLESS(CHECK_HOISTED, !rq_reader_is_intact(reader, reader->cursor, &tail))) {
            reader->is_lapped = 1; /* what was copied of this frame does not count */
            continue;
        }
        if (error != 0) {
            if (sink.message_count != 0) break;
            return error;
        }
        if (taken.messages == 0) {
            if (sink.message_count != 0) break;
            batch->payload_bytes = needed_bytes(reader, &peeked);
            return RQ_POLL_TOO_SMALL;
        }
        if (sink.message_count == 0) {
            batch->sequence = peeked.header.sequence + peeked.skip;
            batch->publish_ticks = peeked.header.ticks;
        }
        accept(reader, &sink, &peeked, &taken, poll->notes + batch->frame_count++);
    }
    return sink.message_count == 0 ? RQ_POLL_NOTHING : describe(reader, &sink, batch);
}
