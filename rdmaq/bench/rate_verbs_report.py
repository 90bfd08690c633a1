"""What `rdmaq bench rate --transport verbs` tells: messages a second, beside `ib_write_bw`."""

from __future__ import annotations

from rdmaq.bench import rate_verbs
from rdmaq.bench.benchmark import Benchmark
from rdmaq.bench.paired import NOTE, Compared, ratios, tell_intervals, tell_links
from rdmaq.bench.report import Column, Report

_OF_PERFTEST_MIN = 10.0
_TARGETS = (
    (rate_verbs.MANY, _OF_PERFTEST_MIN),
    (rate_verbs.BATCH, _OF_PERFTEST_MIN),
    (rate_verbs.SINGLE, None),
)
_COMPARED = tuple(
    Compared(ours=ours, theirs=rate_verbs.PERFTEST, metric="messages_per_s", target=target)
    for ours, target in _TARGETS
)
_NOTES = (
    "from the first send to the arrival of the last message, in Python at both ends; reliable "
    "flow, so nothing is lost and a fast publisher waits for its reader",
    "perftest: WRITEs of the same size, one a post, 128 in flight, as it does by itself; a stream "
    "sends what was published while a chain was in flight as the next chain",
    NOTE,
)


def _tell_more(report: Report, near: rate_verbs.Near) -> None:
    tell_intervals(report, _COMPARED)
    tell_links(report, near.links)


BENCHMARK = Benchmark(
    name="rate --transport verbs",
    columns=(
        Column(metric="messages_per_s", title="messages/s", show=lambda v: f"{v:,.0f}"),
        Column(metric="bytes_per_s", title="MB/s", show=lambda v: f"{v / 1e6:.3g}"),
        Column(metric="publisher_ns", title="publisher ns each", show=lambda v: f"{v:,.0f}"),
        Column(metric="messages_per_chain", title="a chain", show=lambda v: f"{v:,.0f}"),
    ),
    notes=_NOTES,
    prepare=rate_verbs.prepare,
    ratios=lambda results: ratios(results, _COMPARED),
    complete=_tell_more,
    constants={"many": rate_verbs.MANY_COUNT},
)
