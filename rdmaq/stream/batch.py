"""What a poll returns: messages, or a gap, never both."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rdmaq._fast import ffi, lib

if TYPE_CHECKING:
    from rdmaq.stream.cursor import Cursor

_SEQUENCE = struct.Struct("=Q")
_SEQUENCE_OFFSET = ffi.offsetof("struct rq_batch", "sequence")
_TICKS = struct.Struct("=QQ")
_TICKS_OFFSET = ffi.offsetof("struct rq_batch", "received_ticks")
_COUNT = struct.Struct("=I")
_COUNT_OFFSET = ffi.offsetof("struct rq_batch", "message_count")
_NOTE = np.dtype([("ticks", "<u8"), ("message_count", "<u4"), ("reserved", "<u4")])


@dataclass(frozen=True, slots=True)
class Gap:
    """Sequences that this subscriber will not get.

    Attributes:
        first: the first lost sequence.
        last: the last one, inclusive.
        cause: "upstream" (the publisher never had them), "overrun" (the subscriber was slower
            than the ring is long) or "disconnected" (of transports to come).
        epoch: the publisher's incarnation: ns since 1970 when its stream was made.
    """

    first: int
    last: int
    cause: str
    epoch: int

    @property
    def count(self) -> int:
        """How many sequences are lost."""
        return self.last - self.first + 1


class Batch:
    """Messages in sequence, copied out of the ring; they stay valid for ever.

    A batch may be part of a frame, or span several; it never crosses a gap. `len(batch)` is the
    number of messages; iterating gives `bytes` (untyped stream) or records (typed).

    Attributes:
        gap: None; a `Gap` in a batch without messages.
    """

    # A poll makes one of these: what can be read later is kept as C wrote it, and read then.
    __slots__ = ("_cursor", "_found", "_payload")
    gap: Gap | None = None
    _offsets: Any = None  # untyped and more than one message: uint32, count + 1
    _notes: bytes | None = None  # more than one frame: struct rq_frame_note each

    def __init__(self, cursor: Cursor, payload: Any, found: bytes) -> None:
        self._cursor = cursor
        self._payload = payload  # bytes, or an array of the schema
        self._found = found  # struct rq_batch

    def __len__(self) -> int:
        return int(_COUNT.unpack_from(self._found, _COUNT_OFFSET)[0])

    def __bool__(self) -> bool:
        return True  # a batch that holds a gap is something, too

    def __iter__(self) -> Iterator[Any]:
        return iter(self.messages if self._cursor.dtype is None else self.data)

    def __repr__(self) -> str:
        if self.gap is not None:
            return f"<Batch {self.gap}>"
        return f"<Batch of {len(self)} from sequence {self.sequence}>"

    @property
    def sequence(self) -> int:
        """Of the first message; of a gap: the first lost one."""
        return int(_SEQUENCE.unpack_from(self._found, _SEQUENCE_OFFSET)[0])

    @property
    def epoch(self) -> int:
        """The publisher's incarnation: ns since 1970 when its stream was made."""
        return self._cursor.epoch

    @property
    def data(self) -> npt.NDArray[Any]:
        """Typed: 1-D array of the schema's dtype, read-only. Untyped: uint8, all payloads in a row.

        Copy it before you change it. After `poll(into=)` it is a part of your own buffer.
        """
        dtype = self._cursor.dtype
        if isinstance(self._payload, np.ndarray):
            return self._payload
        return np.frombuffer(self._payload, dtype=np.uint8 if dtype is None else dtype)

    @property
    def offsets(self) -> npt.NDArray[np.uint32]:
        """Message i is `data[offsets[i]:offsets[i + 1]]`; length `len(batch) + 1`, in bytes.

        For a typed stream they are multiples of the record's size.
        """
        dtype = self._cursor.dtype
        if dtype is not None:
            return np.arange(len(self) + 1, dtype=np.uint32) * np.uint32(dtype.itemsize)
        if self._offsets is None:
            return np.array([0, len(self._payload)][: len(self) + 1], dtype=np.uint32)
        return np.frombuffer(self._offsets, dtype=np.uint32)

    @property
    def messages(self) -> list[bytes]:
        """Each message as `bytes`."""
        if self._cursor.dtype is not None:
            return [record.tobytes() for record in self.data]
        payload = self._payload
        if not isinstance(payload, bytes):
            payload = payload.tobytes()
        if self._offsets is None:
            return [payload] if self.gap is None else []
        ends = self.offsets.tolist()
        return [payload[a:b] for a, b in pairwise(ends)]

    @property
    def time_ns(self) -> int:
        """When the first message was published: ns since 1970 by the publisher's clock.

        0 if its clock table cannot be read (the publisher died while writing it), or after a fork.
        """
        return self._cursor.wall_ns(self._ticks()[1])

    def _ticks(self) -> tuple[int, int]:
        """(received, published): the two stand side by side in struct rq_batch."""
        received, published = _TICKS.unpack_from(self._found, _TICKS_OFFSET)
        return received, published

    @property
    def time(self) -> np.datetime64:
        """`time_ns` as datetime64[ns], UTC."""
        return np.datetime64(self.time_ns, "ns")

    @property
    def frame_counts(self) -> npt.NDArray[np.uint32]:
        """How many of the messages came in each frame: one entry a frame."""
        if self._notes is None:
            return np.array([len(self)], dtype=np.uint32)
        return np.frombuffer(self._notes, dtype=_NOTE)["message_count"]

    @property
    def frame_latency_ns(self) -> npt.NDArray[np.int64]:
        """Publish to receive, in ns, one entry a frame.

        Publisher and subscriber read the same counter (one host), so no clocks need to agree.
        """
        received, published = self._ticks()
        if self._notes is None:
            return np.array(
                [lib.rq_clock_ticks_to_ns(max(0, received - published))], dtype=np.int64
            )
        count = len(self._notes) // _NOTE.itemsize
        latencies = np.empty(count, dtype=np.int64)
        lib.rq_frame_latencies_ns(
            ffi.from_buffer("struct rq_frame_note *", self._notes),
            count,
            received,
            ffi.from_buffer("int64_t *", latencies),
        )
        return latencies


class ManyBatch(Batch):
    """A batch of several messages."""

    __slots__ = ("_count", "_notes", "_offsets")

    def __init__(
        self,
        cursor: Cursor,
        payload: Any,
        found: bytes,
        count: int,
        offsets: Any,
        notes: bytes | None,
    ) -> None:
        super().__init__(cursor, payload, found)
        self._count = count
        self._offsets = offsets
        self._notes = notes

    def __len__(self) -> int:
        return self._count


class GapBatch(Batch):
    """A batch without messages that tells of a gap."""

    __slots__ = ("gap",)
    gap: Gap

    def __init__(self, cursor: Cursor, gap: Gap, found: bytes) -> None:
        super().__init__(cursor, b"", found)
        self.gap = gap
