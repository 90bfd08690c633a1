/*
 * A row of several lines: its reader gets whole rows only, never an older one than before, and gets
 * one at once wherever the owner was stopped. Mutations: TABLE_*.
 */
#include <string.h>
#include <unistd.h>

#include "stepped/stepper.h"

enum { SEEDS = 300, UPDATES = 40, READS = 60, STOPS = 10, ROW_BYTES = 200, ROWS = 2 };

static const struct rq_table_shape shape = {.row_bytes = ROW_BYTES, .row_count = ROWS};
static const uint64_t row = 1;
static struct rq_region *owner, *reader;

/* Every byte follows from the number of the update. */
static void update(void) {
    uint8_t values[ROW_BYTES];
    for (uint64_t number = 1; number <= UPDATES; number++) {
        uint64_t bad_index;
        memset(values, (int)number, sizeof(values));
        CHECK_EQUAL(rq_table_update(owner, &shape, &row, 1, values, &bad_index), 1);
    }
}

static uint64_t read_once(void) {
    uint8_t out[ROW_BYTES];
    uint64_t version = 0;
    struct rq_table_note note = {0};
    int64_t taken = rq_table_read(reader, &shape, &row, 1, out, &version, &note);
    CHECK_EQUAL(taken, 1);                                            /* readable */
    for (int i = 0; i < ROW_BYTES; i++) CHECK_EQUAL(out[i], version); /* torn */
    return version;
}

static void read_all(void) {
    uint64_t seen = 0;
    for (int i = 0; i < READS; i++) {
        uint64_t version = read_once();
        CHECK(version >= seen); /* back in time */
        seen = version;
        rq_step();
    }
}

/* The owner stands still somewhere in its update, and then goes on. */
static void read_while_stopped(void) {
    for (int i = 0; i < STOPS; i++) {
        stepper_stop_other();
        read_once();
        stepper_resume_other();
    }
}

static void run(uint64_t seed, void (*body)(void)) {
    struct rq_area *area, *mapped;
    int data_fd, control_fd;
    uint64_t area_bytes = rq_table_bytes(ROW_BYTES, ROWS);
    CHECK_EQUAL(rq_area_create(area_bytes, RQ_ACCESS_READ, &area, &data_fd, &control_fd), 0);
    CHECK_EQUAL(rq_area_attach(data_fd, control_fd, area_bytes, RQ_ACCESS_READ, &mapped), 0);
    CHECK_EQUAL(rq_region_open(area, RQ_ACCESS_READ, -1, -1, &owner), 0);
    CHECK_EQUAL(rq_region_open(mapped, RQ_ACCESS_READ, -1, -1, &reader), 0);
    stepper_run(seed, update, body);
    rq_region_free(reader);
    rq_region_free(owner);
    rq_area_free(mapped);
    rq_area_free(area);
    close(data_fd);
    close(control_fd);
}

int main(int argc, char **argv) {
    stepper_begin(argc, argv);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run(seed, read_all);
        run(seed, read_while_stopped);
    }
    return 0;
}
