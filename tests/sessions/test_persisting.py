"""What a subscription over verbs does when its links are over, or cannot even be let go of."""

from __future__ import annotations

import os
import socket
import threading
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from rdmaq._fast import lib
from rdmaq.errors import BootstrapError, ClosedError, PairError
from rdmaq.sessions import outlet as outlet_module
from rdmaq.sessions.calling import CallingSession
from rdmaq.sessions.minder import MINDER
from rdmaq.sessions.outlet import Outlet
from rdmaq.sessions.persisting import Persisting
from rdmaq.sessions.probe import Farewell
from rdmaq.sessions.remote import Remote
from rdmaq.sessions.remote_cursor import RemoteCursor
from tests.conformance.rig import eventually


class Alone(Persisting):
    """Without a device; `ours` and `theirs` are the ends of the reader's socket."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = threading.Event()
        self.ended: list[str] = []
        self.refuses = False
        self._replica: Any = SimpleNamespace(
            dismiss=lambda _: self.ended.append("dismissed"),
            state=lambda: lib.RQ_REPLICA_LIVE,
            unpin=lambda: self.ended.append("unpinned"),
        )
        self._sock, self.theirs = socket.socketpair()
        self.theirs.setblocking(False)

    def _dialled(self) -> CallingSession:
        raise AssertionError("there is nobody to dial")

    def _attach(self) -> None:
        raise AssertionError("there is no link that could write")

    def ready(self) -> None:
        self.close()
        self.closed.set()

    def close(self) -> None:
        assert self._sock is not None
        MINDER.remove(self._sock)
        self._sock.close()
        self.theirs.close()

    def _let_go(self) -> None:
        self.ended.append("let go")
        if self.refuses:
            raise PairError("cannot close a queue pair: Input/output error; see the kernel's log")

    def _take_down(self) -> None:
        self.ended.append("down")


def test_reader_that_is_dropped_after_the_end_is_still_heard() -> None:
    """All that is its own is let go of then; before, it only hears that nobody is there."""
    remote = Alone()
    MINDER.add(remote._sock, remote)  # type: ignore[arg-type]
    with remote._lock:
        remote._lose("its node was closed")
    assert remote.theirs.recv(1) == b""
    assert not remote.closed.wait(0.3)
    remote.theirs.close()
    assert remote.closed.wait(30)


def test_end_of_one_subscription_keeps_nobody_from_the_others() -> None:
    """With a peer that is gone it takes seconds; the thread that looks has all links to look at."""
    remote: Any = Remote.__new__(Remote)
    Persisting.__init__(remote)
    remote._sock, theirs = socket.socketpair()
    may_end, has_ended = threading.Event(), threading.Event()

    def take_down() -> None:
        assert may_end.wait(30)
        has_ended.set()

    remote._take_down = take_down
    MINDER.add(remote._sock, remote)
    remote.ready()
    assert remote._sock not in MINDER._minded
    may_end.set()
    assert has_ended.wait(30)
    remote.ready()
    theirs.close()


def test_reader_is_told_when_a_link_cannot_be_let_go_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A device that is gone may refuse that: nobody would ask again, nor tell the reader."""
    remote = Alone()
    remote._is_let_go_due = remote.refuses = True
    remote._run("a receive failed")
    assert remote.theirs.recv(1) == b""
    assert remote.obituary == "its link cannot be had again: a receive failed"
    assert remote._working is None
    assert "could not be let go of" in caplog.text
    remote.close()


def test_nothing_stays_pinned_for_a_publisher_that_is_gone() -> None:
    """What may be locked is needed by the next subscription, before this one is closed."""
    remote = Alone()
    remote._session = SimpleNamespace(farewell=Farewell.CLOSED)  # type: ignore[assignment]
    remote.look()
    assert remote.theirs.recv(1) == b""
    eventually(lambda: remote._working is None, "its end")
    assert remote.ended == ["dismissed", "let go", "unpinned"]
    remote.look()
    assert remote._working is None
    remote.close()


def test_subscription_that_is_closed_meanwhile_is_taken_down_by_who_lets_go() -> None:
    """Who closes it finds a thread at work, and leaves that to it."""
    remote = Alone()
    remote._is_closed = True
    remote._leave()
    assert remote.ended == ["let go", "unpinned", "down"]
    remote.close()


def test_without_room_for_a_thread_it_is_tried_at_the_next_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It must not look as though one were at work."""
    remote = Alone()
    ended: Any = SimpleNamespace(farewell=Farewell.LINK_ENDED, farewell_cause=0)
    remote._session = ended

    def refuse(_: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            remote.look()
        assert remote._working is None
    remote.close()


def test_news_that_nobody_asks_for_are_the_latest_only() -> None:
    """A wire that flaps for months must not fill the memory; who asks gets each of them once."""
    remote = Alone()
    for number in range(5000):
        remote._tell("link_down", str(number))
    cursor: Any = RemoteCursor.__new__(RemoteCursor)
    cursor.remote = remote
    assert [words for _, words, _ in cursor.take_news()] == [str(n) for n in range(4000, 5000)]
    assert cursor.take_news() == []
    remote.close()


def test_outlet_that_nobody_holds_is_not_had_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower's thread may come for it late: device and thread would be ended twice."""
    stopped: list[object] = []
    monkeypatch.setattr(outlet_module, "lib", SimpleNamespace(rq_keeper_stop=stopped.append))
    outlet: Any = Outlet.__new__(Outlet)
    outlet._lock, outlet._holders, outlet._keeper = threading.Lock(), 1, "keeper"
    outlet._pid, outlet.device = os.getpid(), SimpleNamespace(close=lambda: None)
    outlet.hold()
    outlet.let_go()
    assert stopped == []
    outlet.let_go()
    with pytest.raises(ClosedError, match="connect again"):
        outlet.hold()
    assert stopped == ["keeper"]


def test_outlet_of_a_parent_is_not_ended_by_its_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """There its thread is not, and to wait for that would be for ever."""
    outlet: Any = Outlet.__new__(Outlet)
    outlet._pid, outlet._holders = os.getpid(), 1
    monkeypatch.setattr(os, "getpid", lambda: -1)
    outlet.let_go()
    assert outlet._holders == 1


def test_link_that_fails_before_it_begins_is_held_at_the_next_try() -> None:
    """Its publisher outran it while it connected, and would do so again: what is missed is READ."""
    remote: Any = Alone()
    asked: list[bool] = []

    def dial() -> Any:
        asked.append(remote._is_held)
        if len(asked) == 1:
            raise BootstrapError("the link of 's' has ended before it began")
        return SimpleNamespace(farewell=Farewell.NONE)

    remote._dialled, remote._recovers = dial, False
    remote._replica.is_reliable = False
    remote._work("the publisher ended it")
    assert asked == [False, True]
    assert not remote._is_held, "the next one begins at once"
    remote.close()
