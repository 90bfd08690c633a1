"""Interleaved rounds (A B C A B C ...), so that what drifts, drifts for all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from rdmaq.bench.quiet import Watch

_TRIES_MAX = 3
Sample = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One line of the table.

    Attributes:
        key: its name in `--json`.
        title: its name for people.
        run: measures one round.
    """

    key: str
    title: str
    run: Callable[[], Sample]


@dataclass(slots=True, kw_only=True)
class Result:
    """What one contender's rounds gave.

    Attributes:
        samples: of the rounds that count.
        void_samples: of those that do not, used only when there is no other.
    """

    contender: Contender
    samples: list[Sample] = field(default_factory=list)
    void_samples: list[Sample] = field(default_factory=list)

    @property
    def is_quiet(self) -> bool:
        """False: the machine was never quiet, and the figures say little."""
        return bool(self.samples)

    def values(self, metric: str) -> list[float]:
        """The metric's value in each round."""
        return [s[metric] for s in self.samples or self.void_samples if metric in s]

    def middle(self, metric: str) -> float:
        """Median over the rounds."""
        return median(self.values(metric))

    def as_json(self) -> dict[str, Any]:
        """Median, least and most of each metric over the rounds."""
        first = (self.samples or self.void_samples)[0]
        return {
            "name": self.contender.title,
            "rounds": len(self.samples),
            "rounds_void": len(self.void_samples),
            **{
                metric: {
                    "median": self.middle(metric),
                    "min": min(self.values(metric)),
                    "max": max(self.values(metric)),
                }
                for metric in first
            },
        }


def run_rounds(
    contenders: Sequence[Contender],
    watch: Watch,
    *,
    rounds: int,
    seconds_max: float,
    tell: Callable[[int], None],
) -> dict[str, Result]:
    """Runs every contender once a round; a measurement between two unquiet probes is repeated.

    Args:
        contenders: in the order in which they take turns.
        watch: attached to a child.
        rounds: how many.
        seconds_max: nothing new begins after that many seconds, once all had their first round.
        tell: called with the number of each finished round.
    """
    results = {c.key: Result(contender=c) for c in contenders}
    deadline = time.monotonic() + seconds_max
    watch.warm_up()
    for number in range(1, rounds + 1):
        for contender in contenders:
            if number == 1 or time.monotonic() < deadline:
                _measure(results[contender.key], watch, deadline)
        tell(number)
        if time.monotonic() > deadline:
            break
    watch.look_round()
    return results


def _measure(result: Result, watch: Watch, deadline: float) -> None:
    for _ in range(_TRIES_MAX):
        was_quiet = watch.is_quiet()
        sample = result.contender.run()
        if watch.is_quiet() and was_quiet:
            result.samples.append(sample)
            return
        result.void_samples.append(sample)
        watch.void_count += 1
        if time.monotonic() > deadline:
            return
        watch.warm_up()
