"""Ctrl-C at any moment: no report is lost by it, no count drifts, and nothing waits for ever."""

from __future__ import annotations

import functools
import gc
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

from rdmaq.errors import ConcurrentUse, OperationFailed
from rdmaq.verbs.fast import PostedPair
from rdmaq.verbs.requests import Requests
from tests.verbs.nic import REMOTE_ACCESS, SENDS, End, Place

LOCAL, REMOTE = Place(0x1000, 64), Place(0x2000, 64)


@pytest.fixture
def end() -> Iterator[End]:
    with End() as made:
        yield made


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[], None]]:
    """Makes it come, as a signal of its own, whose handler raises KeyboardInterrupt."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


def when_asleep(end: End, call: Callable[[], None]) -> threading.Thread:
    """Calls from another thread once the queue was armed anew: then somebody sleeps in C."""
    before = end.arms

    def wait() -> None:
        while end.arms == before:
            time.sleep(0)
        call()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.parametrize("way", ["run", "wait"])
def test_interrupted_wait_leaves_the_pair_as_good_as_it_was(
    end: End, ctrl_c: Callable[[], None], way: str
) -> None:
    """It sleeps in C, since the NIC does nothing."""
    requests = requests_of(end, 1)
    thread = when_asleep(end, ctrl_c)
    call = end.pair.write(LOCAL, REMOTE).wait if way == "wait" else None
    with pytest.raises(KeyboardInterrupt):
        call() if call else end.pair.run(requests)
    thread.join()
    end.run()
    end.pair.settle(5)
    assert end.pair.outstanding == 0
    bad = end.pair.write(LOCAL, REMOTE)
    end.run(1, REMOTE_ACCESS)
    with pytest.raises(OperationFailed):
        bad.wait(5)


class Everywhere:
    """Interrupts a call once at each place where Python may look for signals, one after another.

    A signal is seen where a call begins or has ended: at each event that `sys.setprofile` tells.
    """

    def __init__(self) -> None:
        self.place = 0
        self.was_reached = True

    def interrupt(self, call: Callable[[], None]) -> None:
        """Makes the call, which is interrupted at the next place."""
        self.place += 1
        self.was_reached = False
        seen = 0

        def note(frame: FrameType, event: str, argument: object) -> None:
            nonlocal seen
            if event not in ("call", "c_return"):
                return
            seen += 1
            if seen == self.place:
                sys.setprofile(None)
                self.was_reached = True
                raise KeyboardInterrupt

        gc.disable()  # in a finalizer nobody would see it raised
        sys.setprofile(note)
        try:
            call()
        except KeyboardInterrupt:
            pass
        finally:
            sys.setprofile(None)
            gc.enable()


def requests_of(end: End, count: int) -> Requests:
    requests = end.pair.requests(count)
    requests.array["opcode"] = requests.WRITE
    requests.array["length_bytes"] = 8
    return requests


def write_each(pair: PostedPair, requests: Requests) -> None:
    [pair.write(LOCAL, REMOTE) for _ in range(requests.count)][-1].wait()


def fail(pair: PostedPair, requests: Requests) -> None:
    with pytest.raises(OperationFailed):
        pair.run(requests)


WAYS: dict[str, Callable[[PostedPair, Requests], None]] = {
    "write": write_each,
    "post": lambda pair, requests: pair.post(requests).wait(),
    "run": lambda pair, requests: pair.run(requests),
    "failure": fail,
}


@pytest.mark.parametrize("ops", [1, SENDS + 4])
@pytest.mark.parametrize("way", WAYS)
def test_interruption_anywhere_in_a_call_leaves_counts_that_agree(way: str, ops: int) -> None:
    """Afterwards all can be settled, and a failure is told to whom it happened to."""
    everywhere = Everywhere()
    while everywhere.was_reached:
        with End() as end:
            end.be_quick(REMOTE_ACCESS if way == "failure" else 0)
            everywhere.interrupt(functools.partial(WAYS[way], end.pair, requests_of(end, ops)))
            end.pair.settle(5)
            assert end.pair.outstanding == 0, everywhere.place
            assert not end.pair.uses(0, 1 << 63), everywhere.place
            if way == "failure":
                continue
            end.be_slow()
            good, bad = end.pair.write(LOCAL, REMOTE), end.pair.write(LOCAL, REMOTE)
            end.run(2, REMOTE_ACCESS)
            good.wait(5)
            with pytest.raises(OperationFailed):
                bad.wait(5)
    assert everywhere.place > 2


def test_close_by_a_handler_within_a_call_is_refused(end: End) -> None:
    """It would wait for what it interrupted."""
    told: list[Exception] = []

    def handler(*_: object) -> None:
        try:
            end.pair.close()
        except ConcurrentUse as error:
            told.append(error)

    def explain(**facts: object) -> OperationFailed:
        handler()
        return OperationFailed("x", status=0, vendor_error=0, opcode="WRITE", token=0)

    end.pair._explain = explain
    operation = end.pair.write(LOCAL, REMOTE)
    end.run(1, REMOTE_ACCESS)
    with pytest.raises(OperationFailed):
        operation.wait(5)
    assert "handler" in str(told[0])
