/*
 * The least that can carry bytes between two processes: one writer, one reader, slots of one size,
 * a copy in and a copy out, each side's index cached by the other. No batches of several sizes, no
 * late readers, no sequences, no wake-up, no check of the other side. What rdmaq's ring costs
 * above this is the price of what it can do.
 *
 *   area: | written (u64) | 128 bytes: read (u64) | ... 4096 bytes: slots ...
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "arch/ticks.h"
#include "rdmaq_abi.h"

#define READ_WORD_INDEX 16
#define SPINS_PER_LOOK 1024
#define MESSAGE_BYTES_MAX 4096

static _Atomic uint64_t *written_of(uint64_t *area) { return (_Atomic uint64_t *)area; }

static _Atomic uint64_t *read_of(uint64_t *area) {
    return (_Atomic uint64_t *)(area + READ_WORD_INDEX);
}

static uint8_t *slot_at(uint64_t *area, const struct rq_bench_plain *shape, uint64_t index) {
    uint64_t slot = index & (shape->slot_count - 1);
    return (uint8_t *)area + RQ_BENCH_PLAIN_HEADER_BYTES + slot * shape->slot_bytes;
}

/* Spins until the word has passed `index`; its value, or `index` when the time is up. */
static uint64_t await_beyond(_Atomic uint64_t *word, uint64_t index, uint64_t until_ticks) {
    for (uint32_t spins = 1;; spins++) {
        /* Pairs with the release stores in write_many and read_many, on the other side. */
        uint64_t value = atomic_load_explicit(word, memory_order_acquire);
        if (value > index) return value;
        rq_cpu_relax();
        if (spins % SPINS_PER_LOOK == 0 && rq_clock_ticks() > until_ticks) return index;
    }
}

static uint64_t until(uint64_t limit_ns) {
    uint64_t ticks = 1000000;
    return rq_clock_ticks() + limit_ns / (rq_clock_ticks_to_ns(ticks) + 1) * ticks;
}

static int write_many(uint64_t *area, const struct rq_bench_plain *shape, const uint8_t *data,
                      uint64_t data_bytes, uint64_t count, uint64_t until_ticks) {
    uint64_t written = atomic_load_explicit(written_of(area), memory_order_relaxed);
    uint64_t end = written + count;
    /* Not asked before the ring may be full: the reader's line stays where it is. */
    uint64_t read_seen = written <= shape->slot_count ? 0 : written - shape->slot_count;
    for (; written < end; written++) {
        if (written - read_seen == shape->slot_count) {
            read_seen = await_beyond(read_of(area), read_seen, until_ticks);
            if (written - read_seen == shape->slot_count) return 0;
        }
        memcpy(slot_at(area, shape, written), data, data_bytes);
        /* Pairs with the acquire load in await_beyond. */
        atomic_store_explicit(written_of(area), written + 1, memory_order_release);
    }
    return 1;
}

static int read_many(uint64_t *area, const struct rq_bench_plain *shape, uint8_t *out,
                     uint64_t joined_max, uint64_t data_bytes, uint64_t count,
                     uint64_t until_ticks) {
    uint64_t read = atomic_load_explicit(read_of(area), memory_order_relaxed), end = read + count;
    while (read < end) {
        uint64_t written = await_beyond(written_of(area), read, until_ticks);
        if (written == read) return 0;
        if (written - read > joined_max) written = read + joined_max;
        for (uint64_t joined = 0; read < written; joined++, read++)
            memcpy(out + joined * data_bytes, slot_at(area, shape, read), data_bytes);
        /* Pairs with the acquire load in await_beyond: the slots are free. */
        atomic_store_explicit(read_of(area), read, memory_order_release);
    }
    return 1;
}

int64_t rq_bench_plain_write(uint64_t *area, const struct rq_bench_plain *shape,
                             const uint8_t *data, uint64_t data_bytes, uint64_t count,
                             uint64_t limit_ns) {
    if (data_bytes > shape->slot_bytes) return -EMSGSIZE;
    return write_many(area, shape, data, data_bytes, count, until(limit_ns)) ? (int64_t)count : 0;
}

int64_t rq_bench_plain_read(uint64_t *area, const struct rq_bench_plain *shape, uint8_t *out,
                            uint64_t out_bytes, uint64_t data_bytes, uint64_t count,
                            uint64_t limit_ns) {
    if (data_bytes > shape->slot_bytes || data_bytes > out_bytes) return -EMSGSIZE;
    uint64_t joined_max = out_bytes / data_bytes;
    int is_whole = read_many(area, shape, out, joined_max, data_bytes, count, until(limit_ns));
    return is_whole ? (int64_t)count : 0;
}

int64_t rq_bench_plain_ping(uint64_t *there, uint64_t *back, const struct rq_bench_plain *shape,
                            const uint8_t *message, uint64_t message_bytes, uint64_t count,
                            uint64_t limit_ns, uint64_t *round_trips_ns_out) {
    uint8_t received[MESSAGE_BYTES_MAX];
    if (message_bytes > shape->slot_bytes || message_bytes > sizeof(received)) return -EMSGSIZE;
    uint64_t until_ticks = until(limit_ns), before_ticks = rq_clock_ticks();
    for (uint64_t i = 0; i < count; i++) {
        if (!write_many(there, shape, message, message_bytes, 1, until_ticks) ||
            !read_many(back, shape, received, 1, message_bytes, 1, until_ticks))
            return 0;
        uint64_t now_ticks = rq_clock_ticks();
        round_trips_ns_out[i] = rq_clock_ticks_to_ns(now_ticks - before_ticks);
        before_ticks = now_ticks;
    }
    return (int64_t)count;
}

int64_t rq_bench_plain_pong(uint64_t *there, uint64_t *back, const struct rq_bench_plain *shape,
                            uint64_t message_bytes, uint64_t count, uint64_t limit_ns) {
    uint8_t received[MESSAGE_BYTES_MAX];
    if (message_bytes > shape->slot_bytes || message_bytes > sizeof(received)) return -EMSGSIZE;
    uint64_t until_ticks = until(limit_ns);
    for (uint64_t i = 0; i < count; i++)
        if (!read_many(there, shape, received, 1, message_bytes, 1, until_ticks) ||
            !write_many(back, shape, received, message_bytes, 1, until_ticks))
            return 0;
    return (int64_t)count;
}
