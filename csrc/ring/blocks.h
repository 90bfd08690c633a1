/*
 * Walking the length-prefixed messages of a blocks frame (u16 big-endian + bytes: the message
 * block of MoldUDP64, specification 1.00). The bytes may change under the walk: each length is
 * loaded once and checked before it is used, so a torn one leads nowhere outside the frame.
 */
#ifndef RQ_RING_BLOCKS_H
#define RQ_RING_BLOCKS_H

#include "ring/reader.h"

struct rq_blocks {
    const uint8_t *payload;
    uint64_t payload_bytes;
    uint64_t offset_bytes; /* of the next block */
    uint64_t index;        /* of the next message within the frame */
};

static inline int rq_blocks_length(const struct rq_blocks *at, uint64_t *length_bytes_out) {
    if (at->payload_bytes - at->offset_bytes < 2) return -EBADMSG;
    /* volatile: loaded once, so that what was checked is what is used. */
    const volatile uint8_t *prefix = at->payload + at->offset_bytes;
    uint64_t length_bytes = (uint64_t)prefix[0] << 8 | prefix[1];
    if (length_bytes > at->payload_bytes - at->offset_bytes - 2) return -EBADMSG;
    *length_bytes_out = length_bytes;
    return 0;
}

static inline void rq_blocks_step(struct rq_blocks *at, uint64_t length_bytes) {
    at->offset_bytes += 2 + length_bytes;
    at->index++;
}

/* Begins at message `skip`: where the last batch stopped, if it is that, else by walking. */
static inline int rq_blocks_begin(struct rq_blocks *at, const struct rq_reader *reader,
                                  const struct rq_frame_header *header, const uint8_t *payload,
                                  uint64_t skip) {
    at->payload = payload;
    at->payload_bytes = header->payload_bytes;
    at->offset_bytes = 0;
    at->index = 0;
    if (reader->blocks_position == reader->cursor && reader->blocks_taken == skip) {
        at->offset_bytes = reader->blocks_taken_bytes;
        at->index = skip;
        /* A hostile writer may have made the frame shorter since then. */
        if (at->offset_bytes > at->payload_bytes) return -EBADMSG;
    }
    while (at->index < skip) {
        uint64_t length_bytes;
        if (rq_blocks_length(at, &length_bytes) != 0) return -EBADMSG;
        rq_blocks_step(at, length_bytes);
    }
    return 0;
}

#endif
