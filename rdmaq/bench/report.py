"""What a benchmark says at its end: one table, its ratios, its targets and its caveats, or JSON."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from rdmaq.bench import machine
from rdmaq.bench.quiet import Watch
from rdmaq.bench.rounds import Result

_FILE_COLUMNS = 140
SPREAD_NOTE = (
    "medians of the rounds' values, [least - most] beside them; the contenders take turns in each "
    "round"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """Two contenders of one run, compared.

    Attributes:
        target: what the ratio should reach; None: told, not judged.
        is_at_most: the target bounds it from above.
        best: the same of each one's best round, which neighbours disturb least.
    """

    key: str
    title: str
    value: float
    target: float | None = None
    is_at_most: bool = False
    best: float | None = None

    @property
    def is_met(self) -> bool | None:
        """None where there is no target."""
        if self.target is None:
            return None
        return self.value <= self.target if self.is_at_most else self.value >= self.target


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One metric as a column of the table."""

    metric: str
    title: str
    show: Callable[[float], str]


@dataclass(slots=True, kw_only=True)
class Report:
    """All that is told of one run."""

    benchmark: str
    command: Sequence[str]
    settings: dict[str, Any]
    results: dict[str, Result]
    watch: Watch
    columns: Sequence[Column]
    ratios: list[Ratio] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)

    def exchange_ns(self) -> float | None:
        """The probe's median: how far apart the two CPUs are."""
        return median(self.watch.exchange_ns) if self.watch.exchange_ns else None

    def quiet_notes(self) -> list[str]:
        """How many measurements were thrown away, and which rows should have been."""
        notes = [f"{self.watch.void_count} measurements were void (the probe beside them was slow)"]
        if self.watch.others_cpus is not None:
            notes.append(f"other programs used {self.watch.others_cpus:.2f} CPUs meanwhile")
        restless = [r.contender.title for r in self.results.values() if not r.is_quiet]
        if restless:
            notes.append(f"NEVER QUIET, figures of void rounds: {', '.join(restless)}")
        return notes

    def as_json(self) -> dict[str, Any]:
        """The one object that `--json` prints."""
        return {
            "benchmark": self.benchmark,
            "machine": machine.describe(),
            "command": shlex.join(self.command),
            "settings": self.settings,
            "results": {key: result.as_json() for key, result in self.results.items()},
            "ratios": {
                r.key: {"value": r.value, "best": r.best, "target": r.target, "met": r.is_met}
                for r in self.ratios
            },
            "quiet": all(r.is_quiet for r in self.results.values()),
            "void_measurements": self.watch.void_count,
            "others_cpus": self.watch.others_cpus,
            "cpu_to_cpu_round_trip_ns": self.exchange_ns(),
            "notes": self.notes,
            **self.more,
        }

    def print(self, *, as_json: bool) -> None:
        """Writes it to standard output."""
        if as_json:
            click.echo(json.dumps(self.as_json(), indent=2))
            return
        # A file or pipe has no width: wide enough for a line a contender.
        console = Console(highlight=False, width=None if sys.stdout.isatty() else _FILE_COLUMNS)
        console.print(machine.line(machine.describe()), markup=False, soft_wrap=True)
        console.print(f"$ {shlex.join(self.command)}", markup=False, soft_wrap=True)
        console.print(self._table())
        for ratio in self.ratios:
            console.print(_ratio_line(ratio))
        exchange_ns = self.exchange_ns()
        if exchange_ns is not None:
            console.print(f"one cache line from CPU to CPU and back: {exchange_ns:,.0f} ns")
        for note in (SPREAD_NOTE, *self.quiet_notes(), *self.notes):
            console.print(f"- {note}", style="dim", markup=False)

    def _table(self) -> Table:
        table = Table(title=f"rdmaq bench {self.benchmark}", title_justify="left")
        table.add_column("")
        for column in self.columns:
            table.add_column(column.title, justify="right")
        table.add_column("rounds", justify="right")
        for result in self.results.values():
            cells = [_cell(result, column) for column in self.columns]
            table.add_row(result.contender.title, *cells, str(len(result.samples)))
        return table


def _cell(result: Result, column: Column) -> str:
    values = result.values(column.metric)
    if not values:
        return ""
    middle, low, high = (column.show(v) for v in (median(values), min(values), max(values)))
    return middle if low == high else f"{middle} [dim]\\[{low} - {high}][/dim]"


def _ratio_line(ratio: Ratio) -> str:
    told = f"{ratio.title}: {ratio.value:.2f}"
    if ratio.best is not None:
        told += f" (best rounds: {ratio.best:.2f})"
    if ratio.target is None:
        return told
    verdict = "[green]met[/green]" if ratio.is_met else "[red]missed[/red]"
    side = "at most" if ratio.is_at_most else "at least"
    return f"{told}; target: {side} {ratio.target:g}, {verdict}"


def show_us(value_ns: float) -> str:
    """Nanoseconds as microseconds with three significant digits."""
    value_us = value_ns / 1000
    return f"{value_us:.3f}" if value_us < 1 else f"{value_us:.3g}"
