/*
 * Judging what a READ brought. All of it is a stranger's: lengths lead nowhere but to the end of
 * what was read, and a frame counts when it bears its own position and the sequence that is due.
 */
#include <string.h>

#include "link/backfill.h"

/* The sequence behind a frame; 0: no frame of this stream looks like that. */
static uint64_t next_of(const struct rq_backfill *backfill, const struct rq_frame_header *header,
                        const uint8_t *payload) {
    uint64_t count = rq_frame_count(header), sequence = header->sequence;
    uint32_t record_bytes = backfill->descriptor.record_bytes, bytes = header->payload_bytes;
    struct rq_gap_payload gap;
    if (sequence > UINT64_MAX - RQ_FRAME_MESSAGES_MAX - 1) return 0;
    if (backfill->sequence != 0 && rq_frame_kind(header) != RQ_KIND_END &&
        sequence != backfill->sequence)
        return 0;
    switch (rq_frame_kind(header)) {
        case RQ_KIND_MESSAGE: return record_bytes == 0 && count == 1 ? sequence + 1 : 0;
        case RQ_KIND_RECORDS:
            return record_bytes != 0 && count != 0 && bytes == count * record_bytes
                       ? sequence + count
                       : 0;
        case RQ_KIND_BLOCKS:
            return record_bytes == 0 && count != 0 && bytes >= 2 * count ? sequence + count : 0;
        case RQ_KIND_GAP:
            if (count != 0 || bytes != sizeof(gap)) return 0;
            memcpy(&gap, payload, sizeof(gap));
            return gap.first == sequence && gap.last >= gap.first && gap.last != UINT64_MAX
                       ? gap.last + 1
                       : 0;
        case RQ_KIND_HEARTBEAT: return count == 0 && bytes == 0 ? sequence : 0;
        case RQ_KIND_END:
            if (backfill->sequence != 0 && sequence + 1 != backfill->sequence) return 0;
            return count == 0 && bytes == 0 ? sequence + 1 : 0;
        default: return 0;
    }
}

int64_t rq_backfill_check(struct rq_backfill *backfill, const uint8_t *data,
                          struct rq_backfill_report *report) {
    uint64_t at = 0;
    report->position = backfill->position;
    while (backfill->piece_bytes - at >= RQ_FRAME_HEADER_BYTES) {
        struct rq_frame_header header;
        memcpy(&header, data + at, sizeof(header));
        if (header.position != backfill->position ||
            header.payload_bytes > backfill->descriptor.message_bytes_max)
            return -EBADMSG;
        uint64_t frame_bytes = rq_frame_bytes(header.payload_bytes);
        if (frame_bytes > backfill->piece_bytes - at)
            break; /* the rest comes with the next piece */
        uint64_t next = next_of(backfill, &header, data + at + RQ_FRAME_HEADER_BYTES);
        if (next == 0) return -EBADMSG;
        if (at == 0) report->first = header.sequence;
        report->messages += rq_frame_count(&header);
        backfill->sequence = next;
        backfill->position += frame_bytes;
        at += frame_bytes;
    }
    report->end_position = backfill->position;
    report->next_sequence = backfill->sequence;
    /* Less than a frame, though a piece ends at the tail there, or is as long as the longest. */
    return at == 0 ? -EBADMSG : (int64_t)at;
}
