/* The price of a crossing, and a word that two processes pass to and fro: the floor of it all. */
#include <stdatomic.h>

#include "arch/ticks.h"
#include "rdmaq_abi.h"

/* The two words stand 128 bytes apart: adjacent lines are fetched in pairs. */
#define ANSWER_WORD_INDEX 16
#define SPINS_PER_LOOK 1024

void rq_bench_empty(void) {}

/* 1 once the word is `wanted`; 0 when the time is up. */
static int await(_Atomic uint64_t *word, uint64_t wanted, uint64_t began_ticks, uint64_t limit_ns) {
    for (uint32_t spins = 0;; spins++) {
        if (atomic_load_explicit(word, memory_order_acquire) == wanted) return 1;
        rq_cpu_relax();
        if (spins % SPINS_PER_LOOK == SPINS_PER_LOOK - 1 &&
            rq_clock_ticks_to_ns(rq_clock_ticks() - began_ticks) > limit_ns)
            return 0;
    }
}

uint64_t rq_bench_word_ask(uint64_t *words, uint64_t count, uint64_t limit_ns,
                           uint64_t *elapsed_ns_out) {
    _Atomic uint64_t *question = (_Atomic uint64_t *)words;
    _Atomic uint64_t *answer = (_Atomic uint64_t *)(words + ANSWER_WORD_INDEX);
    uint64_t began_ticks = rq_clock_ticks(), done = 0;
    *elapsed_ns_out = 0;
    while (done < count) {
        /* Pairs with the acquire load in await(), on the other side. */
        atomic_store_explicit(question, done + 1, memory_order_release);
        if (!await(answer, done + 1, began_ticks, limit_ns)) break;
        if (done++ == 0) began_ticks = rq_clock_ticks(); /* the first one waits for the other */
        *elapsed_ns_out = rq_clock_ticks_to_ns(rq_clock_ticks() - began_ticks);
        if (*elapsed_ns_out > limit_ns) break;
    }
    return done;
}

uint64_t rq_bench_word_answer(uint64_t *words, uint64_t count, uint64_t limit_ns) {
    _Atomic uint64_t *question = (_Atomic uint64_t *)words;
    _Atomic uint64_t *answer = (_Atomic uint64_t *)(words + ANSWER_WORD_INDEX);
    uint64_t began_ticks = rq_clock_ticks(), done = 0;
    while (done < count && await(question, done + 1, began_ticks, limit_ns)) {
        done++;
        atomic_store_explicit(answer, done, memory_order_release); /* pairs as above */
    }
    return done;
}
