"""A tally counts real batches by type and cause, and notices what nobody declared."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import numpy as np
from rdmaq_services.market_data.itch50 import EMPTY_MESSAGE
from rdmaq_services.market_data.latency import Latencies
from rdmaq_services.market_data.tally import Tally

import rdmaq


def fake(sequence: int, count: int) -> Any:
    batch = SimpleNamespace(
        gap=None,
        sequence=sequence,
        data=np.frombuffer(b"A" * count, np.uint8),
        offsets=np.arange(count + 1, dtype=np.uint32),
        frame_counts=np.array([count]),
        frame_latency_ns=np.array([1_000]),
    )
    return _Sized(batch, count)


class _Sized:
    def __init__(self, batch: SimpleNamespace, count: int) -> None:
        self._batch, self._count = batch, count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __len__(self) -> int:
        return self._count


def test_messages_are_counted_by_their_first_byte_even_those_without_one() -> None:
    """Through a real ring: empty messages at every place of a batch."""
    messages = [b"", b"Abc", b"", b"", b"A", b"D" * 300, b"\xff", b""]
    address = f"local:tally-{os.getpid()}"
    tally = Tally(1)
    with rdmaq.Node(address) as node:
        publisher = node.publish("itch")
        with rdmaq.connect(address).subscribe("itch") as subscription:
            publisher.send_many(messages)
            publisher.send_gap(9, 12)
            publisher.send_many([b""])
            publisher.close()
            for batch in subscription.batches():
                tally.add(batch)
    report = tally.as_json()
    assert report["counts_by_type"] == {"A": 2, "D": 1, "0xff": 1, EMPTY_MESSAGE: 5}
    assert (report["messages"], report["lost_messages"]) == (9, 4)
    assert report["lost_ranges"] == [[9, 12]]
    assert report["frames"] == 2
    assert report["latency_ns"]["max"] > 0
    assert tally.next_sequence == 14


def test_what_is_missing_without_a_word_is_noticed() -> None:
    tally = Tally(1)
    tally.add(fake(3, 2))
    tally.add(fake(8, 1))
    assert tally.as_json()["undeclared_ranges"] == [[1, 2], [5, 7]]


def test_what_comes_twice_is_noticed() -> None:
    tally = Tally()
    tally.add(fake(3, 4))
    tally.add(fake(5, 4))
    report = tally.as_json()
    assert report["doubled"] == 2
    assert not report["undeclared_ranges"]


def test_latencies_keep_three_digits_and_the_extremes() -> None:
    latencies = Latencies()
    for _ in range(20):
        latencies.add(np.arange(1, 1_001, dtype=np.int64) * 1_000)
    latencies.add(np.array([-5, 10**15], np.int64))
    figures = latencies.as_json()
    assert abs(figures["p50"] - 500_000) <= 1_000  # type: ignore[operator]
    assert abs(figures["p99"] - 990_000) <= 2_000  # type: ignore[operator]
    assert figures["max"] >= 3_600_000_000_000  # type: ignore[operator]


def test_no_latency_is_none_not_zero() -> None:
    assert Latencies().as_json() == {"p50": None, "p99": None, "p99_9": None, "max": None}
