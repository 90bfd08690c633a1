/*
 * A reliable publisher among hostile readers: the input writes their control pages (cursor,
 * waiting, cut_off) between its calls and in the middle of them. It cuts off who lies; an honest
 * reader beside them gets every message, whole and in order, for nobody's forged cursor may open
 * the gate over its unread bytes.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "input.h"
#include "rdmaq_abi.h"
#include "ring/publisher.h"

enum { CAPACITY_BYTES = 65536, HOSTILES_MAX = 4, OPS_MAX = 96, PAYLOAD_BYTES_MAX = 9000 };

struct fuzz {
    struct input input;
    struct rq_publisher *publisher;
    struct rq_reader *honest;
    uint64_t received_sequence;
    struct rq_control *pages[HOSTILES_MAX];
    int slots[HOSTILES_MAX];
    uint8_t *payload, *out;
};

static struct rq_segment *written, *mapped;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    static struct rq_descriptor descriptor, copy;
    int fd;
    (void)argc;
    (void)argv;
    CLAIM(rq_descriptor_init(&descriptor, CAPACITY_BYTES, 0, 0) == 0);
    descriptor.is_reliable = 1;
    CLAIM(rq_segment_create(&descriptor, &written, &fd) == 0);
    CLAIM(rq_segment_attach(fd, &mapped, &copy) == 0);
    return 0;
}

static int admit(struct fuzz *fuzz, uint32_t start, uint64_t *position, uint64_t *sequence,
                 int *control_fd) {
    int slot = rq_publisher_admit(fuzz->publisher, start, take(&fuzz->input, 2), -1, control_fd,
                                  position, sequence);
    CLAIM(slot >= 0);
    return slot;
}

static void admit_honest(struct fuzz *fuzz) {
    uint64_t position, sequence;
    int control_fd;
    int slot = admit(fuzz, RQ_START_LIVE, &position, &sequence, &control_fd);
    CLAIM(rq_reader_open(mapped, control_fd, slot, position, sequence, 0, &fuzz->honest) == 0);
    close(control_fd);
}

static void admit_hostile(struct fuzz *fuzz, int i) {
    uint64_t position, sequence;
    int control_fd;
    fuzz->slots[i] =
        admit(fuzz, (uint32_t)take(&fuzz->input, 1) % 4, &position, &sequence, &control_fd);
    uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, control_fd, 0);
    CLAIM(page != MAP_FAILED);
    close(control_fd);
    fuzz->pages[i] = (struct rq_control *)(page + rq_control_offset(fuzz->slots[i]));
}

static void dismiss_hostile(struct fuzz *fuzz, int i) {
    CLAIM(rq_publisher_dismiss(fuzz->publisher, fuzz->slots[i]) == 0);
    munmap((void *)((uintptr_t)fuzz->pages[i] & ~(uintptr_t)4095), 4096);
    fuzz->pages[i] = NULL;
}

static void write_page(struct fuzz *fuzz, int i) {
    uint64_t anchors[] = {fuzz->publisher->tail, CAPACITY_BYTES, 0,
                          atomic_load(&fuzz->pages[i]->cursor_bytes)};
    switch (take(&fuzz->input, 1) % 4) {
        case 0: atomic_store(&fuzz->pages[i]->waiting, (uint32_t)take(&fuzz->input, 4)); break;
        case 1: atomic_store(&fuzz->pages[i]->cut_off, (uint32_t)take(&fuzz->input, 4)); break;
        default:
            atomic_store(&fuzz->pages[i]->cursor_bytes, take_near(&fuzz->input, anchors, 4));
            break;
    }
}

static struct fuzz fuzz_now;

static void step_within(void) {
    uint64_t choice = take(&fuzz_now.input, 1);
    if (choice % 8 < HOSTILES_MAX && fuzz_now.pages[choice % 8] != NULL)
        write_page(&fuzz_now, (int)(choice % 8));
}

static void meet_hostile(struct fuzz *fuzz) {
    int i = (int)(take(&fuzz->input, 1) % HOSTILES_MAX);
    if (fuzz->pages[i] == NULL)
        admit_hostile(fuzz, i);
    else if (take(&fuzz->input, 1) % 8 == 0)
        dismiss_hostile(fuzz, i);
    else
        write_page(fuzz, i);
}

/* Each message is filled with the low byte of its sequence. */
static void send_message(struct fuzz *fuzz) {
    uint64_t payload_bytes = take(&fuzz->input, 2) % PAYLOAD_BYTES_MAX;
    memset(fuzz->payload, (uint8_t)fuzz->publisher->next_sequence, payload_bytes);
    int64_t result = rq_send(fuzz->publisher, fuzz->payload, payload_bytes);
    CLAIM(result >= 0 || result == -EMSGSIZE || result == -EALREADY);
}

static void claim_message(struct fuzz *fuzz) {
    uint64_t payload_bytes = take(&fuzz->input, 2) % PAYLOAD_BYTES_MAX, offset_bytes;
    if (rq_claim(fuzz->publisher, payload_bytes, &offset_bytes) != 1) return;
    memset(written->data + offset_bytes, (uint8_t)fuzz->publisher->next_sequence, payload_bytes);
    CLAIM((take(&fuzz->input, 1) % 2 ? rq_abort : rq_commit)(fuzz->publisher) >= 0);
}

static void read_honest(struct fuzz *fuzz) {
    uint32_t offsets[2];
    struct rq_frame_note note;
    struct rq_poll poll = {.out = fuzz->out,
                           .out_bytes = PAYLOAD_BYTES_MAX,
                           .offsets = offsets,
                           .notes = &note,
                           .note_count_max = 1,
                           .wait_mode = RQ_WAIT_SPIN};
    int status = rq_reader_poll(fuzz->honest, &poll, 1, 0);
    if (status == RQ_POLL_CUT_OFF) return; /* it stalled: the input chose not to read */
    CLAIM(status == 0 || status == 1 || status == RQ_POLL_GAP);
    if (status == 0) return;
    CLAIM(poll.batch.sequence == fuzz->received_sequence + 1);
    if (status == RQ_POLL_GAP) CLAIM(poll.batch.cause == RQ_CAUSE_UPSTREAM);
    for (uint64_t i = 0; status == 1 && i < poll.batch.payload_bytes; i++)
        CLAIM(fuzz->out[i] == (uint8_t)poll.batch.sequence);
    fuzz->received_sequence = poll.batch.last;
}

static void step(struct fuzz *fuzz) {
    uint64_t next = fuzz->publisher->next_sequence;
    switch (take(&fuzz->input, 1) % 10) {
        case 0:
        case 1:
        case 2: meet_hostile(fuzz); break;
        case 3: CLAIM(rq_send_gap(fuzz->publisher, next, next + take(&fuzz->input, 1)) >= 0); break;
        case 4: CLAIM(rq_send_heartbeat(fuzz->publisher) >= 0); break;
        case 5: claim_message(fuzz); break;
        case 6:
            rq_publisher_wait(fuzz->publisher, take(&fuzz->input, 2) % PAYLOAD_BYTES_MAX, 0);
            break;
        case 7: read_honest(fuzz); break;
        default: send_message(fuzz); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count) {
    static uint8_t payload[PAYLOAD_BYTES_MAX], out[PAYLOAD_BYTES_MAX];
    struct fuzz *fuzz = &fuzz_now;
    *fuzz = (struct fuzz){
        .input = {.bytes = bytes, .left_bytes = byte_count}, .payload = payload, .out = out};
    uint64_t mode = take(&fuzz->input, 1);
    uint64_t timeout_ns = mode % 2 ? 0 : 1000000000u;
    act_within = mode & 2 ? step_within : NULL;
    atomic_store(&written->live->ledger_count, 0);
    CLAIM(rq_publisher_open(written, 1, timeout_ns, 0, &fuzz->publisher) == 0);
    admit_honest(fuzz);
    for (int i = 0; i < OPS_MAX && fuzz->input.left_bytes != 0; i++) step(fuzz);
    struct rq_publisher_stats stats;
    rq_publisher_read_stats(fuzz->publisher, &stats);
    for (int i = 0; i < HOSTILES_MAX; i++)
        if (fuzz->pages[i] != NULL) dismiss_hostile(fuzz, i);
    CLAIM(rq_publisher_close(fuzz->publisher) == 0);
    CLAIM(rq_reader_close(fuzz->honest) == 0);
    rq_reader_free(fuzz->honest);
    rq_publisher_free(fuzz->publisher);
    return 0;
}
