/* Admitting and dismissing readers: control pages, slots, first cursors. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring/memfd.h"
#include "ring/publisher.h"
#include "ring/start.h"

/* Made and sealed here, so that no reader can truncate it under us. */
static int make_control_page(struct rq_admitted *reader, int *fd_out) {
    reader->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    int fd = rq_memfd_create("rdmaq-control", reader->page_bytes);
    if (fd < 0) return fd;
    int error = rq_memfd_seal(fd, RQ_SEAL_SIZE);
    if (error == 0) {
        reader->page = mmap(NULL, reader->page_bytes, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_POPULATE, fd, 0);
        if (reader->page == MAP_FAILED) error = -errno;
    }
    if (error != 0) {
        close(fd);
        return error;
    }
    rq_memory_keep_from_fork(reader->page, reader->page_bytes);
    *fd_out = fd;
    return 0;
}

static void release_reader(struct rq_admitted *reader) {
    munmap(reader->page, reader->page_bytes);
    if (reader->socket_fd >= 0) close(reader->socket_fd);
    free(reader);
}

static int take_slot(struct rq_publisher *publisher) {
    for (int slot = 0; slot < RQ_READERS_MAX; slot++) {
        uint64_t bit = (uint64_t)1 << (slot % 64);
        if ((publisher->slots_used[slot / 64] & bit) != 0) continue;
        publisher->slots_used[slot / 64] |= bit;
        return slot;
    }
    return -ENOSPC;
}

static int enlist(struct rq_publisher *publisher, struct rq_admitted *reader, uint32_t start,
                  uint64_t start_value, struct rq_start *begin) {
    rq_publisher_lock(publisher);
    int is_lost = !publisher->is_fresh && publisher->next_sequence == 0; /* see rq_publisher */
    int slot = rq_handle_is_closing(&publisher->handle) ? -ESHUTDOWN
               : is_lost                                ? -EAGAIN
                                                        : take_slot(publisher);
    if (slot >= 0) {
        rq_find_start(publisher, start, start_value, begin);
        if (RQ_MUTATED(JOIN_RACE)) rq_publisher_unlock(publisher);
        RQ_STEP();
        if (RQ_MUTATED(JOIN_RACE)) rq_publisher_lock(publisher);
        reader->slot = slot;
        reader->control = (struct rq_control *)((uint8_t *)reader->page + rq_control_offset(slot));
        reader->is_gating = publisher->segment.is_reliable != 0;
        reader->cursor_seen = begin->position;
        reader->moved_ticks = rq_now_ticks();
        atomic_store_explicit(&reader->control->cursor_bytes, begin->position,
                              memory_order_release);
        publisher->waiting[publisher->reader_count] = &reader->control->waiting;
        publisher->readers[publisher->reader_count++] = reader;
        publisher->had_reader = 1;
        if (RQ_UNLESS(LIMIT_KEPT, reader->is_gating))
            publisher->gate_limit_bytes = 0; /* ask again at the next frame */
    }
    rq_publisher_unlock(publisher);
    return slot;
}

int rq_publisher_admit(struct rq_publisher *publisher, uint32_t start, uint64_t start_value,
                       int socket_fd, int *control_fd_out, uint64_t *position_out,
                       uint64_t *sequence_out) {
    *control_fd_out = -1;
    struct rq_admitted *reader = calloc(1, sizeof(*reader));
    if (reader == NULL) return -ENOMEM;
    reader->socket_fd = -1;
    int control_fd = -1;
    int error = make_control_page(reader, &control_fd);
    if (error != 0) {
        free(reader);
        return error;
    }
    if (socket_fd >= 0) reader->socket_fd = fcntl(socket_fd, F_DUPFD_CLOEXEC, 0);
    struct rq_start begin = {0};
    int slot = socket_fd >= 0 && reader->socket_fd < 0
                   ? -errno
                   : enlist(publisher, reader, start, start_value, &begin);
    if (slot < 0) {
        release_reader(reader);
        close(control_fd);
        return slot;
    }
    *control_fd_out = control_fd;
    *position_out = begin.position;
    *sequence_out = begin.sequence;
    return slot;
}

int rq_publisher_dismiss(struct rq_publisher *publisher, int slot) {
    struct rq_admitted *gone = NULL;
    rq_publisher_lock(publisher);
    for (uint32_t i = 0; i < publisher->reader_count; i++) {
        if (publisher->readers[i]->slot != slot) continue;
        gone = publisher->readers[i];
        if (gone->is_deferred)
            atomic_fetch_sub_explicit(&publisher->deferred_count, 1, memory_order_relaxed);
        uint32_t last = --publisher->reader_count;
        publisher->readers[i] = publisher->readers[last];
        publisher->waiting[i] = publisher->waiting[last];
        publisher->slots_used[slot / 64] &= ~((uint64_t)1 << (slot % 64));
        if (publisher->segment.is_reliable) publisher->gate_limit_bytes = 0;
        break;
    }
    rq_publisher_unlock(publisher);
    if (gone == NULL) return -ENOENT;
    release_reader(gone);
    return 0;
}

void rq_publisher_read_stats(struct rq_publisher *publisher, struct rq_publisher_stats *out) {
    struct rq_counters *counters = &publisher->live->counters;
    rq_publisher_lock(publisher);
    out->messages = atomic_load_explicit(&counters->messages, memory_order_relaxed);
    out->bytes = atomic_load_explicit(&counters->bytes, memory_order_relaxed);
    out->frames = atomic_load_explicit(&counters->frames, memory_order_relaxed);
    out->gaps = atomic_load_explicit(&counters->gaps, memory_order_relaxed);
    out->stalls = atomic_load_explicit(&counters->stalls, memory_order_relaxed);
    out->wakes = atomic_load_explicit(&counters->wakes, memory_order_relaxed);
    out->next_sequence = publisher->next_sequence;
    out->tail_bytes = publisher->tail;
    out->reader_count = publisher->reader_count + rq_taps_joined(publisher);
    out->readers_cut_off = publisher->readers_cut_off;
    out->skew_rounds = publisher->skew_rounds;
    out->skew_ns = rq_clock_ticks_to_ns(publisher->skew_ticks);
    out->skew_ns_max = rq_clock_ticks_to_ns(publisher->skew_ticks_max);
    rq_publisher_unlock(publisher);
}

int rq_publisher_close(struct rq_publisher *publisher) {
    if (!rq_handle_begin_close(&publisher->handle)) return 0;
    rq_handle_wait_idle(&publisher->handle); /* who waits at the gate looks every 50 us */
    rq_publisher_lock(publisher);
    rq_wake_readmit(publisher); /* the end is told to everybody, and at once */
    if (!publisher->is_replica) {
        rq_write_frame(publisher, RQ_KIND_END, 0, 0, NULL, 0);
        atomic_store_explicit(&publisher->live->state, RQ_STATE_ENDED, memory_order_release);
    }
    rq_tell(publisher);
    rq_publisher_unlock(publisher);
    return 0;
}

void rq_publisher_forget(struct rq_publisher *publisher) {
    atomic_store_explicit(&publisher->handle.is_closing, 1, memory_order_relaxed);
    for (uint32_t i = 0; i < publisher->reader_count; i++)
        if (publisher->readers[i]->socket_fd >= 0) close(publisher->readers[i]->socket_fd);
    publisher->reader_count = 0;
}

void rq_publisher_free(struct rq_publisher *publisher) {
    if (publisher == NULL) return;
    while (publisher->reader_count > 0)
        rq_publisher_dismiss(publisher, publisher->readers[0]->slot);
    free(publisher);
}
