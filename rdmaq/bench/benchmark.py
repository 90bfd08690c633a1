"""A benchmark: who competes, what its table shows, which ratios count. It is run in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from rdmaq.bench.options import Place
from rdmaq.bench.quiet import Watch
from rdmaq.bench.report import Column, Ratio, Report
from rdmaq.bench.rounds import Contender, Result, run_rounds


class Near(Protocol):
    """The process that measures, and holds the probe beside it."""

    watch: Watch


NearT = TypeVar("NearT", bound=Near)


def _add_nothing(_report: Report, _near: Any) -> None:
    """Most benchmarks are told by their columns and ratios."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark(Generic[NearT]):
    """One of `rdmaq bench`.

    Attributes:
        name: behind `rdmaq bench`, and in the JSON object.
        columns: of the table.
        notes: what a reader of the figures must know.
        prepare: called with a stack that closes what it opens, a place, and the settings by name;
            gives the near end and its contenders, in the order in which they take turns.
        ratios: made of the results.
        complete: adds what only the run can tell; the near end is closed by then.
        constants: settings that nobody can choose, told beside those that were chosen.
    """

    name: str
    columns: Sequence[Column]
    notes: Sequence[str]
    prepare: Callable[..., tuple[NearT, list[Contender]]]
    ratios: Callable[[dict[str, Result]], list[Ratio]]
    complete: Callable[[Report, NearT], None] = _add_nothing
    constants: Mapping[str, Any] = field(default_factory=dict)

    def run(
        self,
        settings: dict[str, Any],
        *,
        rounds: int,
        seconds_max: float,
        place: Place,
        command: Sequence[str],
        tell: Callable[[int], None],
    ) -> Report:
        """Measures, and gathers what is to be told.

        Args:
            settings: for `prepare`.
            rounds: how many.
            seconds_max: nothing new begins after that many seconds.
            place: of the run alone.
            command: how it was started.
            tell: called with the number of each finished round.

        Raises:
            BenchError: something is missing here, or does not come to its end.
        """
        with ExitStack() as stack:
            near, contenders = self.prepare(stack, place, **settings)
            results = run_rounds(
                contenders, near.watch, rounds=rounds, seconds_max=seconds_max, tell=tell
            )
        limits = {"rounds": rounds, "seconds_max": seconds_max}
        report = Report(
            benchmark=self.name,
            command=command,
            settings={**settings, **limits, **self.constants},
            results=results,
            watch=near.watch,
            columns=self.columns,
            ratios=self.ratios(results),
            notes=list(self.notes),
        )
        self.complete(report, near)
        return report
