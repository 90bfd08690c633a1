/*
 * Length-prefixed messages as a stranger's datagram holds them: rq_send_blocks publishes all of
 * them or refuses all of them, and reads no byte behind the buffer (ASan watches it).
 */
#include <errno.h>

#include "input.h"
#include "rdmaq_abi.h"
#include "ring/publisher.h"

enum { CAPACITY_BYTES = 65536 };

static struct rq_segment *written;
static struct rq_publisher *publisher;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    static struct rq_descriptor descriptor;
    int fd;
    (void)argc;
    (void)argv;
    CLAIM(rq_descriptor_init(&descriptor, CAPACITY_BYTES, 0, 0) == 0);
    CLAIM(rq_segment_create(&descriptor, &written, &fd) == 0);
    CLAIM(rq_publisher_open(written, 1, 0, 0, &publisher) == 0);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count) {
    struct input input = {.bytes = bytes, .left_bytes = byte_count};
    uint64_t choice = take(&input, 1);
    uint64_t count = choice & 1 ? take(&input, 8) : take(&input, 1);
    uint64_t before = publisher->next_sequence;
    uint64_t first = choice & 2 ? before : choice & 4 ? take(&input, 8) : 0;
    size_t blocks_bytes = input.left_bytes;
    uint8_t *blocks = malloc(blocks_bytes + (blocks_bytes == 0)); /* ends where the input ends */
    memcpy(blocks, input.bytes, blocks_bytes);
    struct rq_taken taken;
    int64_t result = rq_send_blocks(publisher, blocks, blocks_bytes, count, first, &taken);
    if (result > 0) {
        CLAIM((uint64_t)result == before && taken.messages == count);
        CLAIM(taken.bytes == blocks_bytes && publisher->next_sequence == before + count);
    } else {
        CLAIM(result == -EBADMSG || result == -EMSGSIZE || result == -ERANGE ||
              (result == 0 && count == 0));
        CLAIM(taken.messages == 0 && (publisher->next_sequence == before || publisher->is_fresh));
    }
    free(blocks);
    return 0;
}
