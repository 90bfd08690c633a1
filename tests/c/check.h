/*
 * Checks for the C tests. A failed check names its expression, values and place, and ends the
 * program with status 1, so that a sanitizer's report is never mixed up with what follows.
 */
#ifndef RDMAQ_TESTS_CHECK_H
#define RDMAQ_TESTS_CHECK_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                          \
    do {                                                                                          \
        if (!(condition)) {                                                                       \
            fprintf(stderr, "%s:%d: %s: failed: %s\n", __FILE__, __LINE__, __func__, #condition); \
            exit(1);                                                                              \
        }                                                                                         \
    } while (0)

/* Both sides are compared as int64_t: counts, sequences below 2^63 and -errno all fit. */
#define CHECK_EQUAL(actual, expected)                                                              \
    do {                                                                                           \
        int64_t actual_ = (int64_t)(actual), expected_ = (int64_t)(expected);                      \
        if (actual_ != expected_) {                                                                \
            fprintf(stderr, "%s:%d: %s: %s is %" PRId64 ", expected %s = %" PRId64 "\n", __FILE__, \
                    __LINE__, __func__, #actual, actual_, #expected, expected_);                   \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#endif
