/* `BatchCore`: a batch as C leaves it. Python's `Batch` adds what is computed when it is asked for.
 */
#include <string.h>

#include "python/hot.h"

static struct rq_py_batch *batch_of(PyObject *object) { return (struct rq_py_batch *)object; }

/* Not tracked by the collector: it holds a cursor, bytes and arrays, and none of them holds it. */
static void batch_dealloc(PyObject *object) {
    struct rq_py_batch *batch = batch_of(object);
    Py_XDECREF(batch->cursor);
    Py_XDECREF(batch->payload);
    Py_XDECREF(batch->offsets);
    Py_XDECREF(batch->notes);
    rq_py_free(object);
}

/* BatchCore(cursor, payload, found, is_untyped, offsets=None): found is a struct rq_batch. */
static PyObject *batch_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs)) {
    PyObject *cursor, *payload, *offsets = NULL;
    const char *found;
    Py_ssize_t found_bytes;
    int is_untyped;
    if (!PyArg_ParseTuple(args, "OOy#p|O:BatchCore", &cursor, &payload, &found, &found_bytes,
                          &is_untyped, &offsets))
        return NULL;
    if (found_bytes != sizeof(struct rq_batch))
        return PyErr_Format(PyExc_ValueError, "found: %zu bytes wanted", sizeof(struct rq_batch));
    struct rq_py_batch *batch = (struct rq_py_batch *)PyType_GenericAlloc(type, 0);
    if (batch == NULL) return NULL;
    memcpy(&batch->found, found, sizeof(batch->found));
    batch->cursor = Py_NewRef(cursor);
    batch->payload = Py_NewRef(payload);
    batch->offsets = Py_XNewRef(offsets);
    batch->is_untyped = is_untyped;
    return (PyObject *)batch;
}

static Py_ssize_t batch_length(PyObject *object) { return batch_of(object)->found.message_count; }

static int batch_bool(PyObject *Py_UNUSED(object)) { return 1; }

/* Each message by its offsets, which C wrote and checked when it copied them. */
static PyObject *cut(const char *payload, const uint32_t *offsets, uint32_t count) {
    PyObject *messages = PyList_New(count);
    for (uint32_t i = 0; messages != NULL && i < count; i++) {
        PyObject *message =
            PyBytes_FromStringAndSize(payload + offsets[i], offsets[i + 1] - offsets[i]);
        if (message == NULL)
            Py_CLEAR(messages);
        else
            PyList_SetItem(messages, i, message);
    }
    return messages;
}

static PyObject *batch_messages(PyObject *object, void *Py_UNUSED(closure)) {
    struct rq_py_batch *batch = batch_of(object);
    uint32_t count = batch->found.message_count;
    if (!batch->is_untyped || !PyBytes_CheckExact(batch->payload))
        return PyObject_CallMethod(object, "_messages_of_array", NULL);
    if (batch->offsets != NULL)
        return cut(PyBytes_AsString(batch->payload),
                   (const uint32_t *)(void *)PyBytes_AsString(batch->offsets), count);
    PyObject *messages = PyList_New(count != 0);
    if (messages != NULL && count != 0) PyList_SetItem(messages, 0, Py_NewRef(batch->payload));
    return messages;
}

#define FOUND(member) offsetof(struct rq_py_batch, found) + offsetof(struct rq_batch, member)

static PyMemberDef batch_members[] = {
    {"_cursor", T_OBJECT_EX, offsetof(struct rq_py_batch, cursor), READONLY, NULL},
    {"_payload", T_OBJECT_EX, offsetof(struct rq_py_batch, payload), READONLY, NULL},
    {"_offsets", T_OBJECT, offsetof(struct rq_py_batch, offsets), READONLY, NULL},
    {"_notes", T_OBJECT, offsetof(struct rq_py_batch, notes), READONLY, NULL},
    {"_received_ticks", T_ULONGLONG, FOUND(received_ticks), READONLY, NULL},
    {"_publish_ticks", T_ULONGLONG, FOUND(publish_ticks), READONLY, NULL},
    {"sequence", T_ULONGLONG, FOUND(sequence), READONLY,
     "Of the first message; of a gap: the first lost one."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef batch_getset[] = {
    {"messages", batch_messages, NULL, "Each message as `bytes`.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot batch_slots[] = {
    {Py_tp_new, batch_new},
    {Py_tp_dealloc, batch_dealloc},
    {Py_sq_length, batch_length},
    {Py_nb_bool, batch_bool},
    {Py_tp_members, batch_members},
    {Py_tp_getset, batch_getset},
    {0, NULL},
};

PyType_Spec rq_py_batch_spec = {
    .name = "rdmaq._hot.BatchCore",
    .basicsize = sizeof(struct rq_py_batch),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = batch_slots,
};
