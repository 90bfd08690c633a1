/*
 * Dense records through a reliable ring without Python: the same calls, copies and flow control
 * as `send_batch` on one side and `poll(into=)` or `view` on the other.
 */
#include <errno.h>

#include "rdmaq_abi.h"

#define NOTES_MAX 256

static int wait_for_room(struct rq_publisher *publisher, uint64_t payload_bytes) {
    int status;
    do {
        status = rq_publisher_wait(publisher, payload_bytes, RQ_WAIT_SLICE_NS_MAX);
    } while (status == 0 || status == -EINTR);
    return status < 0 ? status : 0;
}

int64_t rq_bench_publish(struct rq_publisher *publisher, const uint8_t *records,
                         uint64_t record_count, uint64_t record_bytes, uint64_t batch_count) {
    for (uint64_t i = 0; i < batch_count; i++) {
        for (uint64_t sent = 0; sent < record_count;) {
            struct rq_taken taken;
            int64_t sequence = rq_send_records(publisher, records + sent * record_bytes,
                                               record_count - sent, &taken);
            if (sequence < 0) return sequence;
            sent += taken.messages;
            if (sequence != 0) continue;
            int error = wait_for_room(publisher, record_count * record_bytes);
            if (error != 0) return error;
        }
    }
    return (int64_t)(batch_count * record_count);
}

int64_t rq_bench_drain(struct rq_reader *reader, uint8_t *out, uint64_t out_bytes,
                       uint32_t message_count_max, uint64_t message_count) {
    struct rq_frame_note notes[NOTES_MAX];
    struct rq_poll poll = {.out = out,
                           .out_bytes = out_bytes,
                           .notes = notes,
                           .note_count_max = NOTES_MAX,
                           .wait_mode = RQ_WAIT_AUTO};
    uint64_t received = 0;
    while (received < message_count) {
        int status = rq_reader_poll(reader, &poll, message_count_max, RQ_WAIT_SLICE_NS_MAX);
        if (status < 0) return status;
        received += (uint64_t)status;
    }
    return (int64_t)received;
}
