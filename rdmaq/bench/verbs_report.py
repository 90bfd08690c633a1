"""What `rdmaq bench verbs` tells: ratios to perftest round by round, each with its interval."""

from __future__ import annotations

from statistics import median

from rdmaq.bench import verbs
from rdmaq.bench.benchmark import Benchmark
from rdmaq.bench.interval import median_interval
from rdmaq.bench.report import Column, Ratio, Report, show_us
from rdmaq.bench.rounds import Result

# ours, theirs, metric, target, whether that bounds from above
_COMPARED = (
    ("write_c", "write_perftest", "p50_ns", 1.15, True),
    ("write_python", "write_perftest", "p50_ns", 1.5, True),
    ("read_c", "read_perftest", "p50_ns", 1.15, True),
    ("read_python", "read_perftest", "p50_ns", 1.5, True),
    ("one_cpu_read_c", "one_cpu_read_perftest", "p50_ns", 1.15, True),
    ("one_cpu_read_python", "one_cpu_read_perftest", "p50_ns", 1.5, True),
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
    "READs on rxe: whether its worker still runs when the next is posted changes their time by "
    "half; --one-cpu measures all contenders where it never does (docs/bench.md)",
)


def ratios(results: dict[str, Result]) -> list[Ratio]:
    """Ours to theirs, round by round."""
    found = []
    for ours, theirs, metric, target, is_at_most in _compared(results):
        values = _of_rounds(results, ours, theirs, metric)
        low, high = median_interval(values)
        found.append(
            Ratio(
                key=_key(ours, theirs),
                title=f"{results[ours].contender.title} / {theirs.rpartition('_')[2]} "
                f"({len(values)} rounds, {low:.2f} - {high:.2f})",
                value=median(values),
                target=target,
                is_at_most=is_at_most,
            )
        )
    return found


def _compared(results: dict[str, Result]) -> list[tuple[str, str, str, float | None, bool]]:
    """Those that took part."""
    return [row for row in _COMPARED if row[0] in results]


def _key(ours: str, theirs: str) -> str:
    return f"{ours}_to_{theirs}"


def _of_rounds(results: dict[str, Result], ours: str, theirs: str, metric: str) -> list[float]:
    """One ratio for each round that both have: time may have ended in the middle of the last."""
    pairs = zip(results[ours].values(metric), results[theirs].values(metric), strict=False)
    return [own / other for own, other in pairs]


def _tell_intervals(report: Report, _near: verbs.Near) -> None:
    report.more["intervals"] = {
        _key(ours, theirs): median_interval(_of_rounds(report.results, ours, theirs, metric))
        for ours, theirs, metric, _, _ in _compared(report.results)
    }


BENCHMARK = Benchmark(
    name="verbs",
    columns=_COLUMNS,
    notes=_NOTES,
    prepare=verbs.prepare,
    ratios=ratios,
    complete=_tell_intervals,
)
