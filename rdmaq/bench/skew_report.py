"""What `rdmaq bench fanout --transport verbs` tells: the price of links, and their skew."""

from __future__ import annotations

from rdmaq.bench import skew
from rdmaq.bench.benchmark import Benchmark
from rdmaq.bench.paired import Compared, ratios, tell_intervals, tell_links
from rdmaq.bench.report import Column, Report, show_us

_COMPARED = (Compared(ours=skew.MANY, theirs=skew.ONE, metric="send_p50_ns"),)
_NOTES = (
    "one message at a time, the next one when the last has arrived everywhere; all subscriptions "
    "are in one process, where one thread looks at each replica in turn",
    "'skew': from the first arrival of a message to its last; 'served': from the first link's "
    "post to the last one's, as the publisher counts it (stats.link_skew_ns)",
    "who is served first changes from publish to publish; 'first, most': the share of messages "
    "that the luckiest subscription got before all others",
)


def _tell_more(report: Report, near: skew.Near) -> None:
    tell_intervals(report, _COMPARED)
    tell_links(report, near.links)


BENCHMARK = Benchmark(
    name="fanout --transport verbs",
    columns=(
        Column(metric="send_p50_ns", title="send us, p50", show=show_us),
        Column(metric="posting_ns", title="served us", show=show_us),
        Column(metric="skew_p50_ns", title="skew us, p50", show=show_us),
        Column(metric="skew_p99_ns", title="p99", show=show_us),
        Column(metric="first_share_max", title="first, most", show=lambda v: f"{100 * v:.0f} %"),
    ),
    notes=_NOTES,
    prepare=skew.prepare,
    ratios=lambda results: ratios(results, _COMPARED),
    complete=_tell_more,
)
