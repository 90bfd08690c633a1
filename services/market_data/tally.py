"""What one subscriber got and what it was told it did not get."""

from __future__ import annotations

from typing import Any

import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

import rdmaq

from . import ranges
from .itch50 import count_by_type, named_counts

LATENCY_NS_MAX = 3_600_000_000_000
LATENCY_DIGITS = 3
# Latencies gathered before they go into the histogram together: one call for each value costs
# more than all the rest of a subscriber's work.
LATENCIES_AT_ONCE = 16_384
PERCENTILES = {"p50": 50.0, "p99": 99.0, "p99_9": 99.9}


class Latencies:
    """A histogram of publish-to-receive latencies, three digits exact."""

    def __init__(self) -> None:
        self._histogram = HdrHistogram(1, LATENCY_NS_MAX, LATENCY_DIGITS)
        self._gathered: list[NDArray[np.int64]] = []
        self._gathered_count = 0

    def add(self, latencies_ns: NDArray[np.int64]) -> None:
        """Takes latencies, one per frame; the array is kept, so it must not change."""
        self._gathered.append(latencies_ns)
        self._gathered_count += len(latencies_ns)
        if self._gathered_count >= LATENCIES_AT_ONCE:
            self._record()

    def as_json(self) -> dict[str, int | None]:
        """Gives p50, p99, p99_9 and max in ns; None for each when nothing was measured."""
        self._record()
        histogram = self._histogram
        if not histogram.get_total_count():
            return dict.fromkeys([*PERCENTILES, "max"])
        figures: dict[str, int | None] = {
            name: int(histogram.get_value_at_percentile(percentile))
            for name, percentile in PERCENTILES.items()
        }
        return {**figures, "max": int(histogram.get_max_value())}

    def _record(self) -> None:
        if not self._gathered:
            return
        values = np.clip(np.concatenate(self._gathered), 1, LATENCY_NS_MAX)
        distinct, counts = np.unique(values, return_counts=True)
        for value, count in zip(distinct.tolist(), counts.tolist(), strict=True):
            self._histogram.record_value(value, count)
        self._gathered, self._gathered_count = [], 0


class Tally:
    """Counts the batches of one stream, and checks that they follow one another.

    Args:
        first_sequence: What the first batch must begin with; None takes it as it comes.
        latencies: Where latencies go, when several streams have one histogram.
    """

    def __init__(
        self, first_sequence: int | None = None, latencies: Latencies | None = None
    ) -> None:
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
        latencies_ns = batch.frame_latency_ns
        self.frames += len(latencies_ns)
        self._latencies.add(latencies_ns)

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
            "undeclared_ranges": self.undeclared,
            "doubled": self.doubled,
            "counts_by_type": named_counts(self._counts, self._empty),
            "latency_ns": self._latencies.as_json(),
            "frames": self.frames,
            "batches": self.batches,
        }
