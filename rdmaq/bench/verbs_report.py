"""What `rdmaq bench verbs` tells: ratios to perftest round by round, each with its interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from rdmaq.bench import verbs
from rdmaq.bench.interval import median_interval
from rdmaq.bench.quiet import Watch
from rdmaq.bench.report import Column, Ratio, Report, show_us
from rdmaq.bench.rounds import Result

# ours, theirs, metric, target, whether that bounds from above
_COMPARED = (
    ("write_c", "write_perftest", "p50_ns", 1.15, True),
    ("write_python", "write_perftest", "p50_ns", 1.5, True),
    ("read_c", "read_perftest", "p50_ns", 1.15, True),
    ("read_python", "read_perftest", "p50_ns", 1.5, True),
    ("bulk_c", "bulk_perftest", "bytes_per_s", 0.9, False),
    ("bulk_python", "bulk_perftest", "bytes_per_s", None, False),
    ("rate_c", "rate_perftest", "messages_per_s", None, False),
    ("rate_python", "rate_perftest", "messages_per_s", 0.9, False),
)
_COLUMNS = (
    Column(metric="p50_ns", title="p50 us", show=show_us),
    Column(metric="bytes_per_s", title="MB/s", show=lambda value: f"{value / 1e6:,.2f}"),
    Column(metric="messages_per_s", title="messages/s", show=lambda value: f"{value:,.0f}"),
)
_NOTES = (
    "a ratio is the median of the rounds' own ratios, in brackets its 95 % interval by order "
    "statistics (no distribution assumed)",
    "WRITE: half a round trip, each side spinning on its memory, as ib_write_lat; READ: post to "
    "completion, as ib_read_lat; 64 KiB: 16 in flight, one a post; 8 B: 128 in flight, 64 a post; "
    "inline up to 64 B on both",
    "perftest starts two processes for each measurement; ours stay connected",
)


def run(settings: dict[str, Any], *, command: Sequence[str], tell: Callable[[int], None]) -> Report:
    """Measures, and gathers what is to be told."""
    results = verbs.measure(tell=tell, **settings)
    compared = ratios(results)
    with Watch() as watch:  # a probe of CPUs would say nothing of devices: none is made
        return Report(
            benchmark="verbs",
            command=command,
            settings=settings,
            results=results,
            watch=watch,
            columns=_COLUMNS,
            ratios=[ratio for ratio, _ in compared],
            notes=list(_NOTES),
            more={"intervals": {ratio.key: interval for ratio, interval in compared}},
        )


def ratios(results: dict[str, Result]) -> list[tuple[Ratio, tuple[float, float]]]:
    """Ours to theirs, round by round."""
    found = []
    for ours, theirs, metric, target, is_at_most in _COMPARED:
        pairs = zip(results[ours].values(metric), results[theirs].values(metric), strict=True)
        values = [own / other for own, other in pairs]
        low, high = median_interval(values)
        title = (
            f"{results[ours].contender.title} / {theirs.partition('_')[2]} "
            f"({len(values)} rounds, {low:.2f} - {high:.2f})"
        )
        found.append(
            (
                Ratio(
                    key=f"{ours}_to_{theirs}",
                    title=title,
                    value=median(values),
                    target=target,
                    is_at_most=is_at_most,
                ),
                (low, high),
            )
        )
    return found
