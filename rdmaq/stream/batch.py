"""What a poll returns: messages, or a gap, never both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rdmaq._fast import BatchCore, ffi, lib
from rdmaq.errors import UnsupportedTransport

if TYPE_CHECKING:
    from rdmaq.stream.cursor import Cursor

_NOTE = np.dtype([("ticks", "<u8"), ("message_count", "<u4"), ("reserved", "<u4")])


@dataclass(frozen=True, slots=True)
class Gap:
    """Sequences that this subscriber will not get.

    Attributes:
        first: the first lost sequence.
        last: the last one, inclusive.
        cause: "upstream" (the publisher never had them), "overrun" (the subscriber, or the link to
            it, was slower than the ring is long) or "disconnected" (of no transport so far).
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


class Batch(BatchCore):
    """Messages in sequence, copied out of the ring; they stay valid for ever.

    A batch may be part of a frame, or span several; it never crosses a gap. `len(batch)` is the
    number of messages; iterating gives `bytes` (untyped stream) or records (typed).

    Attributes:
        gap: None; a `Gap` in a batch without messages.
    """

    # What is not computed here stands in BatchCore, as C wrote it (csrc/python/batch.c).
    __slots__ = ()
    gap: Gap | None = None

    def __iter__(self) -> Iterator[Any]:
        return iter(self.messages if self._cursor.dtype is None else self.data)

    def __repr__(self) -> str:
        if self.gap is not None:
            return f"<Batch {self.gap}>"
        return f"<Batch of {len(self)} from sequence {self.sequence}>"

    @property
    def epoch(self) -> int:
        """The publisher's incarnation: ns since 1970 when its stream was made."""
        return self._cursor.epoch

    @property
    def data(self) -> npt.NDArray[Any]:
        """Typed: 1-D array of the schema's dtype, read-only. Untyped: uint8, all payloads in a row.

        Copy it before you change it. After `poll(into=)` it is a part of your own buffer.
        """
        payload, dtype = self._payload, self._cursor.dtype
        if isinstance(payload, np.ndarray):
            return payload
        if dtype is None:
            return np.frombuffer(payload, dtype=np.uint8)
        return np.frombuffer(
            payload, dtype=dtype, count=len(self)
        )  # what is left of it is not ours

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

    def _messages_of_array(self) -> list[bytes]:
        """`messages`, when they are records or stand in the user's own buffer."""
        if self._cursor.dtype is not None:
            return [record.tobytes() for record in self.data]
        payload = self._payload.tobytes()
        return [payload[a:b] for a, b in pairwise(self.offsets.tolist())]

    @property
    def time_ns(self) -> int:
        """When the first message was published: ns since 1970 by the publisher's clock.

        0 if its clock table cannot be read (the publisher died while writing it), or after a fork.
        """
        return self._cursor.wall_ns(self._publish_ticks)

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

        Raises:
            UnsupportedTransport: the publisher is on another host: it has another counter.
        """
        if self._cursor.transport != "shm":
            raise UnsupportedTransport(
                "how long this batch was under way is unknown: its publisher is on another host, "
                "whose clock is not ours; where you know that the two agree, take batch.time_ns "
                "from your own time.time_ns()"
            )
        received = self._received_ticks
        if self._notes is None:
            ticks = max(0, received - self._publish_ticks)
            return np.array([lib.rq_clock_ticks_to_ns(ticks)], dtype=np.int64)
        count = len(self._notes) // _NOTE.itemsize
        latencies = np.empty(count, dtype=np.int64)
        lib.rq_frame_latencies_ns(
            ffi.from_buffer("struct rq_frame_note *", self._notes),
            count,
            received,
            ffi.from_buffer("int64_t *", latencies),
        )
        return latencies


class GapBatch(Batch):
    """A batch without messages that tells of a gap."""

    __slots__ = ("gap",)
    gap: Gap

    @classmethod
    def of(cls, gap: Gap, cursor: Cursor, found: bytes) -> GapBatch:
        """Tells of `gap`; `found` is the `struct rq_batch` that described it."""
        batch = cls(cursor, b"", found, cursor.dtype is None)
        batch.gap = gap
        return batch
