/*
 * The books of one round of the stress run. They lie in memory that the round's processes share, so
 * that an account outlives its reader: killed at any instruction, it leaves the account as it was
 * before a batch or as it is behind it. Between the marks stands what cffi reads, too.
 */
#ifndef RDMAQ_TESTS_STRESS_BOARD_H
#define RDMAQ_TESTS_STRESS_BOARD_H

#include <stdint.h>

/* cffi: begin */
#define BOARD_LINES_MAX 8
#define BOARD_INCARNATIONS_MAX 4096
#define BOARD_RECORD_BYTES 32
#define BOARD_MESSAGE_BYTES_MAX 200

/* What one line of readers (one after the other, each going on where the last one was killed) has
 * seen of one incarnation of the publisher: received + upstream + overrun + absent =
 * next_sequence - 1. Absent is what was published while nobody of the line was there, and what
 * nobody of it asked for later. */
struct account {
    uint64_t incarnation; /* from 1 on; 0: nothing seen yet */
    uint64_t next_sequence;
    uint64_t received, upstream, overrun, absent;
    uint64_t events; /* batches and gaps of all incarnations: progress */
    uint64_t received_all, upstream_all, overrun_all, absent_all;
    uint64_t torn, doubled, undeclared, misplaced, unbalanced; /* breaks of the law */
};

struct line {
    struct account accounts[2];
    uint32_t current; /* which of the two holds; the other one is being written */
    uint32_t joins, cut_offs, views_overrun, restarts_followed;
    uint64_t attached; /* the epoch whose publisher its reader is subscribed to */
};

/* How far a line got in an incarnation whose last message it has passed. */
struct final {
    uint64_t sequence, upstream, overrun;
};

struct incarnation {
    uint64_t epoch;    /* what its readers know it by; 0: it has published nothing yet */
    uint64_t intended; /* sequences up to this one may be published */
    uint64_t done;     /* sequences up to this one are */
    uint64_t upstream; /* of them, as declared by send_gap */
    uint64_t is_ended; /* it closed its stream */
    struct final finals[BOARD_LINES_MAX];
};

struct board {
    uint64_t incarnation_count;
    uint64_t budget; /* messages that may be published by now, over all incarnations */
    uint64_t may_end;
    uint64_t burst; /* asks for two rings' worth at once */
    uint64_t held_descriptors, held_mappings; /* by a node whose publisher was closed: no more */
    struct line lines[BOARD_LINES_MAX];
    struct incarnation incarnations[BOARD_INCARNATIONS_MAX];
};

/* The kernel kills the caller when its parent dies; who loses its parent becomes the caller's. */
void board_die_with_parent(void);
void board_adopt_orphans(void);

/* Message number `sequence` of an incarnation: every byte follows from both. Records are the first
 * `record_bytes` of BOARD_RECORD_BYTES, a multiple of 8 and at least 16; blocks are u16 big-endian
 * lengths and at most BOARD_MESSAGE_BYTES_MAX bytes. Returns the bytes written. */
uint64_t board_fill_records(uint8_t *out, uint64_t record_bytes, uint64_t incarnation,
                            uint64_t first, uint64_t count);
uint64_t board_fill_blocks(uint8_t *out, uint64_t incarnation, uint64_t first, uint64_t count);
/* How many of the messages are not what was published. Offsets: begin of message i is
 * offsets[i * stride], its end offsets[i * stride + 1]. */
uint64_t board_torn_records(const uint8_t *records, uint64_t record_bytes, uint64_t incarnation,
                            uint64_t first, uint64_t count);
uint64_t board_torn_messages(const uint8_t *data, const uint32_t *offsets, uint64_t stride,
                             uint64_t incarnation, uint64_t first, uint64_t count);

/* The publisher's books: before and behind each call that publishes. */
void board_intend(struct board *board, uint64_t incarnation, uint64_t last);
void board_have_done(struct board *board, uint64_t incarnation, uint64_t last, uint64_t upstream);
uint64_t board_published(const struct board *board);

/* The reader's books. The number of an epoch; 0: unknown. */
uint64_t board_incarnation_of(const struct board *board, uint64_t epoch);
struct account board_account(const struct board *board, uint32_t line);
void board_take(struct board *board, uint32_t line, uint64_t first, uint64_t last, uint64_t torn);
/* is_misplaced: a reliable stream lost something that was not lost by joining late. */
void board_take_gap(struct board *board, uint32_t line, uint64_t first, uint64_t last,
                    int is_upstream, int is_misplaced);
/* A reader begins at `first`: nothing before it was asked for. */
void board_be_absent(struct board *board, uint32_t line, uint64_t first);
/* All of its incarnation was passed. */
void board_finish(struct board *board, uint32_t line);
/* Goes over to another incarnation; the one before may stay unfinished. */
void board_turn(struct board *board, uint32_t line, uint64_t incarnation);
/* cffi: end */

#endif
