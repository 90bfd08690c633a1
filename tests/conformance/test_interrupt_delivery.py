"""A signal handler that raises just when a batch is handed over: the next poll has the batch."""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import rdmaq
from rdmaq.stream.reading import OnGap, Reading
from tests.conformance.rig import TICK, Link, eventually, take, ticks_of

_ASLEEP_SECONDS = 0.005  # well within a slice of sleep


class Interrupted(Exception):
    """What the handler raises."""


@pytest.fixture(autouse=True)
def raising_handler() -> Iterator[None]:
    """SIGUSR1 raises."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield
    signal.signal(signal.SIGUSR1, before)


def interrupted_at_delivery(
    sub: rdmaq.Subscription, send: Callable[[], object], receive: Callable[[], object]
) -> None:
    """Runs `receive`, which waits, and sends to it with a signal pending that does not wake it.

    The interpreter is told of the signal first, and the kernel is not: what ends the sleep is the
    batch, and the return to Python with it finds the signal.
    """

    def body() -> None:
        eventually(lambda: sub.stats.wakes > 0, "the poll to sleep")
        time.sleep(_ASLEEP_SECONDS)  # or its slice may be just over, and the batch not needed
        _thread.interrupt_main(signal.SIGUSR1)
        send()

    thread = threading.Thread(target=body)
    thread.start()
    with pytest.raises(Interrupted):
        receive()
    thread.join()


def drained(sub: rdmaq.Subscription) -> list[bytes]:
    """All messages that are there: in two batches, or in one if the interrupt came too early."""
    messages: list[bytes] = []
    while (batch := sub.poll(0)) is not None:
        messages += batch.messages
    return messages


@pytest.mark.parametrize("how", ["poll", "into", "for"])
def test_batch_of_an_interrupted_poll_comes_with_the_next_one(link: Link, how: str) -> None:
    """Whole, once, and `position` counts it as not delivered until then."""
    pub, sub = link.publish(), link.subscribe(wait="sleep")
    receive: dict[str, Callable[[], object]] = {
        "poll": sub.poll,
        "into": lambda: sub.poll(into=bytearray(100)),
        "for": lambda: next(iter(sub)),
    }
    interrupted_at_delivery(sub, lambda: pub.send(b"kept"), receive[how])
    assert sub.position == 1
    pub.send(b"later")
    link.settle()
    assert drained(sub) == [b"kept", b"later"]
    assert sub.position == 3
    assert sub.stats.messages == 2


def test_batch_of_records_is_kept_as_well(link: Link) -> None:
    """One that goes with the buffer that it was copied to, since it fills most of it."""
    pub, sub = link.publish(schema=TICK), link.subscribe(wait="sleep")
    records = ticks_of(1, 150)
    interrupted_at_delivery(
        sub, lambda: pub.send_batch(records), lambda: sub.poll(max_messages=200)
    )
    assert take(sub).data.tobytes() == records.tobytes()


def test_interrupt_ends_a_sleeping_poll_with_its_slice(link: Link) -> None:
    """It sleeps once more at most, when the signal comes between two slices."""
    link.publish()
    sub = link.subscribe(wait="sleep")
    before: list[int] = []
    interrupted_at_delivery(sub, lambda: before.append(sub.stats.wakes), sub.poll)
    assert sub.stats.wakes <= before[0] + 1
    assert sub.poll(0) is None


def test_view_gets_what_was_kept_first(link: Link) -> None:
    """In order: before what still stands in the ring."""
    pub, sub = link.publish(), link.subscribe(wait="sleep")
    interrupted_at_delivery(sub, lambda: pub.send(b"kept"), sub.poll)
    pub.send(b"later")
    seen: list[bytes] = []
    while len(seen) < 2:
        link.settle()
        with sub.view(0) as batch:
            assert batch is not None
            seen += [bytes(m) for m in batch.messages]
    assert seen == [b"kept", b"later"]


def test_what_was_kept_ends_with_close(link: Link) -> None:
    """A closed subscription delivers nothing."""
    pub, sub = link.publish(), link.subscribe(wait="sleep")
    interrupted_at_delivery(sub, lambda: pub.send(b"kept"), sub.poll)
    sub.close()
    link.settle()
    with pytest.raises(rdmaq.ClosedError):
        sub.poll(0)


@pytest.mark.parametrize("how", ["poll", "for", "view"])
def test_gap_of_an_interrupted_wait_is_told_by_the_next_one(link: Link, how: str) -> None:
    """A gap is out of the ring when it is found: it is told late rather than never, and once."""
    pub, sub = link.publish(), link.subscribe(wait="sleep")
    receive: dict[str, Callable[[], object]] = {
        "poll": sub.poll,
        "for": lambda: next(iter(sub)),
        "view": lambda: sub.view().__enter__(),
    }
    interrupted_at_delivery(sub, lambda: pub.send_gap(1, 3), receive[how])
    assert sub.position == 1
    pub.send(b"later")
    gap = take(sub).gap
    assert gap is not None
    assert (gap.first, gap.last, gap.cause) == (1, 3, "upstream")
    assert sub.position == 4
    assert take(sub).messages == [b"later"]
    link.settle()
    assert sub.poll(0) is None


@pytest.mark.parametrize("on_gap", ["report", "raise", "skip"])
@pytest.mark.parametrize("how", ["poll", "view"])
def test_gap_survives_an_exception_while_it_is_made_known(
    link: Link, monkeypatch: pytest.MonkeyPatch, how: str, on_gap: OnGap
) -> None:
    """Python makes the gap's batch: a handler may raise in the midst of that, and again."""
    pub, sub = link.publish(), link.subscribe(on_gap=on_gap)
    pub.send_gap(1, 3)
    pub.send(b"later")
    answer = Reading._gap
    raised: list[int] = []

    def interrupted(self: Reading, details: Any, found: bytes) -> Any:
        made = answer(self, details, found)
        if len(raised) < 2:
            raised.append(details.sequence)
            raise Interrupted
        return made

    def view() -> object:
        link.settle()
        with sub.view(0) as batch:
            return batch

    monkeypatch.setattr(Reading, "_gap", interrupted)
    link.settle()
    for _ in range(2):
        with pytest.raises(Interrupted):
            view() if how == "view" else sub.poll(0)
        assert sub.position == 1
    if on_gap == "raise":
        with pytest.raises(rdmaq.GapError) as told:
            view() if how == "view" else sub.poll(0)
        assert (told.value.gap.first, told.value.gap.last) == (1, 3)
    elif on_gap == "report":
        gap = take(sub).gap
        assert gap is not None
        assert (gap.first, gap.last) == (1, 3)
    assert raised == [1, 1]
    assert take(sub).messages == [b"later"]
    assert view() is None
    assert sub.stats.gaps_upstream == 1
