/* Sizes and offsets of a segment: derived once, checked alike for our own and a stranger's. */
#include <errno.h>
#include <string.h>

#include "ring/segment.h"

static int is_power_of_two(uint64_t value) { return value != 0 && (value & (value - 1)) == 0; }

static uint64_t index_stride_for(uint64_t capacity_bytes) {
    uint64_t stride_bytes = capacity_bytes / RQ_INDEX_ENTRIES_MIN;
    return stride_bytes < RQ_INDEX_STRIDE_BYTES_MAX ? stride_bytes : RQ_INDEX_STRIDE_BYTES_MAX;
}

static uint64_t data_offset_for(uint64_t capacity_bytes) {
    uint64_t index_bytes =
        capacity_bytes / index_stride_for(capacity_bytes) * sizeof(struct rq_index_entry);
    uint64_t end_bytes = RQ_INDEX_OFFSET_BYTES + index_bytes;
    return (end_bytes + RQ_HUGE_PAGE_BYTES - 1) & ~(uint64_t)(RQ_HUGE_PAGE_BYTES - 1);
}

int rq_descriptor_init(struct rq_descriptor *descriptor, uint64_t capacity_bytes,
                       uint64_t guard_bytes, uint32_t record_bytes) {
    memset(descriptor, 0, sizeof(*descriptor));
    if (!is_power_of_two(capacity_bytes) || capacity_bytes < RQ_CAPACITY_BYTES_MIN ||
        capacity_bytes > RQ_CAPACITY_BYTES_MAX)
        return -EINVAL;
    if (guard_bytes == 0) {
        guard_bytes = capacity_bytes / 8;
        if (guard_bytes > RQ_GUARD_BYTES_DEFAULT_MAX) guard_bytes = RQ_GUARD_BYTES_DEFAULT_MAX;
    }
    if (guard_bytes < RQ_GUARD_BYTES_MIN || guard_bytes > capacity_bytes / 4 ||
        guard_bytes % RQ_FRAME_ALIGN_BYTES != 0 || guard_bytes > UINT32_MAX)
        return -ERANGE;
    descriptor->magic = RQ_MAGIC;
    descriptor->format_version = RQ_FORMAT_VERSION;
    descriptor->record_bytes = record_bytes;
    descriptor->capacity_bytes = capacity_bytes;
    descriptor->guard_bytes = guard_bytes;
    descriptor->message_bytes_max = guard_bytes - RQ_FRAME_HEADER_BYTES;
    descriptor->live_offset_bytes = RQ_LIVE_OFFSET_BYTES;
    descriptor->ledger_offset_bytes = RQ_LEDGER_OFFSET_BYTES;
    descriptor->ledger_entry_count = RQ_LEDGER_ENTRIES;
    descriptor->index_offset_bytes = RQ_INDEX_OFFSET_BYTES;
    descriptor->index_stride_bytes = index_stride_for(capacity_bytes);
    descriptor->data_offset_bytes = data_offset_for(capacity_bytes);
    descriptor->segment_bytes = descriptor->data_offset_bytes + capacity_bytes;
    if (record_bytes > descriptor->message_bytes_max) return -EMSGSIZE;
    return 0;
}

int rq_descriptor_check(const struct rq_descriptor *descriptor) {
    struct rq_descriptor expected;
    if (descriptor->magic != RQ_MAGIC) return -EBADMSG;
    if (descriptor->format_version != RQ_FORMAT_VERSION) return -EPROTONOSUPPORT;
    if (descriptor->guard_bytes == 0 ||
        rq_descriptor_init(&expected, descriptor->capacity_bytes, descriptor->guard_bytes,
                           descriptor->record_bytes) != 0)
        return -EBADMSG;
    /* Version 1 leaves its publisher no choice but capacity, guard and record size. */
    if (descriptor->segment_bytes != expected.segment_bytes ||
        descriptor->message_bytes_max != expected.message_bytes_max ||
        descriptor->live_offset_bytes != expected.live_offset_bytes ||
        descriptor->ledger_offset_bytes != expected.ledger_offset_bytes ||
        descriptor->ledger_entry_count != expected.ledger_entry_count ||
        descriptor->index_offset_bytes != expected.index_offset_bytes ||
        descriptor->index_stride_bytes != expected.index_stride_bytes ||
        descriptor->data_offset_bytes != expected.data_offset_bytes)
        return -EBADMSG;
    if (descriptor->is_reliable > 1 || descriptor->name_bytes > RQ_NAME_BYTES_MAX ||
        descriptor->schema_bytes > RQ_SCHEMA_BYTES_MAX)
        return -EBADMSG;
    return 0;
}
