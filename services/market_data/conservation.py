"""The law of every replay: received + declared lost = published + declared by the publisher."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from . import ranges
from .lines import Truth
from .publish import PublishedSession
from .tally import Tally

_SUMS = ("messages", "lost_messages", "lost_overrun", "lost_disconnected", "doubled", "frames",
         "batches", "links", "backfilled")  # fmt: skip
_RANGES = (
    "lost_ranges", "lost_overrun_ranges", "lost_disconnected_ranges", "undeclared_ranges"
)  # fmt: skip
# Of all sessions together, as it stands in the last one's report.
_LAST = ("latency_ns", "latency_by", "clocks_disagree", "transport")


def breaches(session: PublishedSession, report: dict[str, Any]) -> list[str]:
    """Finds what a subscriber's report of a session leaves unaccounted, in words.

    Args:
        session: What was published.
        report: What `Tally.as_json` gave.
    """
    found = []
    received = report["messages"]
    upstream, overrun = report["lost_messages"], report["lost_overrun"]
    disconnected = report["lost_disconnected"]
    accounted = received + upstream + overrun + disconnected
    published = session.published + session.lost_count
    if accounted != published:
        found.append(
            f"{received:,} received + {upstream:,} lost upstream + {overrun:,} overrun + "
            f"{disconnected:,} disconnected = {accounted:,}, not the {published:,} "
            f"published and declared in session {session.session}"
        )
    if report["lost_ranges"] != session.lost:
        found.append(f"the losses upstream are not those declared in session {session.session}")
    return found + silent_breaches([report])


def silent_breaches(reports: Sequence[dict[str, Any]]) -> list[str]:
    """Finds what a subscriber's reports contradict by themselves, whatever was published."""
    found = []
    for report in reports:
        if report["undeclared_ranges"]:
            found.append(f"sequences are missing without a word: {report['undeclared_ranges'][:3]}")
        if report["doubled"]:
            found.append(f"{report['doubled']:,} messages came twice")
        if sum(report["counts_by_type"].values()) != report["messages"]:
            found.append("the counts by type do not add up to the messages")
    return found


def truth_breaches(truth: Truth, report: dict[str, Any]) -> list[str]:
    """Finds where a subscriber's report differs from what the synthetic lines really lost."""
    found = []
    if report["lost_ranges"] != truth.lost["both"]:
        found.append("the losses upstream are not those that all lines lost")
    if not report["lost_overrun"]:
        arrived = Counter(truth.counts)
        arrived.subtract(truth.counts_lost)
        expected = {chr(kind): count for kind, count in arrived.items() if count}
        if report["counts_by_type"] != expected:
            found.append("the counts by type are not those that arrived")
    return found


def total(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Adds the reports of one subscriber over its sessions; the last one has all latencies."""
    if not reports:
        return Tally().as_json()
    if len(reports) == 1:
        return dict(reports[0])
    summed: dict[str, Any] = {key: sum(report[key] for report in reports) for key in _SUMS}
    for key in _RANGES:
        summed[key] = [span for report in reports for span in report[key]]
    counts: Counter[str] = Counter()
    for report in reports:
        counts.update(report["counts_by_type"])
    summed["counts_by_type"] = dict(counts)
    return summed | {key: reports[-1][key] for key in _LAST}


def lost_of_all(sessions: Sequence[PublishedSession]) -> list[ranges.Range]:
    """Gathers what was declared lost upstream, session by session."""
    return [span for session in sessions for span in session.lost]
