/* Updating rows, reading them by the CPU, and judging rows that a NIC has fetched. */
#include "region/table.h"

#include <errno.h>
#include <string.h>

#include "arch/order.h"
#include "arch/ticks.h"
#include "region/region.h"
#include "ring/mutation.h"

/* One try takes some 20 ns: within so many an owner that runs has left the row. */
#define TRIES_MAX 2000

static int check_shape(const struct rq_region *region, const struct rq_table_shape *shape) {
    if (shape->row_bytes == 0 || shape->row_bytes > RQ_TABLE_ROW_BYTES_MAX) return -EINVAL;
    uint64_t row_stride = 2 * rq_table_lines(shape->row_bytes) * RQ_TABLE_LINE_BYTES;
    if (shape->row_count > region->area->data_bytes / row_stride) return -ERANGE;
    return 0;
}

static int check_rows(const struct rq_table_shape *shape, const uint64_t *rows, uint64_t count,
                      uint64_t *bad_index_out) {
    for (uint64_t i = 0; i < count; i++) {
        if (rows[i] < shape->row_count) continue;
        *bad_index_out = i;
        return -ERANGE;
    }
    return 0;
}

uint64_t rq_table_bytes(uint64_t row_bytes, uint64_t row_count) {
    return 2 * rq_table_lines(row_bytes) * RQ_TABLE_LINE_BYTES * row_count;
}

/* ---- the owner ---- */

/* The payload is copied in two halves only to give the stepped tests a place between them. */
static void write_line(struct rq_table_line *line, uint64_t version, const uint8_t *payload,
                       uint64_t part_bytes) {
    uint64_t half_bytes = part_bytes / 2;
    if (!RQ_MUTATED(TABLE_NOT_MARKED))
        atomic_store_explicit(&line->version, version - 1, memory_order_relaxed);
    /* CPU->CPU: pairs with the acquire fence in read_line. CPU->NIC: a READ that has a byte of the
     * new payload does not find the old version behind it. */
    rq_store_order();
    RQ_STEP();
    if (RQ_MUTATED(TABLE_VERSION_FIRST))
        atomic_store_explicit(&line->version, version, memory_order_release);
    memcpy(line->payload, payload, half_bytes);
    RQ_STEP();
    memcpy(line->payload + half_bytes, payload + half_bytes, part_bytes - half_bytes);
    RQ_STEP();
    /* CPU->CPU: pairs with the acquire load in read_line; CPU->NIC as above. */
    rq_store_order();
    atomic_store_explicit(&line->version, version, memory_order_release);
    RQ_STEP();
}

static void write_row(const struct rq_table_shape *shape, struct rq_table_line *lines,
                      const uint8_t *payload) {
    uint64_t line_count = rq_table_lines(shape->row_bytes);
    uint64_t even = atomic_load_explicit(&lines[0].version, memory_order_relaxed);
    uint64_t odd = atomic_load_explicit(&lines[line_count].version, memory_order_relaxed);
    uint64_t version =
        (even > odd ? even : odd) + 2; /* slot 0 has 0, 4, 8..., slot 1 2, 6, 10... */
    struct rq_table_line *slot =
        lines + (RQ_MUTATED(TABLE_ONE_SLOT) ? 0 : version / 2 % 2) * line_count;
    for (uint64_t i = 0; i < line_count; i++) {
        uint64_t line = RQ_MUTATED(TABLE_FIRST_LINE_FIRST) ? i : line_count - 1 - i;
        write_line(slot + line, version, payload + line * RQ_TABLE_PAYLOAD_BYTES,
                   rq_table_part(shape->row_bytes, line));
    }
}

int64_t rq_table_update(struct rq_region *region, const struct rq_table_shape *shape,
                        const uint64_t *rows, uint64_t count, const uint8_t *values,
                        uint64_t *bad_index_out) {
    if (!region->area->is_owner) return -EACCES;
    int error = rq_region_enter(region);
    if (error != 0) return error;
    error = check_shape(region, shape);
    if (error == 0) error = check_rows(shape, rows, count, bad_index_out);
    struct rq_table_line *lines = (struct rq_table_line *)(void *)region->area->data;
    uint64_t row_lines = 2 * rq_table_lines(shape->row_bytes);
    for (uint64_t i = 0; error == 0 && i < count; i++)
        write_row(shape, lines + rows[i] * row_lines, values + i * shape->row_bytes);
    rq_handle_leave(&region->handle);
    return error != 0 ? error : (int64_t)count;
}

/* ---- a reader that maps the table ---- */

/* Bytes that may change under the copy; what was copied is judged afterwards. TSan is told. */
__attribute__((no_sanitize("thread"))) static void copy(uint8_t *to, const uint8_t *from,
                                                        uint64_t bytes) {
    memcpy(to, from, bytes);
}

static int read_line(const struct rq_table_line *line, uint64_t version, uint8_t *out,
                     uint64_t part_bytes) {
    uint64_t half_bytes = part_bytes / 2;
    /* Pairs with the release store in write_line: with this version comes its payload. */
    uint64_t before = atomic_load_explicit(&line->version, memory_order_acquire);
    if (before != version) return 0;
    RQ_STEP();
    copy(out, line->payload, half_bytes);
    RQ_STEP();
    copy(out + half_bytes, line->payload + half_bytes, part_bytes - half_bytes);
    RQ_STEP();
    /* Pairs with rq_store_order in write_line: with a newer byte comes the odd version. */
    atomic_thread_fence(memory_order_acquire);
    uint64_t after = atomic_load_explicit(&line->version, memory_order_relaxed);
    return RQ_UNLESS(TABLE_NOT_CHECKED, after != version) ? 0 : 1;
}

static int read_row(const struct rq_table_shape *shape, const struct rq_table_line *lines,
                    uint8_t *out, uint64_t *version_out) {
    uint64_t line_count = rq_table_lines(shape->row_bytes);
    uint64_t versions[2];
    versions[0] = atomic_load_explicit(&lines[0].version, memory_order_acquire);
    RQ_STEP();
    versions[1] = atomic_load_explicit(&lines[line_count].version, memory_order_acquire);
    RQ_STEP();
    int slot = rq_table_choose(versions);
    if (slot < 0) return 0;
    const struct rq_table_line *chosen = lines + (uint64_t)slot * line_count;
    for (uint64_t i = 0; i < line_count; i++)
        if (!read_line(chosen + i, versions[slot], out + i * RQ_TABLE_PAYLOAD_BYTES,
                       rq_table_part(shape->row_bytes, i)))
            return 0;
    *version_out = versions[slot] / 2;
    return 1;
}

int64_t rq_table_read(struct rq_region *region, const struct rq_table_shape *shape,
                      const uint64_t *rows, uint64_t count, uint8_t *out, uint64_t *versions_out,
                      struct rq_table_note *note) {
    int error = rq_region_enter(region);
    if (error != 0) return error;
    error = check_shape(region, shape);
    if (error == 0) error = check_rows(shape, rows, count, &note->bad_index);
    const struct rq_table_line *lines = (const struct rq_table_line *)(void *)region->area->data;
    uint64_t row_lines = 2 * rq_table_lines(shape->row_bytes);
    uint64_t done = 0;
    for (int tries = 0; error == 0 && done < count && tries < TRIES_MAX;) {
        if (read_row(shape, lines + rows[done] * row_lines, out + done * shape->row_bytes,
                     versions_out + done)) {
            done++;
            tries = 0;
            continue;
        }
        note->reread_count++;
        tries++;
        rq_cpu_relax();
    }
    rq_handle_leave(&region->handle);
    return error != 0 ? error : (int64_t)done;
}

/* ---- a reader that fetched the row by RDMA READ ---- */

static uint64_t version_of(const uint8_t *lines, uint64_t line) {
    uint64_t version;
    memcpy(&version, lines + line * RQ_TABLE_LINE_BYTES, sizeof(version));
    return version;
}

int rq_table_judge(const struct rq_table_shape *shape, const uint8_t *before, const uint8_t *row,
                   const uint8_t *after, uint8_t *out, uint64_t *version_out) {
    uint64_t line_count = rq_table_lines(shape->row_bytes);
    uint64_t versions[2] = {version_of(row, 0), version_of(row, line_count)};
    int slot = rq_table_choose(versions);
    if (slot < 0) return 0;
    for (uint64_t i = 0; i < line_count; i++) {
        uint64_t line = (uint64_t)slot * line_count + i;
        if (version_of(before, line) != versions[slot] || version_of(row, line) != versions[slot] ||
            version_of(after, line) != versions[slot])
            return 0;
        memcpy(out + i * RQ_TABLE_PAYLOAD_BYTES, row + line * RQ_TABLE_LINE_BYTES + 8,
               rq_table_part(shape->row_bytes, i));
    }
    *version_out = versions[slot] / 2;
    return 1;
}
