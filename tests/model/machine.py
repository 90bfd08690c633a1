"""Threads, memory and the small steps between them: a weak memory in plain Python.

Each location holds the list of its stores, oldest first. A store has a *message*: what else is
visible to whoever reads it by acquire. A thread has a *view*: for each location the oldest store
that it may still read. A relaxed load may return any store that is not older than that, so the
stores of one thread become visible to another in any order, and loads return stale values as if
they had been executed early, unless a release and an acquire (a store and a load, or two fences)
order them. A seq_cst fence joins the thread's view with one that all such fences share; without it
a thread's load may run before its own earlier store is seen (a store buffer). This is C11's order
without one freedom: no load returns a store that is made later in the run.

A thread's program is a chain of *bodies*. A body is a generator that yields steps and returns the
next body with its arguments (a tail call), or None at its end; a body without steps is a plain
function. What a body has got so far is part of the state; a tail call forgets it, so bodies are
short where states shall merge.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple

View = tuple[int, ...]
Store = tuple[Any, View]
Memory = tuple[tuple[Store, ...], ...]

RELAXED, ACQUIRE, RELEASE, SEQ_CST = "relaxed", "acquire", "release", "seq_cst"


class Step(NamedTuple):
    """One small step: what is done, to which location, and in which C function it stands."""

    kind: str
    location: str
    value: Any
    order: str
    where: str


Body = Callable[..., Any]
Call = tuple[Body, tuple[Any, ...]]
Program = Generator[Step, Any, Call | None]


class Violation(Exception):
    """A property that must hold does not."""


class Thread(NamedTuple):
    """One thread: its body, what that got so far, what it may still read, where it sleeps."""

    name: str
    body: Body | None
    arguments: tuple[Any, ...]
    results: tuple[Any, ...]
    view: View
    acquired: View  # joined into `view` by an acquire fence
    released: View  # `view` at the last release fence: what relaxed stores carry
    asleep: str = ""


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


def add(location: str, amount: int, where: str) -> Step:
    """A seq_cst read-modify-write that adds; gives what was there."""
    return Step("add", location, amount, SEQ_CST, where)


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


def join(one: View, other: View) -> View:
    """What is visible by one view or by the other."""
    return one if one == other else tuple(map(max, one, other))
