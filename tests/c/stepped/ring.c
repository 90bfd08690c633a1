/* A ring for the stepped tests: messages whose every byte follows from their sequence. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stepped/stepper.h"

static uint64_t fill(uint8_t *message, uint64_t sequence) {
    static const uint64_t sizes[] = {PAYLOAD_BYTES_MAX, 100, PAYLOAD_BYTES_MAX, 3000, 5001};
    uint64_t payload_bytes = sizes[sequence * 7 / 3 % 5];
    memset(message, (int)(sequence % 251), payload_bytes);
    return payload_bytes;
}

void ring_open(struct ring *ring, int is_reliable) {
    static struct rq_descriptor descriptor, copy;
    memset(&descriptor, 0, sizeof(descriptor));
    CHECK_EQUAL(rq_descriptor_init(&descriptor, CAPACITY_BYTES, GUARD_BYTES, 0), 0);
    descriptor.is_reliable = (uint32_t)is_reliable;
    CHECK_EQUAL(rq_segment_create(&descriptor, &ring->written, &ring->fd), 0);
    CHECK_EQUAL(rq_segment_attach(ring->fd, &ring->mapped, &copy), 0);
    CHECK_EQUAL(rq_publisher_open(ring->written, 1, 0, 0, &ring->publisher), 0);
    ring->reader = NULL;
}

void ring_admit(struct ring *ring) {
    uint64_t position, sequence;
    int slot = rq_publisher_admit(ring->publisher, RQ_START_OLDEST, 0, -1, &ring->control_fd,
                                  &position, &sequence);
    CHECK_EQUAL(slot, 0);
    CHECK_EQUAL(rq_reader_open(ring->mapped, ring->control_fd, slot, position, sequence, sequence,
                               &ring->reader),
                0);
    ring->control_page = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE,
                              MAP_SHARED, ring->control_fd, 0);
    CHECK(ring->control_page != MAP_FAILED);
}

void ring_close(struct ring *ring) {
    munmap(ring->control_page, (size_t)sysconf(_SC_PAGESIZE));
    rq_publisher_close(ring->publisher);
    rq_reader_close(ring->reader);
    rq_reader_free(ring->reader);
    rq_publisher_free(ring->publisher);
    rq_segment_free(ring->mapped);
    rq_segment_free(ring->written);
    close(ring->control_fd);
    close(ring->fd);
}

void ring_send(struct ring *ring, uint64_t sequence) {
    static uint8_t message[PAYLOAD_BYTES_MAX];
    uint64_t payload_bytes = fill(message, sequence);
    int64_t sent;
    while ((sent = rq_send(ring->publisher, message, payload_bytes)) == 0) {
        CHECK(rq_publisher_wait(ring->publisher, payload_bytes, 0) >= 0);
        rq_step();
    }
    CHECK_EQUAL(sent, sequence);
}

int64_t ring_receive(struct ring *ring, uint64_t sequence, uint64_t wait_ns) {
    static uint8_t expected[PAYLOAD_BYTES_MAX], received[PAYLOAD_BYTES_MAX];
    uint32_t offsets[2];
    struct rq_frame_note note;
    struct rq_poll poll = {.out = received,
                           .out_bytes = sizeof(received),
                           .offsets = offsets,
                           .notes = &note,
                           .note_count_max = 1,
                           .wait_mode = RQ_WAIT_SLEEP};
    int found = rq_reader_poll(ring->reader, &poll, 1, wait_ns);
    if (found == RQ_POLL_NOTHING) return 0;
    if (found == RQ_POLL_END) return -1;
    CHECK_EQUAL(poll.batch.sequence, sequence); /* nothing doubled, nothing undeclared */
    if (found == RQ_POLL_GAP) return (int64_t)poll.batch.last + 1;
    CHECK_EQUAL(found, 1);
    uint64_t payload_bytes = fill(expected, sequence);
    CHECK_EQUAL(offsets[1] - offsets[0], payload_bytes);
    CHECK(memcmp(received, expected, payload_bytes) == 0); /* nothing torn */
    return (int64_t)sequence + 1;
}
