"""A peer's table: rows elsewhere, each of them read whole."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from rdmaq import arguments
from rdmaq._fast import ffi
from rdmaq._handle import Handle
from rdmaq.errors import RegionBoundsError, RowBusy, SchemaError
from rdmaq.region.channel import Channel
from rdmaq.region.grant import RegionInfo
from rdmaq.region.refusals import refusal
from rdmaq.region.rows import row_numbers


class TableReader(Handle):
    """Reads a table of a peer's; made by `Peer.table`.

    A row comes as the owner wrote it, never torn: one that changes while it is fetched is fetched
    again. Rows of one call may be of different moments. What was seen once is never followed by
    something older. No instruction of the owner's runs: reads go on when it is stopped.

    One thread at a time: a second one inside gets `ConcurrentUse`. A forked child cannot use it.

    Attributes:
        name: under which it is offered.
        dtype: of a row.
        rereads: how many fetches so far found a row in motion.
    """

    __slots__ = ("_note", "_shape", "channel", "dtype", "name", "row_count")

    def __init__(self, info: RegionInfo, channel: Channel) -> None:
        super().__init__()
        self.name = info.name
        self.dtype = info.dtype
        self.row_count = info.shape[0]
        self.channel = channel
        self._shape = ffi.new(
            "struct rq_table_shape *",
            {"row_bytes": info.dtype.itemsize, "row_count": self.row_count},
        )
        self._note = ffi.new("struct rq_table_note *")

    def __len__(self) -> int:
        return self.row_count

    @property
    def transport(self) -> str:
        """How the rows travel: "shm" or "verbs"."""
        return self.channel.transport

    @property
    def rereads(self) -> int:
        """How many fetches so far found a row in motion."""
        return int(self._note.reread_count)

    def read(self, index: Any = ..., *, timeout: float = 1.0) -> npt.NDArray[Any]:
        """Reads rows into a fresh array.

        Args:
            index: an integer, a slice, or an array of row numbers. Default: all.
            timeout: seconds to go on while a row changes faster than it can be fetched.

        Returns:
            Rows of the table's dtype, in the index's shape.

        Raises:
            RegionBoundsError: a row that is not there.
            RowBusy: a row was in motion whenever it was fetched, for longer than the timeout.
            RegionRevoked, PeerGone, ConcurrentUse, ClosedError: see there.
        """
        return self.read_versioned(index, timeout=timeout)[0]

    def read_versioned(
        self, index: Any = ..., *, timeout: float = 1.0
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint64]]:
        """As `read`, and with each row how many updates it had had (0: none yet)."""
        timeout = arguments.seconds("timeout", timeout)
        rows, shape = row_numbers(self.row_count, index, self.what)
        out = np.empty(shape, self.dtype)
        return out, self._take(rows, out, timeout).reshape(shape)

    def read_into(
        self, out: npt.NDArray[Any], index: Any = ..., *, timeout: float = 1.0
    ) -> npt.NDArray[Any]:
        """As `read`, into your array, and returns it; it is yours again at once.

        Args:
            out: C-contiguous, writable, of the table's dtype and the index's shape.
            index: see `read`.
            timeout: see `read`.

        Raises:
            SchemaError, RegionBoundsError: `out` does not fit; nothing was read.
        """
        timeout = arguments.seconds("timeout", timeout)
        rows, shape = row_numbers(self.row_count, index, self.what)
        if not isinstance(out, np.ndarray) or out.dtype != self.dtype:
            found = out.dtype if isinstance(out, np.ndarray) else type(out).__name__
            raise SchemaError(
                f"rows of {self.dtype} cannot be read into {found}: give an array of that dtype"
            )
        if out.shape != shape or not out.flags.c_contiguous or not out.flags.writeable:
            raise RegionBoundsError(
                f"rows of shape {shape} cannot be read into this array of shape {out.shape}: it "
                "must have that shape, be C-contiguous and writable"
            )
        self._take(rows, out, timeout)
        return out

    async def read_async(self, index: Any = ..., *, timeout: float = 1.0) -> npt.NDArray[Any]:
        """`read` for event loops: other tasks run while a row is in motion."""
        timeout = arguments.seconds("timeout", timeout)
        rows, shape = row_numbers(self.row_count, index, self.what)
        out = np.empty(shape, self.dtype)
        versions = np.empty(len(rows), np.uint64)
        deadline = time.monotonic() + timeout
        done = 0
        while True:
            code = await self.channel.read_rows_async(*self._rest(rows, out, versions, done))
            done += self._checked(code)
            if done == len(rows):
                return out
            self._check_deadline(rows, done, deadline, timeout)
            await asyncio.sleep(0)

    def _take(
        self, rows: npt.NDArray[np.uint64], out: npt.NDArray[Any], timeout: float
    ) -> npt.NDArray[np.uint64]:
        versions = np.empty(len(rows), np.uint64)
        deadline = time.monotonic() + timeout
        done = 0
        while (done := self._step(rows, out, versions, done)) < len(rows):
            self._check_deadline(rows, done, deadline, timeout)
        return versions

    def _step(
        self,
        rows: npt.NDArray[np.uint64],
        out: npt.NDArray[Any],
        versions: npt.NDArray[np.uint64],
        done: int,
    ) -> int:
        """One crossing for what is not there yet; returns how many rows are."""
        code = self.channel.read_rows(*self._rest(rows, out, versions, done))
        return done + self._checked(code)

    def _rest(
        self,
        rows: npt.NDArray[np.uint64],
        out: npt.NDArray[Any],
        versions: npt.NDArray[np.uint64],
        done: int,
    ) -> tuple[Any, ...]:
        """What a channel is asked for: the rows that are not there yet."""
        if self._is_forked:
            raise self.closed_error()
        parts = out.reshape(-1)[done:].view(np.uint8)
        return self._shape, rows[done:], parts, versions[done:], self._note

    def _checked(self, code: int) -> int:
        if code < 0:
            raise refusal(self.what, code, self.closed_error())
        return code

    def _check_deadline(
        self, rows: npt.NDArray[np.uint64], done: int, deadline: float, timeout: float
    ) -> None:
        if time.monotonic() >= deadline:
            raise RowBusy(
                f"row {rows[done]} of {self.what} was in motion at every try for {timeout} s: its "
                "owner updates it faster than it can be fetched; raise timeout=, make rows "
                "smaller, or update them less often"
            )

    @property
    def what(self) -> str:
        """Its name for messages."""
        return f"table {self.name!r}"

    def close(self) -> None:
        """Lets go of the table, waiting for a thread inside; idempotent."""
        if self.closed:
            return
        self._is_closed = True
        self.channel.close()

    def _forget(self) -> None:
        self.channel.forget()

    def __enter__(self) -> TableReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
