"""One state of a run, and what a step leaves of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.model.machine import Store, Thread, View, join
from tests.model.steps import ACQUIRE, RELAXED, RELEASE, SEQ_CST


class State(NamedTuple):
    """Everything at one moment; `memory` is a number in the explorer's table of memories."""

    memory: int
    shared: View  # what the seq_cst fences have seen
    threads: tuple[Thread, ...]


def with_thread(state: State, number: int, thread: Thread) -> State:
    threads = state.threads
    return state._replace(threads=(*threads[:number], thread, *threads[number + 1 :]))


def got(thread: Thread, result: Any) -> Thread:
    return thread._replace(results=(*thread.results, result))


def at_time(view: View, at: int, time: int) -> View:
    return view if view[at] >= time else (*view[:at], time, *view[at + 1 :])


def after_load(thread: Thread, at: int, time: int, found: Store, order: str) -> Thread:
    view = at_time(thread.view, at, time)
    acquired = join(at_time(thread.acquired, at, time), found[1])
    if order != RELAXED:
        view = join(view, found[1])
    return thread._replace(view=view, acquired=acquired)


def after_fence(state: State, number: int, thread: Thread, order: str) -> State:
    view = join(thread.view, thread.acquired) if order != RELEASE else thread.view
    if order == SEQ_CST:
        view = join(view, state.shared)
        state = state._replace(shared=view)
    released = thread.released if order == ACQUIRE else view
    return with_thread(state, number, got(thread._replace(view=view, released=released), None))
