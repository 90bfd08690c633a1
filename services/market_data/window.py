"""The reorder window of one session: any number of lines in, each sequence out once, in order.

    delivered or declared │ missing │ held back (came early) │ missing │ held back │ unknown
                          expected                                                 highest + 1

A missing sequence is waited for. It is declared lost when either bound is passed: a sequence
`messages_max` beyond it is known to exist, or it has been known to be missing for more than
`time_ns_max` of capture time. The clock on the wall plays no part, so that a replay declares the
same losses at any speed. A sequence becomes known by any message, heartbeat or end of session
beyond it, on any line.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass

from .events import Delivery, Loss
from .moldudp64 import Packet, block_offset

# Copies were seen 8.2 µs of capture time and 8,726 messages late on a pair of lines through one
# switch; lines by different routes differ by milliseconds. A wide window costs only delay, and
# that only behind a real loss.
TIME_NS_DEFAULT = 10_000_000
MESSAGES_DEFAULT = 65_536
# Enough to recognise what comes just after it was declared lost.
LOSSES_RECENT_MAX = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowLimits:
    """How long a missing sequence is waited for.

    Attributes:
        messages_max: Messages known beyond it, at least 1.
        time_ns_max: Capture time since it is known to be missing, at least 0.
    """

    messages_max: int = MESSAGES_DEFAULT
    time_ns_max: int = TIME_NS_DEFAULT

    def __post_init__(self) -> None:
        if self.messages_max < 1 or self.time_ns_max < 0:
            raise ValueError("a window has at least one message and no negative time")


@dataclass(slots=True)
class WindowCounts:
    """What a window has done so far.

    Attributes:
        delivered: Messages passed on.
        lost: Messages declared lost.
        duplicate_packets: Packets that brought nothing new.
        duplicate_messages: Messages dropped because another line (or packet) was first.
        late_messages: Of the duplicates, those that had been declared lost before they came: more
            than none means that the window is too narrow for these lines.
        trimmed_packets: Packets delivered in part, since they overlapped what was there.
        held_packets_max: Most packets held back at one time.
    """

    delivered: int = 0
    lost: int = 0
    duplicate_packets: int = 0
    duplicate_messages: int = 0
    late_messages: int = 0
    trimmed_packets: int = 0
    held_packets_max: int = 0


class ReorderWindow:
    """Puts the packets of one session in order; the first copy of each message wins.

    Args:
        first_sequence: What is expected first.
        limits: When a missing sequence is given up.
    """

    def __init__(self, first_sequence: int, limits: WindowLimits) -> None:
        self.expected = first_sequence
        self.counts = WindowCounts()
        self._limits = limits
        self._highest = first_sequence - 1
        # Packets that came early, by first sequence: a heap of keys beside the packets.
        self._held: dict[int, Packet] = {}
        self._held_order: list[int] = []
        # (sequence, time): when each sequence up to this one became known, ascending in both.
        self._known: deque[tuple[int, int]] = deque()
        # Sequences up to this one have left the window by time.
        self._overdue = first_sequence - 1
        self._now_ns = 0
        self._losses_recent: deque[Loss] = deque(maxlen=LOSSES_RECENT_MAX)

    @property
    def complete(self) -> bool:
        """Whether everything known to exist has been delivered or declared."""
        return self.expected > self._highest

    @property
    def highest(self) -> int:
        """The highest sequence known to exist."""
        return self._highest

    def accept(self, packet: Packet, time_ns: int) -> list[Delivery | Loss]:
        """Takes a packet and gives what can be said now, in order.

        Args:
            packet: Of this session; its blocks are held until they are delivered.
            time_ns: Its capture time; one before its predecessor's counts as that.
        """
        self._now_ns = max(self._now_ns, time_ns)
        out: list[Delivery | Loss] = []
        if packet.message_count:
            self._take(packet, out)
        self._learn(packet.sequence + packet.message_count - 1)
        if self.expected <= self._highest:
            self._settle(out)
        return out

    def advance(self, time_ns: int) -> list[Delivery | Loss]:
        """Lets capture time pass without a packet of this session."""
        self._now_ns = max(self._now_ns, time_ns)
        out: list[Delivery | Loss] = []
        if self.expected <= self._highest:
            self._settle(out)
        return out

    def flush(self) -> list[Delivery | Loss]:
        """Delivers what is held back and declares lost all that is known and missing."""
        out: list[Delivery | Loss] = []
        while self.expected <= self._highest:
            self._declare_up_to(self._highest, out)
            self._release(out)
        return out

    def _take(self, packet: Packet, out: list[Delivery | Loss]) -> None:
        first = packet.sequence
        if first <= self.expected:
            self._deliver(packet, out)
            self._release(out)
            return
        twin = self._held.get(first)
        if twin is not None:
            self.counts.duplicate_messages += min(twin.message_count, packet.message_count)
            self.counts.duplicate_packets += 1
            if twin.message_count < packet.message_count:
                self._held[first] = packet
            return
        self._held[first] = packet
        heapq.heappush(self._held_order, first)
        self.counts.held_packets_max = max(self.counts.held_packets_max, len(self._held))

    def _deliver(self, packet: Packet, out: list[Delivery | Loss]) -> None:
        """Delivers what of the packet is new; its first sequence is not beyond `expected`."""
        stale = self.expected - packet.sequence
        if stale > 0 and self._losses_recent:
            self.counts.late_messages += self._declared_of(packet)
        if stale >= packet.message_count:
            self.counts.duplicate_packets += 1
            self.counts.duplicate_messages += packet.message_count
            return
        blocks = packet.blocks
        if stale:
            blocks = blocks[block_offset(blocks, stale) :]
            self.counts.trimmed_packets += 1
            self.counts.duplicate_messages += stale
        count = packet.message_count - stale
        out.append(Delivery(self.expected, count, blocks))
        self.counts.delivered += count
        self.expected += count

    def _release(self, out: list[Delivery | Loss]) -> None:
        """Delivers the held packets that are no longer early."""
        while self._held_order and self._held_order[0] <= self.expected:
            self._deliver(self._held.pop(heapq.heappop(self._held_order)), out)

    def _learn(self, highest: int) -> None:
        if highest > self._highest:
            self._highest = highest
            if highest >= self.expected:
                self._known.append((highest, self._now_ns))

    def _settle(self, out: list[Delivery | Loss]) -> None:
        """Declares lost what has left the window, and delivers what was held behind it."""
        while self._known and self._now_ns - self._known[0][1] > self._limits.time_ns_max:
            self._overdue = self._known.popleft()[0]
        given_up = max(self._overdue, self._highest - self._limits.messages_max)
        while self.expected <= given_up:
            self._declare_up_to(given_up, out)
            self._release(out)
        if self.complete:
            self._known.clear()

    def _declare_up_to(self, given_up: int, out: list[Delivery | Loss]) -> None:
        """Declares the first missing run lost, as far as it has been given up."""
        last = given_up
        if self._held_order:
            last = min(last, self._held_order[0] - 1)
        loss = Loss(self.expected, last)
        out.append(loss)
        self._losses_recent.append(loss)
        self.counts.lost += last - self.expected + 1
        self.expected = last + 1

    def _declared_of(self, packet: Packet) -> int:
        """Counts the messages of a packet that were declared lost not long ago."""
        end = packet.sequence + packet.message_count
        late = 0
        for loss in reversed(self._losses_recent):
            if loss.last < packet.sequence:
                break
            late += max(0, min(end, loss.last + 1) - max(packet.sequence, loss.first))
        return late
