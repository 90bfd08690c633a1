#ifndef RQ_RING_LEDGER_H
#define RQ_RING_LEDGER_H

#include "ring/reader.h"

/* The first upstream loss that ends at `sequence` or later. 0: none is known. */
int rq_ledger_find(const struct rq_reader *reader, uint64_t sequence, struct rq_gap_payload *out);

#endif
