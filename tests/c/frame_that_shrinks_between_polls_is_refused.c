/*
 * A publisher that makes a frame of blocks shorter while its reader stands in the middle of it
 * gets -EBADMSG: the place where the reader stopped lies behind the frame's end, and nothing is
 * read there.
 */
#include "check.h"

#include <errno.h>
#include <unistd.h>

#include "rdmaq_abi.h"
#include "ring/segment.h"

enum { CAPACITY_BYTES = 65536, FIRST_BYTES = 5000, BLOCKS_BYTES = 2 + FIRST_BYTES + 2 + 2 };

static int poll_one(struct rq_reader *reader) {
    static uint8_t out[CAPACITY_BYTES];
    uint32_t offsets[2];
    struct rq_frame_note note;
    struct rq_poll poll = {.out = out,
                           .out_bytes = sizeof out,
                           .offsets = offsets,
                           .notes = &note,
                           .note_count_max = 1};
    return rq_reader_poll(reader, &poll, 1, 0);
}

int main(void) {
    static struct rq_descriptor descriptor, copy;
    struct rq_segment *written, *mapped;
    struct rq_publisher *publisher;
    struct rq_reader *reader;
    uint64_t position, sequence;
    int fd, control_fd;
    CHECK_EQUAL(rq_descriptor_init(&descriptor, CAPACITY_BYTES, 0, 0), 0);
    CHECK_EQUAL(rq_segment_create(&descriptor, &written, &fd), 0);
    CHECK_EQUAL(rq_segment_attach(fd, &mapped, &copy), 0);
    CHECK_EQUAL(rq_publisher_open(written, 1, 0, 0, &publisher), 0);
    CHECK_EQUAL(
        rq_publisher_admit(publisher, RQ_START_LIVE, 0, -1, &control_fd, &position, &sequence), 0);
    CHECK_EQUAL(rq_reader_open(mapped, control_fd, 0, position, sequence, 0, &reader), 0);

    static uint8_t blocks[BLOCKS_BYTES] = {FIRST_BYTES >> 8, FIRST_BYTES & 0xff};
    struct rq_taken taken;
    CHECK_EQUAL(rq_send_blocks(publisher, blocks, sizeof blocks, 3, 0, &taken), 1);
    CHECK_EQUAL(poll_one(reader), 1);

    struct rq_frame_header *header = (struct rq_frame_header *)rq_at(written, position);
    header->payload_bytes = 2 * 3;
    CHECK_EQUAL(poll_one(reader), -EBADMSG);

    rq_reader_close(reader);
    rq_reader_free(reader);
    rq_publisher_close(publisher);
    rq_publisher_free(publisher);
    rq_segment_free(mapped);
    rq_segment_free(written);
    close(control_fd);
    close(fd);
    return 0;
}
