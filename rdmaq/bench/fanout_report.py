"""What `rdmaq bench fanout` tells: the price of subscribers, and what each of them got."""

from __future__ import annotations

from rdmaq.bench import fanout
from rdmaq.bench.benchmark import Benchmark
from rdmaq.bench.report import Column, Ratio, Report, show_us
from rdmaq.bench.rounds import Result

_MANY_OF_ONE_MAX = 1.2
_COLUMNS = (
    Column(metric="publisher_p50_ns", title="publisher ns each, p50", show=lambda v: f"{v:.3g}"),
    Column(metric="publisher_p99_ns", title="p99", show=lambda v: f"{v:.3g}"),
    Column(metric="first_chunk_ns", title="first chunk us", show=show_us),
    Column(metric="received_share", title="received", show=lambda v: f"{100 * v:.2f} %"),
)
_NOTES = (
    f"bursts of {fanout.CHUNKS} chunks ({fanout.CHUNK_MESSAGES} messages, or one batch) with "
    "pauses between them; 'ns each' = a chunk's wall time divided by its messages; the first "
    "chunk of a burst stands apart, since it wakes the subscribers that sleep",
    "lossy flow: the publisher never waits; 'received' is the worst subscriber's share, and what "
    "it did not receive was declared to it (checked: received + declared = published)",
    "with more subscribers than CPUs they take CPU time from the publisher, which shows in p99",
)


def ratios(results: dict[str, Result]) -> list[Ratio]:
    """The publisher's cost with all subscribers over that with one."""
    return [
        Ratio(
            key=key,
            title=f"publisher's cost: {results[many].contender.title} / 1",
            value=results[many].middle("publisher_p50_ns")
            / results[one].middle("publisher_p50_ns"),
            best=min(results[many].values("publisher_p50_ns"))
            / min(results[one].values("publisher_p50_ns")),
            target=_MANY_OF_ONE_MAX,
            is_at_most=True,
        )
        for key, many, one in (
            ("send_many_of_one", fanout.MANY_SINGLE, fanout.ONE_SINGLE),
            ("batch_many_of_one", fanout.MANY_BATCH, fanout.ONE_BATCH),
        )
    ]


def _tell_losses(report: Report, near: fanout.Near) -> None:
    """One line a contender: all complete, or who lost how much."""
    report.more["subscribers"] = near.losses
    for key, totals in near.losses.items():
        title = report.results[key].contender.title
        lost = [f"{n}: {t['lost']:,}" for n, t in enumerate(totals, 1) if t["lost"]]
        published = totals[0]["published"]
        what = f"lost by overrun: {', '.join(lost)}" if lost else "every subscriber got all of them"
        report.notes.append(f"{title}: {published:,} published; {what}")


BENCHMARK = Benchmark(
    name="fanout",
    columns=_COLUMNS,
    notes=_NOTES,
    prepare=fanout.prepare,
    ratios=ratios,
    complete=_tell_losses,
)
