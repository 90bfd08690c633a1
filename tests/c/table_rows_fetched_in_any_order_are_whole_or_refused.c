/*
 * A NIC that fetches a row while its owner updates it flat out: bytes in any order, words whole.
 * Three READs, each after the other, are judged: what passes is of one update, never older than
 * before. A single such READ would not do, and this NIC shows it. Then a NIC that takes each line
 * at one moment, the lines in any order: there one READ is enough.
 */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "pair.h"
#include "region/table.h"

enum { ROW_BYTES = 150, WORDS = 6 * 8, LINES = 6, READS = 200000, UNORDERED_READS_MAX = 4000000 };

static const struct rq_table_shape shape = {.row_bytes = ROW_BYTES, .row_count = 1};
static struct rq_region *owner;
static uint8_t *memory;
static _Atomic int is_over;

static void *update(void *unused) {
    (void)unused;
    uint64_t row = 0, bad_index;
    uint8_t values[ROW_BYTES];
    for (uint64_t number = 1; !atomic_load_explicit(&is_over, memory_order_relaxed); number++) {
        memset(values, (int)(number % 256), sizeof(values));
        CHECK_EQUAL(rq_table_update(owner, &shape, &row, 1, values, &bad_index), 1);
    }
    return NULL;
}

/* Words in an order of their own each time; between two of them the owner may go on. */
static void fetch_words(uint64_t *random, uint64_t *out) {
    uint8_t order[WORDS];
    for (uint8_t i = 0; i < WORDS; i++) order[i] = i;
    for (uint64_t i = WORDS - 1; i > 0; i--) {
        uint64_t j = pair_random(random) % (i + 1);
        uint8_t kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
    for (int i = 0; i < WORDS; i++)
        out[order[i]] = atomic_load_explicit((_Atomic uint64_t *)(void *)memory + order[i],
                                             memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire); /* the next READ begins after this one */
}

/* A line at one moment: looked at until nothing changed meanwhile, which is what a cache does. */
static void fetch_lines(uint64_t *random, uint64_t *out) {
    uint64_t first = pair_random(random) % LINES;
    for (uint64_t i = 0; i < LINES; i++) {
        uint64_t line = (first + 5 * i) % LINES;
        uint64_t again[8], *to = out + line * 8;
        do {
            for (int pass = 0; pass < 2; pass++) {
                for (uint64_t word = 0; word < 8; word++)
                    (pass ? again : to)[word] = atomic_load_explicit(
                        (_Atomic uint64_t *)(void *)memory + line * 8 + word, memory_order_relaxed);
                atomic_thread_fence(memory_order_acquire);
            }
        } while (memcmp(again, to, sizeof(again)) != 0);
    }
}

static int is_whole(const uint8_t *out, uint64_t version) {
    for (int i = 0; i < ROW_BYTES; i++)
        if (out[i] != version % 256) return 0;
    return 1;
}

static void read_by_three(uint64_t *random) {
    uint64_t before[WORDS], row[WORDS], after[WORDS], version, seen = 0;
    uint8_t out[ROW_BYTES];
    for (int i = 0; i < READS; i++) {
        fetch_words(random, before);
        fetch_words(random, row);
        fetch_words(random, after);
        if (!rq_table_judge(&shape, (uint8_t *)before, (uint8_t *)row, (uint8_t *)after, out,
                            &version))
            continue;
        CHECK(is_whole(out, version));
        CHECK(version >= seen);
        seen = version;
    }
    CHECK(seen > 0);
}

static void read_by_one(uint64_t *random) {
    uint64_t row[WORDS], version, seen = 0;
    uint8_t out[ROW_BYTES];
    for (int i = 0; i < READS; i++) {
        fetch_lines(random, row);
        const uint8_t *bytes = (uint8_t *)row;
        if (!rq_table_judge(&shape, bytes, bytes, bytes, out, &version)) continue;
        CHECK(is_whole(out, version));
        CHECK(version >= seen);
        seen = version;
    }
    CHECK(seen > 0);
}

/* The check of the checker: one READ in any order passes torn rows sooner or later. */
static void read_by_one_in_any_order(uint64_t *random) {
    uint64_t row[WORDS], version;
    uint8_t out[ROW_BYTES];
    for (int i = 0; i < UNORDERED_READS_MAX; i++) {
        fetch_words(random, row);
        const uint8_t *bytes = (uint8_t *)row;
        if (rq_table_judge(&shape, bytes, bytes, bytes, out, &version) && !is_whole(out, version))
            return;
    }
    CHECK(!"no torn row: this NIC is too orderly to prove anything");
}

int main(void) {
    struct rq_area *area;
    int data_fd, control_fd;
    pthread_t thread;
    uint64_t random = 88172645463325252u, area_bytes = rq_table_bytes(ROW_BYTES, 1);
    CHECK_EQUAL(area_bytes, LINES * RQ_TABLE_LINE_BYTES);
    CHECK_EQUAL(rq_area_create(area_bytes, RQ_ACCESS_READ, &area, &data_fd, &control_fd), 0);
    CHECK_EQUAL(rq_region_open(area, RQ_ACCESS_READ, -1, -1, &owner), 0);
    memory = rq_area_data(area);
    CHECK(pthread_create(&thread, NULL, update, NULL) == 0);
    read_by_three(&random);
    read_by_one(&random);
    read_by_one_in_any_order(&random);
    atomic_store(&is_over, 1);
    pthread_join(thread, NULL);
    rq_region_free(owner);
    rq_area_free(area);
    close(data_fd);
    close(control_fd);
    return 0;
}
