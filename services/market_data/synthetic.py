"""A synthetic ITCH 5.0 day of the project's own: the same bytes for the same seed, everywhere.

A day is a directory, two quiet seconds, the opening burst, then quiet stretches and bursts of up
to 2,000 messages in a millisecond (the rate exchanges advise to be ready for), and the closing
events. Real: message mix, valid order references, busy and idle symbols, bursts. Not real: books
may be crossed for a while, since prices walk without looking at resting orders.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .dice import Dice
from .itch_encode import Blocks, assemble, blank, encode_steps, symbol_names
from .order_flow import OrderFlow

SYMBOLS_DEFAULT = 300
NS_PER_SECOND = 1_000_000_000
OPENING_NS = (9 * 3600 + 30 * 60) * NS_PER_SECOND
DIRECTORY_NS = OPENING_NS - 2 * NS_PER_SECOND
# Messages of an episode, and what its gaps add up to per message on average.
QUIET_MESSAGES = (200, 2_000)
QUIET_GAP_NS = (20_000, 80_000)
BURST_MESSAGES = (500, 2_000)
BURST_GAP_NS = (200, 450)
assert BURST_MESSAGES[1] * BURST_GAP_NS[1] <= 1_000_000, "a burst fits in a millisecond"
# A packet is sent when full, or when its first message has waited this long.
PACKET_BODY_BYTES_MAX = 1_380
PACKET_WAIT_NS = 10_000
SEND_DELAY_NS = 1_500


class SentPacket(NamedTuple):
    """What the exchange sends at one moment, before any line loses it.

    Attributes:
        time_ns: When it is sent, ns since midnight.
        first_sequence: Of its first message.
        message_count: Its messages.
        blocks: Their length-prefixed blocks.
        kinds: Their type bytes.
    """

    time_ns: int
    first_sequence: int
    message_count: int
    blocks: memoryview
    kinds: bytes


class Timeline:
    """Times of messages: quiet stretches and bursts, turn about.

    Args:
        seed: Of the day.
    """

    def __init__(self, seed: int) -> None:
        self._dice = Dice(seed, "timeline")
        self._now_ns = OPENING_NS
        self._is_burst = True
        self._left = np.zeros(0, np.int64)

    def take(self, count: int) -> NDArray[np.int64]:
        """Gives the times of the next `count` messages, ns since midnight, ascending."""
        parts, missing = [self._left], count - len(self._left)
        while missing > 0:
            parts.append(self._episode())
            missing -= len(parts[-1])
        times_ns = np.concatenate(parts)
        self._left = times_ns[count:]
        return times_ns[:count]

    def _episode(self) -> NDArray[np.int64]:
        messages = BURST_MESSAGES if self._is_burst else QUIET_MESSAGES
        gap_ns = BURST_GAP_NS if self._is_burst else QUIET_GAP_NS
        self._is_burst = not self._is_burst
        count = self._between(messages)
        gaps_ns = 1 + self._dice.below(2 * self._between(gap_ns) - 1, count)
        times_ns = self._now_ns + np.cumsum(gaps_ns)
        self._now_ns = int(times_ns[-1])
        return times_ns

    def _between(self, bounds: tuple[int, int]) -> int:
        low, high = bounds
        return low + int(self._dice.below(high - low + 1, 1)[0])


def synthetic_blocks(
    message_count: int, seed: int, symbol_count: int = SYMBOLS_DEFAULT
) -> Iterator[Blocks]:
    """Yields exactly `message_count` messages of a synthetic day, some thousands at a time.

    Args:
        message_count: At least 1; a day too short for its events is cut off in its opening.
        seed: The same seed gives the same bytes on every machine.
        symbol_count: Most symbols traded; short days have fewer.
    """
    symbol_count = max(1, min(symbol_count, message_count // 8))
    names = symbol_names(symbol_count)
    opening = _opening(names)
    if message_count < len(opening.times_ns) + 3:
        yield _first(opening, message_count)
        return
    yield opening
    left = message_count - len(opening.times_ns) - 3
    timeline = Timeline(seed)
    match = 1
    last_ns = OPENING_NS
    for steps in OrderFlow(seed, symbol_count):
        if left == 0:
            break
        batch = steps[:left]
        times_ns = timeline.take(len(batch))
        yield encode_steps(batch, times_ns, names, match)
        left -= len(batch)
        match += len(batch)
        last_ns = int(times_ns[-1])
    yield _events("MEC", last_ns + np.array([1, 2, 3], np.int64) * 1_000_000)


def _opening(names: NDArray[np.bytes_]) -> Blocks:
    """Makes the start of the day: events, directory, trading states, and the opening itself."""
    count = len(names)
    times_ns = DIRECTORY_NS + np.arange(2 * count + 3, dtype=np.int64) * 2_000
    times_ns[-2:] = OPENING_NS - 1_000, OPENING_NS
    locate = np.arange(1, count + 1)
    is_directory = np.arange(1, count + 1)
    is_state = is_directory + count
    directory = blank("R", times_ns[is_directory], locate)
    directory["stock"] = names
    directory["lot_shares"] = 100
    for field, value in (
        ("market_category", b"Q"),
        ("financial_status", b"N"),
        ("lots_only", b"N"),
        ("classification", b"C"),
        ("subtype", b"Z "),
        ("authentic", b"P"),
        ("short_sale_threshold", b"N"),
        ("ipo", b"N"),
        ("luld_tier", b"1"),
        ("etp", b"N"),
        ("inverse", b"N"),
    ):
        directory[field] = value
    states = blank("H", times_ns[is_state], locate)
    states["stock"] = names
    states["state"] = b"T"
    states["reserved"] = b" "
    states["reason"] = b"    "
    where_events = np.array([0, 2 * count + 1, 2 * count + 2])
    events = blank("S", times_ns[where_events], 0)
    events["event"] = [b"O", b"S", b"Q"]
    kinds = np.full(len(times_ns), ord("S"), np.uint8)
    kinds[is_directory] = ord("R")
    kinds[is_state] = ord("H")
    records = [(where_events, events), (is_directory, directory), (is_state, states)]
    return assemble(records, times_ns, kinds)


def _events(codes: str, times_ns: NDArray[np.int64]) -> Blocks:
    events = blank("S", times_ns, 0)
    events["event"] = [code.encode() for code in codes]
    kinds = np.full(len(codes), ord("S"), np.uint8)
    return assemble([(np.arange(len(codes)), events)], times_ns, kinds)


def _first(blocks: Blocks, count: int) -> Blocks:
    end = blocks.starts[count]
    return Blocks(
        blocks.data[:end],
        blocks.starts[: count + 1],
        blocks.times_ns[:count],
        blocks.kinds[:count],
    )


def synthetic_packets(
    message_count: int, seed: int, symbol_count: int = SYMBOLS_DEFAULT
) -> Iterator[SentPacket]:
    """Yields the packets of a synthetic day, in the order of their times, sequence 1 first.

    Args:
        message_count: As in `synthetic_blocks`.
        seed: As there.
        symbol_count: As there.
    """
    sequence = 1
    for blocks in synthetic_blocks(message_count, seed, symbol_count):
        data = blocks.data.data.toreadonly()
        kinds = blocks.kinds.tobytes()
        for first, end in _packet_bounds(blocks):
            yield SentPacket(
                int(blocks.times_ns[end - 1]) + SEND_DELAY_NS,
                sequence,
                end - first,
                data[blocks.starts[first] : blocks.starts[end]],
                kinds[first:end],
            )
            sequence += end - first


def _packet_bounds(blocks: Blocks) -> Iterator[tuple[int, int]]:
    """Yields where packets begin and end, in messages: full ones, or those that waited."""
    # For each message: the first one that no longer fits, or comes too late, if it begins.
    starts = blocks.starts
    full = np.searchsorted(starts, starts[:-1] + PACKET_BODY_BYTES_MAX, side="right") - 1
    late = np.searchsorted(blocks.times_ns, blocks.times_ns + PACKET_WAIT_NS, side="right")
    ends = np.minimum(full, late).tolist()
    first = 0
    while first < len(ends):
        yield first, ends[first]
        first = ends[first]
