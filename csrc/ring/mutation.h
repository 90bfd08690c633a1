/*
 * What only the stepped tests of tests/c/stepped see: places at which another thread may run, and
 * mistakes that such a test must notice. docs/model.md has the list. In every other build these
 * macros are nothing, 0, or the bare condition: the object code is what it would be without them.
 */
#ifndef RQ_RING_MUTATION_H
#define RQ_RING_MUTATION_H

#ifdef RQ_STEPPED

#include <stdatomic.h>
#include <stdint.h>

#define RQ_MUTATIONS(each)                                                                        \
    each(NONE) each(GUARD_0) each(TAIL_BEFORE_DATA) each(CHECK_HOISTED) each(HEADER_BEFORE_CHECK) \
        each(CURSOR_RUNS_BACK) each(PUBLISHER_FENCE_GONE) each(READER_FENCE_GONE)                 \
            each(CLEARED_AFTER_WAKE) each(CLAIM_FORGOTTEN) each(SEARCHED_ONCE)                    \
                each(TABLE_NOT_MARKED) each(TABLE_VERSION_FIRST) each(TABLE_ONE_SLOT)             \
                    each(TABLE_FIRST_LINE_FIRST) each(TABLE_NOT_CHECKED) each(BELL_BEFORE_COUNT)  \
                        each(BELL_CLEARED_UNREAD) each(READMITTED_UNLOOKED) each(LEFT_FORGOTTEN)  \
                            each(REMOVAL_WAKES_NOBODY) each(WRITER_FENCE_GONE) each(JOIN_RACE)    \
                                each(LIMIT_KEPT) each(TAP_LIMIT_KEPT)
#define RQ_MUTATION_NAME(name) RQ_MUTATION_##name,
enum rq_mutation { RQ_MUTATIONS(RQ_MUTATION_NAME) };

extern enum rq_mutation rq_mutation;
void rq_step(void);                                        /* others may run here */
void rq_step_sleep(_Atomic uint32_t *word, uint32_t seen); /* FUTEX_WAIT without a time limit */
void rq_step_wake(_Atomic uint32_t *word);                 /* FUTEX_WAKE */
int rq_step_has_credit(void);                              /* for a wake: time is the stepper's */

#define RQ_STEP() rq_step()
#define RQ_MUTATED(name) (rq_mutation == RQ_MUTATION_##name)
#define RQ_UNLESS(name, condition) (!RQ_MUTATED(name) && (condition))

#else

#define RQ_STEP() ((void)0)
#define RQ_MUTATED(name) 0
#define RQ_UNLESS(name, condition) (condition)

#endif
#endif
