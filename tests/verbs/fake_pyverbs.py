"""Objects laid out as pyverbs' are: a base class's part, then a pointer to a C struct.

The struct is real memory with the fields of infiniband/verbs.h; a test may change any of them.
"""

from __future__ import annotations

import ctypes
import struct


class _Base(type):
    """Says the size of an object's head alone, as an extension type without fields would."""

    __basicsize__ = property(lambda _: object.__basicsize__)


class PyverbsCM(float, metaclass=_Base):
    """Has the name by which the layout is found; a float's eight bytes lie behind its head."""

    __slots__ = ()


class Thing(PyverbsCM):
    """An object whose eight bytes behind the base's part are an address, not a number."""

    __slots__ = ()
    qp_num = 17
    cqe = 127


def pointing_at(address: int) -> Thing:
    """An object that holds an address where pyverbs keeps its pointer."""
    return Thing(struct.unpack("@d", struct.pack("@P", address))[0])


class StructCq(ctypes.Structure):
    _fields_ = (
        ("context", ctypes.c_void_p),
        ("channel", ctypes.c_void_p),
        ("cq_context", ctypes.c_void_p),
        ("handle", ctypes.c_uint32),
        ("cqe", ctypes.c_int),
    )


class StructChannel(ctypes.Structure):
    _fields_ = (("context", ctypes.c_void_p), ("fd", ctypes.c_int), ("refcnt", ctypes.c_int))


class StructQp(ctypes.Structure):
    _fields_ = (
        ("context", ctypes.c_void_p),
        ("qp_context", ctypes.c_void_p),
        ("pd", ctypes.c_void_p),
        ("send_cq", ctypes.c_void_p),
        ("recv_cq", ctypes.c_void_p),
        ("srq", ctypes.c_void_p),
        ("handle", ctypes.c_uint32),
        ("qp_num", ctypes.c_uint32),
        ("state", ctypes.c_int),
        ("qp_type", ctypes.c_int),
    )


class StructContext(ctypes.Structure):
    _fields_ = (
        ("device", ctypes.c_void_p),
        ("operations", ctypes.c_void_p * 32),
        ("cmd_fd", ctypes.c_int),
        ("async_fd", ctypes.c_int),
        ("num_comp_vectors", ctypes.c_int),
    )
