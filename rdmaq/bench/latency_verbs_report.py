"""What `rdmaq bench latency --transport verbs` tells: ratios to the chain in C, round by round."""

from __future__ import annotations

from rdmaq.bench import latency_verbs
from rdmaq.bench.benchmark import Benchmark
from rdmaq.bench.paired import NOTE, Compared, ratios, tell_intervals
from rdmaq.bench.report import Column, show_us

_OF_CHAIN_MAX = 1.3
_AT_MOST = [
    (latency_verbs.HEADLINE, _OF_CHAIN_MAX),
    (latency_verbs.STREAMS_C, None),
    (latency_verbs.AUTO, None),
]
_COMPARED = tuple(
    Compared(
        ours=ours,
        theirs=latency_verbs.CHAIN,
        metric="p50_ns",
        target=target,
        is_at_most=True,
    )
    for ours, target in _AT_MOST
)
_NOTES = (
    "half a round trip, as perftest tells it; a message is sent, taken out of its batch as bytes "
    "at the other side, and sent back",
    "'the same chain' is the frame's WRITE and an inline WRITE of the tail behind it, one "
    "doorbell, between two bare queue pairs; the receiver spins on the tail and copies the frame",
    NOTE,
)

BENCHMARK = Benchmark(
    name="latency --transport verbs",
    columns=(
        Column(metric="p50_ns", title="p50 us", show=show_us),
        Column(metric="p99_ns", title="p99 us", show=show_us),
    ),
    notes=_NOTES,
    prepare=latency_verbs.prepare,
    ratios=lambda results: ratios(results, _COMPARED),
    complete=lambda report, _near: tell_intervals(report, _COMPARED),
)
