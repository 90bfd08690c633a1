"""Threads and their memory: a weak one, in plain Python.

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

from tests.model.steps import Step

View = tuple[int, ...]
Store = tuple[Any, View]
Memory = tuple[tuple[Store, ...], ...]

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


def join(one: View, other: View) -> View:
    """What is visible by one view or by the other."""
    return one if one == other else tuple(map(max, one, other))
