"""The small steps that a thread of the model can take: what its bodies yield."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

RELAXED, ACQUIRE, RELEASE, SEQ_CST = "relaxed", "acquire", "release", "seq_cst"


class Step(NamedTuple):
    """One small step: what is done, to which location, and in which C function it stands."""

    kind: str
    location: str
    value: Any
    order: str
    where: str


def load(location: str, order: str, where: str) -> Step:
    """A load; gives the value."""
    return Step("load", location, None, order, where)


def store(location: str, value: Any, order: str, where: str) -> Step:
    """A store."""
    return Step("store", location, value, order, where)


def fence(order: str, where: str) -> Step:
    """A fence."""
    return Step("fence", "", None, order, where)


def exchange(location: str, value: Any, where: str) -> Step:
    """A seq_cst read-modify-write that puts `value`; gives what was there."""
    return Step("exchange", location, value, SEQ_CST, where)


def add(location: str, amount: int, where: str, order: str = SEQ_CST) -> Step:
    """A read-modify-write that adds, seq_cst or relaxed; gives what was there."""
    return Step("add", location, amount, order, where)


def compare_exchange(location: str, expected: Any, value: Any, order: str, where: str) -> Step:
    """A read-modify-write if `expected` stands there, else a relaxed load; gives what was there."""
    return Step("compare_exchange", location, (expected, value), order, where)


def lock(location: str, where: str) -> Step:
    """Takes a lock, when it is free."""
    return Step("lock", location, 1, ACQUIRE, where)


def unlock(location: str, where: str) -> Step:
    """Frees a lock."""
    return Step("store", location, 0, RELEASE, where)


def sleep(location: str, seen: Any, where: str) -> Step:
    """FUTEX_WAIT: sleeps until a wake, unless the word has changed already. Has no time limit."""
    return Step("sleep", location, seen, "", where)


def wake(location: str, where: str) -> Step:
    """FUTEX_WAKE: wakes all who sleep there at this moment."""
    return Step("wake", location, None, "", where)


def choose(options: tuple[Any, ...], where: str) -> Step:
    """What the model leaves open (a clock, a caller's wish); gives one of the options."""
    return Step("choose", "", options, "", where)


def kill(name: str, where: str) -> Step:
    """Ends another thread wherever it is, as kill -9 does."""
    return Step("kill", name, None, "", where)


def until(location: str, is_ready: Callable[[Any], bool], where: str) -> Step:
    """Waits, outside of the algorithm, until the newest value satisfies; gives it, ordered."""
    return Step("until", location, is_ready, "", where)


def ghost(location: str, where: str = "") -> Step:
    """What is really so: the newest value. For checks only; not a step of the algorithm."""
    return Step("ghost", location, None, "", where)


def set_ghost(location: str, value: Any) -> Step:
    """Notes what is really so. For checks only; not a step of the algorithm."""
    return Step("set_ghost", location, value, "", "")


GHOSTS = frozenset({"ghost", "set_ghost"})
