"""What `rdmaq bench latency` tells: who was how fast, and how that compares within the run."""

from __future__ import annotations

from rdmaq.bench import latency
from rdmaq.bench.benchmark import Benchmark
from rdmaq.bench.report import Column, Ratio, Report, show_us
from rdmaq.bench.rounds import Result

_AGAINST_ZMQ_MIN = 20.0
_CROSSINGS_MAX = 6.0
_COLUMNS = (
    Column(metric="p50_ns", title="p50 us", show=show_us),
    Column(metric="p99_ns", title="p99 us", show=show_us),
)
_NOTES = (
    "one round trip = send + poll at both ends, the message taken out of its batch as bytes at "
    "both ends; each reads the clock once, which is part of the figure (C: some 10 ns)",
    "rdmaq waits by spinning for 20 us and then sleeping (auto), by spinning, or by sleeping at "
    "once; pyzmq and Pipe sleep in the kernel, as they always do",
    "'the same rings in C' is rq_send and rq_reader_poll in a loop, spinning, in the same two "
    "processes; a call in a loop contains the loop",
)


def ratios(results: dict[str, Result]) -> list[Ratio]:
    """Within the run: against pyzmq, against C, and in crossings."""
    p50_ns = {key: result.middle("p50_ns") for key, result in results.items()}
    best_ns = {key: min(result.values("p50_ns")) for key, result in results.items()}

    def crossings_above_c(ns: dict[str, float]) -> float:
        return (ns[latency.HEADLINE] - ns[latency.BARE_C]) / ns[latency.CROSSING]

    found = [
        Ratio(
            key=f"times_faster_than_{key}",
            title=f"times faster than {results[key].contender.title}",
            value=p50_ns[key] / p50_ns[latency.HEADLINE],
            best=best_ns[key] / best_ns[latency.HEADLINE],
            target=target,
        )
        for key, target in (("pyzmq", _AGAINST_ZMQ_MIN), ("pipe", None), (latency.UCX, 1.0))
        if key in results
    ]
    found.append(
        Ratio(
            key="crossings_above_c",
            title="Python's part: above the same rings in C, in empty crossings",
            value=crossings_above_c(p50_ns),
            best=crossings_above_c(best_ns),
            target=_CROSSINGS_MAX,
            is_at_most=True,
        )
    )
    return found


def _tell_who_is_missing(report: Report, _near: latency.Near) -> None:
    if "pyzmq" not in report.results:
        report.notes.append("pyzmq is not installed, so its line is missing: pip install pyzmq")
    if latency.UCX not in report.results:
        report.notes.append(
            "ucx_perftest is not on the path, so UCX's line is missing (Debian: ucx-utils)"
        )


BENCHMARK = Benchmark(
    name="latency",
    columns=_COLUMNS,
    notes=_NOTES,
    prepare=latency.prepare,
    ratios=ratios,
    complete=_tell_who_is_missing,
)
