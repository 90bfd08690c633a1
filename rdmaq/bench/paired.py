"""Two contenders compared round by round, with an interval: what benchmarks over verbs tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from rdmaq import LinkInfo
from rdmaq.bench.interval import median_interval
from rdmaq.bench.report import Ratio, Report
from rdmaq.bench.rounds import Result

#: What their tables say of it.
NOTE = (
    "a ratio is the median of the rounds' own ratios, in brackets its 95 % interval by order "
    "statistics (no distribution assumed)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What is held against what.

    Attributes:
        ours, theirs: keys of contenders.
        metric: of both.
        target: what the ratio should reach; None: told, not judged.
        is_at_most: the target bounds it from above.
    """

    ours: str
    theirs: str
    metric: str
    target: float | None = None
    is_at_most: bool = False

    @property
    def key(self) -> str:
        """The ratio's name in `--json`."""
        return f"{self.ours}_to_{self.theirs}"

    def of_rounds(self, results: dict[str, Result]) -> list[float]:
        """One ratio for each round that both have: time may have ended amid the last."""
        ours, theirs = results[self.ours], results[self.theirs]
        pairs = zip(ours.values(self.metric), theirs.values(self.metric), strict=False)
        return [own / other for own, other in pairs]


def ratios(results: dict[str, Result], compared: Sequence[Compared]) -> list[Ratio]:
    """The median of the rounds' own ratios, and its 95 % interval in the title."""
    found = []
    for one in compared:
        values = one.of_rounds(results)
        low, high = median_interval(values)
        ours, theirs = results[one.ours].contender.title, results[one.theirs].contender.title
        found.append(
            Ratio(
                key=one.key,
                title=f"{ours} / {theirs} ({len(values)} rounds, {low:.2f} - {high:.2f})",
                value=median(values),
                target=one.target,
                is_at_most=one.is_at_most,
            )
        )
    return found


def tell_intervals(report: Report, compared: Sequence[Compared]) -> None:
    """The same intervals as numbers."""
    report.more["intervals"] = {
        one.key: median_interval(one.of_rounds(report.results)) for one in compared
    }


def tell_links(report: Report, links: Mapping[str, Sequence[LinkInfo]]) -> None:
    """What the publisher knows of its links at the end, by stream."""
    report.more["links"] = {
        stream: [asdict(link) for link in carrying] for stream, carrying in links.items()
    }
