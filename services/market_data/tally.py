"""What one subscriber got and what it was told it did not get."""

from __future__ import annotations

from typing import Any

import numpy as np

import rdmaq

from . import ranges
from .itch50 import count_by_type, named_counts
from .latency import BY_CLOCKS, Latencies, by_clocks_ns


class Tally:
    """Counts the batches of one stream, and checks that they follow one another.

    Args:
        first_sequence: What the first batch must begin with; None takes it as it comes.
        latencies: Where latencies go, when several streams have one histogram.
        transport: By which the stream comes. A publisher on another host has another counter, so
            that only clocks can tell how long something took.
        clocks_agree: The user says that they do.

    Attributes:
        stats: Of the subscription, at its end: they tell what became of its links.
    """

    def __init__(
        self,
        first_sequence: int | None = None,
        latencies: Latencies | None = None,
        *,
        transport: str = "shm",
        clocks_agree: bool = False,
    ) -> None:
        self.transport = transport
        self.stats = rdmaq.SubscriptionStats()
        self._clocks_agree = clocks_agree
        self.messages = 0
        self.batches = 0
        self.frames = 0
        self.lost: dict[str, list[ranges.Range]] = {
            "upstream": [],
            "overrun": [],
            "disconnected": [],
        }
        self.undeclared: list[ranges.Range] = []
        self.doubled = 0
        self._next = first_sequence
        self._counts = np.zeros(256, np.int64)
        self._empty = 0
        self._latencies = latencies or Latencies()

    def add(self, batch: rdmaq.Batch) -> None:
        """Takes the next batch, of messages or of a gap."""
        gap = batch.gap
        if gap is not None:
            self._follow(gap.first, gap.last - gap.first + 1)
            ranges.append(self.lost[gap.cause], gap.first, gap.last)
            return
        count = len(batch)
        self._follow(batch.sequence, count)
        self.messages += count
        self.batches += 1
        self._empty += count_by_type(batch.data, batch.offsets, self._counts)
        self.frames += len(batch.frame_counts)
        if self.transport == "shm":
            self._latencies.add(batch.frame_latency_ns)
        elif self._clocks_agree:
            self._latencies.add(by_clocks_ns(batch), by=BY_CLOCKS)

    def _follow(self, sequence: int, count: int) -> None:
        """Checks that nothing is missing without a word, and nothing came twice."""
        if self._next is None:
            self._next = sequence
        if sequence > self._next:
            ranges.append(self.undeclared, self._next, sequence - 1)
        elif sequence < self._next:
            self.doubled += min(self._next - sequence, count)
        self._next = max(self._next, sequence + count)

    @property
    def next_sequence(self) -> int | None:
        """What should come next; None before anything came."""
        return self._next

    def lost_count(self, cause: str) -> int:
        """Counts the sequences declared lost for a cause."""
        return ranges.message_count(self.lost[cause])

    def as_json(self) -> dict[str, Any]:
        """Gives what a report says about a subscriber."""
        return {
            "messages": self.messages,
            "lost_messages": self.lost_count("upstream"),
            "lost_ranges": self.lost["upstream"],
            "lost_overrun": self.lost_count("overrun"),
            "lost_overrun_ranges": self.lost["overrun"],
            "lost_disconnected": self.lost_count("disconnected"),
            "lost_disconnected_ranges": self.lost["disconnected"],
            "undeclared_ranges": self.undeclared,
            "doubled": self.doubled,
            "counts_by_type": named_counts(self._counts, self._empty),
            "latency_ns": self._latencies.as_json(),
            "latency_by": self._latencies.by,
            "clocks_disagree": self._latencies.impossible,
            "transport": self.transport,
            "links": self.stats.links,
            "backfilled": self.stats.backfilled,
            "frames": self.frames,
            "batches": self.batches,
        }
