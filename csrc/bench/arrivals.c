/* When one message comes to each of many readers: one thread looks at them all, in turn. */
#include <errno.h>

#include "rdmaq_abi.h"

#define READERS_MAX 64
#define MESSAGE_BYTES_MAX 4096

static uint64_t ticks_after(uint64_t limit_ns) {
    uint64_t ticks = 1000000;
    return rq_clock_ticks() + limit_ns / (rq_clock_ticks_to_ns(ticks) + 1) * ticks;
}

static int64_t least(const uint64_t *counts, uint32_t count) {
    uint64_t found = counts[0];
    for (uint32_t i = 1; i < count; i++)
        if (counts[i] < found) found = counts[i];
    return (int64_t)found;
}

int64_t rq_bench_arrivals(struct rq_reader **readers, uint32_t reader_count, uint64_t count,
                          uint64_t limit_ns, uint64_t *ticks_out) {
    uint8_t message[MESSAGE_BYTES_MAX];
    uint32_t offsets[2];
    struct rq_frame_note note;
    uint64_t got[READERS_MAX] = {0}, until_ticks = ticks_after(limit_ns);
    struct rq_poll poll = {.out = message,
                           .out_bytes = sizeof(message),
                           .offsets = offsets,
                           .notes = &note,
                           .note_count_max = 1,
                           .wait_mode = RQ_WAIT_SPIN};
    if (reader_count == 0 || reader_count > READERS_MAX) return -EINVAL;
    while (least(got, reader_count) < (int64_t)count) {
        for (uint32_t i = 0; i < reader_count; i++) {
            if (got[i] == count) continue;
            int found = rq_reader_poll(readers[i], &poll, 1, 0);
            if (found < 0) return found;
            if (found != RQ_POLL_NOTHING) ticks_out[i * count + got[i]++] = rq_clock_ticks();
        }
        if (rq_clock_ticks() >= until_ticks) break;
    }
    return least(got, reader_count);
}
