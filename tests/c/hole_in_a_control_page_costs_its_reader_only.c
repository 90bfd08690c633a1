/*
 * A reader may punch a hole into its control page, since it must be able to write it: the words are
 * zero then. A reliable publisher faults no worse than by a fresh page, cuts that reader off for a
 * cursor that ran back, and goes on; the page cannot be shrunk, grown or sealed by its reader.
 */
#define _GNU_SOURCE
#include "pair.h"

#include <errno.h>
#include <fcntl.h>

enum { CAPACITY_BYTES = 65536, MESSAGE_BYTES = 1000, TIMEOUT_NS = 20000000, ROUNDS = 200 };

static void punch(int fd) {
    CHECK_EQUAL(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
}

/* Sends past the gate; who is in the way and does not move is cut off. */
static void send_one(struct pair *pair) {
    static const uint8_t message[MESSAGE_BYTES] = {1};
    int64_t sequence;
    while ((sequence = rq_send(pair->publisher, message, sizeof(message))) == 0)
        CHECK(rq_publisher_wait(pair->publisher, sizeof(message), RQ_WAIT_SLICE_NS_MAX) >= 0);
    CHECK(sequence > 0);
    CHECK_EQUAL(pair_poll(pair, 1), 1);
}

static void page_keeps_its_size(const struct pair *pair) {
    CHECK_EQUAL(ftruncate(pair->control_fd, 0), -1);
    CHECK_EQUAL(errno, EPERM);
    CHECK_EQUAL(ftruncate(pair->control_fd, 8192), -1);
    CHECK_EQUAL(errno, EPERM);
    CHECK_EQUAL(fcntl(pair->control_fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
}

int main(void) {
    struct pair pair;
    pair_open(&pair, CAPACITY_BYTES, 0, 1, TIMEOUT_NS);
    struct pair other = pair; /* a second reader, with the same ring and buffers */
    pair_admit(&other, RQ_START_OLDEST, 0);
    page_keeps_its_size(&other);
    send_one(&pair);
    CHECK_EQUAL(pair_poll(&other, 1), 1);
    for (int i = 0; i < ROUNDS; i++) {
        punch(other.control_fd);
        send_one(&pair);
    }
    struct rq_publisher_stats stats;
    rq_publisher_read_stats(pair.publisher, &stats);
    CHECK_EQUAL(stats.readers_cut_off, 1);
    CHECK_EQUAL(stats.next_sequence, ROUNDS + 2);
    struct rq_reader_stats read;
    rq_reader_read_stats(pair.reader, &read);
    CHECK_EQUAL(read.messages, ROUNDS + 1);
    pair_close_reader(&other);
    pair_close(&pair);
    return 0;
}
