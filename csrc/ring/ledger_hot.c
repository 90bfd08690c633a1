/*
 * The ledger tells a lapped reader which of the sequences it missed had been lost upstream: no
 * backfill brings those, and they are not the reader's fault. Entries are in order of sequence.
 * What the ledger has forgotten counts as overrun.
 */
#include "ring/ledger.h"

#define SEARCH_TRIES_MAX 64

static void load_entry(const struct rq_reader *reader, uint64_t number,
                       struct rq_gap_payload *out) {
    const struct rq_ledger_entry *entry = reader->segment.ledger + number % RQ_LEDGER_ENTRIES;
    out->first = atomic_load_explicit(&entry->first, memory_order_relaxed);
    out->last = atomic_load_explicit(&entry->last, memory_order_relaxed);
}

/* The guard rule again, with a guard of one entry: the one being written next is not believed. */
static uint64_t oldest_entry(uint64_t count) {
    return count < RQ_LEDGER_ENTRIES ? 0 : count - RQ_LEDGER_ENTRIES + 1;
}

int rq_ledger_find(const struct rq_reader *reader, uint64_t sequence, struct rq_gap_payload *out) {
    uint64_t count = atomic_load_explicit(&reader->live->ledger_count, memory_order_acquire);
    for (int tries = 0; tries < SEARCH_TRIES_MAX; tries++) {
        uint64_t low = oldest_entry(count), high = count;
        while (low < high) {
            uint64_t middle = low + (high - low) / 2;
            struct rq_gap_payload entry;
            load_entry(reader, middle, &entry);
            RQ_STEP();
            if (entry.last < sequence)
                low = middle + 1;
            else
                high = middle;
        }
        if (low >= count) return 0;
        load_entry(reader, low, out);
        /* Pairs with begin_burst in rq_write_ledger: re-load, then believe. */
        atomic_thread_fence(memory_order_acquire);
        count = atomic_load_explicit(&reader->live->ledger_count, memory_order_acquire);
        if (low >= oldest_entry(count)) return out->first <= out->last && out->last >= sequence;
        if (RQ_MUTATED(SEARCHED_ONCE)) return 0;
        /* An entry that was written over meanwhile may have led the search astray: again. */
    }
    return 0;
}
