"""What `rdmaq bench stalled` tells: each send's price, with and without who stands still."""

from __future__ import annotations

from rdmaq.bench import stalled
from rdmaq.bench.benchmark import Benchmark
from rdmaq.bench.report import Column, Ratio
from rdmaq.bench.rounds import Result

_UNCHANGED_MAX = 1.1
_COLUMNS = tuple(
    Column(metric=metric, title=title, show=lambda v: f"{v:,.0f}")
    for metric, title in (("p50_ns", "p50 ns"), ("p99_ns", "p99 ns"), ("p999_ns", "p99.9 ns"))
)
_NOTES = (
    "each send is timed by itself, with one reading of the clock in it (some 45 ns)",
    "the subscriptions belong to one process, which is stopped by SIGSTOP while sends are timed, "
    "in both lines; lossy flow, so their rings are written over again and again",
)


def ratios(results: dict[str, Result]) -> list[Ratio]:
    """With over without."""
    many, none = results[stalled.STALLED], results[stalled.NONE]
    return [
        Ratio(
            key=f"{name}_of_none",
            title=f"{title} of send, with those that stand still / with none",
            value=many.middle(metric) / none.middle(metric),
            best=min(many.values(metric)) / min(none.values(metric)),
            target=target,
            is_at_most=True,
        )
        for name, title, metric, target in (
            ("p999", "p99.9", "p999_ns", _UNCHANGED_MAX),
            ("p50", "p50", "p50_ns", None),
        )
    ]


BENCHMARK = Benchmark(
    name="stalled",
    columns=_COLUMNS,
    notes=_NOTES,
    prepare=stalled.prepare,
    ratios=ratios,
)
