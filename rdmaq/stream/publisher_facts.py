"""What a publisher can tell about itself and its stream."""

from __future__ import annotations

from typing import Any

import numpy as np

from rdmaq._fast import ffi, lib
from rdmaq._handle import BareHandle
from rdmaq.shm.segment import Segment
from rdmaq.stream.flow import Flow
from rdmaq.stream.stats import PublisherStats


class PublisherFacts(BareHandle):
    """The reading half of `Publisher`, which fills in the attributes."""

    __slots__ = ()
    _dtype: np.dtype[Any] | None
    _flow: Flow
    handle: Any
    segment: Segment
    name: str

    @property
    def schema(self) -> np.dtype[Any] | None:
        """The dtype of the records; None for an untyped stream."""
        return self._dtype

    @property
    def flow(self) -> Flow:
        """`lossy()` or `reliable()`, as given."""
        return self._flow

    @property
    def epoch(self) -> int:
        """This incarnation: ns since 1970 when the stream was made."""
        return self.segment.description.epoch

    @property
    def capacity_bytes(self) -> int:
        """Bytes of the ring."""
        return self.segment.description.capacity_bytes

    @property
    def message_bytes_max(self) -> int:
        """The longest message (or frame of records) in bytes: guard less header."""
        return self.segment.description.message_bytes_max

    @property
    def next_sequence(self) -> int:
        """What the next message will have."""
        return int(self._counts().next_sequence)

    @property
    def reader_count(self) -> int:
        """Subscribers now."""
        return int(self._counts().reader_count)

    @property
    def stats(self) -> PublisherStats:
        """Counts since the stream began."""
        counts = self._counts()
        return PublisherStats(
            messages=counts.messages,
            bytes=counts.bytes,
            frames=counts.frames,
            ring_bytes=counts.tail_bytes - self.capacity_bytes,
            gaps=counts.gaps,
            stalls=counts.stalls,
            wakes=counts.wakes,
            readers=counts.reader_count,
            readers_cut_off=counts.readers_cut_off,
        )

    def _counts(self) -> Any:
        if self._is_forked:
            raise self.closed_error()
        counts = ffi.new("struct rq_publisher_stats *")
        lib.rq_publisher_read_stats(self.handle, counts)
        return counts
