"""Latencies are told by whom they were measured, or as unknown."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rdmaq_services.market_data.latency import BY_CLOCKS, Latencies, by_clocks_ns
from rdmaq_services.market_data.report import print_subscribers
from rdmaq_services.market_data.tally import Tally
from rich.console import Console

import rdmaq

UNKNOWN = dict.fromkeys(["p50", "p99", "p99_9", "max"])


class FarBatch:
    """A batch of one message from another host, as `rdmaq.Batch` gives it."""

    gap = None
    sequence = 1
    data = np.frombuffer(b"A", np.uint8)
    offsets = np.array([0, 1], np.uint32)
    frame_counts = np.array([1], np.uint32)

    def __init__(self, time_ns: int) -> None:
        self.time_ns = time_ns

    def __len__(self) -> int:
        return 1

    @property
    def frame_latency_ns(self) -> Any:
        raise rdmaq.UnsupportedTransport("two counters")


def report_of(published_ns: int, *, clocks_agree: bool) -> dict[str, Any]:
    tally = Tally(transport="verbs", clocks_agree=clocks_agree)
    batch: Any = FarBatch(published_ns)
    tally.add(batch)
    return tally.as_json()


def words_about(report: dict[str, Any]) -> str:
    console = Console(width=200, record=True, file=None, quiet=False)
    with console.capture() as captured:
        print_subscribers(console, [{"number": 1, **report, "breaches": [], "died": None}])
    return captured.get()


def test_latency_from_another_host_is_unknown_unless_the_user_says_that_clocks_agree() -> None:
    report = report_of(time.time_ns() - 5_000_000, clocks_agree=False)
    assert (report["latency_by"], report["latency_ns"], report["frames"]) == (None, UNKNOWN, 1)
    assert "latency unknown: the publisher is on another host" in words_about(report)


def test_latency_by_synchronised_clocks_is_told_as_such() -> None:
    report = report_of(time.time_ns() - 5_000_000, clocks_agree=True)
    assert report["latency_by"] == BY_CLOCKS
    assert report["latency_ns"]["max"] >= 5_000_000 * 0.999
    assert "by the clocks of both sides" in words_about(report)


def test_clocks_by_which_messages_came_before_they_were_sent_tell_nothing() -> None:
    report = report_of(time.time_ns() + 3_600_000_000_000, clocks_agree=True)
    assert (report["latency_ns"], report["clocks_disagree"]) == (UNKNOWN, 1)
    assert "clocks do not agree" in words_about(report)


def test_publisher_whose_clock_cannot_be_read_gives_no_latency() -> None:
    batch: Any = SimpleNamespace(time_ns=0)
    latencies = Latencies()
    latencies.add(by_clocks_ns(batch), BY_CLOCKS)
    assert latencies.as_json() == UNKNOWN


@pytest.mark.parametrize("latency_ns", [-5, 0, 1])
def test_latency_by_the_counter_is_never_below_the_shortest_that_is_told(latency_ns: int) -> None:
    """Two CPUs' counters may differ by some steps: that is no disagreement of clocks."""
    latencies = Latencies()
    latencies.add(np.array([latency_ns]))
    assert (latencies.as_json()["max"], latencies.impossible) == (1, 0)
