/* `Receiver`, the hot half of `Subscription`: the arguments of `poll`, and the type. */
#include <math.h>
#include <string.h>

#include "python/receiver.h"

static struct rq_py_receiver *receiver_of(PyObject *object) {
    return (struct rq_py_receiver *)object;
}

/* ---- arguments --------------------------------------------------------------------------- */

int rq_py_read_timeout(PyObject *value, struct rq_py_wish *wish) {
    wish->timeout_seconds = INFINITY;
    if (value == Py_None) return 0;
    wish->timeout_seconds = PyBool_Check(value) ? -1.0 : PyFloat_AsDouble(value);
    if (PyErr_Occurred() &&
        PyErr_ExceptionMatches(PyExc_OverflowError)) { /* an integer beyond all floats */
        PyErr_Clear();
        wish->timeout_seconds = INFINITY;
    } else if (PyBool_Check(value) || PyErr_Occurred()) {
        PyErr_Format(PyExc_TypeError,
                     "timeout=%.80R is no time: it is a %.80R; give seconds, 0, or None to wait "
                     "for ever",
                     value, Py_TYPE(value));
        return -1;
    }
    if (!isnan(wish->timeout_seconds)) return 0;
    PyErr_SetString(PyExc_ValueError, "timeout=nan: it would never be over; give seconds, 0, or "
                                      "None to wait for ever");
    return -1;
}

int rq_py_read_count_max(PyObject *value, struct rq_py_wish *wish) {
    long count_max = PyBool_Check(value) ? -1 : PyLong_AsLong(value);
    wish->count_max = (uint32_t)count_max;
    if (count_max >= 1 && count_max <= RQ_FRAME_MESSAGES_MAX) return 0;
    if (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_OverflowError)) PyErr_Clear();
    int is_number = !PyBool_Check(value) && PyErr_Occurred() == NULL;
    PyErr_Format(is_number ? PyExc_ValueError : PyExc_TypeError,
                 "max_messages=%.80R: it must be a whole number from 1 to 16,777,215; leave it out "
                 "for 1,024",
                 value);
    return -1;
}
_Static_assert(RQ_FRAME_MESSAGES_MAX == 16777215, "the text above says so");

static int read_argument(PyObject *name, PyObject *value, struct rq_py_wish *wish) {
    if (PyUnicode_CompareWithASCIIString(name, "max_messages") == 0)
        return rq_py_read_count_max(value, wish);
    if (PyUnicode_CompareWithASCIIString(name, "timeout") == 0)
        return rq_py_read_timeout(value, wish);
    if (PyUnicode_CompareWithASCIIString(name, "into") == 0) {
        wish->into = value == Py_None ? NULL : value;
        return 0;
    }
    PyErr_Format(PyExc_TypeError,
                 "poll() has no argument %R: it takes timeout, max_messages and into", name);
    return -1;
}

static PyObject *receiver_poll(PyObject *object, PyObject *const *args, Py_ssize_t count,
                               PyObject *names) {
    struct rq_py_wish wish = {.timeout_seconds = INFINITY, .count_max = 1024};
    if (count > 1)
        return PyErr_Format(PyExc_TypeError,
                            "poll() takes one positional argument, timeout: name the others");
    if (count == 1 && rq_py_read_timeout(args[0], &wish) != 0) return NULL;
    Py_ssize_t named = names == NULL ? 0 : PyTuple_Size(names);
    for (Py_ssize_t i = 0; i < named; i++) {
        if (count == 1 &&
            PyUnicode_CompareWithASCIIString(PyTuple_GetItem(names, i), "timeout") == 0)
            return PyErr_Format(PyExc_TypeError, "poll() got timeout twice: give it once");
        if (read_argument(PyTuple_GetItem(names, i), args[count + i], &wish) != 0) return NULL;
    }
    return rq_py_receive(receiver_of(object), &wish);
}

/* ---- the type ------------------------------------------------------------------------------ */

static int receiver_traverse(PyObject *object, visitproc visit, void *arg) {
    struct rq_py_receiver *self = receiver_of(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->cursor);
    Py_VISIT(self->batch_type);
    Py_VISIT(self->into);
    Py_VISIT(self->into_area);
    Py_VISIT(self->into_dtype);
    Py_VISIT(self->kept);
    return 0;
}

static int receiver_clear(PyObject *object) {
    struct rq_py_receiver *self = receiver_of(object);
    self->reader = NULL;
    Py_CLEAR(self->kept);
    rq_py_drop_room(self);
    Py_CLEAR(self->batch_type);
    Py_CLEAR(self->cursor);
    return 0;
}

static void receiver_dealloc(PyObject *object) {
    PyObject_GC_UnTrack(object);
    receiver_clear(object);
    rq_py_free(object);
}

/* _bind(cursor, reader's address, record_bytes, wait_mode, type of batches). */
static PyObject *receiver_bind(PyObject *object, PyObject *args) {
    struct rq_py_receiver *self = receiver_of(object);
    PyObject *cursor, *reader, *batch_type;
    unsigned long long record_bytes;
    unsigned int wait_mode;
    if (!PyArg_ParseTuple(args, "OOKIO!:_bind", &cursor, &reader, &record_bytes, &wait_mode,
                          &PyType_Type, &batch_type))
        return NULL;
    struct rq_reader *address = rq_py_address(reader);
    if (address == NULL) return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, "NULL");
    rq_py_drop_room(self); /* made for the other reader's records */
    self->looked_ticks = rq_now_ticks();
    self->reader = address;
    self->record_bytes = record_bytes;
    self->poll.wait_mode = wait_mode;
    rq_py_replace(&self->batch_type, Py_NewRef(batch_type));
    rq_py_replace(&self->cursor, Py_NewRef(cursor));
    Py_RETURN_NONE;
}

static PyObject *receiver_enter(PyObject *object, PyObject *Py_UNUSED(none)) {
    if (rq_py_enter(&receiver_of(object)->inside)) Py_RETURN_NONE;
    return PyObject_CallMethod(object, "_refuse_entry", NULL);
}

static PyObject *receiver_leave(PyObject *object, PyObject *Py_UNUSED(none)) {
    rq_py_leave(&receiver_of(object)->inside);
    Py_RETURN_NONE;
}

static PyObject *receiver_take_undelivered(PyObject *object, PyObject *Py_UNUSED(none)) {
    return rq_py_take_undelivered(receiver_of(object));
}

/* _keep_gap(found): a gap that a view took out of the ring, and its user did not get. */
static PyObject *receiver_keep_gap(PyObject *object, PyObject *args) {
    struct rq_py_receiver *self = receiver_of(object);
    const char *found;
    Py_ssize_t found_bytes;
    if (!PyArg_ParseTuple(args, "y#:_keep_gap", &found, &found_bytes)) return NULL;
    if (found_bytes != sizeof(self->poll.batch))
        return PyErr_Format(PyExc_ValueError, "found: %zu bytes wanted", sizeof(self->poll.batch));
    memcpy(&self->poll.batch, found, sizeof(self->poll.batch));
    self->undelivered = RQ_POLL_GAP;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    poll_doc,
    "poll($self, /, timeout=None, *, max_messages=1024, into=None)\n--\n\n"
    "Returns the next batch, copied out of the ring, or a gap, or None when time is up.\n\n"
    "Args:\n"
    "    timeout: seconds to wait when there is nothing; None: for ever; 0: not at all.\n"
    "    max_messages: the most that the batch may hold.\n"
    "    into: your own writable buffer (typed: a contiguous array of the dtype) to copy into;\n"
    "        `batch.data` is then a part of it, and the next poll writes over it. Lent until you\n"
    "        give another one or the subscription is gone: a bytearray keeps its size so long.\n\n"
    "Raises:\n"
    "    EndOfStream: the publisher closed the stream and all was delivered.\n"
    "    PublisherGone: it vanished, and all that it had published was delivered.\n"
    "    GapError: only with `on_gap=\"raise\"`; the next poll goes on behind the gap.\n"
    "    CutOff: a reliable publisher gave this subscription up.\n"
    "    ValueError: `into` does not fit (nothing is lost), or another argument is out of range.\n"
    "    SegmentError, ConcurrentUse, ClosedError: see there.\n\n"
    "An exception that a signal handler raises (Ctrl-C) inside `poll` loses nothing: the next "
    "poll\n"
    "returns the batch. Once `poll` has returned, the batch is the interpreter's, as with any\n"
    "function: a handler that raises before your assignment drops it. Iterating has no such "
    "gap.\n");

static PyMethodDef receiver_methods[] = {
    {"poll", (PyCFunction)(void (*)(void))receiver_poll, METH_FASTCALL | METH_KEYWORDS, poll_doc},
    {"_take_undelivered", receiver_take_undelivered, METH_NOARGS, NULL},
    {"_keep_gap", receiver_keep_gap, METH_VARARGS, NULL},
    {"_bind", receiver_bind, METH_VARARGS, NULL},
    {"_enter", receiver_enter, METH_NOARGS, NULL},
    {"_leave", receiver_leave, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef receiver_members[] = {
    {"_has_ended", T_BOOL, offsetof(struct rq_py_receiver, has_ended), 0, NULL},
    {"_is_inside", T_INT, offsetof(struct rq_py_receiver, inside), READONLY, NULL},
    {"_kept", T_OBJECT, offsetof(struct rq_py_receiver, kept), READONLY, NULL},
    {"_undelivered", T_INT, offsetof(struct rq_py_receiver, undelivered), READONLY, NULL},
    {"_undelivered_sequence", T_ULONGLONG, offsetof(struct rq_py_receiver, poll.batch.sequence),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot receiver_slots[] = {
    {Py_tp_traverse, receiver_traverse}, {Py_tp_clear, receiver_clear},
    {Py_tp_dealloc, receiver_dealloc},   {Py_tp_methods, receiver_methods},
    {Py_tp_members, receiver_members},   {0, NULL},
};

PyType_Spec rq_py_receiver_spec = {
    .name = "rdmaq._hot.Receiver",
    .basicsize = sizeof(struct rq_py_receiver),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = receiver_slots,
};
