"""Protocols in whole actions: what may happen next, and what the world is like then.

For what does not hang on the order of loads and stores: each action is one moment, and those of all
parties interleave in every way. `machine` and `explore` are for what does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

from tests.model.machine import Violation
from tests.model.report import Found, Line
from tests.model.search import Broken, search

S = TypeVar("S", bound=Hashable)


class Action(NamedTuple, Generic[S]):
    """Who does what, and what it leads to, or which law it breaks."""

    name: str
    where: str
    what: str
    leads_to: S | Violation


def explore(
    initial: S,
    actions: Callable[[S], Iterable[Action[S]]],
    may_stop: Callable[[S], str],
    *,
    states_max: int,
) -> Found:
    """Visit every state; stop at the first one, nearest to the beginning, that breaks a law."""
    places: set[str] = set()

    def steps(state: S) -> Iterator[tuple[Line, S]]:
        for action in actions(state):
            line = action[:3]
            places.add(action.where)
            if isinstance(action.leads_to, Violation):
                raise Broken(state, str(action.leads_to), (line,))
            yield line, action.leads_to

    found = search(initial, steps, may_stop, states_max)
    return dataclasses.replace(found, places=frozenset(places))
