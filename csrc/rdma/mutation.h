/*
 * Mistakes that the tests of tests/c/verbs must notice. In every other build these macros are 0 or
 * the bare condition: the object code is what it would be without them.
 */
#ifndef RQ_RDMA_MUTATION_H
#define RQ_RDMA_MUTATION_H

#ifdef RQ_FAKED

#define RQ_RDMA_MUTATIONS(each)                                                               \
    each(NONE) each(CREDIT_OFF_BY_ONE) each(SIGNAL_LOST) each(SLOT_FREED_EARLY)               \
        each(REFUSED_ONE_LATE) each(REFUSED_ONE_EARLY) each(COVER_FORGOTTEN)                  \
            each(RECEIVE_CREDIT_LOST) each(RECEIVE_CREDIT_IGNORED) each(FAILURE_FORGOTTEN)    \
                each(FULL_ARRAY_FORGETS) each(STRANGER_BELIEVED) each(FLUSH_TRUSTED)          \
                    each(NOT_POLLED_AGAIN) each(EVENT_NOT_ACKNOWLEDGED) each(DATA_PAST_GUARD) \
                        each(TAIL_BEFORE_DATA) each(SOURCE_OVERWRITTEN) each(RELEASED_EARLY)  \
                            each(STALE_GENERATION) each(TAIL1_NOT_READ) each(CREDIT_LOST)     \
                                each(TAIL1_NOT_FENCED) each(GUARD_PER_CHAIN)                  \
                                    each(CHAIN_ENDS_IN_A_FRAME) each(READ_BEYOND_TAIL0)       \
                                        each(WORD_NOT_LEFT) each(WORD_UNREAD)                 \
                                            each(RELEASED_OUTSIDE) each(FAILURE_NOT_RUNG)     \
                                                each(WAITING_NOT_RUNG) each(WAITING_NOT_ARMED)
#define RQ_RDMA_MUTATION_NAME(name) RQ_RDMA_MUTATION_##name,
enum rq_rdma_mutation { RQ_RDMA_MUTATIONS(RQ_RDMA_MUTATION_NAME) };

extern enum rq_rdma_mutation rq_rdma_mutation;

#define RQ_WRONG(name) (rq_rdma_mutation == RQ_RDMA_MUTATION_##name)

#else

#define RQ_WRONG(name) 0

#endif
#endif
