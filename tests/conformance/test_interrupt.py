"""Ctrl-C ends whatever waits, and leaves publisher and subscription usable."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import rdmaq
from rdmaq._fast import ffi, lib
from tests.conformance.child import Child
from tests.conformance.rig import (
    PATIENCE_SECONDS,
    Link,
    Transport,
    eventually,
    message_of,
    take,
    take_messages,
)
from tests.conformance.test_full import NEVER_SECONDS, fill, running
from tests.conformance.waits import WAITS, Wait, main_thread_id

# A signal can come when a socket is made and nobody has it yet: it is closed with a warning, as
# what is forgotten is.
may_forget_a_socket = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)

WAITING_CALLS = ("rq_reader_poll", "rq_reader_borrow", "rq_publisher_wait")


@contextmanager
def interrupt_when(condition: Callable[[], bool]) -> Iterator[list[str]]:
    """Sends this process a SIGINT once `condition()` holds; the block must end by it.

    Gives the waiting C functions that were called after the signal.
    """
    done, sent, in_vain = threading.Event(), threading.Event(), threading.Event()
    late: list[str] = []

    def body() -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not done.is_set():
            if time.monotonic() > deadline:
                in_vain.set()
            if in_vain.is_set() or condition():
                os.kill(os.getpid(), signal.SIGINT)
                sent.set()
                return
            done.wait(0.001)

    def note(frame: Any, event: str, argument: Any) -> None:
        name = getattr(argument, "__name__", "")
        if event == "c_call" and name in WAITING_CALLS and sent.is_set():
            late.append(name)

    thread = threading.Thread(target=body)
    thread.start()
    sys.setprofile(note)
    try:
        yield late
        pytest.fail("nothing was interrupted")
    except KeyboardInterrupt:
        pass
    finally:
        sys.setprofile(None)
        done.set()
        thread.join()
    assert not in_vain.is_set(), "the call was never where it should wait"


@contextmanager
def interrupt_after(name: str) -> Iterator[None]:
    """Raises KeyboardInterrupt as soon as the C function `name` has returned."""

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "c_return" and getattr(argument, "__name__", "") == name:
            raise KeyboardInterrupt

    sys.setprofile(note)
    try:
        yield
        pytest.fail("nothing was interrupted")
    except KeyboardInterrupt:
        pass
    finally:
        sys.setprofile(None)


def block_began() -> None:
    pytest.fail("the block began")


@may_forget_a_socket
@pytest.mark.parametrize("what", WAITS)
def test_interrupt_ends_every_wait_within_its_slice_and_the_next_call_works(
    link: Link, what: str
) -> None:
    """SIGINT once the call waits: at most the slice that was about to begin is waited for.

    Then the same call comes to its good end, on the same handles.
    """
    wait = WAITS[what](link)
    with interrupt_when(lambda: wait.is_inside(main_thread_id())) as late:
        wait.call()
    assert len(late) <= 1
    assert not wait.handle.closed
    wait.go_on()
    wait.call()


@pytest.mark.parametrize("wait", ["auto", "sleep", "yield", "spin"])
def test_no_crossing_waits_longer_than_a_slice(link: Link, wait: str) -> None:
    """Asked to wait for a year, C comes back with nothing: an interrupt is looked for then."""
    pub = link.publish(flow=rdmaq.reliable(1, timeout=NEVER_SECONDS))
    assert lib.rq_publisher_wait(pub.handle, 1, 1 << 54) == 0
    lib.rq_publisher_give_up(pub.handle)
    sub = link.subscribe(wait=wait)
    poll = ffi.new("struct rq_poll *", {"wait_mode": sub._cursor.wait_mode})
    assert lib.rq_reader_poll(sub._cursor.handle, poll, 1, 1 << 54) == lib.RQ_POLL_NOTHING
    assert sub._cursor.lend(1, 1 << 54)[0] == lib.RQ_POLL_NOTHING


@may_forget_a_socket
def test_interrupt_ends_waiting_for_a_node_that_does_not_answer(
    publisher: Child, transport: Transport
) -> None:
    """The node is stopped: its queue takes the call, and nobody answers."""
    peer = transport.connect(publisher.address)
    publisher.stop()
    waiting = Wait(
        call=lambda: peer.subscribe("s"),
        within=("ask", "describe"),
        handle=peer,
        go_on=publisher.resume,
    )
    with interrupt_when(lambda: waiting.is_inside(main_thread_id())):
        waiting.call()
    waiting.go_on()
    with peer.subscribe("s") as sub:
        publisher.run("pub.send(b'x')")
        assert take_messages(sub, 1) == [b"x"]


@may_forget_a_socket
def test_interrupt_ends_connect(transport: Transport) -> None:
    """Nobody is there, and the time-out is far."""
    waiting = Wait(
        call=lambda: transport.connect(transport.free_address("nobody"), NEVER_SECONDS),
        within=("dial", "describe"),  # over shared memory, over verbs
        handle=None,
        go_on=lambda: None,
    )
    with interrupt_when(lambda: waiting.is_inside(main_thread_id())):
        waiting.call()


@may_forget_a_socket
def test_interrupt_ends_waiting_for_the_next_incarnation(
    publisher: Child, transport: Transport
) -> None:
    """The publisher was killed, `on_restart="follow"`: the subscription is as it was before."""
    with transport.connect(publisher.address).subscribe("s", on_restart="follow") as sub:
        publisher.kill()
        with interrupt_when(lambda: "gone" in [event.kind for event in sub._events]):
            sub.poll(None)
        assert sub.poll(0) is None
        assert not sub.ended


@pytest.mark.parametrize("what", ["claim", "claim that waited", "view"])
def test_interrupt_in_the_moment_of_lending_leaves_nothing_lent(link: Link, what: str) -> None:
    """The block never began, so nothing would end it: claims and views must end by themselves."""
    pub, sub = link.publish(flow=rdmaq.reliable(timeout=NEVER_SECONDS)), link.subscribe()
    if what == "view":
        pub.send(b"x")
        with interrupt_after("rq_reader_borrow"), sub.view(None):
            block_began()
        assert take_messages(sub, 1) == [b"x"]
        return
    if what == "claim that waited":
        fill(pub, link.transport.room_bytes)
        with interrupt_after("rq_publisher_wait"), pub.claim(4000):
            block_began()
        take_messages(sub, pub.stats.messages)
    with interrupt_after("rq_claim"), pub.claim(4):
        block_began()
    sequence = pub.next_sequence
    assert pub.send(b"x") == sequence
    assert take_messages(sub, 1) == [b"x"]


def test_interrupt_while_lending_leaves_another_block_what_it_has(link: Link) -> None:
    """A view or claim that is refused because one is open ends neither, however it ends."""
    pub, sub = link.publish(), link.subscribe()
    with pub.claim(2) as area:
        with interrupt_after("rq_claim"), pub.claim(2):
            block_began()
        area[:] = b"ok"
    link.settle()
    with sub.view(0) as batch:
        with interrupt_after("rq_reader_borrow"), sub.view(0):
            block_began()
        assert batch is not None
        assert [bytes(message) for message in batch] == [b"ok"]
    assert sub.poll(0) is None


def test_interrupted_wait_leaves_the_publisher_to_other_threads(link: Link) -> None:
    """While it waits the publisher is that thread's; after Ctrl-C it is anybody's."""
    pub, sub = link.publish(flow=rdmaq.reliable(timeout=NEVER_SECONDS)), link.subscribe()
    fill(pub, link.transport.room_bytes)
    with interrupt_after("rq_publisher_wait"):
        pub.send(bytes(4000))
    take_messages(sub, pub.stats.messages)
    with running(lambda: pub.send(b"from another thread")) as outcome:
        eventually(lambda: outcome)
    assert outcome == {"result": pub.next_sequence - 1}


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
        link.settle()
    began = time.monotonic()
    with running(lambda: pub.send(bytes(6000))):
        eventually(lambda: pub.stats.readers_cut_off == 1, "the cut off")
        assert time.monotonic() - began >= 0.9 * timeout_seconds
    link.settle()  # elsewhere what has come may be read until the reader is told
    with pytest.raises(rdmaq.CutOff):
        take(sub)
