"""Breadth-first over all states; a broken law comes with the shortest trace that leads to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, TypeVar

from tests.model.report import Found, Line, traced

S = TypeVar("S", bound=Hashable)


class Broken(Exception):
    """A broken law, the state before the step that broke it, and that step's line."""

    def __init__(self, state: Hashable, what: str, lines: tuple[Line, ...] = ()) -> None:
        super().__init__(what)
        self.state, self.what, self.lines = state, what, lines


def search(
    initial: S,
    steps: Callable[[S], Iterator[tuple[Line, S]]],
    judge_end: Callable[[S], str],
    states_max: int,
) -> Found:
    """Visit every state; stop at the first one, nearest to the beginning, that breaks a law.

    Args:
        initial: where every run begins.
        steps: each step out of a state, with the line that a trace shows. Raises `Broken`.
        judge_end: judges a state without steps: "" if it is a good end, else what is wrong.
        states_max: more states than these are an error, not a finding.
    """
    parents: dict[S, tuple[S, Line] | None] = {initial: None}
    before: dict[S, list[S]] = {}
    ends: list[S] = []
    queue = deque([initial])
    try:
        while queue:
            state = queue.popleft()
            is_end = True
            for line, following in steps(state):
                is_end = False
                before.setdefault(following, []).append(state)
                if following not in parents:
                    parents[following] = (state, line)
                    queue.append(following)
                    if len(parents) > states_max:
                        raise AssertionError(f"more than {states_max:,} states")
            if is_end:
                _judge(state, judge_end(state))
                ends.append(state)
        _judge_escape(parents, before, ends)
    except Broken as broken:
        lines = [*_trace(parents, broken.state), *broken.lines]
        return Found(state_count=len(parents), broken=broken.what, trace=traced(lines))
    return Found(state_count=len(parents))


def _judge(end: Hashable, wrong: str) -> None:
    if wrong:
        raise Broken(end, wrong)


def _judge_escape(states: Mapping[S, object], before: Mapping[S, list[S]], ends: list[S]) -> None:
    """From every state a good end can be reached: nobody goes round in circles for ever."""
    can_end = set(ends)
    work = list(ends)
    while work:
        for earlier in before.get(work.pop(), ()):
            if earlier not in can_end:
                can_end.add(earlier)
                work.append(earlier)
    for state in states:
        if state not in can_end:
            raise Broken(state, "no end can be reached from here: it goes round for ever")


def _trace(parents: Mapping[S, tuple[S, Line] | None], state: Any) -> list[Line]:
    lines: list[Line] = []
    while (parent := parents.get(state)) is not None:
        state, line = parent
        lines.append(line)
    return lines[::-1]
