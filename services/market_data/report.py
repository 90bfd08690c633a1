"""What a replay found, as one JSON object or as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import conservation, ranges
from .latency import BY_CLOCKS
from .publish import PublishedSession
from .replay import Replay, SubscriberAccount

if TYPE_CHECKING:
    from rich.console import Console

# Fewer messages than this, missing at the beginning, are no sign of a late capture.
MISSING_MIN = 1000


def is_sound(accounts: Sequence[SubscriberAccount]) -> bool:
    """Whether everything is accounted for at every subscriber not killed on purpose."""
    return all(account.conserved for account in accounts if not account.expected_dead)


def replay_json(replay: Replay, accounts: Sequence[SubscriberAccount]) -> dict[str, Any]:
    """Gives the object that `--json` prints.

    Sequence ranges are [first, last], inclusive; latencies are ns from publish to receive, one
    for each frame.
    """
    sessions = replay.publisher.sessions
    capacity_bytes = replay.capacity_bytes
    ring_bytes = sum(session.ring_bytes for session in sessions)
    return {
        "conserved": is_sound(accounts),
        "published": sum(session.published for session in sessions),
        "declared_lost": ranges.message_count(conservation.lost_of_all(sessions)),
        "subscribers": [_subscriber_json(account) for account in accounts],
        "sessions": [session.as_json() for session in sessions],
        "ring": {
            "capacity_bytes": capacity_bytes,
            "flow": "reliable" if replay.settings.flow.is_reliable else "lossy",
            "bytes_written": ring_bytes,
            "wraps": ring_bytes // capacity_bytes if capacity_bytes else 0,
        },
        "feed": replay.feed.describe(),
    }


def _subscriber_json(account: SubscriberAccount) -> dict[str, Any]:
    return {
        "number": account.number,
        **account.report,
        "conserved": account.conserved,
        "breaches": account.breaches,
        "died": account.died,
    }


def print_replay(console: Console, replay: Replay, accounts: Sequence[SubscriberAccount]) -> None:
    """Prints the feed, a table of the subscribers, and the verdict."""
    print_feed(console, replay.feed.describe(), replay.publisher.sessions)
    console.print(_table(accounts))
    for account in accounts:
        if account.died is not None:
            cause = " on purpose" if account.expected_dead else ""
            console.print(f"subscriber {account.number} {account.died}{cause}")
        if not account.expected_dead:
            for breach in account.breaches:
                console.print(f"subscriber {account.number}: {breach}", soft_wrap=True)
    console.print(verdict(replay.publisher.sessions, accounts), soft_wrap=True)


def print_feed(
    console: Console, feed: dict[str, Any], sessions: Sequence[PublishedSession]
) -> None:
    """Prints what came out of the feed, and what deserves a second look."""
    console.print(
        f"{feed['name']}: {feed['datagrams']:,} datagrams, {feed['packets']:,} MoldUDP64 packets "
        f"({feed['duplicate_packets']:,} second copies, {feed['heartbeats']:,} heartbeats)",
        soft_wrap=True,
    )
    for session in sessions:
        begin = f"joined at {session.first_sequence:,}" if session.joined else "from 1"
        console.print(
            f"session {session.session} {begin}: published {session.published:,} messages, "
            f"declared {session.lost_count:,} lost on all lines; {session.end_cause or 'cut off'}",
            soft_wrap=True,
        )
        if _began_in_the_middle(session):
            console.print(
                f"note: session {session.session}: nothing before {session.lost[0][1] + 1:,} is in "
                "the capture, and all of that counts as lost; a capture from the middle of a day "
                "wants --start live",
                soft_wrap=True,
            )
    notes = {
        "skipped frames": feed.get("skipped"),
        "not MoldUDP64": feed["malformed"],
        "packets beyond the end of their session (several feeds in one capture? use --line)":
            feed["packets_after_end"],
        "messages that came after they were declared lost (widen the window)":
            feed["late_messages"],
    }  # fmt: skip
    for note, value in notes.items():
        if value:
            words = value
            if isinstance(value, dict):
                words = ", ".join(f"{count:,} {reason}" for reason, count in value.items())
            console.print(f"note: {note}: {words}", soft_wrap=True)


def _began_in_the_middle(session: PublishedSession) -> bool:
    """Whether more is missing at a session's beginning than lines lose."""
    if session.joined or not session.lost or session.lost[0][0] != session.first_sequence:
        return False
    return session.lost[0][1] - session.first_sequence >= max(MISSING_MIN, session.published // 10)


def verdict(sessions: Sequence[PublishedSession], accounts: Sequence[SubscriberAccount]) -> str:
    """Says in one line whether the law was kept."""
    published = sum(session.published + session.lost_count for session in sessions)
    watched = [account for account in accounts if not account.expected_dead]
    if is_sound(accounts):
        return (
            f"conserved: received + lost upstream + lost by overrun = {published:,} "
            f"at each of {len(watched)} subscribers"
        )
    broken = ", ".join(str(account.number) for account in watched if not account.conserved)
    return f"NOT conserved: {published:,} published and declared; see subscriber {broken}"


def print_subscriber(console: Console, report: dict[str, Any]) -> None:
    """Prints the table of one subscriber, and its messages by type."""
    console.print(_table([SubscriberAccount(1, report, [])]))
    _print_latency_note(console, [report])
    counts = report["counts_by_type"]
    console.print(
        "by type: " + ", ".join(f"{kind} {counts[kind]:,}" for kind in sorted(counts)),
        soft_wrap=True,
    )
    for cause in ("lost_ranges", "lost_overrun_ranges", "lost_disconnected_ranges"):
        if report[cause]:
            words = ", ".join(f"{first}-{last}" for first, last in report[cause][:8])
            more = f" and {len(report[cause]) - 8} more" if len(report[cause]) > 8 else ""
            console.print(f"{cause.replace('_', ' ')}: {words}{more}", soft_wrap=True)


def print_subscribers(console: Console, reports: Sequence[dict[str, Any]]) -> None:
    """Prints the table of several subscribers, and what is wrong with each."""
    accounts = [
        SubscriberAccount(report["number"], report, [], report["died"]) for report in reports
    ]
    console.print(_table(accounts))
    _print_latency_note(console, reports)
    for report in reports:
        if report["links"] > 1 or report["backfilled"]:
            console.print(
                f"subscriber {report['number']}: {report['links']} links, {report['backfilled']:,} "
                "messages read out of the publisher's ring",
                soft_wrap=True,
            )
        for words in (*report["breaches"], *([report["died"]] if report["died"] else [])):
            console.print(f"subscriber {report['number']}: {words}", soft_wrap=True)


def _print_latency_note(console: Console, reports: Sequence[dict[str, Any]]) -> None:
    """Says where the latencies come from, if not from the counter of this very host."""
    if any(report["clocks_disagree"] for report in reports):
        console.print(
            "latency unknown: messages came before they were sent, so the hosts' clocks do not "
            "agree; synchronise them, or leave --clocks-synchronised out",
            soft_wrap=True,
        )
    elif any(report["latency_by"] == BY_CLOCKS for report in reports):
        console.print(
            "latencies are of a batch's first message, by the clocks of both sides: as good as "
            "they agree",
            soft_wrap=True,
        )
    elif any(report["transport"] != "shm" and report["messages"] for report in reports):
        console.print(
            "latency unknown: the publisher is on another host, whose clock is not ours; if the "
            "two are synchronised, say --clocks-synchronised",
            soft_wrap=True,
        )


def _table(accounts: Sequence[SubscriberAccount]) -> Any:
    from rich import box
    from rich.table import Table

    losses = {"lost_messages": "lost\nupstream", "lost_overrun": "lost by\noverrun"}
    if any(account.report["lost_disconnected"] for account in accounts):
        losses["lost_disconnected"] = "discon-\nnected"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    names = ("sub-\nscriber", "\nmessages", *losses.values())
    for name in (*names, *(f"{part}\nµs" for part in ("p50", "p99", "p99.9", "max"))):
        table.add_column(name, justify="right", no_wrap=True)
    for account in accounts:
        report = account.report
        if account.died is not None and not report["messages"]:
            table.add_row(str(account.number), *["-"] * (len(losses) + 5))
            continue
        latency = report["latency_ns"]
        latencies = [latency.get(name) for name in ("p50", "p99", "p99_9", "max")]
        table.add_row(
            str(account.number),
            *(f"{report[name]:,}" for name in ("messages", *losses)),
            *("-" if value is None else _microseconds(value) for value in latencies),
        )
    return table


def _microseconds(value_ns: int) -> str:
    """Writes ns as µs, with the three digits that are exact."""
    value_us = value_ns / 1000
    return f"{value_us:,.1f}" if value_us < 100 else f"{value_us:,.0f}"
