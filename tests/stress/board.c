/* The books of the stress run, and the bytes that it sends: all that costs per message is in C. */
#include "board.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

void board_die_with_parent(void) { prctl(PR_SET_PDEATHSIG, SIGKILL); }

void board_adopt_orphans(void) { prctl(PR_SET_CHILD_SUBREAPER, 1); }

/* ---- messages ---- */

/* splitmix64 (Steele, Lea and Flood 2014): neighbours have nothing in common. */
static uint64_t mix(uint64_t value) {
    value += 0x9e3779b97f4a7c15u;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

static uint64_t seed_of(uint64_t incarnation, uint64_t sequence) {
    return mix(incarnation << 48 ^ sequence);
}

/* Sequence, two words that follow from it, and a checksum over the three. */
static void make_record(uint64_t record[4], uint64_t incarnation, uint64_t sequence) {
    uint64_t seed = seed_of(incarnation, sequence);
    record[0] = sequence;
    record[1] = seed;
    record[2] = seed * 0xd6e8feb86659fd93u;
    record[3] = mix(record[0] ^ record[1] << 1 ^ record[2] << 2);
}

uint64_t board_fill_records(uint8_t *out, uint64_t record_bytes, uint64_t incarnation,
                            uint64_t first, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        uint64_t record[4];
        make_record(record, incarnation, first + i);
        memcpy(out + i * record_bytes, record, record_bytes);
    }
    return count * record_bytes;
}

uint64_t board_torn_records(const uint8_t *records, uint64_t record_bytes, uint64_t incarnation,
                            uint64_t first, uint64_t count) {
    uint64_t torn = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t record[4];
        make_record(record, incarnation, first + i);
        torn += memcmp(records + i * record_bytes, record, record_bytes) != 0;
    }
    return torn;
}

/* Any length, 0 too; the bytes are 8 at a time, so that a message is cheap to make. */
static uint64_t make_message(uint8_t *out, uint64_t incarnation, uint64_t sequence) {
    uint64_t seed = seed_of(incarnation, sequence);
    uint64_t message_bytes = seed % (BOARD_MESSAGE_BYTES_MAX + 1);
    for (uint64_t at = 0; at < message_bytes; at += 8) {
        uint64_t word = seed + at * 0x9e3779b97f4a7c15u;
        memcpy(out + at, &word, message_bytes - at < 8 ? message_bytes - at : 8);
    }
    return message_bytes;
}

uint64_t board_fill_blocks(uint8_t *out, uint64_t incarnation, uint64_t first, uint64_t count) {
    uint8_t *at = out;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t message_bytes = make_message(at + 2, incarnation, first + i);
        at[0] = (uint8_t)(message_bytes >> 8);
        at[1] = (uint8_t)message_bytes;
        at += 2 + message_bytes;
    }
    return (uint64_t)(at - out);
}

uint64_t board_torn_messages(const uint8_t *data, const uint32_t *offsets, uint64_t stride,
                             uint64_t incarnation, uint64_t first, uint64_t count) {
    uint64_t torn = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint8_t message[BOARD_MESSAGE_BYTES_MAX];
        uint64_t message_bytes = make_message(message, incarnation, first + i);
        uint32_t begin = offsets[i * stride], end = offsets[i * stride + 1];
        torn += end - begin != message_bytes || memcmp(data + begin, message, message_bytes) != 0;
    }
    return torn;
}

/* ---- the publisher's books ---- */

static void set(uint64_t *word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_SEQ_CST); }

static uint64_t get(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }

void board_intend(struct board *board, uint64_t incarnation, uint64_t last) {
    set(&board->incarnations[incarnation].intended, last);
}

void board_have_done(struct board *board, uint64_t incarnation, uint64_t last, uint64_t upstream) {
    set(&board->incarnations[incarnation].upstream, upstream);
    set(&board->incarnations[incarnation].done, last);
}

uint64_t board_published(const struct board *board) {
    uint64_t sum = 0;
    for (uint64_t i = 1; i <= get(&board->incarnation_count); i++)
        sum += get(&board->incarnations[i].done);
    return sum;
}

/* ---- the readers' books ---- */

uint64_t board_incarnation_of(const struct board *board, uint64_t epoch) {
    for (uint64_t i = get(&board->incarnation_count); i > 0; i--)
        if (get(&board->incarnations[i].epoch) == epoch) return i;
    return 0;
}

struct account board_account(const struct board *board, uint32_t line) {
    const struct line *of = &board->lines[line];
    return of->accounts[__atomic_load_n(&of->current, __ATOMIC_ACQUIRE)];
}

/* The one moment at which an account changes. */
static void book(struct board *board, uint32_t line, struct account account) {
    struct line *of = &board->lines[line];
    uint32_t other = 1 - of->current;
    account.events++;
    account.unbalanced +=
        account.received + account.upstream + account.overrun + account.absent + 1 !=
        account.next_sequence;
    of->accounts[other] = account;
    __atomic_store_n(&of->current, other, __ATOMIC_RELEASE);
}

/* The law: everything goes on where the last thing ended. */
static void expect(struct account *account, uint64_t first, uint64_t last) {
    if (first < account->next_sequence) account->doubled += account->next_sequence - first;
    if (first > account->next_sequence) account->undeclared += first - account->next_sequence;
    account->next_sequence = last + 1;
}

void board_take(struct board *board, uint32_t line, uint64_t first, uint64_t last, uint64_t torn) {
    struct account account = board_account(board, line);
    expect(&account, first, last);
    account.torn += torn;
    account.received += last - first + 1;
    account.received_all += last - first + 1;
    book(board, line, account);
}

void board_take_gap(struct board *board, uint32_t line, uint64_t first, uint64_t last,
                    int is_upstream, int is_misplaced) {
    struct account account = board_account(board, line);
    uint64_t count = last - first + 1;
    expect(&account, first, last);
    account.misplaced += (uint64_t)(is_misplaced != 0);
    *(is_upstream ? &account.upstream : &account.overrun) += count;
    *(is_upstream ? &account.upstream_all : &account.overrun_all) += count;
    book(board, line, account);
}

void board_be_absent(struct board *board, uint32_t line, uint64_t first) {
    struct account account = board_account(board, line);
    if (first <= account.next_sequence) return;
    account.absent += first - account.next_sequence;
    account.absent_all += first - account.next_sequence;
    account.next_sequence = first;
    book(board, line, account);
}

void board_finish(struct board *board, uint32_t line) {
    struct account account = board_account(board, line);
    struct final *final = &board->incarnations[account.incarnation].finals[line];
    final->upstream = account.upstream;
    final->overrun = account.overrun;
    set(&final->sequence, account.next_sequence - 1);
}

void board_turn(struct board *board, uint32_t line, uint64_t incarnation) {
    struct account account = board_account(board, line);
    account.incarnation = incarnation;
    account.next_sequence = 1;
    account.received = account.upstream = account.overrun = account.absent = 0;
    book(board, line, account);
}
