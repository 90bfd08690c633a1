"""A signal handler that raises just when a batch is handed over: the next poll has the batch."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

import rdmaq
from tests.conformance.rig import TICK, Link, eventually, take, ticks_of

_FOREVER_SECONDS = 1000.0


class Interrupted(Exception):
    """What the handler raises."""


@pytest.fixture(autouse=True)
def raising_handler() -> Iterator[None]:
    """SIGUSR1 raises; and no thread gives up the interpreter before it sleeps or ends."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    interval_seconds = sys.getswitchinterval()
    sys.setswitchinterval(_FOREVER_SECONDS)
    yield
    sys.setswitchinterval(interval_seconds)
    signal.signal(signal.SIGUSR1, before)


def interrupted_at_delivery(
    sub: rdmaq.Subscription, send: Callable[[], object], receive: Callable[[], object]
) -> None:
    """Runs `receive`, which waits, sends to it, and signals it before it can return.

    The other thread does both without giving the interpreter away: the waiting one has copied the
    batch by then, or does so meanwhile, and returns to Python with the signal pending.
    """
    main = threading.main_thread().ident
    assert main is not None

    def body() -> None:
        eventually(lambda: sub.stats.wakes > 0, "the poll to sleep")
        send()
        signal.pthread_kill(main, signal.SIGUSR1)

    thread = threading.Thread(target=body)
    thread.start()
    with pytest.raises(Interrupted):
        receive()
    thread.join()


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
    assert take(sub).messages == [b"kept"]
    assert sub.position == 2
    assert take(sub).messages == [b"later"]
    assert sub.poll(0) is None
    assert sub.stats.messages == 2


def test_batch_of_records_is_kept_as_well(link: Link) -> None:
    """One that goes with the buffer that it was copied to, since it fills most of it."""
    pub, sub = link.publish(schema=TICK), link.subscribe(wait="sleep")
    records = ticks_of(1, 150)  # few enough for the sender not to give the interpreter away
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
    for message in (b"kept", b"later"):
        with sub.view(0) as batch:
            assert batch is not None
            assert [bytes(m) for m in batch.messages] == [message]


def test_what_was_kept_ends_with_close(link: Link) -> None:
    """A closed subscription delivers nothing."""
    pub, sub = link.publish(), link.subscribe(wait="sleep")
    interrupted_at_delivery(sub, lambda: pub.send(b"kept"), sub.poll)
    sub.close()
    with pytest.raises(rdmaq.ClosedError):
        sub.poll(0)
