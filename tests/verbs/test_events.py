"""Events are taken only when the descriptor has one: pyverbs' own wait stops the process."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from rdmaq.verbs import EventKind, events
from rdmaq.verbs.events import DeviceEvent, Events, summary


class PyverbsError(Exception):
    pass


class PyverbsObject:
    """pyverbs' base class by its name; where events of this fake keep their struct is patched."""


class FakeEvent(PyverbsObject):
    def __init__(self, kind: int, element: int, own_kind: int | None = None) -> None:
        self.event_type = kind
        self.raw = struct.pack("@QiI", element, kind if own_kind is None else own_kind, 0)
        self.is_acknowledged = False

    def ack(self) -> None:
        self.is_acknowledged = True


class FakeContext:
    """Takes events off a pipe as libibverbs does off its descriptor: one read, one event."""

    def __init__(self) -> None:
        self.fd, self._end = os.pipe()
        self.queue: list[FakeEvent] = []
        self.given: list[FakeEvent] = []

    def tell(self, event: FakeEvent) -> None:
        self.queue.append(event)
        os.write(self._end, b"e")

    def get_async_event(self) -> FakeEvent:
        try:
            os.read(self.fd, 1)
        except BlockingIOError:
            raise PyverbsError("Failed to get async event") from None
        self.given.append(self.queue.pop(0))
        return self.given[-1]

    def close(self) -> None:
        os.close(self.fd)
        os.close(self._end)


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeContext]:
    pyverbs = SimpleNamespace(pyverbs_error=SimpleNamespace(PyverbsError=PyverbsError))
    monkeypatch.setattr(events, "load", lambda: pyverbs)
    fake = FakeContext()

    def read_memory(address: int, size_bytes: int) -> bytes:
        event = next(e for e in fake.given if id(e) + PyverbsObject.__basicsize__ == address)
        return event.raw[:size_bytes]

    monkeypatch.setattr(events, "read_memory", read_memory)
    yield fake
    fake.close()


def test_nothing_told_is_an_answer_at_once(context: FakeContext) -> None:
    assert Events(context, context.fd).poll() == []


def test_events_come_in_order_and_are_acknowledged(context: FakeContext) -> None:
    told: list[Any] = [FakeEvent(EventKind.PORT_ERR, 1), FakeEvent(EventKind.PORT_ACTIVE, 1)]
    watcher = Events(context, context.fd)
    for event in told:
        context.tell(event)
    found = watcher.poll()
    assert [event.kind for event in found] == [EventKind.PORT_ERR, EventKind.PORT_ACTIVE]
    assert [event.port for event in found] == [1, 1]
    assert all(event.is_acknowledged for event in told)
    assert list(watcher.recent) == found


def test_device_that_failed_stays_so_whatever_else_it_tells(context: FakeContext) -> None:
    watcher = Events(context, context.fd)
    assert not watcher.is_fatal
    for kind in (EventKind.DEVICE_FATAL, EventKind.PORT_ACTIVE):
        context.tell(FakeEvent(kind, 1))
        watcher.poll()
    assert watcher.is_fatal


def test_event_of_a_queue_pair_names_its_struct(context: FakeContext) -> None:
    context.tell(FakeEvent(EventKind.QP_ACCESS_ERR, 0x7F00_0000_1000))
    (event,) = Events(context, context.fd).poll()
    assert (event.qp_address, event.port) == (0x7F00_0000_1000, None)


def test_event_whose_struct_does_not_agree_names_neither_port_nor_pair(
    context: FakeContext,
) -> None:
    context.tell(FakeEvent(EventKind.PORT_ERR, 1, own_kind=99))
    (event,) = Events(context, context.fd).poll()
    assert event.kind == EventKind.PORT_ERR
    assert (event.port, event.qp_address) == (None, None)


def test_waiting_for_an_event_lets_other_threads_run(context: FakeContext) -> None:
    """The one who tells is another thread of this process: it could not while Python is held."""
    watcher = Events(context, context.fd)
    teller = threading.Timer(0.05, context.tell, [FakeEvent(EventKind.GID_CHANGE, 1)])
    teller.start()
    assert [event.kind for event in watcher.poll(timeout=30)] == [EventKind.GID_CHANGE]
    teller.join()


def test_event_that_another_reader_took_is_not_waited_for(context: FakeContext) -> None:
    """The descriptor was readable and is not any more: a blocking call would never end."""
    watcher = Events(context, context.fd)

    class Thief:
        def get_async_event(self) -> FakeEvent:
            os.read(context.fd, 1)
            return context.get_async_event()

    watcher._context = Thief()
    context.tell(FakeEvent(EventKind.PORT_ERR, 1))
    assert watcher.poll() == []


def test_closed_watcher_tells_nothing(context: FakeContext) -> None:
    watcher = Events(context, context.fd)
    context.tell(FakeEvent(EventKind.PORT_ERR, 1))
    watcher.close()
    assert watcher.poll(timeout=30) == []


def test_summary_leaves_out_what_is_long_past() -> None:
    old = DeviceEvent(kind=EventKind.PORT_ERR, port=1, qp_address=None, seen=100.0)
    new = DeviceEvent(kind=EventKind.DEVICE_FATAL, port=None, qp_address=None, seen=195.0)
    assert summary([old, new], now=200.0) == (
        "DEVICE_FATAL: the device failed and must be opened anew 5.0 s before"
    )
    assert summary([], now=200.0) == ""


def test_who_looks_for_a_cause_does_not_wait_for_who_watches(context: FakeContext) -> None:
    """A thread sleeps for the next event; an operation that fails looks for those that came."""
    watcher = Events(context, context.fd)
    found: list[DeviceEvent] = []
    sleeping = threading.Event()

    def is_readable(seconds: float) -> bool:
        if seconds:
            sleeping.set()
        return bool(type(watcher)._is_readable(watcher, seconds))

    watcher._is_readable = is_readable  # type: ignore[method-assign]
    thread = threading.Thread(target=lambda: found.extend(watcher.poll(timeout=20)))
    thread.start()
    sleeping.wait(20)
    assert watcher.poll() == []
    assert thread.is_alive()
    context.tell(FakeEvent(EventKind.GID_CHANGE, 1))
    thread.join(20)
    assert [event.kind for event in found] == [EventKind.GID_CHANGE]


def test_watching_ends_when_the_device_is_closed(context: FakeContext) -> None:
    watcher = Events(context, context.fd)
    thread = threading.Thread(target=watcher.poll, args=(3600,))
    thread.start()
    watcher.close()
    thread.join(20)
    assert not thread.is_alive()


def test_event_of_a_newer_kernel_is_told_without_a_name(context: FakeContext) -> None:
    context.tell(FakeEvent(77, 1))
    (event,) = Events(context, context.fd).poll()
    assert (event.kind, event.port, str(event)) == (EventKind.OTHER, None, "OTHER")
