"""How long messages were under way, and by which clocks that is known."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

import rdmaq

LATENCY_NS_MAX = 3_600_000_000_000
LATENCY_DIGITS = 3
# Latencies gathered before they go into the histogram together: one call for each value costs
# more than all the rest of a subscriber's work.
LATENCIES_AT_ONCE = 16_384
PERCENTILES = {"p50": 50.0, "p99": 99.0, "p99_9": 99.9}

# Who measured; None: nobody could.
BY_COUNTER = "counter"
BY_CLOCKS = "clocks"

Measure = Callable[[rdmaq.Batch], NDArray[np.int64]]


class Latencies:
    """A histogram of publish-to-receive latencies, three digits exact.

    Attributes:
        by: "counter" (of one host: exact), "clocks" (of two hosts, which the user says agree), or
            None while nothing was measured.
        impossible: latencies below zero: received before they were published, so that the clocks
            do not agree, and no figure is given.
    """

    def __init__(self) -> None:
        self._histogram = HdrHistogram(1, LATENCY_NS_MAX, LATENCY_DIGITS)
        self._gathered: list[NDArray[np.int64]] = []
        self._gathered_count = 0
        self.by: str | None = None
        self.impossible = 0

    def add(self, latencies_ns: NDArray[np.int64], by: str = BY_COUNTER) -> None:
        """Takes latencies; the array is kept, so it must not change."""
        self.by = by
        self._gathered.append(latencies_ns)
        self._gathered_count += len(latencies_ns)
        if self._gathered_count >= LATENCIES_AT_ONCE:
            self._record()

    def as_json(self) -> dict[str, int | None]:
        """Gives p50, p99, p99_9 and max in ns; None for each when nothing is known."""
        self._record()
        histogram = self._histogram
        if self.impossible or not histogram.get_total_count():
            return dict.fromkeys([*PERCENTILES, "max"])
        figures: dict[str, int | None] = {
            name: int(histogram.get_value_at_percentile(percentile))
            for name, percentile in PERCENTILES.items()
        }
        return {**figures, "max": int(histogram.get_max_value())}

    def _record(self) -> None:
        if not self._gathered:
            return
        values = np.concatenate(self._gathered)
        self._gathered, self._gathered_count = [], 0
        if self.by == BY_CLOCKS:
            self.impossible += int(np.count_nonzero(values < 0))
        distinct, counts = np.unique(np.clip(values, 1, LATENCY_NS_MAX), return_counts=True)
        for value, count in zip(distinct.tolist(), counts.tolist(), strict=True):
            self._histogram.record_value(value, count)


def by_clocks_ns(batch: rdmaq.Batch) -> NDArray[np.int64]:
    """From publishing by the publisher's clock to now by ours, of a batch's first message."""
    published_ns = batch.time_ns
    if not published_ns:  # the publisher's clock could not be read
        return np.empty(0, np.int64)
    return np.array([time.time_ns() - published_ns], np.int64)
