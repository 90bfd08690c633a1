/*
 * Regions' and tables' part of the boundary (csrc/region). The rules are those of rdmaq_abi.h,
 * which includes this file.
 */
#ifndef RDMAQ_REGION_H
#define RDMAQ_REGION_H

#include <stdint.h>

/* cffi: begin */

/* ---- areas: memory open to one-sided access ------------------------------------------------- */
#define RQ_ACCESS_READ 1
#define RQ_ACCESS_WRITE 2
#define RQ_ACCESS_ATOMIC 4
#define RQ_AREA_BYTES_MAX 1099511627776

struct rq_area;

/* Two memfds, populated, mapped and sealed: the data (not writable by others unless access says
 * so), and the owner's word about it. Both descriptors are the caller's to close. */
int rq_area_create(uint64_t data_bytes, uint32_t access, struct rq_area **area_out,
                   int *data_fd_out, int *control_fd_out);
/* Checks a stranger's two memfds (-EPERM: a seal is missing; -EBADMSG: size or holes) and maps them
 * for the access granted. The descriptors stay the caller's. */
int rq_area_attach(int data_fd, int control_fd, uint64_t data_bytes, uint32_t access,
                   struct rq_area **area_out);
uint8_t *rq_area_data(struct rq_area *area);
/* Operations that begin after it are refused at the peers (-ESTALE). If peers could write, the
 * owner's addresses get private memory with the same bytes. Idempotent. Nobody may write through
 * the owner's mapping meanwhile. */
int rq_area_revoke(struct rq_area *area);
/* The mappings go here: nothing may point into them any more. */
void rq_area_free(struct rq_area *area);

/* ---- regions: operations on an area --------------------------------------------------------- */
#define RQ_REGION_READ 1
#define RQ_REGION_WRITE 2
#define RQ_REGION_FETCH_ADD 3
#define RQ_REGION_COMPARE_SWAP 4

struct rq_region;

struct rq_region_op {
    uint64_t offset_bytes;  /* in the area; of an atomic: a multiple of 8 */
    uint64_t length_bytes;  /* of an atomic: 8 */
    uint64_t local_address; /* read: to here; write: from here; length_bytes of the caller's own */
    uint64_t operand;       /* what is added, or swapped in */
    uint64_t compare;
    uint64_t result; /* of an atomic: the value before */
    uint32_t kind;   /* RQ_REGION_* */
    uint32_t reserved;
    uint64_t reserved_word;
};

/* socket_fd and owner_fd (a pidfd or -1) tell of the owner's death and stay the caller's until
 * close; socket_fd -1: this is the owner. The area outlives the region. */
int rq_region_open(struct rq_area *area, uint32_t access, int socket_fd, int owner_fd,
                   struct rq_region **region_out);
/* Does the operations in their order and returns count, or does none: -EACCES, -ERANGE or -EINVAL
 * (*bad_index_out says which one), -ESTALE: revoked, -EOWNERDEAD, -EBUSY, -ESHUTDOWN. */
int64_t rq_region_run(struct rq_region *region, struct rq_region_op *ops, uint64_t count,
                      uint64_t *bad_index_out);
int rq_region_close(struct rq_region *region);
void rq_region_forget(struct rq_region *region);
void rq_region_free(struct rq_region *region);

/* ---- tables: rows under versions (drawn in csrc/region/table.h) ------------------------------ */
#define RQ_TABLE_FORMAT 1
#define RQ_TABLE_LINE_BYTES 64
#define RQ_TABLE_PAYLOAD_BYTES 56
#define RQ_TABLE_ROW_BYTES_MAX 1048576

struct rq_table_shape {
    uint64_t row_bytes;
    uint64_t row_count;
};

struct rq_table_note {
    uint64_t bad_index;    /* with -ERANGE: which of the rows asked for */
    uint64_t reread_count; /* tries that found a row in motion; added to */
};

/* The bytes of a table's area. */
uint64_t rq_table_bytes(uint64_t row_bytes, uint64_t row_count);
/* The owner replaces rows rows[0..count) by values. Returns count; or nothing was done: -ERANGE
 * with *bad_index_out, -EACCES, -EBUSY, -ESTALE, -ESHUTDOWN. */
int64_t rq_table_update(struct rq_region *region, const struct rq_table_shape *shape,
                        const uint64_t *rows, uint64_t count, const uint8_t *values,
                        uint64_t *bad_index_out);
/* Copies rows, each of them whole, and the number of updates it had. Returns how many of them were
 * taken: fewer than count when one was in motion at every try; call again for the rest. */
int64_t rq_table_read(struct rq_region *region, const struct rq_table_shape *shape,
                      const uint64_t *rows, uint64_t count, uint8_t *out, uint64_t *versions_out,
                      struct rq_table_note *note);
/* Judges one row that three READs fetched, each begun after the one before had ended. Where one
 * READ takes each line of 64 bytes at one moment, one will do: pass it three times. 1: out has the
 * row; 0: fetch it again. */
int rq_table_judge(const struct rq_table_shape *shape, const uint8_t *before, const uint8_t *row,
                   const uint8_t *after, uint8_t *out, uint64_t *version_out);

/* cffi: end */

#endif
