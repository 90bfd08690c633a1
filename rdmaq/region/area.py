"""Python's side of an area: who owns the mapping, and numpy's windows into it."""

from __future__ import annotations

import errno
from typing import Any

import numpy as np
import numpy.typing as npt

from rdmaq._fast import error_text, ffi, lib
from rdmaq.errors import CapacityError, SegmentError
from rdmaq.shm.segment import check_memory


class Area:
    """One mapping of one area, unmapped when the last array into it has died."""

    __slots__ = ("_data_pointer", "data_bytes", "pointer")

    def __init__(self, pointer: Any, data_bytes: int) -> None:
        self.pointer = pointer
        self.data_bytes = data_bytes
        # The destructor hangs on the very pointer that ffi.buffer, and so every array, holds.
        self._data_pointer = ffi.gc(
            lib.rq_area_data(pointer), lambda _, area=pointer: lib.rq_area_free(area)
        )

    @property
    def address(self) -> int:
        """Where it is mapped: what a NIC registers."""
        return int(ffi.cast("uintptr_t", self._data_pointer))

    def array(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """A writable array over it."""
        buffer = ffi.buffer(self._data_pointer, self.data_bytes)
        return np.frombuffer(buffer, dtype=np.uint8).view(dtype).reshape(shape)


def create(data_bytes: int, access: int) -> tuple[Area, int, int]:
    """Makes an area of this process's own; returns it, its descriptor and its control page's.

    Raises:
        CapacityError: memory for it is not to be had.
    """
    check_memory(data_bytes, "a region")
    area_out = ffi.new("struct rq_area **")
    data_fd, control_fd = ffi.new("int *"), ffi.new("int *")
    code = lib.rq_area_create(data_bytes, access, area_out, data_fd, control_fd)
    if code != 0:
        cure = "raise the limit of open files (ulimit -n)"
        if code not in (-errno.EMFILE, -errno.ENFILE):
            cure = "export less, or free shared memory (see `free` and the memory cgroup)"
        raise CapacityError(
            f"no memory for a region of {data_bytes:,} bytes: {error_text(code)}; {cure}"
        )
    return Area(area_out[0], data_bytes), data_fd[0], control_fd[0]


def attach(data_fd: int, control_fd: int, data_bytes: int, access: int) -> Area:
    """Checks what a stranger handed over and maps it. The descriptors stay the caller's.

    Raises:
        SegmentError: a seal is missing, the size is another, or it has holes.
    """
    area_out = ffi.new("struct rq_area **")
    code = lib.rq_area_attach(data_fd, control_fd, data_bytes, access, area_out)
    if code != 0:
        raise SegmentError(
            f"what the peer handed over is no usable region: {error_text(code)}; "
            "it was not mapped; is the peer really an rdmaq node?"
        )
    return Area(area_out[0], data_bytes)
