/* Ping and pong over two rings without Python: what the Python round trip is held against. */
#include <errno.h>

#include "rdmaq_abi.h"

#define MESSAGE_BYTES_MAX 4096

/* One message into `out`; its length, 0 when the time is up, or -errno. */
static int64_t receive(struct rq_reader *reader, uint8_t *out, uint64_t until_ticks) {
    uint32_t offsets[2];
    struct rq_frame_note note;
    struct rq_poll poll = {.out = out,
                           .out_bytes = MESSAGE_BYTES_MAX,
                           .offsets = offsets,
                           .notes = &note,
                           .note_count_max = 1,
                           .wait_mode = RQ_WAIT_SPIN};
    while (rq_clock_ticks() < until_ticks) {
        int status = rq_reader_poll(reader, &poll, 1, RQ_WAIT_SLICE_NS_MAX);
        if (status > 0) return (int64_t)poll.batch.payload_bytes;
        if (status != RQ_POLL_NOTHING) return status;
    }
    return 0;
}

/* The counter's own rate is all that is known: ten per cent more than the limit is no harm. */
static uint64_t deadline_ticks(uint64_t limit_ns) {
    uint64_t ticks = 1000000;
    return rq_clock_ticks() + limit_ns / (rq_clock_ticks_to_ns(ticks) + 1) * ticks;
}

int64_t rq_bench_ping(struct rq_publisher *publisher, struct rq_reader *reader,
                      const uint8_t *message, uint64_t message_bytes, uint64_t count,
                      uint64_t limit_ns, uint64_t *round_trips_ns_out) {
    uint8_t received[MESSAGE_BYTES_MAX];
    if (message_bytes > MESSAGE_BYTES_MAX) return -EMSGSIZE;
    uint64_t until_ticks = deadline_ticks(limit_ns), before_ticks = rq_clock_ticks();
    for (uint64_t i = 0; i < count; i++) {
        int64_t sequence = rq_send(publisher, message, message_bytes);
        if (sequence <= 0) return sequence < 0 ? sequence : -EAGAIN;
        int64_t got_bytes = receive(reader, received, until_ticks);
        if (got_bytes < 0) return got_bytes;
        if (got_bytes == 0) return (int64_t)i;
        uint64_t now_ticks = rq_clock_ticks();
        round_trips_ns_out[i] = rq_clock_ticks_to_ns(now_ticks - before_ticks);
        before_ticks = now_ticks;
    }
    return (int64_t)count;
}

int64_t rq_bench_pong(struct rq_publisher *publisher, struct rq_reader *reader, uint64_t count,
                      uint64_t limit_ns) {
    uint8_t received[MESSAGE_BYTES_MAX];
    uint64_t until_ticks = deadline_ticks(limit_ns);
    for (uint64_t i = 0; i < count; i++) {
        int64_t got_bytes = receive(reader, received, until_ticks);
        if (got_bytes < 0) return got_bytes;
        if (got_bytes == 0) return (int64_t)i;
        int64_t sequence = rq_send(publisher, received, (uint64_t)got_bytes);
        if (sequence <= 0) return sequence < 0 ? sequence : -EAGAIN;
    }
    return (int64_t)count;
}
