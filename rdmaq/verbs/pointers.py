"""The C structs behind pyverbs' objects, found and verified: C posts on what pyverbs created.

From rdma-core 61 on an object says its pointer by a property. Before that it stands right behind
the base class's part of the object: at `id(object) + PyverbsCM.__basicsize__`. (Properties of older
releases that look like pointers turn them into objects and crash: they are never touched.)

A pointer is believed only when what it points at agrees with what pyverbs says of the object. It is
read by `process_vm_readv` on ourselves, where a wild pointer is an error and no crash. Offsets are
those of the public structs in infiniband/verbs.h, which libibverbs keeps for its ABI's sake.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rdmaq.errors import VerbsUnavailable
from rdmaq.verbs.constants import QP_TYPE_RC

_POINTER = struct.Struct("@P")
# struct ibv_qp: context, qp_context, pd, send_cq, recv_cq, srq, handle, qp_num, state, qp_type
_QP = struct.Struct("@6PIIII")
# struct ibv_cq: context, channel, cq_context, handle, cqe
_CQ = struct.Struct("@3PIi")
# struct ibv_comp_channel: context, fd, refcnt
_CHANNEL = struct.Struct("@Pii")
# struct ibv_context: device, 32 operations, cmd_fd, async_fd, num_comp_vectors
_CONTEXT = struct.Struct("@33Piii")
_EVENT_FILE = "anon_inode:[infinibandevent]"


class _IoVector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size_bytes", ctypes.c_size_t))


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def read_memory(address: int, size_bytes: int) -> bytes:
    """Copies our own memory.

    Raises:
        OSError: EFAULT, nothing is mapped there.
    """
    buffer = ctypes.create_string_buffer(size_bytes)
    local = _IoVector(ctypes.cast(buffer, ctypes.c_void_p), size_bytes)
    remote = _IoVector(ctypes.c_void_p(address), size_bytes)
    count = _libc().process_vm_readv(
        os.getpid(), ctypes.byref(local), 1, ctypes.byref(remote), 1, ctypes.c_ulong(0)
    )
    if count != size_bytes:
        # A read that stops half-way sets no errno.
        code = ctypes.get_errno() if count < 0 else errno.EFAULT
        raise OSError(code, os.strerror(code))
    return buffer.raw


def _disagreement(what: str) -> VerbsUnavailable:
    return VerbsUnavailable(
        f"RDMA verbs cannot be used: {what}, so this pyverbs lays out its objects as none that "
        "rdmaq knows; use the distribution's python3-pyverbs together with its libibverbs1, and "
        "tell us both versions"
    )


def pointer_of(pyverbs_object: Any, property_name: str = "") -> int:
    """Where the C struct of an object is; not verified yet.

    Args:
        pyverbs_object: a CQ, QP or another subclass of PyverbsCM.
        property_name: the official property, used where the release has a sound one.
    """
    # QP.qp came with the release that made CQ.cq sound.
    kind = type(pyverbs_object)
    if property_name and hasattr(kind, property_name) and _has_sound_properties(kind):
        return int(getattr(pyverbs_object, property_name))
    base = next((part for part in kind.__mro__ if part.__name__ == "PyverbsCM"), None)
    if base is None:
        raise _disagreement(f"a {kind.__name__} is not a PyverbsCM")
    return int(_read(_POINTER, id(pyverbs_object) + base.__basicsize__, kind.__name__)[0])


def _has_sound_properties(kind: type) -> bool:
    import pyverbs.qp  # loaded by now, or there were no object

    return hasattr(pyverbs.qp.QP, "qp") and kind.__module__.startswith("pyverbs")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePointers:
    """A completion queue's structs: addresses of ibv_context, ibv_cq, ibv_comp_channel."""

    context: int
    cq: int
    channel: int
    channel_fd: int
    cqe: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextPointers:
    """A device's struct, and the descriptor that its asynchronous events come from."""

    context: int
    async_fd: int


def _read(layout: struct.Struct, address: int, what: str) -> tuple[Any, ...]:
    try:
        return layout.unpack(read_memory(address, layout.size))
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOSYS):
            raise VerbsUnavailable(
                "RDMA verbs cannot be used: this process may not call process_vm_readv on itself "
                f"({error.strerror}), by which rdmaq verifies what it takes from pyverbs; a "
                "container's seccomp profile forbids it: allow that system call there"
            ) from error
        raise _disagreement(f"the pointer behind a {what} leads nowhere ({error})") from error


def _check_event_file(fd: int, what: str) -> None:
    try:
        target = Path(f"/proc/self/fd/{fd}").readlink()
    except OSError:
        raise _disagreement(f"{what} has no open descriptor {fd}") from None
    if str(target) != _EVENT_FILE:
        raise _disagreement(f"descriptor {fd} of {what} is {target}, not one of events")


def of_context(context: Any, *, cmd_fd: int | None, vector_count: int) -> ContextPointers:
    """The verified struct of a Context.

    Args:
        context: pyverbs' object.
        cmd_fd: what its property says, None where this release has none.
        vector_count: its num_comp_vectors.

    Raises:
        VerbsUnavailable: struct and object disagree.
    """
    address = pointer_of(context)
    *_, own_cmd_fd, async_fd, own_vector_count = _read(_CONTEXT, address, "Context")
    if own_vector_count != vector_count or cmd_fd not in (None, own_cmd_fd):
        raise _disagreement("a Context and its struct have different numbers")
    _check_event_file(async_fd, "the device")
    return ContextPointers(context=address, async_fd=async_fd)


def of_queue(cq: Any, channel: Any, *, context: int, entry_count_min: int) -> QueuePointers:
    """The verified structs of a CQ and its CompChannel.

    Raises:
        VerbsUnavailable: structs and objects disagree.
    """
    address = pointer_of(cq, "cq")
    own_context, own_channel, _, _, cqe = _read(_CQ, address, "CQ")
    if own_context != context or own_channel != pointer_of(channel):
        raise _disagreement("a CQ's struct names another device or channel")
    if cqe < entry_count_min or cqe != getattr(cq, "cqe", cqe):
        raise _disagreement("a CQ and its struct have different sizes")
    channel_context, channel_fd, _ = _read(_CHANNEL, own_channel, "CompChannel")
    if channel_context != context:
        raise _disagreement("a CompChannel's struct names another device")
    _check_event_file(channel_fd, "the completion channel")
    return QueuePointers(
        context=context, cq=address, channel=own_channel, channel_fd=channel_fd, cqe=cqe
    )


def of_qp(qp: Any, *, context: int, pd: int, cq: int) -> int:
    """The verified address of a QP's struct.

    Raises:
        VerbsUnavailable: struct and object disagree.
    """
    address = pointer_of(qp, "qp")
    own_context, _, own_pd, send_cq, recv_cq, srq, _, qp_num, _, qp_type = _read(_QP, address, "QP")
    if (own_context, own_pd, send_cq, recv_cq, srq) != (context, pd, cq, cq, 0):
        raise _disagreement("a QP's struct names another device, domain or queue")
    if qp_num != qp.qp_num or qp_type != QP_TYPE_RC:
        raise _disagreement("a QP and its struct have different numbers")
    return address


def of_pd(pd: Any, *, context: int) -> int:
    """The verified address of a PD's struct.

    Raises:
        VerbsUnavailable: struct and object disagree.
    """
    address = pointer_of(pd)
    if _read(_POINTER, address, "PD")[0] != context:
        raise _disagreement("a PD's struct names another device")
    return address


def event_functions() -> tuple[int, int]:
    """Addresses of ibv_get_cq_event and ibv_ack_cq_events."""
    return _function("ibv_get_cq_event"), _function("ibv_ack_cq_events")


def modify_function() -> int:
    """Address of ibv_modify_qp: a link's thread moves its pair to ERR without Python."""
    return _function("ibv_modify_qp")


@cache
def _function(name: str) -> int:
    """The extension links to no libibverbs: it is told where its functions are."""
    try:
        library = ctypes.CDLL("libibverbs.so.1")
        found = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
    except (OSError, AttributeError) as error:
        raise VerbsUnavailable(
            f"RDMA verbs cannot be used: libibverbs does not load ({error}); "
            "apt-get install libibverbs1 (Debian, Ubuntu) or dnf install libibverbs (Fedora)"
        ) from error
    assert found is not None
    return found
