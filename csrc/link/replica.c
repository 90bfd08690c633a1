/* A replica's beginning and end, and its owner's part of the keeper's turns. */
#include "link/replica.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define SILENT_NS 1000000000u
#define NAP_NS_MIN 20000u
#define NAP_NS_MAX 1000000u
#define UNAWAITED_NS 2000000u

static struct rq_replica *replica_of(struct rq_duty *duty) {
    return (struct rq_replica *)((char *)duty - offsetof(struct rq_replica, duty));
}

/* ---- the keeper's turns ---- */

static void tell(const struct rq_replica *replica, uint32_t before) {
    if (before != atomic_load_explicit(&replica->state, memory_order_relaxed) &&
        replica->setup.event_fd >= 0)
        eventfd_write(replica->setup.event_fd, 1);
}

/* A tail that comes by itself makes no event: the thread looks again after ever longer naps. */
static uint32_t work(struct rq_duty *duty) {
    struct rq_replica *replica = replica_of(duty);
    uint32_t before = atomic_load_explicit(&replica->state, memory_order_relaxed);
    uint32_t count = rq_replica_look(replica);
    tell(replica, before);
    if (count != 0) replica->nap_ns = NAP_NS_MIN;
    int is_told = duty->fd >= 0 && !replica->publisher->segment.is_reliable;
    duty->nap_ns = is_told ? UINT64_MAX : replica->nap_ns;
    return count;
}

static int arm(struct rq_duty *duty) {
    struct rq_replica *replica = replica_of(duty);
    if (atomic_load_explicit(&replica->state, memory_order_relaxed) == RQ_REPLICA_FAILED) return 0;
    int result = rq_cq_arm(replica->pair->cq);
    if (result < 0 && result != -EBUSY) rq_replica_fail(replica, RQ_REPLICA_STATUS_DEVICE);
    return result > 0;
}

static void clear(struct rq_duty *duty) { rq_cq_clear(replica_of(duty)->pair->cq); }

/* Somebody sleeps until we wake him, or the publisher may be waiting for a cursor. */
static int is_awaited(const struct rq_replica *replica) {
    struct rq_publisher *publisher = replica->publisher;
    int found = publisher->segment.is_reliable != 0;
    rq_publisher_lock(publisher);
    for (uint32_t i = 0; i < publisher->reader_count && !found; i++)
        found = atomic_load_explicit(publisher->waiting[i], memory_order_relaxed) != RQ_NOT_WAITING;
    rq_publisher_unlock(publisher);
    return found;
}

/* Who spins sees the tail by himself, on a CPU that our looking would take from him; who goes to
 * sleep rings (reader.c). So while nobody sleeps it is only the index that we look for. */
static void slept(struct rq_duty *duty) {
    struct rq_replica *replica = replica_of(duty);
    int was_awaited = replica->was_awaited;
    replica->was_awaited = is_awaited(replica);
    if (!replica->was_awaited)
        replica->nap_ns = UNAWAITED_NS;
    else if (!was_awaited)
        replica->nap_ns = NAP_NS_MIN;
    else if (2 * replica->nap_ns <= replica->setup.nap_ns_max)
        replica->nap_ns *= 2;
}

static void beat(struct rq_duty *duty, int is_sync) {
    (void)is_sync;
    work(duty); /* silence is noticed here at the latest */
}

/* ---- opening ---- */

int rq_replica_open(struct rq_segment *segment, const struct rq_replica_setup *setup,
                    struct rq_replica **replica_out) {
    *replica_out = NULL;
    if (!segment->is_writable || setup->generation == 0 ||
        setup->position < segment->capacity_bytes || setup->position % RQ_FRAME_ALIGN_BYTES != 0)
        return -EINVAL;
    struct rq_replica *replica = calloc(1, sizeof(*replica));
    if (replica == NULL) return -ENOMEM;
    int error = rq_publisher_open(segment, 1, 0, 0, &replica->publisher);
    if (error != 0) {
        free(replica);
        return error;
    }
    struct rq_publisher *publisher = replica->publisher;
    struct rq_live *live = segment->live;
    replica->live = live;
    replica->beat = rq_beat_of(live);
    replica->feedback = rq_feedback_of(live);
    replica->setup = *setup;
    if (setup->silent_ns == 0) replica->setup.silent_ns = SILENT_NS;
    if (setup->nap_ns_max == 0) replica->setup.nap_ns_max = NAP_NS_MAX;
    replica->nap_ns = NAP_NS_MIN;
    replica->duty = (struct rq_duty){
        .work = work, .arm = arm, .clear = clear, .slept = slept, .beat = beat, .fd = -1};
    publisher->is_replica = 1;
    publisher->origin = publisher->tail = setup->position;
    publisher->next_sequence = setup->sequence;
    publisher->is_fresh = setup->sequence == 0;
    replica->told = setup->position;
    atomic_store_explicit(&replica->state, RQ_REPLICA_WAITING, memory_order_relaxed);
    atomic_store_explicit(&live->origin_bytes, setup->position, memory_order_relaxed);
    atomic_store_explicit(&live->origin_sequence,
                          setup->origin_sequence != 0 ? setup->origin_sequence : setup->sequence,
                          memory_order_relaxed);
    struct rq_clock_line line = {setup->clock.base_ticks, setup->clock.base_wall_ns,
                                 setup->clock.ns_per_tick_q32};
    if (line.ns_per_tick_q32 != 0) rq_clock_write(&live->clock, &line);
    atomic_store_explicit(&replica->feedback->cursor_bytes, setup->position, memory_order_relaxed);
    atomic_store_explicit(&live->tail_bytes, setup->position, memory_order_release);
    rq_replica_lives(replica);
    *replica_out = replica;
    return 0;
}

struct rq_publisher *rq_replica_publisher(struct rq_replica *replica) { return replica->publisher; }

/* ---- a link comes and goes ---- */

int rq_replica_attach(struct rq_replica *replica, struct rq_keeper *keeper, struct rq_pair *pair,
                      uint32_t credit_count) {
    if (replica->is_attached) return -EALREADY;
    if (pair != NULL && (credit_count == 0 || credit_count > RQ_LINK_CREDITS_MAX ||
                         credit_count > pair->receive_count_max))
        return -EINVAL;
    replica->duty.fd = -1;
    if (pair != NULL) {
        if (!replica->is_ready) { /* else they are there from the last time: no link has begun */
            int posted = rq_pair_post_receives(pair, credit_count);
            if (posted != (int)credit_count) return posted < 0 ? posted : -ENOSPC;
        }
        replica->is_ready = 1;
        if (pair->cq->get_event != NULL) replica->duty.fd = pair->cq->cq->channel->fd;
    }
    replica->pair = pair;
    replica->receives_posted = credit_count;
    atomic_store_explicit(&replica->feedback->credits,
                          (uint64_t)replica->setup.generation << 32 | credit_count,
                          memory_order_release);
    rq_replica_lives(replica);
    replica->is_attached = 1;
    replica->keeper = keeper;
    if (keeper == NULL) return 0;
    rq_keeper_add(keeper, replica->publisher);
    int error = rq_keeper_take_on(keeper, &replica->duty);
    if (error != 0) {
        rq_keeper_remove(keeper, replica->publisher);
        replica->is_attached = 0;
    }
    return error;
}

uint64_t rq_replica_detach(struct rq_replica *replica) {
    if (replica->is_attached && replica->keeper != NULL) {
        rq_keeper_release(replica->keeper, &replica->duty);
        rq_keeper_remove(replica->keeper, replica->publisher);
    }
    replica->is_attached = 0;
    replica->keeper = NULL;
    replica->pair = NULL;
    uint64_t tail = atomic_load_explicit(&replica->live->tail_bytes, memory_order_acquire);
    while (rq_replica_notice(replica, tail) != 0) { /* what arrived at last */
    }
    return replica->told;
}

/* So far that every reader knows itself lapped. */
static void jump(struct rq_replica *replica, uint64_t position, uint64_t sequence) {
    struct rq_publisher *publisher = replica->publisher;
    struct rq_live *live = replica->live;
    rq_publisher_lock(publisher);
    publisher->tail = replica->told = position;
    if (!publisher->had_reader) publisher->told_cursor = position;
    publisher->next_sequence = sequence;
    publisher->is_fresh = 0;
    rq_replica_set_restart(live, position, sequence);
    atomic_store_explicit(&live->tail_bytes, position, memory_order_release);
    rq_wake_readers(publisher);
    rq_publisher_unlock(publisher);
}

/* Heartbeats as far as it goes, in bursts, for the readers' sake. They bear the sequence that comes
 * behind them, so that the first one tells what is lost, also when nothing follows. */
static void bridge(struct rq_replica *replica, uint64_t position, uint64_t sequence) {
    struct rq_publisher *publisher = replica->publisher;
    while (replica->told != position) {
        uint64_t end = replica->told + publisher->segment.guard_bytes;
        if (end > position) end = position;
        atomic_thread_fence(memory_order_release); /* as begin_burst in publish_hot.c */
        for (uint64_t at = replica->told; at != end; at += RQ_FRAME_HEADER_BYTES) {
            struct rq_frame_header header = {.position = at,
                                             .sequence = sequence,
                                             .ticks = rq_now_ticks(),
                                             .kind_count = RQ_KIND_HEARTBEAT};
            memcpy(rq_at(&publisher->segment, at), &header, sizeof(header));
        }
        atomic_store_explicit(&replica->live->tail_bytes, end, memory_order_release);
        while (rq_replica_notice(replica, end) != 0) {
        }
    }
}

void rq_replica_skip_to(struct rq_replica *replica, uint64_t position, uint64_t sequence) {
    if (position - replica->told > rq_room_bytes(&replica->publisher->segment))
        jump(replica, position, sequence); /* every reader knows itself lapped */
    else
        bridge(replica, position, sequence);
}

void rq_replica_learn_origin(struct rq_replica *replica, uint64_t sequence) {
    /* Once: what a link told first is its publisher's word, and readers may have begun by it. */
    uint64_t none = 0;
    atomic_compare_exchange_strong(&replica->live->origin_sequence, &none, sequence);
}

int rq_replica_knows_origin(const struct rq_replica *replica) {
    return atomic_load_explicit(&replica->live->origin_sequence, memory_order_relaxed) != 0;
}

int rq_replica_restart(struct rq_replica *replica, uint32_t generation, uint64_t position,
                       uint64_t sequence) {
    uint64_t jump_bytes = position - replica->told;
    if (replica->is_attached) return -EALREADY;
    if (replica->is_nonsense) return -EBADMSG;
    if (generation == 0 || generation == replica->setup.generation || position < replica->told ||
        position % RQ_FRAME_ALIGN_BYTES != 0)
        return -EINVAL;
    if (jump_bytes != 0 && (sequence == 0 || sequence < replica->publisher->next_sequence))
        return -EINVAL;
    replica->setup.generation = generation;
    replica->is_ready = 0;
    atomic_store_explicit(&replica->feedback->credits, (uint64_t)generation << 32,
                          memory_order_release);
    if (jump_bytes != 0) rq_replica_skip_to(replica, position, sequence);
    atomic_store_explicit(&replica->state, RQ_REPLICA_WAITING, memory_order_release);
    replica->is_begun = 0; /* not by the next link */
    if (jump_bytes == 0 && replica->publisher->is_fresh && sequence != 0) { /* it began meanwhile */
        rq_publisher_lock(replica->publisher);
        replica->publisher->next_sequence = sequence;
        replica->publisher->is_fresh = 0;
        rq_publisher_unlock(replica->publisher);
    }
    return 0;
}

uint64_t rq_replica_reader_cursor(struct rq_replica *replica) {
    struct rq_publisher *publisher = replica->publisher;
    rq_publisher_lock(publisher);
    uint64_t least = atomic_load_explicit(&replica->live->tail_bytes, memory_order_acquire);
    for (uint32_t i = 0; i < publisher->reader_count; i++) {
        /* Pairs with the release store in rq_reader_advance: it is done with what lies below. */
        uint64_t cursor = atomic_load_explicit(&publisher->readers[i]->control->cursor_bytes,
                                               memory_order_acquire);
        if (cursor < least) least = cursor;
    }
    rq_publisher_unlock(publisher);
    return least;
}

void rq_replica_mark_alive(struct rq_replica *replica) { rq_replica_lives(replica); }

/* ---- ending ---- */

int rq_replica_close(struct rq_replica *replica) {
    if (replica->is_attached) return -EALREADY;
    return rq_publisher_close(replica->publisher);
}

void rq_replica_forget(struct rq_replica *replica) { rq_publisher_forget(replica->publisher); }

void rq_replica_free(struct rq_replica *replica) {
    if (replica == NULL) return;
    rq_publisher_free(replica->publisher);
    free(replica);
}

void rq_replica_read_stats(struct rq_replica *replica, struct rq_replica_stats *out) {
    const struct rq_replica_tallies *tallies = &replica->tallies;
    struct rq_publisher_stats readers;
    rq_publisher_read_stats(replica->publisher, &readers);
    rq_publisher_lock(replica->publisher);
    uint64_t tail = atomic_load_explicit(&replica->live->tail_bytes, memory_order_acquire);
    uint64_t cursor = rq_replica_cursor(replica);
    rq_publisher_unlock(replica->publisher);
    uint64_t life_ticks = atomic_load_explicit(&replica->life_ticks, memory_order_relaxed);
    uint64_t now_ticks = rq_now_ticks();
    *out = (struct rq_replica_stats){
        .tail_bytes = tail,
        .seen_bytes = readers.tail_bytes,
        .next_sequence = readers.next_sequence,
        .cursor_bytes = cursor,
        .frames = rq_tally_of(&tallies->frames),
        .messages = rq_tally_of(&tallies->messages),
        .bytes = rq_tally_of(&tallies->bytes),
        .wakes = readers.wakes,
        .lapped = rq_tally_of(&tallies->lapped),
        .receives = rq_tally_of(&tallies->receives),
        .heartbeats = rq_tally_of(&tallies->heartbeats),
        .life_age_ns = now_ticks > life_ticks ? rq_clock_ticks_to_ns(now_ticks - life_ticks) : 0,
        .publisher_tail = atomic_load_explicit(&replica->publisher_tail, memory_order_relaxed),
        .publisher_ticks = atomic_load_explicit(&replica->publisher_ticks, memory_order_relaxed),
        .state = atomic_load_explicit(&replica->state, memory_order_acquire),
        .status = atomic_load_explicit(&replica->status, memory_order_relaxed),
        .reader_count = readers.reader_count,
        .readers_cut_off = readers.readers_cut_off,
        .generation = replica->setup.generation,
    };
}
