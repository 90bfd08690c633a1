"""What `rdmaq bench rate` tells: how much went through, and how that compares with C."""

from __future__ import annotations

from rdmaq.bench import rate, rate_far
from rdmaq.bench.benchmark import Benchmark
from rdmaq.bench.report import Column, Ratio
from rdmaq.bench.rounds import Result

_OF_C_MIN = 0.9
_SINGLE_MIN = 2.0
_COLUMNS = (
    Column(metric="per_second", title="M/s", show=lambda v: f"{v / 1e6:.3g}"),
    Column(metric="bytes_per_second", title="GB/s", show=lambda v: f"{v / 1e9:.3g}"),
    Column(metric="publisher_ns", title="publisher ns each", show=lambda v: f"{v:.3g}"),
)
_NOTES = (
    "M/s: millions of records or messages, from the first send to the arrival of the last; "
    "reliable flow, so nothing is lost and a fast publisher waits for its reader",
    f"'the same ring in C' is rq_send_records and rq_reader_poll in a loop: the same copies, of "
    f"the same array into the ring and out of it into one array, at most "
    f"{rate_far.BATCHES_PER_POLL} batches a poll, as with poll(into=)",
    "the source is one array, sent again and again: it stays in the publisher's cache",
    "a view copies nothing on the reader's side, and nobody looks at its records here",
)


def ratios(results: dict[str, Result]) -> list[Ratio]:
    """Within the run."""
    values = {key: result.middle("per_second") for key, result in results.items()}
    bests = {key: max(result.values("per_second")) for key, result in results.items()}
    shares = [
        ("into_of_c", "send_batch -> poll(into=)", rate.HEADLINE, rate.BARE_C, _OF_C_MIN),
        ("into_of_plain_c", "send_batch -> poll(into=)", rate.HEADLINE, rate.PLAIN_C, None),
        ("fresh_of_c", "send_batch -> poll", rate.FRESH, rate.BARE_C, None),
    ]
    found = [
        Ratio(
            key=key,
            title=f"{what}, as a share of: {results[of].contender.title}",
            value=values[part] / values[of],
            best=bests[part] / bests[of],
            target=target,
        )
        for key, what, part, of, target in shares
    ]
    found.append(
        Ratio(
            key="single_millions",
            title="send of one bytes object, M/s",
            value=values[rate.SINGLE] / 1e6,
            best=bests[rate.SINGLE] / 1e6,
            target=_SINGLE_MIN,
        )
    )
    return found


BENCHMARK = Benchmark(
    name="rate",
    columns=_COLUMNS,
    notes=_NOTES,
    prepare=rate.prepare,
    ratios=ratios,
    constants={"record_bytes": rate.RECORD.itemsize, "many": rate.MANY},
)
