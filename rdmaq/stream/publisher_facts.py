"""What a publisher can tell about itself and its stream."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from rdmaq._fast import ffi, lib
from rdmaq._handle import BareHandle
from rdmaq.shm.segment import Segment
from rdmaq.stream.flow import Flow
from rdmaq.stream.link_info import LinkInfo
from rdmaq.stream.stats import PublisherStats


class Links(Protocol):
    """To subscribers over verbs, as their publisher sees them; `sessions.links.Links` is one."""

    def drain(self, tail_bytes: int, seconds: float, *, also_failed: bool) -> None:
        """Waits until they have sent all below `tail_bytes`, so long at most."""

    def facts(self) -> list[LinkInfo]:
        """What there is to know of each."""

    def close(self) -> None:
        """Ends all of them."""


class PublisherFacts(BareHandle):
    """The reading half of `Publisher`, which fills in the attributes."""

    __slots__ = ()
    _dtype: np.dtype[Any] | None
    _flow: Flow
    linked: Links | None
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

    def links(self) -> list[LinkInfo]:
        """The links to subscribers on other hosts, as they are now; empty where there are none.

        A link that failed is among them until its subscriber has asked for the next one.

        Raises:
            ClosedError: in a forked child.
        """
        self._check_not_forked()
        return [] if self.linked is None else self.linked.facts()

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
            links=tuple(self.links()),
            link_skew_ns=counts.skew_ns / counts.skew_rounds if counts.skew_rounds else 0.0,
            link_skew_ns_max=counts.skew_ns_max,
        )

    def _check_not_forked(self) -> None:
        if self._is_forked:
            raise self.closed_error()

    def _counts(self) -> Any:
        self._check_not_forked()
        counts = ffi.new("struct rq_publisher_stats *")
        lib.rq_publisher_read_stats(self.handle, counts)
        return counts
