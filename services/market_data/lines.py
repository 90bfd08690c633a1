"""Several lossy, skewed lines out of one feed, and the truth about what they lost.

Each line loses, doubles and delays packets by dice of its own. Lines are named A, B, C, ... in the
truth, and stand for multicast groups of their own on the wire.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .datagrams import Datagram
from .dice import BOUND_MAX, Dice
from .moldudp64 import END_OF_SESSION_COUNT, pack_header
from .ranges import merge, message_count
from .synthetic import NS_PER_SECOND, SentPacket

LINES_MAX = 26
SESSION = "RDMAQSYNTH"
# Midnight of the synthetic day: 2024-01-02, ns since 1970.
MIDNIGHT_NS = 1_704_153_600 * NS_PER_SECOND
HEARTBEAT_NS = NS_PER_SECOND
END_OF_SESSION_REPEATS = 3
_DICE_AT_ONCE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFaults:
    """What the lines do to packets.

    Attributes:
        lines: How many lines, 1 to 26.
        loss: Part of packets that each line loses, by itself: 0 to 1.
        duplicates: Part of packets that each line brings twice.
        reorder: Part of packets that each line brings late.
        skew_ns: How much later than the line before it each line is.
        late_ns: Most by which a reordered or doubled packet comes late.
    """

    lines: int = 2
    loss: float = 0.02
    duplicates: float = 0.002
    reorder: float = 0.01
    skew_ns: int = 3_000
    late_ns: int = 50_000

    def __post_init__(self) -> None:
        if not 1 <= self.lines <= LINES_MAX:
            raise ValueError(f"between 1 and {LINES_MAX} lines")
        if not all(0 <= part <= 1 for part in (self.loss, self.duplicates, self.reorder)):
            raise ValueError("loss, duplicates and reorder are parts between 0 and 1")
        if self.skew_ns < 0 or self.late_ns < 0:
            raise ValueError("skew and lateness are not negative")

    @property
    def names(self) -> list[str]:
        """The lines' names in the truth: A, B, ..."""
        return [chr(ord("A") + index) for index in range(self.lines)]


@dataclass(slots=True)
class Truth:
    """What was sent, and what each line lost of it.

    Attributes:
        seed: Of the feed and of its lines.
        messages: Messages sent.
        packets: Packets sent, on each line.
        frames: Datagrams that arrived, heartbeats included, on all lines.
        counts: Messages sent, by type byte.
        counts_lost: Of them those that all lines lost.
        lost: Sequence ranges lost, by line; "both" names those that all lines lost.
        duplicates: Sequence ranges that a line brought twice.
        reordered: Sequence ranges that a line brought late.
    """

    seed: int
    messages: int = 0
    packets: int = 0
    frames: int = 0
    counts: Counter[int] = field(default_factory=Counter)
    counts_lost: Counter[int] = field(default_factory=Counter)
    lost: dict[str, list[list[int]]] = field(default_factory=dict)
    duplicates: list[list[int]] = field(default_factory=list)
    reordered: list[list[int]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Gives the truth as a truth file has it: ranges are first and last, inclusive."""
        return {
            "source": "synthetic",
            "seed": self.seed,
            "session": SESSION,
            "messages": self.messages,
            "packets_per_line": self.packets,
            "frames": self.frames,
            "lost": self.lost,
            "reordered": self.reordered,
            "duplicates": self.duplicates,
            "missing_messages_after_arbitration": message_count(self.lost["both"]),
            "counts_by_type": _named(self.counts),
            "counts_by_type_lost": _named(self.counts_lost),
        }


def _named(counts: Counter[int]) -> dict[str, int]:
    return {chr(kind): counts[kind] for kind in sorted(counts)}


class LossyLines:
    """Yields the datagrams of all lines, by time of arrival; `truth` is complete at the end.

    Args:
        packets: What was sent, by ascending time.
        seed: Of the dice; the same seed loses the same packets.
        faults: What the lines do.
    """

    def __init__(self, packets: Iterable[SentPacket], seed: int, faults: LineFaults) -> None:
        self._packets = packets
        self._faults = faults
        self._dice = [_LineDice(seed, name, faults) for name in faults.names]
        self._arriving: list[tuple[int, int, Datagram]] = []
        self._arrived_count = 0
        self.truth = Truth(seed, lost={name: [] for name in [*faults.names, "both"]})

    def __iter__(self) -> Iterator[Datagram]:
        time_ns, sequence = None, 1
        for packet in self._packets:
            while time_ns is not None and packet.time_ns - time_ns > HEARTBEAT_NS:
                time_ns += HEARTBEAT_NS
                self._announce(time_ns, sequence, 0)
                yield from self._until(time_ns)
            time_ns = packet.time_ns
            sequence = packet.first_sequence + packet.message_count
            self._send(packet)
            yield from self._until(time_ns)
        for _ in range(END_OF_SESSION_REPEATS):
            time_ns = (time_ns or 0) + HEARTBEAT_NS
            self._announce(time_ns, sequence, END_OF_SESSION_COUNT)
        yield from self._until(None)
        truth = self.truth
        truth.frames = self._arrived_count
        truth.lost = {line: merge(ranges) for line, ranges in truth.lost.items()}

    def _send(self, packet: SentPacket) -> None:
        first, count = packet.first_sequence, packet.message_count
        payload = pack_header(SESSION, first, count) + packet.blocks
        span = [first, first + count - 1]
        truth = self.truth
        truth.packets += 1
        truth.messages += count
        truth.counts.update(packet.kinds)
        lost_by_all = True
        for index, dice in enumerate(self._dice):
            is_lost, is_double, is_late, late_ns = dice.throw()
            if is_lost:
                truth.lost[self._faults.names[index]].append(span)
                continue
            lost_by_all = False
            arrival_ns = packet.time_ns + index * self._faults.skew_ns
            if is_double:
                truth.duplicates.append(span)
                self._arrive(arrival_ns + late_ns, index, payload)
            if is_late:
                truth.reordered.append(span)
                arrival_ns += late_ns
            self._arrive(arrival_ns, index, payload)
        if lost_by_all:
            truth.lost["both"].append(span)
            truth.counts_lost.update(packet.kinds)

    def _announce(self, time_ns: int, sequence: int, count: int) -> None:
        """Sends a heartbeat or an end of session on every line; none of them is lost."""
        payload = pack_header(SESSION, sequence, count)
        for index in range(self._faults.lines):
            self._arrive(time_ns + index * self._faults.skew_ns, index, payload)

    def _arrive(self, time_ns: int, line_index: int, payload: bytes) -> None:
        self._arrived_count += 1
        datagram = Datagram(MIDNIGHT_NS + time_ns, line_address(line_index), payload)
        heapq.heappush(self._arriving, (time_ns, self._arrived_count, datagram))

    def _until(self, time_ns: int | None) -> Iterator[Datagram]:
        """Yields what has arrived before a time; nothing that is sent later can come before it."""
        arriving = self._arriving
        while arriving and (time_ns is None or arriving[0][0] < time_ns):
            yield heapq.heappop(arriving)[2]


class _LineDice:
    """The fate of each packet on one line."""

    def __init__(self, seed: int, name: str, faults: LineFaults) -> None:
        self._dice = Dice(seed, f"line {name}")
        self._limits = [
            int(part * BOUND_MAX) for part in (faults.loss, faults.duplicates, faults.reorder)
        ]
        self._late_ns = faults.late_ns
        self._fates: Iterator[tuple[bool, bool, bool, int]] = iter(())

    def throw(self) -> tuple[bool, bool, bool, int]:
        """Gives whether a packet is lost, doubled, late, and by how many ns."""
        fate = next(self._fates, None)
        if fate is None:
            chances = [
                (self._dice.below(BOUND_MAX, _DICE_AT_ONCE) < limit).tolist()
                for limit in self._limits
            ]
            late_ns = self._dice.below(self._late_ns + 1, _DICE_AT_ONCE).tolist()
            self._fates = zip(*chances, late_ns, strict=True)
            fate = next(self._fates)
        return fate


def line_address(line_index: int) -> str:
    """Gives the "group:port" of a line, in the range kept for organisations' own multicast."""
    return f"239.192.{line_index + 1}.111:26477"
