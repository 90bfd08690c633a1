/*
 * The hot methods: what a program calls once a message or once a batch, as methods in C instead of
 * Python methods around cffi calls. Everything else goes through cffi, and whatever is unusual goes
 * on in Python (the methods whose names are listed here as HOOK_*).
 *
 * The GIL is held for work that is short and bounded (a copy of at most RQ_HELD_BYTES_MAX, a spin
 * of RQ_HELD_SPIN_NS), because giving it up costs more than that, and released for all else.
 * Limited API 3.11, so that one build serves every later version.
 */
#ifndef RQ_PYTHON_HOT_H
#define RQ_PYTHON_HOT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdatomic.h>
#include <structmember.h>

#include "ring/layout.h"

#define RQ_HELD_BYTES_MAX 32768u
#define RQ_HELD_SPIN_NS 2000u

/* One thread at a time, for the whole of a call: also between the slices of its wait, when the C
 * handle's own `busy` is free. Not a lock: a second thread is told. */
static inline int rq_py_enter(_Atomic int *inside) {
    return atomic_exchange_explicit(inside, 1, memory_order_acquire) == 0;
}

static inline void rq_py_leave(_Atomic int *inside) {
    atomic_store_explicit(inside, 0, memory_order_release);
}

/* Drops the instance's memory and its reference to the type, at a dealloc's end. */
static inline void rq_py_free(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

/* Owns `object` from now on. Whatever the old one's end may call finds the new one in place. */
static inline void rq_py_replace(PyObject **at, PyObject *object) {
    PyObject *old = *at;
    *at = object;
    Py_XDECREF(old);
}

/* A struct's address that cffi made into a number. NULL with an exception: it is no number. */
static inline void *rq_py_address(PyObject *number) { return PyLong_AsVoidPtr(number); }

/* Messages, copied out of the ring: what `Batch` in rdmaq/stream/batch.py is made of. */
struct rq_py_batch {
    PyObject_HEAD PyObject *cursor; /* keeps the reader, and so the publisher's clock table */
    PyObject *payload;              /* bytes, or an array */
    PyObject *offsets; /* bytes of uint32, one more than messages; NULL: one message, or records */
    PyObject *notes;   /* bytes of struct rq_frame_note; NULL: one frame */
    struct rq_batch found;
    int is_untyped;
};

/* Set once, when the module is made: there is one interpreter. */
extern PyTypeObject *rq_py_receiver_type;
extern PyObject *rq_py_dtype_name; /* "dtype" */

extern PyType_Spec rq_py_batch_spec, rq_py_sender_spec, rq_py_receiver_spec, rq_py_iterator_spec,
    rq_py_poster_spec;

#endif
