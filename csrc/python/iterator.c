/* `BatchIterator`, the hot half of `Batches`. A `for` loop takes its value from C without running
 * anything in between, so that no signal handler's exception can come between ring and loop. */
#include "python/receiver.h"

#include <math.h>

struct iterator {
    PyObject_HEAD PyObject *receiver;
    PyObject *end; /* the class of the exception that ends the iteration */
    struct rq_py_wish wish;
};

static struct iterator *iterator_of(PyObject *object) { return (struct iterator *)object; }

static int iterator_traverse(PyObject *object, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(iterator_of(object)->receiver);
    Py_VISIT(iterator_of(object)->end);
    return 0;
}

static int iterator_clear(PyObject *object) {
    Py_CLEAR(iterator_of(object)->receiver);
    Py_CLEAR(iterator_of(object)->end);
    return 0;
}

static void iterator_dealloc(PyObject *object) {
    PyObject_GC_UnTrack(object);
    iterator_clear(object);
    rq_py_free(object);
}

/* BatchIterator(receiver, timeout, max_messages, end): as poll takes them. */
static int iterator_init(PyObject *object, PyObject *args, PyObject *Py_UNUSED(kwargs)) {
    struct iterator *self = iterator_of(object);
    PyObject *receiver, *timeout, *count_max, *end;
    if (!PyArg_ParseTuple(args, "O!OOO:BatchIterator", rq_py_receiver_type, &receiver, &timeout,
                          &count_max, &end))
        return -1;
    if (rq_py_read_timeout(timeout, &self->wish) != 0 ||
        rq_py_read_count_max(count_max, &self->wish) != 0)
        return -1;
    rq_py_replace(&self->receiver, Py_NewRef(receiver));
    rq_py_replace(&self->end, Py_NewRef(end));
    return 0;
}

static PyObject *iterator_next(PyObject *object) {
    struct iterator *self = iterator_of(object);
    if (self->receiver == NULL) return NULL;
    /* Held: a signal's handler may make us iterate over something else. */
    PyObject *receiver = Py_NewRef(self->receiver), *end = Py_NewRef(self->end);
    struct rq_py_wish wish = self->wish;
    PyObject *batch = rq_py_receive((struct rq_py_receiver *)receiver, &wish);
    if (batch == NULL && PyErr_ExceptionMatches(end)) PyErr_Clear();
    Py_DECREF(receiver);
    Py_DECREF(end);
    if (batch != Py_None) return batch;
    Py_DECREF(batch);
    return NULL;
}

static PyType_Slot iterator_slots[] = {
    {Py_tp_init, iterator_init},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, iterator_next},
    {Py_tp_traverse, iterator_traverse},
    {Py_tp_clear, iterator_clear},
    {Py_tp_dealloc, iterator_dealloc},
    {0, NULL},
};

PyType_Spec rq_py_iterator_spec = {
    .name = "rdmaq._hot.BatchIterator",
    .basicsize = sizeof(struct iterator),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = iterator_slots,
};
