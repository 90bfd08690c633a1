"""The methods written in C give back what they take: counted over many calls, errors included."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

import rdmaq
from tests.conformance.rig import SHM, TICK, Link, ticks_of

_CALLS = 3000
_SLACK_BLOCKS = _CALLS // 2  # the interpreter's own caches come and go; a leak is one a call


@pytest.fixture
def link() -> Iterator[Link]:
    with Link(SHM) as made:
        yield made


def blocks_and_references(*watched: object) -> list[int]:
    gc.collect()
    return [sys.getallocatedblocks(), *map(sys.getrefcount, watched)]


def check_keeps_nothing(call: Callable[[], Any], *watched: object) -> None:
    """Calls again and again; neither blocks of memory nor references grow with the calls."""
    for _ in range(50):
        call()
    before = blocks_and_references(*watched)
    for _ in range(_CALLS):
        call()
    after = blocks_and_references(*watched)
    grown = [b - a for a, b in zip(before, after, strict=True)]
    assert max(map(abs, grown)) < _SLACK_BLOCKS, grown


def test_a_leak_would_be_noticed() -> None:
    """One object a call is more than the slack: else the tests below could not fail."""
    kept: list[object] = []
    with pytest.raises(AssertionError):
        check_keeps_nothing(lambda: kept.append(object()))


def test_messages(link: Link) -> None:
    """Of every kind that send takes, one and many a batch."""
    pub, sub = link.publish(), link.subscribe()
    watched = (None, rdmaq.Batch, sub._cursor, pub)

    def call() -> None:
        for message in (b"bytes", bytearray(b"bytearray"), memoryview(b"view"), np.ones(3)):
            pub.send(message)
        assert len(sub.poll(0).messages) == 4  # type: ignore[union-attr]
        pub.send(bytes(5000))  # beyond what is copied with the GIL held
        batch = sub.poll(0)
        assert batch is not None
        assert len(batch.messages[0]) == len(batch.data) == 5000
        assert sub.poll(0) is None
        assert sub.poll(0.000001) is None

    check_keeps_nothing(call, *watched)


def test_records(link: Link) -> None:
    """Small ones, large ones (which take their buffer along), and into a buffer of the user's."""
    pub, sub = link.publish(schema=TICK), link.subscribe()
    few, many, mine = ticks_of(1, 3), ticks_of(1, 1000), np.zeros(1024, TICK)
    arrays = [few, many, many[::2]]
    arrays.append(few.view(np.dtype(TICK.descr)))  # an equal dtype, another object
    watched = (None, rdmaq.Batch, pub.schema, sub._cursor, few, many, mine)

    def call() -> None:
        for array in arrays:
            pub.send_batch(array)
            assert len(sub.poll(0).data) == len(array)  # type: ignore[union-attr]
            pub.send_batch(array)
            assert len(sub.poll(0, into=mine)) == len(array)  # type: ignore[arg-type]

    check_keeps_nothing(call, *watched)


def test_iteration(link: Link) -> None:
    """To the timeout, again and again."""
    pub, sub = link.publish(), link.subscribe()

    def call() -> None:
        pub.send(b"x")
        assert [batch.messages for batch in sub.batches(timeout=0)] == [[b"x"]]

    check_keeps_nothing(call, None, rdmaq.Batch, sub)


def test_gaps_and_refusals(link: Link) -> None:
    """What Python explains, and what it refuses."""
    pub, sub = link.publish(), link.subscribe(on_gap="raise")
    typed = link.publish("typed", TICK)
    bad: list[Callable[[], object]] = [
        lambda: pub.send(bytes(100_000)),
        lambda: pub.send("text"),
        lambda: pub.send_batch(np.zeros(3)),
        lambda: typed.send_batch(np.zeros(3)),
        lambda: typed.send_batch(ticks_of(1, 4).reshape(2, 2)),
        lambda: sub.poll("soon"),  # type: ignore[arg-type]
        lambda: sub.poll(float("nan")),
        lambda: sub.poll(0, max_messages=0),
        lambda: sub.poll(0, into=b"read-only"),
        lambda: sub.poll(0, out=3),  # type: ignore[call-arg]
        lambda: sub.poll(0, 3),  # type: ignore[call-arg]
    ]

    def call() -> None:
        pub.send_gap(pub.next_sequence, pub.next_sequence)
        with suppress(rdmaq.GapError):
            sub.poll(0)
            pytest.fail("a gap")
        for attempt in bad:
            with suppress(rdmaq.RdmaqError, ValueError, TypeError):
                attempt()
                pytest.fail("refused")

    check_keeps_nothing(call, None, rdmaq.Batch, pub, sub)


def test_handles_and_batches_die_with_their_last_reference(link: Link) -> None:
    """Subscription, cursor and batches: also in a cycle, which the collector must see."""
    link.publish()

    def call() -> None:
        sub = link.peer.subscribe("s")
        sub.poll(0)
        sub._events.append(sub)  # type: ignore[arg-type]
        sub.close()

    for _ in range(5):
        call()
    before = blocks_and_references()
    for _ in range(200):
        call()
    grown = blocks_and_references()[0] - before[0]
    assert grown < 200, grown
