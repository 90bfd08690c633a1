/*
 * A reader that keeps up gets every message, whole and in order, while the ring wraps many times:
 * lengths are odd, so frames come to lie across its end.
 */
#include "check.h"

#include <string.h>
#include <unistd.h>

#include "rdmaq_abi.h"

enum { CAPACITY_BYTES = 65536, MESSAGES = 5000, MESSAGE_BYTES_MAX = 700, WRAPS_MIN = 20 };

static uint64_t fill(uint8_t *message, uint64_t sequence) {
    uint64_t message_bytes = 1 + sequence * 37 % MESSAGE_BYTES_MAX;
    for (uint64_t i = 0; i < message_bytes; i++) message[i] = (uint8_t)(sequence * 31 + i);
    return message_bytes;
}

static void send_one(struct rq_publisher *publisher, uint64_t sequence) {
    uint8_t message[MESSAGE_BYTES_MAX];
    uint64_t message_bytes = fill(message, sequence);
    CHECK_EQUAL(rq_send(publisher, message, message_bytes), sequence);
}

static void receive_one(struct rq_reader *reader, uint64_t sequence) {
    uint8_t expected[MESSAGE_BYTES_MAX], received[MESSAGE_BYTES_MAX];
    uint64_t message_bytes = fill(expected, sequence);
    uint32_t offsets[2];
    struct rq_frame_note note;
    struct rq_poll poll = {.out = received,
                           .out_bytes = sizeof received,
                           .offsets = offsets,
                           .notes = &note,
                           .note_count_max = 1,
                           .wait_mode = RQ_WAIT_SPIN};
    CHECK_EQUAL(rq_reader_poll(reader, &poll, 1, 0), 1);
    CHECK_EQUAL(poll.batch.sequence, sequence);
    CHECK_EQUAL(poll.batch.message_count, 1);
    CHECK_EQUAL(offsets[1] - offsets[0], message_bytes);
    CHECK(memcmp(received, expected, message_bytes) == 0);
}

int main(void) {
    static struct rq_descriptor descriptor, copy;
    CHECK_EQUAL(rq_descriptor_init(&descriptor, CAPACITY_BYTES, 0, 0), 0);

    struct rq_segment *written, *mapped;
    int fd, control_fd;
    CHECK_EQUAL(rq_segment_create(&descriptor, &written, &fd), 0);
    CHECK_EQUAL(rq_segment_attach(fd, &mapped, &copy), 0);

    struct rq_publisher *publisher;
    struct rq_reader *reader;
    uint64_t position, sequence;
    CHECK_EQUAL(rq_publisher_open(written, 1, 0, 0, &publisher), 0);
    int slot =
        rq_publisher_admit(publisher, RQ_START_OLDEST, 0, -1, &control_fd, &position, &sequence);
    CHECK(slot >= 0);
    CHECK_EQUAL(rq_reader_open(mapped, control_fd, slot, position, sequence, sequence, &reader), 0);

    for (uint64_t next = 1; next <= MESSAGES; next++) {
        send_one(publisher, next);
        receive_one(reader, next);
    }

    struct rq_publisher_stats stats;
    rq_publisher_read_stats(publisher, &stats);
    CHECK_EQUAL(stats.messages, MESSAGES);
    CHECK(stats.tail_bytes / CAPACITY_BYTES >= WRAPS_MIN);

    CHECK_EQUAL(rq_publisher_close(publisher), 0);
    CHECK_EQUAL(rq_reader_close(reader), 0);
    rq_reader_free(reader);
    rq_publisher_free(publisher);
    rq_segment_free(mapped);
    rq_segment_free(written);
    close(control_fd);
    close(fd);
    return 0;
}
