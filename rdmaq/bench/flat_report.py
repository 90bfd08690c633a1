"""What `rdmaq bench flat` tells: a message's price, and what the dearest number adds to it."""

from __future__ import annotations

from rdmaq.bench import flat
from rdmaq.bench.benchmark import Benchmark
from rdmaq.bench.report import Column, Ratio
from rdmaq.bench.rounds import Result

_FLAT_MAX = 1.1
_COLUMNS = (Column(metric="publisher_ns", title="publisher ns each", show=lambda v: f"{v:.3g}"),)
_NOTES = (
    "records of 32 B in batches of 1,000 (send_batch), lossy, to one subscriber that reads what it "
    "can; small numbers are repeated, up to 10^8 messages in all",
)


def ratios(results: dict[str, Result]) -> list[Ratio]:
    """The dearest number over the smallest."""
    middles = {key: result.middle("publisher_ns") for key, result in results.items()}
    bests = {key: min(result.values("publisher_ns")) for key, result in results.items()}
    smallest = f"e{flat.DECADE_MIN}"
    return [
        Ratio(
            key="dearest_of_smallest",
            title="the dearest number of messages / 10^3",
            value=max(middles.values()) / middles[smallest],
            best=max(bests.values()) / bests[smallest],
            target=_FLAT_MAX,
            is_at_most=True,
        )
    ]


BENCHMARK = Benchmark(
    name="flat",
    columns=_COLUMNS,
    notes=_NOTES,
    prepare=flat.prepare,
    ratios=ratios,
)
