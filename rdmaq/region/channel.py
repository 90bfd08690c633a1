"""How operations reach a region's bytes. Each transport has a channel; all above is common."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from contextlib import suppress
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rdmaq._fast import error_text, ffi, lib
from rdmaq.region.area import Area

#: struct rq_region_op
OP = np.dtype(
    [
        ("offset_bytes", "<u8"),
        ("length_bytes", "<u8"),
        ("local_address", "<u8"),
        ("operand", "<u8"),
        ("compare", "<u8"),
        ("result", "<u8"),
        ("kind", "<u4"),
        ("reserved", "<u4"),
        ("reserved_word", "<u8"),
    ]
)
READ, WRITE = lib.RQ_REGION_READ, lib.RQ_REGION_WRITE
FETCH_ADD, COMPARE_SWAP = lib.RQ_REGION_FETCH_ADD, lib.RQ_REGION_COMPARE_SWAP

_INLINE_BYTES_MAX = 1 << 20  # an event loop stands still for a copy of this size, some 100 us


class Channel(Protocol):
    """What a transport does for a region.

    Each call returns a count, or -errno, or raises what only its transport knows to say.
    """

    transport: str

    def run(self, ops: npt.NDArray[Any]) -> int:
        """Does the operations in order, all or none; atomics leave their result in `ops`."""

    async def run_async(self, ops: npt.NDArray[Any], lent: object) -> int:
        """The same without holding up the event loop.

        `lent` owns the memory that `ops` names: it is kept until nothing is under way any more,
        and so is the caller, also when it is cancelled meanwhile.
        """

    def read_rows(
        self,
        shape: Any,
        rows: npt.NDArray[np.uint64],
        out: npt.NDArray[np.uint8],
        versions: npt.NDArray[np.uint64],
        note: Any,
    ) -> int:
        """Copies rows of a table, each whole; fewer than asked for when one was in motion."""

    async def read_rows_async(
        self,
        shape: Any,
        rows: npt.NDArray[np.uint64],
        out: npt.NDArray[np.uint8],
        versions: npt.NDArray[np.uint64],
        note: Any,
    ) -> int:
        """The same without holding up the event loop."""

    def close(self) -> None:
        """Waits for the thread inside; later calls give -ESHUTDOWN."""

    def forget(self) -> None:
        """In a forked child: lets go without touching what is the parent's."""


class ShmChannel:
    """A region that this process maps.

    Args:
        area: the mapping.
        access: RQ_ACCESS_* of this side.
        sock: the hand-over's socket, now this object's; None: this process is the owner.
        pidfd: the owner's, or None; now this object's.
    """

    transport = "shm"

    def __init__(
        self, area: Area, access: int, sock: socket.socket | None = None, pidfd: int | None = None
    ) -> None:
        self.area = area
        self._sock, self._pidfd = sock, pidfd
        out = ffi.new("struct rq_region **")
        code = lib.rq_region_open(
            area.pointer,
            access,
            -1 if sock is None else sock.fileno(),
            -1 if pidfd is None else pidfd,
            out,
        )
        if code != 0:
            raise MemoryError(f"a region's handle: {error_text(code)}")
        self.handle = ffi.gc(out[0], lib.rq_region_free)
        self._bad_index = ffi.new("uint64_t *")
        self._is_open = True

    def run(self, ops: npt.NDArray[Any]) -> int:
        """See `Channel`."""
        pointer = ffi.cast("struct rq_region_op *", ops.ctypes.data)
        return int(lib.rq_region_run(self.handle, pointer, len(ops), self._bad_index))

    async def run_async(self, ops: npt.NDArray[Any], lent: object) -> int:
        """See `Channel`: what takes long is copied by a thread of the loop's executor."""
        if int(ops["length_bytes"].sum()) <= _INLINE_BYTES_MAX:
            return self.run(ops)
        # The thread keeps `lent`, too: a loop that is thrown away ends us without our consent.
        running = asyncio.get_running_loop().run_in_executor(None, self._run_lent, ops, lent)
        cancelled: asyncio.CancelledError | None = None
        while not running.done():
            try:
                await asyncio.shield(running)
            except asyncio.CancelledError as error:  # a copy cannot be called back
                cancelled = error
        if cancelled is not None:
            raise cancelled
        return running.result()

    def _run_lent(self, ops: npt.NDArray[Any], _lent: object) -> int:
        return self.run(ops)

    def read_rows(
        self,
        shape: Any,
        rows: npt.NDArray[np.uint64],
        out: npt.NDArray[np.uint8],
        versions: npt.NDArray[np.uint64],
        note: Any,
    ) -> int:
        """See `Channel`."""
        return int(
            lib.rq_table_read(
                self.handle,
                shape,
                ffi.cast("uint64_t *", rows.ctypes.data),
                len(rows),
                ffi.cast("uint8_t *", out.ctypes.data),
                ffi.cast("uint64_t *", versions.ctypes.data),
                note,
            )
        )

    async def read_rows_async(
        self,
        shape: Any,
        rows: npt.NDArray[np.uint64],
        out: npt.NDArray[np.uint8],
        versions: npt.NDArray[np.uint64],
        note: Any,
    ) -> int:
        """See `Channel`: a copy takes no longer than the loop may stand still."""
        return self.read_rows(shape, rows, out, versions, note)

    def update_rows(
        self, shape: Any, rows: npt.NDArray[np.uint64], values: npt.NDArray[np.uint8]
    ) -> int:
        """The owner's: replaces rows of a table."""
        return int(
            lib.rq_table_update(
                self.handle,
                shape,
                ffi.cast("uint64_t *", rows.ctypes.data),
                len(rows),
                ffi.cast("uint8_t *", values.ctypes.data),
                self._bad_index,
            )
        )

    def revoke(self) -> int:
        """The owner's: peers' later operations are refused."""
        return int(lib.rq_area_revoke(self.area.pointer))

    def close(self) -> None:
        """See `Channel`. Hangs up on the owner, too."""
        if not self._is_open:
            return
        self._is_open = False
        lib.rq_region_close(self.handle)
        self._let_go()

    def forget(self) -> None:
        """See `Channel`."""
        if self._is_open:
            self._is_open = False
            lib.rq_region_forget(self.handle)
            self._let_go()

    def _let_go(self) -> None:
        if self._sock is not None:
            self._sock.close()
        if self._pidfd is not None:
            with suppress(OSError):
                os.close(self._pidfd)

    def __del__(self) -> None:
        with suppress(AttributeError):  # its making failed
            self.close()


CLOSED = -errno.ESHUTDOWN
