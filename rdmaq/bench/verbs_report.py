"""What `rdmaq bench verbs` tells: ratios to perftest round by round, each with its interval."""

from __future__ import annotations

from rdmaq.bench import verbs
from rdmaq.bench.benchmark import Benchmark
from rdmaq.bench.paired import NOTE, Compared, ratios, tell_intervals
from rdmaq.bench.report import Column, show_us
from rdmaq.bench.rounds import Result

# ours, theirs, metric, target, whether that bounds from above
_ROWS: tuple[tuple[str, str, str, float | None, bool], ...] = (
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
_COMPARED = tuple(
    Compared(ours=ours, theirs=theirs, metric=metric, target=target, is_at_most=is_at_most)
    for ours, theirs, metric, target, is_at_most in _ROWS
)
_COLUMNS = (
    Column(metric="p50_ns", title="p50 us", show=show_us),
    Column(metric="bytes_per_s", title="MB/s", show=lambda value: f"{value / 1e6:,.2f}"),
    Column(metric="messages_per_s", title="messages/s", show=lambda value: f"{value:,.0f}"),
)
_NOTES = (
    NOTE,
    "WRITE: half a round trip, each side spinning on its memory, as ib_write_lat; READ: post to "
    "completion, as ib_read_lat; 64 KiB: 16 in flight, one a post; 8 B: 128 in flight, 64 a post; "
    "inline up to 64 B on both",
    "perftest starts two processes for each measurement; ours stay connected",
    "READs on rxe: whether its worker still runs when the next is posted changes their time by "
    "half; --one-cpu measures all contenders where it never does (docs/bench.md)",
)


def _measured(results: dict[str, Result]) -> list[Compared]:
    """Without READs on one CPU, where nobody asked for them."""
    return [one for one in _COMPARED if one.ours in results]


BENCHMARK = Benchmark(
    name="verbs",
    columns=_COLUMNS,
    notes=_NOTES,
    prepare=verbs.prepare,
    ratios=lambda results: ratios(results, _measured(results)),
    complete=lambda report, _near: tell_intervals(report, _measured(report.results)),
)
