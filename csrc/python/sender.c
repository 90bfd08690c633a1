/* `Sender`, the hot half of `Publisher`: one message, a list of them, or one array of records, to
 * the ring. */
#include <string.h>

#include "python/hot.h"
#include "rdmaq_abi.h"

struct sender {
    PyObject_HEAD struct rq_publisher *publisher;
    struct rq_taken *taken; /* Python's own, where it goes on when the gate shuts midway */
    PyObject *owner;        /* keeps the two */
    PyObject *known_dtype;  /* a dtype that was found to be the stream's; None: untyped */
    PyObject *known_type;   /* a type of arrays that Python had nothing against */
    uint64_t record_bytes;  /* 0: untyped */
    uint64_t message_bytes_max;
    uint8_t *blocks; /* of RQ_HELD_BYTES_MAX: where a list's messages are joined; NULL: not yet */
    _Atomic int inside;
};

static struct sender *sender_of(PyObject *object) { return (struct sender *)object; }

static int sender_traverse(PyObject *object, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(sender_of(object)->owner);
    Py_VISIT(sender_of(object)->known_dtype);
    Py_VISIT(sender_of(object)->known_type);
    return 0;
}

static int sender_clear(PyObject *object) {
    sender_of(object)->publisher = NULL;
    Py_CLEAR(sender_of(object)->owner);
    Py_CLEAR(sender_of(object)->known_dtype);
    Py_CLEAR(sender_of(object)->known_type);
    return 0;
}

static void sender_dealloc(PyObject *object) {
    PyObject_GC_UnTrack(object);
    sender_clear(object);
    PyMem_Free(sender_of(object)->blocks);
    rq_py_free(object);
}

static PyObject *sender_bind(PyObject *object, PyObject *args) {
    struct sender *self = sender_of(object);
    PyObject *publisher, *taken, *owner, *dtype;
    unsigned long long record_bytes, message_bytes_max;
    if (!PyArg_ParseTuple(args, "OOOOKK:_bind", &publisher, &taken, &owner, &dtype, &record_bytes,
                          &message_bytes_max))
        return NULL;
    self->taken = rq_py_address(taken);
    self->publisher = rq_py_address(publisher);
    self->record_bytes = record_bytes;
    self->message_bytes_max = message_bytes_max;
    rq_py_replace(&self->owner, Py_NewRef(owner));
    rq_py_replace(&self->known_dtype, Py_NewRef(dtype));
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

static PyObject *sender_enter(PyObject *object, PyObject *Py_UNUSED(none)) {
    if (rq_py_enter(&sender_of(object)->inside)) Py_RETURN_NONE;
    return PyObject_CallMethod(object, "_refuse_entry", NULL);
}

static PyObject *sender_leave(PyObject *object, PyObject *Py_UNUSED(none)) {
    rq_py_leave(&sender_of(object)->inside);
    Py_RETURN_NONE;
}

/* ---- send -------------------------------------------------------------------------------- */

/* The sequence; 0 and less: Python sees what to do. */
static int64_t send_bytes(struct sender *self, const void *data, Py_ssize_t size_bytes) {
    int64_t sequence;
    if (size_bytes <= RQ_HELD_BYTES_MAX)
        return rq_send(self->publisher, data, (uint64_t)size_bytes);
    Py_BEGIN_ALLOW_THREADS;
    sequence = rq_send(self->publisher, data, (uint64_t)size_bytes);
    Py_END_ALLOW_THREADS;
    return sequence;
}

/* Python's own objects anywhere in a buffer's format: its bytes are their addresses. A format is
 * as the module `struct` has it, nested by T{...}, with the fields' names between colons. */
static int holds_objects(const char *format) {
    int is_in_name = 0;
    for (; format != NULL && *format != '\0'; format++) {
        if (*format == ':') is_in_name = !is_in_name;
        if (*format == 'O' && !is_in_name) return 1;
    }
    return 0;
}

static PyObject *sender_send(PyObject *object, PyObject *message) {
    struct sender *self = sender_of(object);
    int64_t sequence = 0;
    Py_buffer view;
    if (self->publisher == NULL || self->record_bytes != 0) {
        /* records of Python's objects, or never opened */
    } else if (PyBytes_CheckExact(message)) {
        sequence = send_bytes(self, PyBytes_AsString(message), PyBytes_Size(message));
    } else if (PyObject_GetBuffer(message, &view, PyBUF_ND | PyBUF_FORMAT) == 0) {
        if (!holds_objects(view.format)) sequence = send_bytes(self, view.buf, view.len);
        PyBuffer_Release(&view);
    } else {
        PyErr_Clear();
    }
    if (sequence > 0) return PyLong_FromLongLong(sequence);
    return PyObject_CallMethod(object, "_send_slowly", "(O)", message);
}

/* ---- send_many ------------------------------------------------------------------------------- */

/* Joins bytes objects, each behind its length, as one frame has them. How many bytes that are; 0:
 * none, or something else among them, or more than a frame holds or may be copied with the GIL. */
static uint64_t join(const struct sender *self, PyObject *messages, Py_ssize_t count) {
    uint64_t limit_bytes = self->message_bytes_max, used_bytes = 0;
    if (limit_bytes > RQ_HELD_BYTES_MAX) limit_bytes = RQ_HELD_BYTES_MAX;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *message = PyList_GetItem(messages, i);
        if (message == NULL || !PyBytes_CheckExact(message)) return 0;
        uint64_t size_bytes = (uint64_t)PyBytes_Size(message);
        if (size_bytes > limit_bytes || limit_bytes - size_bytes < used_bytes + 2) return 0;
        self->blocks[used_bytes] = (uint8_t)(size_bytes >> 8);
        self->blocks[used_bytes + 1] = (uint8_t)size_bytes;
        memcpy(self->blocks + used_bytes + 2, PyBytes_AsString(message), size_bytes);
        used_bytes += 2 + size_bytes;
    }
    return used_bytes;
}

_Static_assert(RQ_HELD_BYTES_MAX <= RQ_BLOCK_PAYLOAD_BYTES_MAX, "a length has 16 bits");

/* One frame, all or nothing: so 0, whatever the reason, leaves all of it to Python. */
static int64_t send_list(struct sender *self, PyObject *messages) {
    if (self->publisher == NULL || self->record_bytes != 0 || !PyList_CheckExact(messages))
        return 0;
    if (self->blocks == NULL) self->blocks = PyMem_Malloc(RQ_HELD_BYTES_MAX);
    if (self->blocks == NULL) return 0;
    Py_ssize_t count = PyList_Size(messages);
    uint64_t joined_bytes = join(self, messages, count);
    if (joined_bytes == 0) return 0;
    int64_t sequence = rq_send_blocks(self->publisher, self->blocks, joined_bytes, (uint64_t)count,
                                      0, self->taken);
    return sequence > 0 ? sequence : 0;
}

static PyObject *sender_send_list(PyObject *object, PyObject *messages) {
    struct sender *self = sender_of(object);
    if (!rq_py_enter(&self->inside)) return PyLong_FromLong(0);
    int64_t sequence = send_list(self, messages);
    rq_py_leave(&self->inside);
    return PyLong_FromLongLong(sequence);
}

/* ---- send_batch ---------------------------------------------------------------------------- */

/* 1: a contiguous 1-D array whose type and dtype are known; release the view. 0: Python looks. */
static int lend_records(struct sender *self, PyObject *records, Py_buffer *view) {
    if (self->record_bytes == 0 || (PyObject *)Py_TYPE(records) != self->known_type) return 0;
    PyObject *dtype = PyObject_GetAttr(records, rq_py_dtype_name);
    int is_known = dtype != NULL && dtype == self->known_dtype;
    Py_XDECREF(dtype);
    if (!is_known || PyObject_GetBuffer(records, view, PyBUF_ND) != 0) {
        PyErr_Clear();
        return 0;
    }
    if (view->ndim == 1 && (uint64_t)view->itemsize == self->record_bytes) return 1;
    PyBuffer_Release(view);
    return 0;
}

static int64_t send_records(struct sender *self, const Py_buffer *view) {
    int64_t sequence;
    uint64_t count = (uint64_t)view->shape[0];
    if (view->len <= RQ_HELD_BYTES_MAX)
        return rq_send_records(self->publisher, view->buf, count, self->taken);
    Py_BEGIN_ALLOW_THREADS;
    sequence = rq_send_records(self->publisher, view->buf, count, self->taken);
    Py_END_ALLOW_THREADS;
    return sequence;
}

static PyObject *send_batch_inside(struct sender *self, PyObject *records) {
    Py_buffer view;
    if (self->publisher == NULL || !lend_records(self, records, &view))
        return PyObject_CallMethod((PyObject *)self, "_send_batch_slowly", "(OO)", records,
                                   Py_None);
    int64_t sequence = send_records(self, &view);
    PyBuffer_Release(&view);
    if (sequence > 0) return PyLong_FromLongLong(sequence);
    return PyObject_CallMethod((PyObject *)self, "_send_batch_slowly", "(OL)", records,
                               (long long)sequence);
}

static PyObject *sender_send_batch(PyObject *object, PyObject *records) {
    struct sender *self = sender_of(object);
    if (!rq_py_enter(&self->inside)) return PyObject_CallMethod(object, "_refuse_entry", NULL);
    PyObject *answer = send_batch_inside(self, records);
    rq_py_leave(&self->inside);
    return answer;
}

/* ---- the type ------------------------------------------------------------------------------ */

PyDoc_STRVAR(
    send_doc,
    "send($self, message, /)\n--\n\n"
    "Publishes one message and returns its sequence.\n\n"
    "Args:\n"
    "    message: untyped stream: any bytes-like object. Typed: a tuple, `np.void` or 0-d array\n"
    "        that fits the dtype; a number where that has no fields. Copied; yours again when the\n"
    "        call returns.\n\n"
    "Raises:\n"
    "    MessageTooLarge: nothing was published; the text names the limit.\n"
    "    SchemaError: the message is not of the stream's kind; nothing was published.\n"
    "    NotEnoughReaders: reliable stream; nothing was published.\n"
    "    ConcurrentUse, ClosedError: see there.\n");

PyDoc_STRVAR(
    send_batch_doc,
    "send_batch($self, records, /)\n--\n\n"
    "Publishes an array of records as one frame and returns the first one's sequence.\n\n"
    "One crossing into C, one copy. An array longer than the guard goes as several frames.\n\n"
    "Args:\n"
    "    records: 1-D array of the stream's dtype (copied first if it is not contiguous), or what\n"
    "        numpy makes one of. An empty one publishes nothing and returns the next sequence.\n"
    "        Yours again when the call returns. Padding between its fields goes as it stands: "
    "what\n"
    "        `np.empty` found in memory there, subscribers can see.\n\n"
    "Raises:\n"
    "    SchemaError: untyped stream, other dtype or more than one dimension.\n"
    "    NotEnoughReaders: reliable stream; `.sent` records were published, the rest not.\n"
    "    ConcurrentUse, ClosedError: see there.\n");

static PyMethodDef sender_methods[] = {
    {"send", sender_send, METH_O, send_doc},
    {"send_batch", sender_send_batch, METH_O, send_batch_doc},
    {"_send_list", sender_send_list, METH_O, NULL},
    {"_bind", sender_bind, METH_VARARGS, NULL},
    {"_enter", sender_enter, METH_NOARGS, NULL},
    {"_leave", sender_leave, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef sender_members[] = {
    {"_known_dtype", T_OBJECT, offsetof(struct sender, known_dtype), 0, NULL},
    {"_known_type", T_OBJECT, offsetof(struct sender, known_type), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot sender_slots[] = {
    {Py_tp_traverse, sender_traverse}, {Py_tp_clear, sender_clear},
    {Py_tp_dealloc, sender_dealloc},   {Py_tp_methods, sender_methods},
    {Py_tp_members, sender_members},   {0, NULL},
};

PyType_Spec rq_py_sender_spec = {
    .name = "rdmaq._hot.Sender",
    .basicsize = sizeof(struct sender),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = sender_slots,
};
