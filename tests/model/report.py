"""What an exploration came to, and how a trace is shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

Line = tuple[str, str, str]  # thread, C function, what it does


@dataclass(frozen=True, kw_only=True)
class Found:
    """What an exploration came to. `trace` is empty when every law holds."""

    state_count: int
    bodies: frozenset[str] = frozenset()
    places: frozenset[str] = frozenset()  # the `where` of every step
    broken: str = ""
    trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the trace as a person reads it."""
        if not self.broken:
            return f"all laws hold in {self.state_count:,} states"
        return "\n".join([*self.trace, f"=> {self.broken}"])


def traced(lines: Iterable[Line]) -> tuple[str, ...]:
    """One line for all that a thread does in a row in one C function."""
    groups = groupby(lines, key=lambda line: line[:2])
    return tuple(
        f"{name:<11} {where:<24} {'; '.join(what for _, _, what in group)}"
        for (name, where), group in groups
    )
