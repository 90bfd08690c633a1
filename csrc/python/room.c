/* Where a receiver's messages are copied to, and the batches made of them. */
#include "python/receiver.h"

#define SCRATCH_BYTES_MIN 4096u
#define SCRATCH_BYTES_UNTYPED 262144u
#define SCRATCH_BYTES_TYPED_MAX 4194304u
#define INTO_FLAGS (PyBUF_WRITABLE | PyBUF_ND)

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

static uint64_t scratch_bytes(const struct rq_py_receiver *self, uint32_t count_max,
                              uint64_t bytes_min) {
    uint64_t record_bytes = self->record_bytes;
    if (record_bytes == 0) return larger(SCRATCH_BYTES_UNTYPED, bytes_min);
    uint64_t wanted_bytes = count_max * record_bytes;
    if (wanted_bytes > SCRATCH_BYTES_TYPED_MAX) wanted_bytes = SCRATCH_BYTES_TYPED_MAX;
    wanted_bytes = larger(wanted_bytes, larger(SCRATCH_BYTES_MIN, bytes_min));
    return (wanted_bytes + record_bytes - 1) / record_bytes * record_bytes;
}

int rq_py_make_room(struct rq_py_receiver *self, uint32_t count_max, uint64_t bytes_min) {
    struct rq_poll *poll = &self->poll;
    uint64_t size_bytes = scratch_bytes(self, count_max, bytes_min);
    PyObject *scratch = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size_bytes);
    if (scratch == NULL) return -1;
    rq_py_replace(&self->scratch, scratch);
    poll->out = NULL; /* pointed at the old one */
    if (poll->notes == NULL) {
        poll->notes = PyMem_Calloc(RQ_PY_NOTES_MAX, sizeof(*poll->notes));
        poll->note_count_max = RQ_PY_NOTES_MAX;
    }
    if (self->record_bytes == 0) {
        uint32_t *offsets = PyMem_Realloc(poll->offsets, (count_max + 1u) * sizeof(*offsets));
        if (offsets != NULL) poll->offsets = offsets;
        if (offsets == NULL) count_max = 0;
    }
    self->count_max = count_max;
    if (count_max != 0 && poll->notes != NULL) return 0;
    self->count_max = 0;
    PyErr_NoMemory();
    return -1;
}

void rq_py_drop_room(struct rq_py_receiver *self) {
    if (self->into != NULL) PyBuffer_Release(&self->into_view);
    Py_CLEAR(self->into);
    Py_CLEAR(self->into_area);
    Py_CLEAR(self->into_dtype);
    Py_CLEAR(self->scratch);
    PyMem_Free(self->poll.notes);
    PyMem_Free(self->poll.offsets);
    self->poll.notes = NULL;
    self->poll.offsets = NULL;
    self->poll.out = NULL;
    self->count_max = 0;
    self->undelivered = 0; /* it stood there */
}

/* Another buffer of the user's than last time: Python checks it, and says what to cut batches of.
 */
static int adopt_into(struct rq_py_receiver *self, PyObject *into) {
    PyObject *area = PyObject_CallMethod((PyObject *)self, "_check_into", "(O)", into);
    if (area == NULL) return -1;
    PyObject *dtype = self->record_bytes != 0 ? PyObject_GetAttrString(into, "dtype") : NULL;
    Py_buffer view;
    if ((self->record_bytes != 0 && dtype == NULL) ||
        PyObject_GetBuffer(into, &view, INTO_FLAGS) != 0) {
        Py_XDECREF(dtype);
        Py_DECREF(area);
        return -1;
    }
    if (self->into != NULL) PyBuffer_Release(&self->into_view);
    self->into_view = view;
    rq_py_replace(&self->into, Py_NewRef(into));
    rq_py_replace(&self->into_area, area);
    rq_py_replace(&self->into_dtype, dtype);
    return 0;
}

/* The buffer of last time. But numpy lets an array that is lent be made read-only, get another
 * shape or dtype, or other memory (by `resize`): then it is looked at anew. */
static int is_as_adopted(struct rq_py_receiver *self, PyObject *into) {
    Py_buffer now;
    if (into != self->into) return 0;
    PyObject *dtype = self->record_bytes != 0 ? PyObject_GetAttrString(into, "dtype") : NULL;
    int is_same = dtype == self->into_dtype;
    Py_XDECREF(dtype);
    if (!is_same || PyObject_GetBuffer(into, &now, INTO_FLAGS) != 0) {
        PyErr_Clear();
        return 0;
    }
    is_same = now.buf == self->into_view.buf && now.len == self->into_view.len &&
              now.ndim == self->into_view.ndim;
    PyBuffer_Release(&now);
    return is_same;
}

int rq_py_point_at(struct rq_py_receiver *self, PyObject *into) {
    if (into != NULL && !is_as_adopted(self, into) && adopt_into(self, into) != 0) return -1;
    self->is_into = into != NULL;
    self->poll.out =
        into != NULL ? self->into_view.buf : (uint8_t *)PyBytes_AsString(self->scratch);
    self->poll.out_bytes =
        (uint64_t)(into != NULL ? self->into_view.len : PyBytes_Size(self->scratch));
    return 0;
}

/* Large batches of records go with the scratch when they fill most of it: one copy, not two. */
static PyObject *take_payload(struct rq_py_receiver *self, uint32_t count) {
    Py_ssize_t payload_bytes = (Py_ssize_t)self->poll.batch.payload_bytes;
    if (self->is_into)
        return PySequence_GetSlice(self->into_area, 0,
                                   self->record_bytes != 0 ? (Py_ssize_t)count : payload_bytes);
    Py_ssize_t size_bytes = PyBytes_Size(self->scratch);
    if (self->record_bytes == 0 || 2 * payload_bytes < size_bytes)
        return PyBytes_FromStringAndSize((const char *)self->poll.out, payload_bytes);
    PyObject *fresh = PyBytes_FromStringAndSize(NULL, size_bytes);
    if (fresh == NULL) return NULL;
    PyObject *filled = self->scratch;
    self->scratch = fresh;
    return filled;
}

PyObject *rq_py_make_batch(struct rq_py_receiver *self, uint32_t count) {
    const struct rq_poll *poll = &self->poll;
    struct rq_py_batch *batch =
        (struct rq_py_batch *)PyType_GenericAlloc((PyTypeObject *)self->batch_type, 0);
    if (batch == NULL) return NULL;
    batch->found = poll->batch;
    batch->is_untyped = self->record_bytes == 0;
    batch->cursor = Py_NewRef(self->cursor);
    int is_whole = 1;
    if (batch->is_untyped && count > 1) {
        batch->offsets = PyBytes_FromStringAndSize(
            (const char *)poll->offsets, (Py_ssize_t)((count + 1u) * sizeof(*poll->offsets)));
        is_whole = batch->offsets != NULL;
    }
    uint32_t frame_count = poll->batch.frame_count;
    if (is_whole && frame_count > 1) {
        batch->notes = PyBytes_FromStringAndSize((const char *)poll->notes,
                                                 (Py_ssize_t)(frame_count * sizeof(*poll->notes)));
        is_whole = batch->notes != NULL;
    }
    if (is_whole) batch->payload = take_payload(self, count); /* last: it may take the scratch */
    if (batch->payload != NULL) return (PyObject *)batch;
    Py_DECREF(batch);
    return NULL;
}
