/*
 * A fuzzer's input as a stream of small decisions; when it has run out, every decision is 0. A
 * claim that does not hold ends the process: libFuzzer keeps the input.
 */
#ifndef RDMAQ_TESTS_FUZZ_INPUT_H
#define RDMAQ_TESTS_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct input {
    const uint8_t *bytes;
    size_t left_bytes;
};

static inline uint64_t take(struct input *input, size_t byte_count) {
    uint64_t value = 0;
    size_t taken = byte_count < input->left_bytes ? byte_count : input->left_bytes;
    memcpy(&value, input->bytes, taken);
    input->bytes += taken;
    input->left_bytes -= taken;
    return value;
}

/*
 * The ring is built with RQ_STEPPED: a target may act in the middle of a call, as a peer in another
 * process does at any time. csrc/ring/mutation.h declares these; no mutation is ever chosen.
 */
#include "ring/mutation.h"

enum rq_mutation rq_mutation;
static void (*act_within)(void); /* NULL: only between calls */

void rq_step(void) {
    if (act_within != NULL) act_within();
}

void rq_step_sleep(_Atomic uint32_t *word, uint32_t seen) { /* wakes at once, as by a signal */
    (void)word;
    (void)seen;
}

void rq_step_wake(_Atomic uint32_t *word) { (void)word; }

int rq_step_has_credit(void) { return 1; }

/* Numbers that matter lie near others: a small signed distance from one of them, or any number. */
static inline uint64_t take_near(struct input *input, const uint64_t *anchors, size_t count) {
    uint64_t choice = take(input, 1);
    if (choice % (count + 1) == count) return take(input, 8);
    return anchors[choice % (count + 1)] + (uint64_t)(int64_t)(int16_t)take(input, 2);
}

#define CLAIM(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            fprintf(stderr, "%s:%d: claim broken: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                      \
        }                                                                                 \
    } while (0)

#endif
