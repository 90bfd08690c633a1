"""A full ring: a reliable publisher waits for its slowest reader, but not for ever."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

import rdmaq
from tests.conformance.rig import (
    PATIENCE_SECONDS,
    TICK,
    Ledger,
    Link,
    eventually,
    has_arrived,
    message_of,
    take,
    ticks_of,
)

SHORT_SECONDS = 0.3
NEVER_SECONDS = 3600.0


@contextmanager
def running(work: Callable[[], Any]) -> Iterator[dict[str, Any]]:
    """Runs `work` on a thread; the dict gets its "result" or "error" by the end of the block."""
    outcome: dict[str, Any] = {}

    def body() -> None:
        try:
            outcome["result"] = work()
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=body)
    thread.start()
    try:
        yield outcome
    finally:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive(), "the thread is stuck"


def fill(pub: rdmaq.Publisher, transport_room_bytes: int) -> None:
    """Sends messages until the next one would have to wait for the reader."""
    while pub.stats.bytes + 32 * (pub.stats.frames + 1) + 1024 + 32 <= transport_room_bytes:
        pub.send(message_of(pub.next_sequence, 701).ljust(1024, b"."))


def test_send_waits_until_the_reader_moves_and_loses_nothing(link: Link) -> None:
    """Fill the ring, send on a thread: it stalls; the reader's first poll lets it finish."""
    pub, sub = link.publish(flow=rdmaq.reliable(timeout=NEVER_SECONDS)), link.subscribe()
    fill(pub, link.transport.room_bytes)
    count, payload = pub.stats.messages, bytes(4000)
    with running(lambda: pub.send(payload)) as outcome:
        eventually(lambda: pub.stats.stalls == 1, "the publisher to stall")
        assert outcome == {}
        assert pub.stats.messages == count, "nothing may be published past the reader"
        received: list[Any] = []
        while len(received) < count:
            received += take(sub, max_messages=1).messages
    assert outcome == {"result": count + 1}
    assert take(sub).messages == [payload]
    assert sub.stats.lost_overrun == 0


@pytest.mark.parametrize("how", ["send", "send_batch", "send_many", "blocks", "claim", "gap"])
def test_stopped_reader_is_cut_off_after_the_timeout_and_told_where(link: Link, how: str) -> None:
    """Every kind of send gets past a reader that never polls; the reader learns its sequence."""
    schema = TICK if how == "send_batch" else None
    pub = link.publish(schema=schema, flow=rdmaq.reliable(timeout=SHORT_SECONDS))
    stopped, moving = link.subscribe(), link.subscribe()
    payload = bytes(1000)
    block = len(payload).to_bytes(2, "big") + payload

    def send_one() -> None:
        if how == "send":
            pub.send(payload)
        elif how == "send_batch":
            pub.send_batch(ticks_of(pub.next_sequence, 300))
        elif how == "send_many":
            pub.send_many([payload] * 7)
        elif how == "blocks":
            pub.send_many(rdmaq.MessageBlocks(block * 7, 7))
        elif how == "claim":
            with pub.claim(1000) as area:
                area[:] = payload
        else:
            pub.send_gap(pub.next_sequence, pub.next_sequence)

    delivered = 0
    for _ in range(4 * link.transport.capacity_bytes // 48):
        send_one()
        link.settle()
        while (batch := moving.poll(0)) is not None:
            delivered += len(batch) if batch.gap is None else batch.gap.count
        if pub.stats.readers_cut_off:
            break
    assert pub.stats.readers_cut_off == 1
    assert delivered == pub.next_sequence - 1, "the reader that moved lost nothing"
    with pytest.raises(rdmaq.CutOff, match="stood still") as caught:
        stopped.poll(0)
    assert caught.value.sequence == stopped.position == 1
    assert stopped.ended
    assert not moving.ended


def test_reader_that_was_cut_off_can_resubscribe_where_it_stopped(link: Link) -> None:
    """`CutOff.sequence` as start: what the ring still holds comes, the rest is declared."""
    pub = link.publish(flow=rdmaq.reliable(timeout=SHORT_SECONDS))
    sub = link.subscribe()
    pub.send_many([message_of(s) for s in range(1, 6)])
    assert take(sub, max_messages=3).messages == [message_of(s) for s in (1, 2, 3)]
    while not pub.stats.readers_cut_off:
        pub.send(message_of(pub.next_sequence))
    link.settle()
    with pytest.raises(rdmaq.CutOff) as caught:
        sub.poll(0)
    assert caught.value.sequence == 4
    again, ledger = link.subscribe(start=caught.value.sequence), Ledger(4)
    ledger.drain_to(again, pub.next_sequence)
    assert ledger.next_sequence == pub.next_sequence
    assert ledger.received > 0


def take_slowly(
    pub: rdmaq.Publisher, sub: rdmaq.Subscription, send: Callable[[], list[bytes]]
) -> float | None:
    """Takes one message every hundredth of the timeout while `send` runs; then all that is left.

    Returns:
        None: all that was sent came. Else how long the reader stood still (seconds) when it was
        cut off.
    """
    received: list[Any] = []
    pause = threading.Event()
    with running(send) as outcome:
        moved = time.monotonic()
        try:
            eventually(lambda: pub.stats.stalls, "the first stall")
            while not outcome:
                pause.wait(SHORT_SECONDS / 100)
                begun = time.monotonic()
                if (batch := sub.poll(0, max_messages=1)) is not None:
                    received += batch.messages
                    moved = begun
        except rdmaq.CutOff:
            return time.monotonic() - moved
        finally:
            if not outcome:
                sub.close()
    eventually(lambda: has_arrived(pub, sub), "arrival")
    while (batch := sub.poll(0)) is not None:
        received += batch.messages
    assert outcome == {"result": received}
    return None


def stall_often(pub: rdmaq.Publisher) -> list[bytes]:
    """Sends for three times the timeout; each move of the reader ends a stall."""
    sent, end = [], time.monotonic() + 3 * SHORT_SECONDS
    while time.monotonic() < end or pub.stats.stalls < 4:
        sent.append(message_of(pub.next_sequence, 2001))
        pub.send(sent[-1])
    return sent


def stall_once(pub: rdmaq.Publisher) -> list[bytes]:
    """Sends what needs so much room that the reader must move for longer than the timeout."""
    sent = []
    while not pub.stats.stalls:
        sent.append(b"small")
        pub.send(sent[-1])
    sent.append(bytes(pub.message_bytes_max))
    pub.send(sent[-1])
    return sent


@pytest.mark.parametrize("send", [stall_often, stall_once])
def test_slow_reader_that_moves_is_never_cut_off(
    link: Link, send: Callable[[rdmaq.Publisher], list[bytes]]
) -> None:
    """A busy machine may keep the reader from its CPU for the whole timeout: then once more."""
    for attempt in itertools.count():
        name = f"s{attempt}"
        pub = link.publish(name, flow=rdmaq.reliable(timeout=SHORT_SECONDS))
        still_seconds = take_slowly(pub, link.subscribe(name), partial(send, pub))
        if still_seconds is None:
            break
        assert still_seconds > SHORT_SECONDS
    assert pub.stats.readers_cut_off == 0


def test_reader_that_pauses_between_stalls_has_the_whole_timeout_each_time(link: Link) -> None:
    """A stall that an interrupt ended must not count against the reader in a later stall."""
    pub = link.publish(flow=rdmaq.reliable(timeout=NEVER_SECONDS))
    sub = link.subscribe()
    fill(pub, link.transport.room_bytes)
    with running(lambda: pub.send(bytes(4000))) as outcome:
        eventually(lambda: pub.stats.stalls == 1, "the first stall")
        sub.close()
        eventually(lambda: outcome, "the send that nobody holds back")
    assert outcome == {"result": pub.next_sequence - 1}
    assert pub.stats.readers_cut_off == 0
    assert pub.reader_count == 0
