/* What a hostile reader can do to its publisher by its control page, in a loop without end. */
#ifndef RDMAQ_TESTS_STRESS_PESTER_H
#define RDMAQ_TESTS_STRESS_PESTER_H

#include <stdint.h>

/* cffi: begin */
/* Asks to be woken, `how`, as soon as each request was taken. */
void pester_ask(uint32_t **waiting, uint64_t reader_count, uint32_t how);
/* Stores to the line of `waiting` without asking: the publisher misses its cache at every look. */
void pester_store(uint32_t **waiting, uint64_t reader_count);
/* Takes the page's memory away: the publisher faults at its next look. */
void pester_punch(const int *fds, uint64_t reader_count);
/* cffi: end */

#endif
