"""A link at its publisher: whom it tells of its end, and what is left of it whatever refuses."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from rdmaq._fast import lib
from rdmaq.bootstrap.messages import AbsenceRefusal, Refusal
from rdmaq.errors import PairError
from rdmaq.sessions import links as links_module
from rdmaq.sessions import served_link
from rdmaq.sessions.links import Links
from rdmaq.sessions.minder import MINDER
from rdmaq.sessions.served_link import ServedLink


def bare(**parts: Any) -> Any:
    """A link of which only these parts are there."""
    link: Any = ServedLink.__new__(ServedLink)
    link._lock = threading.Lock()
    link._is_closed = link._is_told = link.was_cut_off = False
    link._opened, link._handle, link.failure = None, object(), 0
    link.publisher, link._pair = publishing(), SimpleNamespace(facts="queue pair 7")
    for name, part in parts.items():
        setattr(link, name, part)
    return link


def publishing(*, is_closed: bool = False) -> Any:
    return SimpleNamespace(name="s", closed=is_closed)


def test_subscriber_is_told_of_a_failed_link_until_it_could_be(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its session may be busy at the first look; it would wait for ever, and call us silent.

    Whoever runs the publisher finds it in his log, once.
    """
    answers = iter([False, False, True])
    failed = SimpleNamespace(
        state=lib.RQ_LINK_FAILED, cause=lib.RQ_LINK_CAUSE_STALLED, status=0, vendor_error=0
    )
    link = bare(_stats=lambda: failed, tell=lambda: next(answers))
    for _ in range(5):
        link.look()
    assert next(answers, None) is None
    assert link.was_cut_off
    assert link.failure == lib.RQ_LINK_CAUSE_STALLED
    assert caplog.text.count("a link of stream 's' failed: it was in the way for longer") == 1
    assert not link.has_failed, "nobody is to ask for the next one"


def test_descriptor_that_was_closed_is_read_no_more() -> None:
    """Its number is another one's by then, and the eight bytes would be missing there."""
    reader, writer = os.pipe()
    os.write(writer, b"12345678")
    link = bare(_event_fd=reader, _is_closed=True)
    link.ready()
    link._is_closed = False
    with link._lock:  # it is being closed
        link.ready()
    assert os.read(reader, 100) == b"12345678"
    os.close(reader)
    os.close(writer)


def test_link_that_is_being_closed_keeps_nobody_from_the_others() -> None:
    """Flushing takes seconds; the thread that looks has all links of the process to look after."""
    link = bare(_stats=lambda: pytest.fail("it looked"))
    with link._lock:
        link.look()


def test_facts_of_the_others_do_not_wait_for_a_link_that_is_being_closed() -> None:
    """A user who lists a publisher's links would stand still for as long as one is flushed."""
    link = bare(_is_closed=True)
    with link._lock:
        assert link.facts() is None


def test_end_of_a_stream_waits_for_who_is_connecting() -> None:
    """He has not got what is left, and would ask for a stream that is no more."""
    link = bare(_stats=lambda: SimpleNamespace(state=lib.RQ_LINK_OPENING, flushed_bytes=1 << 40))
    assert not link.has_sent(65536)


def test_link_that_was_closed_before_it_began_is_not_looked_after() -> None:
    """By its descriptor's number, that is: it would be for ever, and the number another's."""
    link = bare(_is_closed=True, publisher=publishing(), _event_fd=1 << 20)
    with pytest.raises(Refusal, match="ended before it began"):
        link.start()
    assert link._event_fd not in MINDER._minded


@pytest.mark.parametrize("refusing", ["opened", "pair", "words"])
def test_publisher_goes_on_whatever_of_a_link_refuses_to_end(
    monkeypatch: pytest.MonkeyPatch, refusing: str
) -> None:
    """Its ring is kept for a link that nobody takes from it: sending would fail for ever."""
    ended: list[str] = []

    def ending(name: str) -> Any:
        def end(*_: object) -> None:
            ended.append(name)
            if name == refusing:
                raise PairError("cannot close: Input/output error; see the kernel's log")

        return end

    calls = {f"rq_link_{name}": ending(name) for name in ("stop", "detach", "close", "free")}
    monkeypatch.setattr(served_link, "lib", SimpleNamespace(**calls))
    link = bare(
        _stats=lambda: SimpleNamespace(is_flushed=1),
        _event_fd=os.eventfd(0),
        _opened=SimpleNamespace(close=ending("opened")),
        _pair=SimpleNamespace(close=ending("pair")),
        _words=SimpleNamespace(close=ending("words")),
    )
    with pytest.raises(PairError):
        link.close()
    link.close()
    assert ended == ["opened", "stop", "detach", "pair", "close", "free", "words"]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.eventfd_read(link._event_fd)


def test_link_that_could_not_be_made_leaves_nothing_though_its_device_refuses_to_end_it() -> None:
    """Nobody comes back for it: its memory would stay pinned, its descriptor open."""
    ended: list[str] = []

    def refuse() -> None:
        raise PairError("cannot close a queue pair: Input/output error; see the kernel's log")

    link = bare(
        _event_fd=os.eventfd(0),
        _opened=SimpleNamespace(close=lambda: ended.append("opened")),
        _pair=SimpleNamespace(close=refuse),
        _words=SimpleNamespace(close=lambda: ended.append("words")),
    )
    with pytest.raises(PairError):
        link._let_go()
    assert ended == ["opened", "words"]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.eventfd_read(link._event_fd)


def test_link_that_failed_before_it_began_is_not_the_end_of_its_stream() -> None:
    """Who is told that the stream was closed asks for no other link."""
    link = bare(_is_closed=True, publisher=publishing())
    with pytest.raises(Refusal, match="ask for the next one") as refused:
        link.begin(65536, 65536)
    assert not isinstance(refused.value, AbsenceRefusal)
    link.publisher = publishing(is_closed=True)
    with pytest.raises(AbsenceRefusal, match="closed meanwhile"):
        link.begin(65536, 65536)


class Plain:
    def __init__(self, **parts: Any) -> None:
        self.__dict__ |= parts


def linked(links: Links, **parts: Any) -> Any:
    subscription = os.urandom(16)
    link = bare(ask=SimpleNamespace(subscription=subscription), **parts)
    links._links[subscription] = link
    return link


def test_ring_stays_registered_until_the_last_link_is_through() -> None:
    """Also one that another thread is ending: its NIC may be reading yet."""
    order: list[str] = []
    is_inside, may_go = threading.Event(), threading.Event()
    lock = threading.Lock()

    def close() -> None:
        with lock:
            if not is_inside.is_set():
                is_inside.set()
                assert may_go.wait(30)
                order.append("link")

    links = Links()
    ring: Any = Plain(close=lambda: order.append("ring"))
    links._rings = {ring: ring}
    link = linked(links, close=close, _stats=lambda: SimpleNamespace(state=lib.RQ_LINK_LIVE))
    ending = threading.Thread(target=links.end, args=(link,))
    ending.start()
    assert is_inside.wait(30)
    closing = threading.Thread(target=links.close)
    closing.start()
    closing.join(0.05)
    may_go.set()
    ending.join(30)
    closing.join(30)
    assert order == ["link", "ring"]
    assert links._ending == set()


def test_link_that_cannot_be_ended_keeps_neither_links_nor_ring() -> None:
    """The others are ended, and told, all the same."""
    order: list[str] = []

    def refuse() -> None:
        raise PairError("cannot close a queue pair: Input/output error; see the kernel's log")

    links = Links()
    ring: Any = Plain(close=lambda: order.append("ring"))
    links._rings = {ring: ring}
    for close in (lambda: order.append("one"), refuse, lambda: order.append("two")):
        linked(links, close=close, tell=lambda: order.append("told"))
    with pytest.raises(PairError):
        links.close()
    assert order == ["two", "told", "told", "one", "told", "ring"]


class World:
    """A publisher, what a subscriber asks of it again and again, and the links that come of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.links = Links()
        self.publisher = SimpleNamespace(name="s", closed=False, epoch=1, link_settings=None)
        self.on_close: list[Any] = []  # what happens while the next link is being closed
        ring = Plain(closed=False, close=lambda: None)
        monkeypatch.setattr(links_module, "Ring", lambda *_: ring)
        monkeypatch.setattr(links_module, "ServedLink", self._made)

    def _made(self, *arguments: Any) -> Any:
        def close() -> None:
            if self.on_close:
                self.on_close.pop()()

        live = SimpleNamespace(state=lib.RQ_LINK_LIVE, flushed_bytes=1 << 40)
        return bare(ask=arguments[3], close=close, facts=lambda: None, _stats=lambda: live)

    def open(self, generation: int, *, subscription: bytes = b"one") -> Any:
        ask = SimpleNamespace(subscription=subscription, generation=generation, epoch=1)
        session_pair = SimpleNamespace(domain="domain")
        anything: Any = (self.publisher, session_pair, ask, lambda: True)
        return self.links.open(*anything)


def test_older_link_that_is_flushed_keeps_nobody_but_its_subscriber_and_the_end_of_the_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That takes seconds where the subscriber is dead; and he has not got what is left."""
    world = World(monkeypatch)
    is_inside, may_go = threading.Event(), threading.Event()

    def flush() -> None:
        is_inside.set()
        assert may_go.wait(30)

    world.open(1)
    world.on_close = [flush]
    opening = threading.Thread(target=world.open, args=(2,))
    opening.start()
    assert is_inside.wait(30)
    other = threading.Thread(target=world.open, args=(1,), kwargs={"subscription": b"two"})
    other.start()
    other.join(30)
    assert not other.is_alive()
    assert world.links.facts() == []
    draining = threading.Thread(target=lambda: world.links.drain(0, 30.0, also_failed=False))
    draining.start()
    draining.join(0.05)
    assert draining.is_alive()
    may_go.set()
    for thread in (opening, draining):
        thread.join(30)
        assert not thread.is_alive()
    assert [link.ask.generation for link in world.links._links.values()] == [1, 2]
    assert world.links._ending == set()


@pytest.mark.parametrize(
    ("happens", "why", "left"),
    [
        (lambda world: world.links.close(), "was closed meanwhile", []),
        (lambda world: setattr(world.publisher, "closed", True), "was closed meanwhile", []),
        (lambda world: setattr(world.publisher, "epoch", 2), "another incarnation", []),
        (lambda world: world.open(3), "comes too late", [3]),
    ],
    ids=["links closed", "stream closed", "begun anew", "newer link"],
)
def test_link_is_refused_for_what_happens_while_the_older_one_is_closed(
    monkeypatch: pytest.MonkeyPatch, happens: Callable[[World], Any], why: str, left: list[int]
) -> None:
    """None of a closed stream, whose ring would stay registered; nor one beside a newer one."""
    world = World(monkeypatch)
    world.open(1)
    world.on_close = [lambda: happens(world)]
    with pytest.raises(Refusal, match=why):
        world.open(2)
    assert [link.ask.generation for link in world.links._links.values()] == left
    assert world.links._ending == set()
    world.links.drain(0, 30.0, also_failed=False)


def test_subscribers_that_never_come_again_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A publisher lives for years, and each link that fails is another one."""
    seconds = [0.0]

    def failed() -> Any:
        return SimpleNamespace(state=lib.RQ_LINK_FAILED)

    monkeypatch.setattr(time, "monotonic", lambda: seconds[0])
    links = Links()
    for _ in range(200):
        links.end(linked(links, close=lambda: None, _stats=failed))
        seconds[0] += 1.0
    assert len(links._expected) <= 60
