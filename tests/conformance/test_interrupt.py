"""Ctrl-C ends whatever waits, and leaves publisher and subscription usable."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

import rdmaq
from tests.conformance.rig import Link, eventually, message_of, take, take_messages
from tests.conformance.test_full import NEVER_SECONDS, fill, running


@contextmanager
def interrupt_when(condition: Callable[[], bool]) -> Iterator[None]:
    """Sends this process a SIGINT once `condition()` holds; the block must end by it."""
    done = threading.Event()

    def body() -> None:
        while not done.is_set():
            if condition():
                os.kill(os.getpid(), signal.SIGINT)
                return
            done.wait(0.001)

    thread = threading.Thread(target=body)
    thread.start()
    try:
        yield
        pytest.fail("nothing was interrupted")
    except KeyboardInterrupt:
        pass
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("wait", ["auto", "sleep", "yield", "spin"])
def test_interrupt_ends_a_blocked_poll_and_the_next_one_works(link: Link, wait: str) -> None:
    """SIGINT once the poll sleeps, or has spun for a while: KeyboardInterrupt, nothing lost."""
    pub, sub = link.publish(), link.subscribe(wait=wait)
    started = time.monotonic()

    def is_waiting() -> bool:
        return sub.stats.wakes > 0 or time.monotonic() - started > 0.1

    with interrupt_when(is_waiting):
        sub.poll(None)
    pub.send(b"after")
    assert take_messages(sub, 1) == [b"after"]


def test_interrupt_ends_a_blocked_send_and_publishes_nothing_of_it(link: Link) -> None:
    """SIGINT while the gate is shut: the message is not there, the next one is."""
    pub, sub = link.publish(flow=rdmaq.reliable(timeout=NEVER_SECONDS)), link.subscribe()
    fill(pub, link.transport.room_bytes)
    count = pub.stats.messages
    with interrupt_when(lambda: pub.stats.stalls == 1):
        pub.send(bytes(4000))
    assert pub.next_sequence == count + 1
    take_messages(sub, count)
    assert pub.send(b"next") == count + 1
    assert take_messages(sub, 1) == [b"next"]


def test_stall_that_was_interrupted_does_not_count_in_the_next_one(link: Link) -> None:
    """A reader that moved since has the whole timeout again, not what was left of the first.

    Blocks, interrupts, lets the reader drain, fills again, and blocks again: the reader is cut
    off, but not before the timeout has passed once more.
    """
    timeout_seconds = 0.5
    pub = link.publish(flow=rdmaq.reliable(timeout=timeout_seconds))
    sub = link.subscribe()
    fill(pub, link.transport.room_bytes)
    with interrupt_when(lambda: pub.stats.stalls == 1):
        pub.send(bytes(4000))
    take_messages(sub, pub.stats.messages)
    until = time.monotonic() + timeout_seconds
    eventually(lambda: time.monotonic() > until)
    room_bytes = link.transport.room_bytes - 5000
    while sub.lag < room_bytes:
        pub.send(message_of(1, 1000).ljust(480))
    began = time.monotonic()
    with running(lambda: pub.send(bytes(6000))):
        eventually(lambda: pub.stats.readers_cut_off == 1, "the cut off")
        assert time.monotonic() - began >= 0.9 * timeout_seconds
    with pytest.raises(rdmaq.CutOff):
        take(sub)
