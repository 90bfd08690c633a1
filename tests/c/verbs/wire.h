/*
 * Bytes on the fake NIC's wire: registered memory, and WRITEs and READs that move it in pieces of
 * 64 bytes, in any order within a request, each piece as it is at that very moment. Requests are
 * carried out one after the other, but for READs without a fence, which overtake each other.
 */
#ifndef RDMAQ_TESTS_WIRE_H
#define RDMAQ_TESTS_WIRE_H

#include "verbs/fake_nic.h"

/* Returns the key, for both sides. access: IBV_ACCESS_*. */
uint32_t wire_register(const void *address, uint64_t bytes, int access);
void wire_deregister(uint32_t key);

/* Moves one piece of what the QP is about. 0: there is none to move. */
int wire_move(struct fake_qp *qp, uint64_t random);

/* What fake_qp.wire shall be. */
extern const struct fake_wire wire;

#endif
