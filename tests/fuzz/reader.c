/*
 * A reader whose publisher is hostile: the input writes live words, index, ledger and frames,
 * between the reader's calls and in the middle of them. Whatever stands there, a call answers
 * within its buffers and its mapping: ASan watches the buffers, pages without access behind the
 * mapping watch the ring.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "input.h"
#include "rdmaq_abi.h"
#include "ring/reader.h"

enum {
    CAPACITY_BYTES = 65536,
    RECORD_BYTES = 24,
    OPS_MAX = 64,
    WRITES_MAX = 256,
    LIVE_BYTES = 1024
};

struct ring {
    struct rq_segment *written, *mapped;
    struct rq_publisher *publisher; /* admits the reader, and never publishes */
    int control_fd;
    struct rq_control *control;
};

struct fuzz {
    struct input input;
    struct ring *ring;
    struct rq_reader *reader;
    uint64_t *dirty[WRITES_MAX]; /* what the next input must find zeroed again */
    size_t dirty_words[WRITES_MAX];
    size_t dirty_count;
};

static struct ring rings[2]; /* untyped, typed */

static void make_ring(struct ring *ring, uint32_t record_bytes) {
    static struct rq_descriptor descriptor, copy;
    int fd;
    CLAIM(rq_descriptor_init(&descriptor, CAPACITY_BYTES, CAPACITY_BYTES / 4, record_bytes) == 0);
    CLAIM(rq_segment_create(&descriptor, &ring->written, &fd) == 0);
    CLAIM(rq_segment_attach(fd, &ring->mapped, &copy) == 0);
    void *behind = mmap(ring->mapped->base + ring->mapped->mapped_bytes, 1 << 20, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    CLAIM(behind != MAP_FAILED || errno == EEXIST);
    uint64_t position, sequence;
    CLAIM(rq_publisher_open(ring->written, 1, 0, 0, &ring->publisher) == 0);
    CLAIM(rq_publisher_admit(ring->publisher, RQ_START_LIVE, 0, -1, &ring->control_fd, &position,
                             &sequence) == 0);
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring->control_fd, 0);
    CLAIM(page != MAP_FAILED);
    ring->control = page;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    make_ring(&rings[0], 0);
    make_ring(&rings[1], RECORD_BYTES);
    return 0;
}

/* Where the writer writes; NULL when the input has written often enough. */
static uint8_t *open_area(struct fuzz *fuzz, uint8_t *at, size_t area_bytes) {
    if (fuzz->dirty_count == WRITES_MAX) return NULL;
    uintptr_t begin = (uintptr_t)at & ~(uintptr_t)7;
    uintptr_t end = ((uintptr_t)at + area_bytes + 7) & ~(uintptr_t)7;
    fuzz->dirty[fuzz->dirty_count] = (uint64_t *)begin;
    fuzz->dirty_words[fuzz->dirty_count++] = (end - begin) / 8;
    return at;
}

static void write_word(struct fuzz *fuzz, void *at, uint64_t value) {
    uint8_t *area = open_area(fuzz, at, sizeof(value));
    if (area != NULL) memcpy(area, &value, sizeof(value));
}

static uint64_t some_number(struct fuzz *fuzz) {
    uint64_t anchors[] = {0, fuzz->reader->cursor, fuzz->reader->next_sequence,
                          atomic_load(&fuzz->ring->written->live->tail_bytes), CAPACITY_BYTES};
    return take_near(&fuzz->input, anchors, sizeof(anchors) / sizeof(*anchors));
}

static void write_live_word(struct fuzz *fuzz) {
    uint64_t offset_bytes = take(&fuzz->input, 2) % (LIVE_BYTES / 8) * 8;
    write_word(fuzz, (uint8_t *)fuzz->ring->written->live + offset_bytes, some_number(fuzz));
}

/* A frame as a publisher would write it, but for one or another number. */
static void write_frame(struct fuzz *fuzz) {
    struct rq_segment *segment = fuzz->ring->written;
    struct input *input = &fuzz->input;
    uint64_t oddity = take(input, 1);
    uint64_t position = fuzz->reader->cursor;
    uint64_t count = take(input, 1), payload_bytes = take(input, 2) % segment->message_bytes_max;
    struct rq_frame_header header = {.position = position,
                                     .sequence = fuzz->reader->next_sequence,
                                     .payload_bytes = (uint32_t)payload_bytes,
                                     .kind_count = (uint32_t)(take(input, 1) % 7 | count << 8)};
    if (segment->record_bytes != 0 && oddity % 2 == 0)
        header.payload_bytes = (uint32_t)(count * segment->record_bytes);
    if (oddity & 4) header.sequence = some_number(fuzz);
    if (oddity & 8) header.payload_bytes = (uint32_t)take(input, 4);
    if (oddity & 16) header.position = some_number(fuzz);
    if (oddity & 32) position = some_number(fuzz) & ~(uint64_t)31;
    /* Begins before what comes next: the reader stands in the middle of it. */
    if (oddity & 128) header.sequence -= take(input, 1) % 4;
    size_t given_bytes = (size_t)take(input, 1);
    uint8_t *area = open_area(fuzz, rq_at(segment, position), sizeof(header) + given_bytes);
    if (area == NULL) return;
    memcpy(area, &header, sizeof(header));
    for (size_t i = 0; i < given_bytes; i++) area[sizeof(header) + i] = (uint8_t)take(input, 1);
    if (oddity & 64)
        write_word(fuzz, &segment->live->tail_bytes,
                   position + rq_frame_bytes(header.payload_bytes));
}

static void write_table_entry(struct fuzz *fuzz, void *table, uint64_t entry_count,
                              size_t entry_bytes) {
    uint8_t *entry = (uint8_t *)table + take(&fuzz->input, 2) % entry_count * entry_bytes;
    for (size_t offset = 0; offset < entry_bytes; offset += 8)
        write_word(fuzz, entry + offset, some_number(fuzz));
}

static void check_batch(const struct fuzz *fuzz, const struct rq_poll *poll, int status,
                        uint32_t count_max) {
    CLAIM(status >= -4095 || (status <= RQ_POLL_GAP && status >= RQ_POLL_CUT_OFF));
    if (status == RQ_POLL_GAP) CLAIM(poll->batch.sequence <= poll->batch.last);
    if (status <= 0) return;
    CLAIM((uint32_t)status <= count_max && poll->batch.message_count == (uint32_t)status);
    CLAIM(poll->batch.frame_count >= 1 && poll->batch.frame_count <= poll->note_count_max);
    if (fuzz->ring->mapped->record_bytes != 0)
        CLAIM(poll->batch.payload_bytes == (uint64_t)status * RECORD_BYTES);
}

static void poll_once(struct fuzz *fuzz) {
    uint32_t count_max = 1 + (uint32_t)take(&fuzz->input, 1);
    struct rq_poll poll = {.out_bytes = take(&fuzz->input, 2),
                           .note_count_max = 1 + (uint32_t)take(&fuzz->input, 1) % 4,
                           .wait_mode = RQ_WAIT_SPIN};
    poll.out = malloc(poll.out_bytes + 1);
    poll.notes = malloc(poll.note_count_max * sizeof(*poll.notes));
    if (fuzz->ring->mapped->record_bytes == 0) poll.offsets = malloc((count_max + 1) * 4);
    int status = rq_reader_poll(fuzz->reader, &poll, count_max, 0);
    check_batch(fuzz, &poll, status, count_max);
    if (status > 0) {
        CLAIM(poll.batch.payload_bytes <= poll.out_bytes);
        for (int i = 0; poll.offsets != NULL && i < status; i++)
            CLAIM(poll.offsets[i] <= poll.offsets[i + 1] && poll.offsets[i + 1] <= poll.out_bytes);
    }
    free(poll.out);
    free(poll.notes);
    free(poll.offsets);
}

static void borrow_once(struct fuzz *fuzz) {
    uint32_t count_max = 1 + (uint32_t)take(&fuzz->input, 1);
    struct rq_poll poll = {.notes = malloc(sizeof(struct rq_frame_note)), .note_count_max = 1};
    if (fuzz->ring->mapped->record_bytes == 0) poll.offsets = malloc((size_t)count_max * 2 * 4);
    int status = rq_reader_borrow(fuzz->reader, &poll, count_max, 0);
    check_batch(fuzz, &poll, status, count_max);
    if (status > 0) {
        CLAIM(poll.batch.data_offset_bytes + poll.batch.payload_bytes <= 2 * CAPACITY_BYTES);
        for (int i = 0; poll.offsets != NULL && i < status; i++) {
            CLAIM(poll.offsets[2 * i] <= poll.offsets[2 * i + 1]);
            CLAIM(poll.batch.data_offset_bytes + poll.offsets[2 * i + 1] <= 2 * CAPACITY_BYTES);
        }
    }
    free(poll.notes);
    free(poll.offsets);
}

static void look_around(struct fuzz *fuzz) {
    struct rq_reader_stats stats;
    rq_reader_read_stats(fuzz->reader, &stats);
    rq_reader_wall_ns(fuzz->reader, take(&fuzz->input, 8));
    rq_reader_arm(fuzz->reader);
}

static void act_as_publisher(struct fuzz *fuzz, uint64_t choice) {
    struct rq_segment *segment = fuzz->ring->written;
    switch (choice) {
        case 0: write_live_word(fuzz); break;
        case 1: write_word(fuzz, &segment->live->tail_bytes, some_number(fuzz) & ~31ull); break;
        case 2: write_table_entry(fuzz, segment->index, segment->index_entry_mask + 1, 32); break;
        case 3: write_table_entry(fuzz, segment->ledger, RQ_LEDGER_ENTRIES, 16); break;
        case 4: atomic_store(&fuzz->ring->control->cut_off, take(&fuzz->input, 1) == 255); break;
        default: write_frame(fuzz); break;
    }
}

static void step(struct fuzz *fuzz) {
    uint64_t choice = take(&fuzz->input, 1) % 12;
    switch (choice) {
        case 6: rq_reader_release(fuzz->reader, (int)take(&fuzz->input, 1) % 2); break;
        case 7: borrow_once(fuzz); break;
        case 8:
        case 9: poll_once(fuzz); break;
        case 10: look_around(fuzz); break;
        default: act_as_publisher(fuzz, choice); break;
    }
}

static struct fuzz fuzz;

static void step_within(void) {
    uint64_t choice = take(&fuzz.input, 1);
    if (choice % 16 >= 10) act_as_publisher(&fuzz, choice % 16 - 10);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count) {
    fuzz.input = (struct input){.bytes = bytes, .left_bytes = byte_count};
    uint64_t mode = take(&fuzz.input, 1);
    fuzz.ring = &rings[mode % 2];
    act_within = mode & 2 ? step_within : NULL;
    fuzz.dirty_count = 0;
    struct rq_segment *segment = fuzz.ring->written;
    uint64_t anchors[] = {CAPACITY_BYTES, 0, UINT64_MAX - CAPACITY_BYTES};
    uint64_t position = take_near(&fuzz.input, anchors, 3) & ~31ull;
    atomic_store(&segment->live->tail_bytes, position);
    atomic_store(&segment->live->origin_sequence, 1);
    atomic_store(&fuzz.ring->control->cut_off, 0);
    if (rq_reader_open(fuzz.ring->mapped, fuzz.ring->control_fd, 0, position, take(&fuzz.input, 1),
                       0, &fuzz.reader) != 0)
        return 0;
    for (int i = 0; i < OPS_MAX && fuzz.input.left_bytes != 0; i++) step(&fuzz);
    CLAIM(rq_reader_close(fuzz.reader) == 0);
    rq_reader_free(fuzz.reader);
    for (size_t i = 0; i < fuzz.dirty_count; i++) memset(fuzz.dirty[i], 0, fuzz.dirty_words[i] * 8);
    return 0;
}
