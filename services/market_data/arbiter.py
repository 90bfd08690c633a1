"""A/B arbitration: packets of any number of lines in, one ordered stream of events out.

One `ReorderWindow` per session. When a new session appears, the old one is kept open for its lines
that lag, until all it knows of is there and its time bound has passed; what the new session brings
meanwhile waits. Packets of a session that has ended are counted and dropped.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .events import EndCause, Event, SessionBegin, SessionEnd
from .moldudp64 import Packet
from .window import ReorderWindow, WindowCounts, WindowLimits

# Ended sessions remembered by name, so that late packets of them do not begin them anew.
ENDED_SESSIONS_MAX = 64


@dataclass(slots=True)
class ArbiterCounts:
    """What arbitration has seen so far, besides what each window counts.

    Attributes:
        packets: Packets taken.
        heartbeats: Of them without messages, the session going on.
        end_of_session: Of them announcing the session's end.
        before_start: Packets wholly before the sequence a live join began at.
        after_end: Packets of sessions that had ended, with messages beyond their end, by session:
            the capture may hold several feeds.
        sessions: Session names, in order of appearance.
    """

    packets: int = 0
    heartbeats: int = 0
    end_of_session: int = 0
    before_start: int = 0
    after_end: Counter[str] = field(default_factory=Counter)
    sessions: list[str] = field(default_factory=list)


class _Session:
    """One session: its window, and what it said while an older session was still open."""

    def __init__(self, name: str, first_sequence: int, joined: bool, limits: WindowLimits) -> None:
        self.name = name
        self.first_sequence = first_sequence
        self.window = ReorderWindow(first_sequence, limits)
        self.waiting: list[Event] = [SessionBegin(name, first_sequence, joined)]
        self.announced_end = False
        self.superseded_ns: int | None = None


class Arbiter:
    """Decides, packet by packet, what the feed said.

    Args:
        limits: The reorder window.
        join_live: False: every session is expected from sequence 1 (a replay). True: the first
            session is taken up where its lines happen to be, and `SessionBegin.joined` says so.
    """

    def __init__(self, limits: WindowLimits | None = None, *, join_live: bool = False) -> None:
        self._limits = limits or WindowLimits()
        self._join_live = join_live
        self._open: deque[_Session] = deque()
        self._ended: deque[SessionEnd] = deque(maxlen=ENDED_SESSIONS_MAX)
        self.counts = ArbiterCounts()
        self.window_counts: list[WindowCounts] = []

    def accept(self, packet: Packet, time_ns: int) -> list[Event]:
        """Takes a packet and gives what can be said now, in order.

        Args:
            packet: Its blocks are held until they are delivered.
            time_ns: Its capture time, ns since 1970.
        """
        self.counts.packets += 1
        if packet.end_of_session:
            self.counts.end_of_session += 1
        elif packet.message_count == 0:
            self.counts.heartbeats += 1
        session = self._session_of(packet, time_ns)
        if session is None:
            return []
        out = session.waiting
        if (
            packet.message_count
            and packet.sequence + packet.message_count <= session.first_sequence
        ):
            self.counts.before_start += 1
        else:
            out.extend(session.window.accept(packet, time_ns))
        session.announced_end = session.announced_end or packet.end_of_session
        return self._said(time_ns)

    def finish(self) -> list[Event]:
        """Ends all sessions: delivers what is held back, declares what is known and missing."""
        out: list[Event] = []
        while self._open:
            session = self._open.popleft()
            cause: EndCause = "session change" if self._open else "end of capture"
            if session.announced_end:
                cause = "end of session"
            out.extend(self._end(session, cause))
        return out

    def _session_of(self, packet: Packet, time_ns: int) -> _Session | None:
        for session in self._open:
            if session.name == packet.session:
                return session
        for end in self._ended:
            if end.session == packet.session:
                if (
                    packet.message_count
                    and packet.sequence + packet.message_count > end.next_sequence
                ):
                    self.counts.after_end[packet.session] += 1
                return None
        joined = self._join_live and not self.counts.sessions
        first_sequence = max(packet.sequence, 1) if joined else 1
        for session in self._open:
            if session.superseded_ns is None:
                session.superseded_ns = time_ns
        session = _Session(packet.session, first_sequence, joined, self._limits)
        self._open.append(session)
        self.counts.sessions.append(packet.session)
        self.window_counts.append(session.window.counts)
        return session

    def _said(self, time_ns: int) -> list[Event]:
        """Gives what the oldest session said, and ends it when its time has come."""
        out: list[Event] = []
        while self._open:
            session = self._open[0]
            if session.superseded_ns is not None:
                session.waiting.extend(session.window.advance(time_ns))
            out.extend(session.waiting)
            session.waiting = []
            if session.announced_end and session.window.complete:
                cause: EndCause = "end of session"
            elif self._superseded_for_good(session, time_ns):
                cause = "session change"
            else:
                break
            self._open.popleft()
            out.extend(self._end(session, cause))
        return out

    def _superseded_for_good(self, session: _Session, time_ns: int) -> bool:
        """Whether nothing is waited for in a session that another one has followed."""
        if session.superseded_ns is None:
            return False
        if time_ns - session.superseded_ns > self._limits.time_ns_max:
            return True
        newer = self._open[1].window
        return newer.highest - self._open[1].first_sequence >= self._limits.messages_max

    def _end(self, session: _Session, cause: EndCause) -> list[Event]:
        out = [*session.waiting, *session.window.flush()]
        end = SessionEnd(session.name, session.window.expected, cause)
        self._ended.append(end)
        return [*out, end]


def arbitrate(
    packets: Iterable[tuple[int, Packet]], arbiter: Arbiter
) -> Iterator[tuple[int, Event]]:
    """Yields the events of (capture time in ns, packet) pairs, each with the time it was decided.

    Args:
        packets: In capture order.
        arbiter: Fresh; its counts are complete when the iteration has ended.
    """
    time_ns = 0
    for time_ns, packet in packets:
        for event in arbiter.accept(packet, time_ns):
            yield time_ns, event
    for event in arbiter.finish():
        yield time_ns, event
