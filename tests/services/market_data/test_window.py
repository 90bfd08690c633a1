"""The reorder window: what is known, held, given up; by messages and capture time alone."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdmaq_services.market_data.events import Delivery, Loss
from rdmaq_services.market_data.moldudp64 import Packet, pack, pack_header, parse
from rdmaq_services.market_data.window import ReorderWindow, WindowLimits

LIMITS = WindowLimits(messages_max=10, time_ns_max=100)


def body(sequence: int) -> bytes:
    """A message that tells its own sequence, of a length of its own."""
    return struct.pack(">Q", sequence) + b"x" * (sequence % 5)


def packet(first: int, count: int = 1) -> Packet:
    return parse(pack("S", first, [body(first + index) for index in range(count)]))


def heartbeat(next_sequence: int) -> Packet:
    return parse(pack_header("S", next_sequence, 0))


def sequences(events: list[Delivery | Loss]) -> list[int]:
    """The sequences of events: delivered ones as they are, lost ones negative."""
    out: list[int] = []
    for event in events:
        if isinstance(event, Loss):
            out.extend(-sequence for sequence in range(event.first, event.last + 1))
            continue
        blocks = bytes(event.blocks)
        for index in range(event.message_count):
            size = struct.unpack_from(">H", blocks)[0]
            sequence = event.first_sequence + index
            assert blocks[2 : 2 + size] == body(sequence), "the bytes are those of the sequence"
            out.append(sequence)
            blocks = blocks[2 + size :]
        assert not blocks
    return out


def test_messages_in_order_pass_at_once() -> None:
    window = ReorderWindow(1, LIMITS)
    assert sequences(window.accept(packet(1, 3), 0)) == [1, 2, 3]
    assert sequences(window.accept(packet(4), 0)) == [4]
    assert window.complete


def test_second_copy_is_dropped_and_counted() -> None:
    window = ReorderWindow(1, LIMITS)
    window.accept(packet(1, 3), 0)
    assert window.accept(packet(1, 3), 1) == []
    assert window.counts.duplicate_packets == 1
    assert window.counts.duplicate_messages == 3


def test_packet_that_overlaps_is_trimmed_at_a_message() -> None:
    window = ReorderWindow(1, LIMITS)
    window.accept(packet(1, 3), 0)
    assert sequences(window.accept(packet(2, 4), 1)) == [4, 5]
    assert window.counts.trimmed_packets == 1


def test_missing_message_within_the_window_is_waited_for() -> None:
    window = ReorderWindow(1, LIMITS)
    window.accept(packet(1), 0)
    assert window.accept(packet(3), 1) == []
    assert sequences(window.accept(packet(2), 101)) == [2, 3]
    assert window.counts.lost == 0


def test_message_is_given_up_when_its_capture_time_has_passed() -> None:
    window = ReorderWindow(1, LIMITS)
    window.accept(packet(1), 0)
    window.accept(packet(3), 5)
    assert window.accept(heartbeat(4), 105) == []
    assert sequences(window.accept(heartbeat(4), 106)) == [-2, 3]


def test_message_is_given_up_when_one_far_beyond_it_is_known() -> None:
    window = ReorderWindow(1, LIMITS)
    window.accept(packet(1), 0)
    assert window.accept(packet(3, 9), 0) == []
    assert sequences(window.accept(packet(12), 0)) == [-2, *range(3, 13)]


def test_part_of_a_run_that_is_still_within_the_window_is_not_given_up() -> None:
    """Of 2 to 14 missing, only those more than 10 below the highest (15) are lost."""
    window = ReorderWindow(1, LIMITS)
    window.accept(packet(1), 0)
    assert sequences(window.accept(packet(15), 0)) == [-2, -3, -4, -5]
    assert sequences(window.accept(packet(6, 9), 0)) == list(range(6, 16))


def test_each_missing_run_has_its_own_time() -> None:
    window = ReorderWindow(1, LIMITS)
    window.accept(packet(2), 0)
    window.accept(packet(4), 60)
    assert sequences(window.accept(heartbeat(5), 101)) == [-1, 2]
    assert sequences(window.accept(heartbeat(5), 161)) == [-3, 4]


def test_heartbeat_reveals_what_no_line_brought() -> None:
    window = ReorderWindow(1, LIMITS)
    window.accept(packet(1), 0)
    assert window.accept(heartbeat(3), 10) == []
    assert not window.complete
    assert sequences(window.accept(heartbeat(3), 111)) == [-2]


def test_heartbeat_behind_what_is_known_changes_nothing() -> None:
    window = ReorderWindow(1, LIMITS)
    window.accept(packet(1, 5), 0)
    assert window.accept(heartbeat(2), 500) == []
    assert window.complete


def test_capture_time_that_steps_back_gives_nothing_up_and_nothing_back() -> None:
    window = ReorderWindow(1, LIMITS)
    window.accept(packet(2), 1_000)
    assert window.accept(heartbeat(3), 0) == []
    assert sequences(window.accept(heartbeat(3), 1_101)) == [-1, 2]


def test_flush_declares_what_is_known_and_missing_and_delivers_the_rest() -> None:
    window = ReorderWindow(1, LIMITS)
    window.accept(packet(2), 0)
    window.accept(packet(4), 0)
    window.accept(heartbeat(6), 0)
    assert sequences(window.flush()) == [-1, 2, -3, 4, -5]
    assert window.flush() == []


def test_message_that_comes_after_it_was_declared_lost_is_counted_as_late() -> None:
    window = ReorderWindow(1, LIMITS)
    window.accept(packet(3), 0)
    window.accept(packet(4), 101)
    assert window.accept(packet(1, 2), 102) == []
    assert window.counts.late_messages == 2
    assert window.accept(packet(3), 102) == []
    assert window.counts.late_messages == 2


def test_longer_of_two_held_packets_is_kept() -> None:
    window = ReorderWindow(1, LIMITS)
    window.accept(packet(3), 0)
    window.accept(packet(3, 4), 0)
    window.accept(packet(3, 2), 0)
    assert sequences(window.accept(packet(1, 2), 0)) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("limits", [{"messages_max": 0}, {"time_ns_max": -1}])
def test_window_without_room_is_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="window"):
        WindowLimits(**limits)


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[int, list[tuple[int, int, int]]]:
    """What several lines bring of a feed: (time, first, count), count 0 for a heartbeat.

    Each line cuts the feed into packets of its own, loses, doubles, delays; some announce the end.
    """
    total = draw(st.integers(1, 60))
    arrived: list[tuple[int, int, int]] = []
    for _ in range(draw(st.integers(1, 3))):
        skew = draw(st.integers(0, 40))
        first = 1
        while first <= total:
            count = min(draw(st.integers(1, 5)), total + 1 - first)
            for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2]))):
                late = draw(st.sampled_from([0, 0, 0, 7, 60, 300]))
                arrived.append((first * 10 + skew + late, first, count))
            if draw(st.integers(0, 5)) == 0:
                arrived.append((first * 10 + skew, first + count, 0))
            first += count
    arrived.sort(key=lambda arrival: arrival[0])
    return total, arrived


@given(arrivals(), st.integers(1, 70), st.integers(0, 400))
def test_every_sequence_comes_once_or_is_declared_once_and_rightly(
    feed: tuple[int, list[tuple[int, int, int]]], messages_max: int, time_ns_max: int
) -> None:
    """Against a reference that knows, for each sequence, when it came and when it fell due."""
    total, arrived = feed
    limits = WindowLimits(messages_max=messages_max, time_ns_max=time_ns_max)
    window = ReorderWindow(1, limits)
    said: list[int] = []
    for time_ns, first, count in arrived:
        fresh = packet(first, count) if count else heartbeat(first)
        said.extend(sequences(window.accept(fresh, time_ns)))
    said.extend(sequences(window.flush()))

    highest = max((first + count - 1 for _, first, count in arrived), default=0)
    assert [abs(sequence) for sequence in said] == list(range(1, highest + 1))
    assert highest <= total
    lost = {-sequence for sequence in said if sequence < 0}
    assert lost == _lost_by_reference(arrived, highest, limits)
    assert window.counts.lost == len(lost)
    assert window.counts.delivered == highest - len(lost)


def _lost_by_reference(
    arrived: list[tuple[int, int, int]], highest: int, limits: WindowLimits
) -> set[int]:
    """A sequence is lost if it fell due before any packet that holds it came."""
    lost = set()
    for sequence in range(1, highest + 1):
        known_high, known_ns = 0, None
        for time_ns, first, count in arrived:
            if first <= sequence < first + count:
                break
            known_high = max(known_high, first + count - 1)
            if known_ns is None and known_high >= sequence:
                known_ns = time_ns
            is_far = known_high - sequence >= limits.messages_max
            if is_far or (known_ns is not None and time_ns - known_ns > limits.time_ns_max):
                lost.add(sequence)
                break
        else:
            lost.add(sequence)
    return lost
