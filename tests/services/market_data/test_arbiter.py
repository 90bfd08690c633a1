"""Arbitration of sessions: begin, join, change, end; late lines; every sequence accounted for."""

from __future__ import annotations

import pytest
from rdmaq_services.market_data.arbiter import Arbiter
from rdmaq_services.market_data.events import Delivery, Event, Loss, SessionBegin, SessionEnd
from rdmaq_services.market_data.moldudp64 import END_OF_SESSION_COUNT, pack, pack_header, parse
from rdmaq_services.market_data.window import WindowLimits

LIMITS = WindowLimits(messages_max=1000, time_ns_max=100)


def data(session: str, first: int, count: int = 1) -> bytes:
    return pack(session, first, [b"m"] * count)


def end(session: str, next_sequence: int) -> bytes:
    return pack_header(session, next_sequence, END_OF_SESSION_COUNT)


def heartbeat(session: str, next_sequence: int) -> bytes:
    return pack_header(session, next_sequence, 0)


def said(events: list[Event]) -> list[tuple[object, ...]]:
    """Events without their bytes."""
    return [
        (event.first_sequence, event.message_count) if isinstance(event, Delivery) else event
        for event in events
    ]


def run(
    arrivals: list[tuple[int, bytes]], *, join_live: bool = False
) -> tuple[list[tuple[object, ...]], Arbiter]:
    arbiter = Arbiter(LIMITS, join_live=join_live)
    events: list[Event] = []
    for time_ns, datagram in arrivals:
        events += arbiter.accept(parse(datagram), time_ns)
    events += arbiter.finish()
    return said(events), arbiter


def test_replay_expects_sequence_one_and_declares_what_was_before_the_capture() -> None:
    events, _ = run([(0, data("A", 5))])
    assert events == [
        SessionBegin("A", 1, joined=False),
        Loss(1, 4),
        (5, 1),
        SessionEnd("A", 6, "end of capture"),
    ]


def test_live_join_starts_where_it_starts_and_says_so() -> None:
    events, arbiter = run([(0, data("A", 5)), (1, data("A", 3)), (2, data("A", 6))], join_live=True)
    assert events == [
        SessionBegin("A", 5, joined=True),
        (5, 1),
        (6, 1),
        SessionEnd("A", 7, "end of capture"),
    ]
    assert arbiter.counts.before_start == 1


def test_live_join_by_a_heartbeat_expects_what_it_announces() -> None:
    events, _ = run([(0, heartbeat("A", 9)), (1, data("A", 9))], join_live=True)
    assert events[:2] == [SessionBegin("A", 9, joined=True), (9, 1)]


def test_end_of_session_ends_it_when_everything_is_there() -> None:
    arbiter = Arbiter(LIMITS)
    arbiter.accept(parse(data("A", 1)), 0)
    assert arbiter.accept(parse(end("A", 2)), 1) == [SessionEnd("A", 2, "end of session")]
    assert arbiter.accept(parse(end("A", 2)), 2) == []
    assert arbiter.accept(parse(data("A", 1)), 2) == []
    assert not arbiter.counts.after_end


def test_end_of_session_waits_for_the_slower_line() -> None:
    """Line B brings message 2 after line A has announced the end: it is not lost."""
    events, _ = run([(0, data("A", 1)), (1, end("A", 3)), (50, data("A", 2))])
    assert events == [
        SessionBegin("A", 1, joined=False),
        (1, 1),
        (2, 1),
        SessionEnd("A", 3, "end of session"),
    ]


def test_end_of_session_declares_loss_up_to_the_final_sequence() -> None:
    events, _ = run([(0, data("A", 1)), (1, end("A", 5)), (1_000, end("A", 5))])
    assert events[1:] == [(1, 1), Loss(2, 4), SessionEnd("A", 5, "end of session")]


def test_data_after_the_end_of_a_session_is_counted_by_its_name() -> None:
    _, arbiter = run([(0, data("A", 1)), (1, end("A", 2)), (2, data("A", 2))])
    assert dict(arbiter.counts.after_end) == {"A": 1}


def test_session_change_flushes_the_old_one_and_expects_one_in_the_new() -> None:
    events, arbiter = run(
        [(0, data("A", 2)), (10, data("B", 2)), (111, data("B", 1)), (112, data("B", 3))]
    )
    assert events == [
        SessionBegin("A", 1, joined=False),
        Loss(1, 1),
        (2, 1),
        SessionEnd("A", 3, "session change"),
        SessionBegin("B", 1, joined=False),
        (1, 1),
        (2, 1),
        (3, 1),
        SessionEnd("B", 4, "end of capture"),
    ]
    assert arbiter.counts.sessions == ["A", "B"]


def test_old_session_stays_open_for_the_slower_line() -> None:
    """Session B begins on one line while the other still brings the end of A."""
    events, _ = run([(0, data("A", 2)), (10, data("B", 1)), (60, data("A", 1)), (200, end("B", 2))])
    assert events == [
        SessionBegin("A", 1, joined=False),
        (1, 1),
        (2, 1),
        SessionEnd("A", 3, "session change"),
        SessionBegin("B", 1, joined=False),
        (1, 1),
        SessionEnd("B", 2, "end of session"),
    ]


def test_old_session_is_given_up_when_the_new_one_has_filled_the_window() -> None:
    arbiter = Arbiter(WindowLimits(messages_max=5, time_ns_max=100))
    arbiter.accept(parse(data("A", 2)), 0)
    assert arbiter.accept(parse(data("B", 1, 4)), 1) == []
    events = said(arbiter.accept(parse(data("B", 5, 4)), 1))
    assert SessionEnd("A", 3, "session change") in events
    assert events[-1] == (5, 4)


def test_announced_session_gives_way_at_once() -> None:
    arbiter = Arbiter(LIMITS)
    arbiter.accept(parse(data("A", 1)), 0)
    arbiter.accept(parse(end("A", 2)), 1)
    events = said(arbiter.accept(parse(data("B", 1)), 2))
    assert events == [SessionBegin("B", 1, joined=False), (1, 1)]


@pytest.mark.parametrize("lines", [1, 2, 4])
def test_any_number_of_lines_is_one_feed(lines: int) -> None:
    arrivals = [(10 * n + line, data("A", n)) for n in range(1, 20) for line in range(lines)]
    events, arbiter = run(sorted(arrivals))
    assert events[1:-1] == [(n, 1) for n in range(1, 20)]
    assert arbiter.window_counts[0].duplicate_packets == 19 * (lines - 1)
