"""Events become frames as they came; losses become gaps; sessions become streams."""

from __future__ import annotations

from typing import Any

import pytest
from rdmaq_services.market_data.conservation import breaches, total, truth_breaches
from rdmaq_services.market_data.events import Delivery, Event, Loss, SessionBegin, SessionEnd
from rdmaq_services.market_data.feed import FeedOptions, SyntheticFeed
from rdmaq_services.market_data.lines import LineFaults
from rdmaq_services.market_data.publish import FeedPublisher, PublishedSession

import rdmaq

BLOCKS = memoryview(b"\0\1a\0\1b")


class FakeStream:
    """A stream that writes down what it was told."""

    def __init__(self, first_sequence: int) -> None:
        self.said: list[tuple[Any, ...]] = [("open", first_sequence)]

    def send_many(self, messages: Any, *, first_sequence: int | None = None) -> int:
        self.said.append(("many", first_sequence, messages.count, messages.buffer))
        return first_sequence or 0

    def send_gap(self, first: int, last: int) -> int:
        self.said.append(("gap", first, last))
        return first

    def heartbeat(self) -> int:
        self.said.append(("heartbeat",))
        return 0

    def close(self, *, drain: float = 0.0) -> None:
        self.drain = drain
        self.said.append(("close",))

    @property
    def stats(self) -> rdmaq.PublisherStats:
        return rdmaq.PublisherStats(
            messages=2,
            bytes=6,
            frames=2,
            ring_bytes=128,
            gaps=1,
            stalls=0,
            wakes=0,
            readers=0,
            readers_cut_off=0,
        )


def run(events: list[Event], **options: Any) -> tuple[FeedPublisher, list[FakeStream]]:
    streams: list[FakeStream] = []

    def open_stream(begin: SessionBegin) -> FakeStream:
        streams.append(FakeStream(begin.first_sequence))
        return streams[-1]

    publisher = FeedPublisher(open_stream, **options)
    publisher.run((index, event) for index, event in enumerate(events))
    return publisher, streams


def test_packet_is_forwarded_as_it_came_under_its_feed_sequence() -> None:
    publisher, (stream,) = run(
        [
            SessionBegin("A", 7, joined=True),
            Delivery(7, 2, BLOCKS),
            Loss(9, 11),
            Delivery(12, 2, BLOCKS),
            SessionEnd("A", 14, "end of session"),
        ]
    )
    assert stream.said == [
        ("open", 7),
        ("many", 7, 2, BLOCKS),
        ("gap", 9, 11),
        ("many", 12, 2, BLOCKS),
        ("close",),
    ]
    assert stream.said[1][3] is BLOCKS
    (session,) = publisher.sessions
    assert (session.published, session.lost, session.end_cause) == (4, [[9, 11]], "end of session")
    assert session.as_json()["joined_live"] is True


def test_packets_that_follow_one_another_are_gathered_into_frames_of_some_size() -> None:
    """What was gathered goes before a loss, and before the end; the sequences are the same."""
    pairs = [Delivery(first, 2, BLOCKS) for first in (1, 3, 5, 12, 14)]
    publisher, (stream,) = run(
        [
            SessionBegin("A", 1, joined=False),
            *pairs[:3],
            Loss(7, 11),
            *pairs[3:],
            SessionEnd("A", 16, "end of session"),
        ],
        coalesce_bytes=2 * len(BLOCKS),
    )
    assert stream.said[1:] == [
        ("many", 1, 4, bytes(BLOCKS) * 2),
        ("many", 5, 2, BLOCKS),
        ("gap", 7, 11),
        ("many", 12, 4, bytes(BLOCKS) * 2),
        ("close",),
    ]
    assert (publisher.sessions[0].published, publisher.sessions[0].lost) == (10, [[7, 11]])


def test_session_that_ends_gives_links_their_time_and_an_interrupted_one_a_moment() -> None:
    begin = SessionBegin("A", 1, joined=False)
    _, (ended,) = run([begin, SessionEnd("A", 1, "end of session")], drain_seconds=77.0)
    publisher, (interrupted,) = run([begin], drain_seconds=77.0)
    publisher.close()
    assert ended.drain == 77.0
    assert interrupted.drain <= 1.0


def test_each_session_has_a_stream_of_its_own() -> None:
    ended: list[str] = []
    publisher, streams = run(
        [
            SessionBegin("A", 1, joined=False),
            SessionEnd("A", 1, "session change"),
            SessionBegin("B", 1, joined=False),
            Delivery(1, 2, BLOCKS),
            SessionEnd("B", 3, "end of capture"),
        ],
        on_session_end=lambda session: ended.append(session.session),
    )
    assert [stream.said[-1] for stream in streams] == [("close",), ("close",)]
    assert ended == ["A", "B"]
    publisher.close()
    assert streams[1].said.count(("close",)) == 1


def report(**changes: Any) -> dict[str, Any]:
    return {
        "messages": 90,
        "lost_messages": 10,
        "lost_ranges": [[5, 14]],
        "lost_overrun": 0,
        "lost_overrun_ranges": [],
        "lost_disconnected": 0,
        "lost_disconnected_ranges": [],
        "undeclared_ranges": [],
        "doubled": 0,
        "counts_by_type": {"A": 90},
        "latency_ns": {},
        "latency_by": None,
        "clocks_disagree": 0,
        "transport": "shm",
        "links": 0,
        "backfilled": 0,
        "frames": 9,
        "batches": 3,
        **changes,
    }


SESSION = PublishedSession("A", 1, joined=False, published=90, lost=[[5, 14]])


def test_whole_report_has_no_breach() -> None:
    assert breaches(SESSION, report()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"messages": 89, "counts_by_type": {"A": 89}}, "99, not the 100"),
        ({"lost_overrun": 1}, "101, not the 100"),
        ({"lost_ranges": [[6, 15]]}, "not those declared"),
        ({"undeclared_ranges": [[3, 3]]}, "without a word"),
        ({"doubled": 2}, "came twice"),
        ({"counts_by_type": {"A": 91}}, "do not add up"),
    ],
)
def test_report_that_breaks_the_law_is_found(changes: dict[str, Any], words: str) -> None:
    found = breaches(SESSION, report(**changes))
    assert any(words in breach for breach in found), found


def test_reports_of_sessions_add_up() -> None:
    summed = total([report(), report(counts_by_type={"A": 80, "D": 10})])
    assert summed["messages"] == 180
    assert summed["counts_by_type"] == {"A": 170, "D": 10}
    assert summed["lost_ranges"] == [[5, 14], [5, 14]]


def test_subscriber_without_a_report_has_nothing() -> None:
    assert total([])["messages"] == 0


def test_report_is_held_against_the_truth_of_synthetic_lines() -> None:
    feed = SyntheticFeed(2_000, 3, LineFaults(loss=0.2), FeedOptions())
    assert list(feed)
    truth = feed.truth
    assert truth is not None
    arrived = truth.counts - truth.counts_lost
    good = report(
        lost_ranges=truth.lost["both"],
        counts_by_type={chr(kind): count for kind, count in arrived.items()},
    )
    assert truth_breaches(truth, good) == []
    assert truth_breaches(truth, {**good, "lost_ranges": truth.lost["both"][1:]})
    assert truth_breaches(truth, {**good, "counts_by_type": {"A": 1}})
