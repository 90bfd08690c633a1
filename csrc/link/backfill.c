/*
 * Reading out of a publisher's ring from far away: its CPU has no part in it.
 *
 *   READ tail0; wait; READ data, below tail0 only; fence; READ tail1; wait; the guard rule
 *
 * A READ fetches its bytes in any order, and the writer writes on. But what stood below tail0 was
 * whole before the data was read, and the writer is at most `guard` beyond its tail: with tail1,
 * read after the data, `tail1 - position <= capacity - guard` says that none of it was written
 * over. tail1 is the next piece's tail0.
 */
#include "link/backfill.h"

#include <stdlib.h>
#include <string.h>

#include "link/replica.h"
#include "rdma/mutation.h"

#define DONE_BATCH 8
#define OPS_MAX 4
/* In one call: a writer that is always faster, or hostile, leads on for ever, and whoever wants to
 * end it must come in. */
#define TURNS_MAX 64

int rq_backfill_open(const struct rq_descriptor *descriptor, struct rq_pair *pair,
                     struct rq_replica *replica, const struct rq_backfill_setup *setup,
                     struct rq_backfill **backfill_out) {
    *backfill_out = NULL;
    uint64_t capacity_bytes = descriptor->capacity_bytes;
    if (rq_descriptor_check(descriptor) != 0) return -EINVAL;
    if (setup->position < capacity_bytes || setup->position % RQ_FRAME_ALIGN_BYTES != 0 ||
        setup->words_address == 0 || setup->words_address % sizeof(uint64_t) != 0)
        return -EINVAL;
    if (replica == NULL &&
        (setup->buffer_address == 0 || setup->buffer_bytes < descriptor->guard_bytes))
        return -EMSGSIZE;
    if (replica != NULL && (replica->is_attached || replica->told != setup->position ||
                            replica->publisher->segment.capacity_bytes != capacity_bytes ||
                            replica->publisher->segment.guard_bytes != descriptor->guard_bytes))
        return -EINVAL;
    if (pair->send_count_max < OPS_MAX) return -EINVAL;
    if (pair->request_bytes_max < descriptor->guard_bytes) return -EMSGSIZE;
    struct rq_backfill *backfill = calloc(1, sizeof(*backfill));
    if (backfill == NULL) return -ENOMEM;
    backfill->pair = pair;
    backfill->replica = replica;
    backfill->setup = *setup;
    backfill->descriptor = *descriptor;
    backfill->tail = (_Atomic uint64_t *)(uintptr_t)setup->words_address;
    backfill->room_bytes = capacity_bytes - descriptor->guard_bytes;
    backfill->position = setup->position;
    backfill->sequence = setup->sequence;
    backfill->buffer = (uint8_t *)(uintptr_t)setup->buffer_address;
    backfill->buffer_bytes = setup->buffer_bytes;
    if (replica != NULL) { /* unseen, so a burst like any other */
        backfill->buffer = replica->publisher->segment.data;
        backfill->buffer_bytes = descriptor->guard_bytes;
    }
    if (backfill->buffer_bytes > pair->request_bytes_max)
        backfill->buffer_bytes = pair->request_bytes_max;
    *backfill_out = backfill;
    return 0;
}

void rq_backfill_free(struct rq_backfill *backfill) { free(backfill); }

/* ---- what is asked for ---- */

/* Where in the buffer a piece from position on begins. */
static uint64_t buffer_offset(const struct rq_backfill *backfill) {
    if (backfill->replica == NULL) return 0;
    return backfill->position & (backfill->descriptor.capacity_bytes - 1);
}

static struct rq_op read_op(const struct rq_backfill *backfill, uint64_t local, uint64_t remote,
                            uint64_t bytes, int is_live) {
    return (struct rq_op){.local_address = local,
                          .remote_address = remote,
                          .length_bytes = (uint32_t)bytes,
                          .local_key = backfill->setup.local_key,
                          .remote_key = is_live ? backfill->setup.publisher.live_key
                                                : backfill->setup.publisher.data_key,
                          .opcode = RQ_OP_READ};
}

/* Behind a fence: not before the READs ahead of it are done. */
static struct rq_op tail_op(const struct rq_backfill *backfill) {
    struct rq_op op = read_op(backfill, (uintptr_t)backfill->tail,
                              backfill->setup.publisher.live_address, sizeof(uint64_t), 1);
    op.local_key = backfill->setup.words_key;
    op.flags = RQ_WRONG(TAIL1_NOT_FENCED) ? 0 : RQ_OP_FENCE;
    return op;
}

static int post(struct rq_backfill *backfill, const struct rq_op *ops, uint32_t count,
                enum rq_backfill_stage stage) {
    int posted = rq_pair_post(backfill->pair, ops, count);
    if (posted <= 0) return posted;
    backfill->awaited = (uint32_t)posted;
    backfill->reads += (uint32_t)posted;
    for (int i = 0; i < posted; i++) backfill->read_bytes += ops[i].length_bytes;
    /* In part: it is waited for, and then asked for again. */
    backfill->stage = posted == (int)count ? stage : RQ_STAGE_TAIL;
    if (posted != (int)count) *backfill->tail = 0;
    return 0;
}

static int ask_for_tail(struct rq_backfill *backfill) {
    struct rq_op op = tail_op(backfill);
    return post(backfill, &op, 1, RQ_STAGE_TAIL);
}

/* The piece from position on; two READs where the ring there wraps, or the replica here. */
static int ask_for_data(struct rq_backfill *backfill, uint64_t until) {
    struct rq_op ops[OPS_MAX];
    uint32_t count = 0;
    uint64_t mask = backfill->descriptor.capacity_bytes - 1, at = backfill->position;
    uint64_t bytes = until - at;
    if (RQ_WRONG(READ_BEYOND_TAIL0)) bytes = backfill->buffer_bytes;
    if (bytes > backfill->buffer_bytes) bytes = backfill->buffer_bytes;
    backfill->piece_bytes = bytes;
    for (uint64_t done_bytes = 0; done_bytes < bytes;) {
        uint64_t offset_bytes = (at + done_bytes) & mask;
        uint64_t some_bytes = mask + 1 - offset_bytes;
        if (some_bytes > bytes - done_bytes) some_bytes = bytes - done_bytes;
        uint64_t into = backfill->replica != NULL ? offset_bytes : done_bytes;
        ops[count++] =
            read_op(backfill, (uintptr_t)backfill->buffer + into,
                    backfill->setup.publisher.data_address + offset_bytes, some_bytes, 0);
        done_bytes += some_bytes;
    }
    ops[count++] = tail_op(backfill);
    if (RQ_WRONG(TAIL1_NOT_READ)) count--;
    return post(backfill, ops, count, RQ_STAGE_DATA);
}

/* The index there, as much as fits into the buffer, or into the guard zone of a replica. */
static int ask_for_index(struct rq_backfill *backfill) {
    const struct rq_descriptor *descriptor = &backfill->descriptor;
    uint64_t all = descriptor->capacity_bytes / descriptor->index_stride_bytes;
    uint64_t offset_bytes = buffer_offset(backfill);
    uint64_t room_bytes = backfill->buffer_bytes;
    if (backfill->replica != NULL && room_bytes > descriptor->capacity_bytes - offset_bytes)
        room_bytes = descriptor->capacity_bytes - offset_bytes; /* one copy is registered */
    uint64_t entries = room_bytes / sizeof(struct rq_index_entry);
    if (entries > all - backfill->index_at) entries = all - backfill->index_at;
    backfill->index_entries = entries;
    uint64_t from = descriptor->index_offset_bytes - descriptor->live_offset_bytes +
                    backfill->index_at * sizeof(struct rq_index_entry);
    struct rq_op ops[2] = {read_op(backfill, (uintptr_t)backfill->buffer + offset_bytes,
                                   backfill->setup.publisher.live_address + from,
                                   entries * sizeof(struct rq_index_entry), 1),
                           tail_op(backfill)};
    return post(backfill, ops, 2, RQ_STAGE_INDEX);
}

/* ---- what came ---- */

static int note_tail(struct rq_backfill *backfill) {
    uint64_t tail = atomic_load_explicit(backfill->tail, memory_order_acquire);
    if (tail == 0 && backfill->tail0 != 0) return 0; /* post() took a part only: once more */
    if (tail % RQ_FRAME_ALIGN_BYTES != 0 || tail < backfill->position || tail < backfill->tail0)
        return -EBADMSG;
    backfill->tail0 = tail;
    return 0;
}

static int is_lapped(const struct rq_backfill *backfill) {
    return backfill->tail0 - backfill->position > backfill->room_bytes;
}

static int settle_data(struct rq_backfill *backfill, struct rq_backfill_report *report) {
    int error = RQ_WRONG(TAIL1_NOT_READ) ? 0 : note_tail(backfill);
    backfill->stage = RQ_STAGE_IDLE;
    if (error != 0) return error;
    if (is_lapped(backfill) && !RQ_WRONG(TAIL1_NOT_READ)) return RQ_BACKFILL_NOTHING;
    /* A replica is mapped twice: a piece that wraps is seen in one stretch. */
    int64_t bytes = rq_backfill_check(backfill, backfill->buffer + buffer_offset(backfill), report);
    if (bytes < 0) return (int)bytes;
    if (backfill->replica != NULL) {
        struct rq_replica *replica = backfill->replica;
        /* Pairs with the acquire loads of tail_bytes in read_hot.c. */
        atomic_store_explicit(&replica->live->tail_bytes, backfill->position, memory_order_release);
        while (rq_replica_notice(replica, backfill->position) != 0) {
        }
    }
    return RQ_BACKFILL_FRAMES;
}

/* The oldest entry that the writer there will not reach at once. Entries are hints: the frame must
 * bear position and sequence, which rq_backfill_check sees to. */
static void look_through_index(struct rq_backfill *backfill) {
    const struct rq_index_entry *entry =
        (const struct rq_index_entry *)(const void *)(backfill->buffer + buffer_offset(backfill));
    uint64_t oldest = backfill->tail0 - backfill->room_bytes + 2 * backfill->descriptor.guard_bytes;
    for (uint64_t i = 0; i < backfill->index_entries; i++, entry++) {
        uint64_t position = atomic_load_explicit(&entry->position, memory_order_relaxed);
        uint64_t sequence = atomic_load_explicit(&entry->sequence, memory_order_relaxed);
        if (position < oldest || position >= backfill->tail0 || sequence == 0 ||
            position % RQ_FRAME_ALIGN_BYTES != 0 || sequence < backfill->sequence)
            continue;
        if (backfill->best_position != 0 && position >= backfill->best_position) continue;
        backfill->best_position = position;
        backfill->best_sequence = sequence;
    }
    backfill->index_at += backfill->index_entries;
}

static int settle_index(struct rq_backfill *backfill, struct rq_backfill_report *report) {
    const struct rq_descriptor *descriptor = &backfill->descriptor;
    int error = note_tail(backfill);
    backfill->stage = RQ_STAGE_IDLE;
    if (error != 0) return error;
    look_through_index(backfill);
    if (backfill->index_at < descriptor->capacity_bytes / descriptor->index_stride_bytes)
        return RQ_BACKFILL_NOTHING;
    backfill->index_at = 0;
    uint64_t position = backfill->best_position, sequence = backfill->best_sequence;
    backfill->best_position = 0;
    if (position == 0 || backfill->tail0 - position > backfill->room_bytes)
        return RQ_BACKFILL_NOTHING; /* once more: the writer was faster, or is in one long frame */
    if (backfill->replica != NULL) {
        if (!rq_replica_knows_origin(backfill->replica)) return -ENODATA;
        rq_replica_skip_to(backfill->replica, position, sequence);
    }
    report->first = backfill->sequence;
    report->last = sequence - 1;
    backfill->position = position;
    uint64_t expected = backfill->sequence;
    backfill->sequence = sequence;
    report->position = report->end_position = position;
    report->next_sequence = sequence;
    return expected != 0 && expected == sequence ? RQ_BACKFILL_NOTHING : RQ_BACKFILL_GAP;
}

static int settle(struct rq_backfill *backfill, struct rq_backfill_report *report) {
    int error;
    if (backfill->replica != NULL) rq_replica_mark_alive(backfill->replica);
    switch (backfill->stage) {
        case RQ_STAGE_TAIL:
            error = note_tail(backfill);
            backfill->stage = backfill->tail0 != 0 ? RQ_STAGE_IDLE : RQ_STAGE_BEGIN;
            return error;
        case RQ_STAGE_DATA: return settle_data(backfill, report);
        case RQ_STAGE_INDEX: return settle_index(backfill, report);
        default: return -EBADMSG;
    }
}

/* 1: everything that was asked for is there. */
static int await(struct rq_backfill *backfill, uint32_t wait_mode, uint64_t wait_ns) {
    struct rq_done done[DONE_BATCH];
    while (backfill->awaited != 0) {
        int count = rq_cq_poll(backfill->pair->cq, done, DONE_BATCH, wait_mode, wait_ns);
        if (count <= 0) return count;
        for (int i = 0; i < count; i++) {
            if (done[i].opcode != RQ_OP_READ || backfill->awaited == 0) continue;
            backfill->awaited--;
            if (done[i].outcome == RQ_OUTCOME_OK) continue;
            backfill->stage = RQ_STAGE_FAILED;
            if (backfill->status != 0) continue;
            backfill->status = done[i].status;
            backfill->vendor_error = done[i].vendor_error;
        }
    }
    return 1;
}

/* ---- a call ---- */

/* How far it may go for the sake of readers here: to the guard's end, as seen from the slowest.
 * Who is lapped already has lost what it stands before, and is not waited for. */
static uint64_t pace(const struct rq_backfill *backfill) {
    if (backfill->replica == NULL || !backfill->setup.is_paced) return UINT64_MAX;
    uint64_t cursor = rq_replica_reader_cursor(backfill->replica);
    if (backfill->position - cursor > backfill->room_bytes) return UINT64_MAX;
    return cursor + backfill->room_bytes;
}

static int ask(struct rq_backfill *backfill, uint64_t until, int is_fresh) {
    uint64_t end = backfill->tail0;
    if (backfill->stage == RQ_STAGE_BEGIN) return ask_for_tail(backfill);
    uint64_t limit = pace(backfill);
    if (is_lapped(backfill) || backfill->index_at != 0) {
        /* What is bridged or jumped over, nobody reads any more. */
        if (limit >= backfill->position + backfill->room_bytes) return ask_for_index(backfill);
        return is_fresh ? RQ_BACKFILL_PACED : ask_for_tail(backfill);
    }
    if (until != 0 && until < end) end = until;
    if (limit < end) { /* room for any frame, or it would be cut */
        if (limit - backfill->position < backfill->descriptor.guard_bytes)
            return is_fresh ? RQ_BACKFILL_PACED : ask_for_tail(backfill);
        end = limit;
    }
    if (backfill->position < end) return ask_for_data(backfill, end);
    return is_fresh || backfill->position == until ? RQ_BACKFILL_REACHED : ask_for_tail(backfill);
}

static int run(struct rq_backfill *backfill, uint64_t until, uint32_t wait_mode, uint64_t wait_ns,
               struct rq_backfill_report *report) {
    int is_fresh = 0; /* tail0 was read within this call */
    for (int turns = 0; turns < TURNS_MAX; turns++) {
        if (backfill->stage == RQ_STAGE_FAILED) return -EIO;
        if (backfill->awaited == 0) {
            int result = ask(backfill, until, is_fresh);
            if (result != 0) return result;
            if (backfill->awaited == 0) return RQ_BACKFILL_NOTHING; /* no room now */
        }
        int result = await(backfill, wait_mode, wait_ns);
        if (result <= 0) return result; /* 0: RQ_BACKFILL_NOTHING */
        if (backfill->stage == RQ_STAGE_FAILED) return -EIO;
        result = settle(backfill, report);
        is_fresh = 1;
        if (result < 0) backfill->stage = RQ_STAGE_FAILED;
        if (result != RQ_BACKFILL_NOTHING) return result;
    }
    return RQ_BACKFILL_NOTHING;
}

int rq_backfill_run(struct rq_backfill *backfill, uint64_t until, uint32_t wait_mode,
                    uint64_t wait_ns, struct rq_backfill_report *report) {
    int result = rq_handle_enter(&backfill->handle);
    if (result != 0) return result;
    *report = (struct rq_backfill_report){.position = backfill->position,
                                          .end_position = backfill->position,
                                          .next_sequence = backfill->sequence};
    result = run(backfill, until, wait_mode, wait_ns, report);
    report->publisher_tail = backfill->tail0;
    report->reads = backfill->reads;
    report->read_bytes = backfill->read_bytes;
    report->status = backfill->status;
    report->vendor_error = backfill->vendor_error;
    rq_handle_leave(&backfill->handle);
    return result;
}
