"""Following a stream of another host: nobody who polls waits for the thread that connects."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import pytest

import rdmaq
from rdmaq.sessions import follower
from rdmaq.sessions.follower import RemoteFollower
from tests.conformance.rig import PATIENCE_SECONDS, eventually


class Outlet:
    """Counts who holds it."""

    def __init__(self) -> None:
        self.holders = 0

    def hold(self) -> None:
        self.holders += 1

    def let_go(self) -> None:
        self.holders -= 1


class Cursor:
    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


class Node:
    """Makes what connects: each attempt takes until it is let through, and ends as told."""

    def __init__(self, *ends: Any) -> None:
        self.ends = list(ends)
        self.asked: list[tuple[int, int]] = []
        self.gate = threading.Event()
        self.outlet = Outlet()
        self.follower = RemoteFollower(self.make, self.outlet)  # type: ignore[arg-type]

    def make(self, epoch: int, sequence: int) -> Any:
        self.asked.append((epoch, sequence))
        return self

    def connect(self) -> Any:
        assert self.gate.wait(PATIENCE_SECONDS)
        end = self.ends.pop(0)
        if isinstance(end, Exception):
            raise end
        return end

    def ask(self) -> Any:
        return self.follower(7, 42)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "_PAUSE_SECONDS", 0.0)


def until_answered(node: Node) -> Any:
    """Asks again and again, as a poll does."""
    found: list[Any] = []

    def is_answered() -> bool:
        with suppress(rdmaq.StreamNotFound):
            found.append(node.ask())
        return bool(found)

    eventually(is_answered, "an answer")
    return found[0]


def test_who_asks_never_waits_and_one_thread_connects() -> None:
    found = Cursor()
    node = Node(found)
    for _ in range(5):
        with pytest.raises(rdmaq.StreamNotFound):
            node.ask()
    node.gate.set()
    assert until_answered(node) is found
    assert node.asked == [(7, 42)]
    node.follower.close()
    assert not found.is_closed
    assert node.outlet.holders == 0


def test_node_that_is_not_there_yet_is_asked_again_and_what_stays_wrong_is_raised() -> None:
    away: list[Any] = [rdmaq.PeerNotFound("no node"), rdmaq.AuthenticationError("it hung up")]
    node = Node(*away, KeyError("a bug"), rdmaq.SchemaMismatch("other", expected="", actual=""))
    node.gate.set()
    with pytest.raises(rdmaq.SchemaMismatch):
        until_answered(node)
    assert len(node.asked) == 4
    node.follower.close()


def test_what_is_connected_to_after_the_end_is_closed_again() -> None:
    found = Cursor()
    node = Node(found)
    with pytest.raises(rdmaq.StreamNotFound):
        node.ask()
    node.follower.close()
    node.follower.close()
    assert node.outlet.holders == 0
    node.gate.set()
    eventually(lambda: found.is_closed, "its end")
    with pytest.raises(rdmaq.StreamNotFound):
        node.ask()
    assert len(node.asked) == 1
