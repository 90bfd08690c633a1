"""The publishing half: the events of a feed become frames of a stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import rdmaq

from . import ranges
from .events import Delivery, Event, Loss, SessionBegin, SessionEnd
from .pacing import Pacer

TICK_SECONDS = 0.05
# Subscribers on other hosts get so long for what is on its way when a session ends, unless told
# otherwise, and a moment when the publisher is told to end.
DRAIN_SECONDS_MAX = 30.0
DRAIN_SECONDS_INTERRUPTED = 1.0


class StreamWriter(Protocol):
    """What is needed of `rdmaq.Publisher`."""

    def send_many(self, messages: rdmaq.MessageBlocks, *, first_sequence: int | None = None) -> int:
        """Publishes blocks as one frame."""

    def send_gap(self, first: int, last: int) -> int:
        """Declares sequences lost upstream."""

    def heartbeat(self) -> int:
        """Writes a frame without messages."""

    def close(self, *, drain: float = ...) -> None:
        """Ends the stream, when what was published has gone out."""

    @property
    def stats(self) -> rdmaq.PublisherStats:
        """Counts since the stream began."""


@dataclass(slots=True)
class PublishedSession:
    """What was published of one session.

    Attributes:
        session: Its name.
        first_sequence: Where its stream began.
        joined: Whether that was simply where the lines happened to be.
        published: Messages published.
        lost: Sequences declared lost upstream.
        end_cause: Why it ended; None while it has not, or when the replay was interrupted.
        frames: Frames written to the ring.
        ring_bytes: Payload bytes written to the ring, length prefixes included.
        stalls: Times that a reliable stream waited for a subscriber.
        subscribers: When it ended.
    """

    session: str
    first_sequence: int
    joined: bool
    published: int = 0
    lost: list[ranges.Range] = field(default_factory=list)
    end_cause: str | None = None
    frames: int = 0
    ring_bytes: int = 0
    stalls: int = 0
    subscribers: int = 0

    @property
    def lost_count(self) -> int:
        """Sequences declared lost upstream."""
        return ranges.message_count(self.lost)

    def as_json(self) -> dict[str, Any]:
        """Gives what `--json` says about it."""
        return {
            "session": self.session,
            "first_sequence": self.first_sequence,
            "joined_live": self.joined,
            "published": self.published,
            "lost_messages": self.lost_count,
            "lost_ranges": self.lost,
            "end": self.end_cause,
            "ring_frames": self.frames,
            "ring_bytes": self.ring_bytes,
            "stalls": self.stalls,
            "subscribers": self.subscribers,
        }


class FeedPublisher:
    """Publishes a feed, one stream per session, at the pace of its capture times.

    Args:
        open_stream: Makes the stream of a session, and returns when it may begin.
        on_session_end: Called when a session's stream has been closed.
        on_tick: Called some twenty times a second while publishing, oftener never.
        speed: As in `Pacer`.
        coalesce_bytes: Packets that follow one another are gathered until they have so many bytes,
            and go as one frame; 0: each packet is a frame. Only for those that nobody waits for,
            so not at a pace.
        drain_seconds: That subscribers on other hosts get, when a session ends, for what is on its
            way to them, or for what they have still to recover.

    Attributes:
        sessions: What was published so far, the current session last.
    """

    def __init__(
        self,
        open_stream: Callable[[SessionBegin], StreamWriter],
        *,
        on_session_end: Callable[[PublishedSession], None] = lambda _: None,
        on_tick: Callable[[], None] = lambda: None,
        speed: float | None = None,
        coalesce_bytes: int = 0,
        drain_seconds: float = DRAIN_SECONDS_MAX,
    ) -> None:
        assert speed is None or not coalesce_bytes, "what waits for more would be late"
        self._coalesce_bytes = coalesce_bytes
        self._drain_seconds = drain_seconds
        self._gathered: list[Delivery] = []
        self._gathered_bytes = 0
        self._open_stream = open_stream
        self._on_session_end = on_session_end
        self._on_tick = on_tick
        self._pacer = Pacer(speed, self._idle)
        self._stream: StreamWriter | None = None
        self.sessions: list[PublishedSession] = []

    def run(self, feed: Iterable[tuple[int, Event]]) -> None:
        """Publishes the feed to its end; an exception leaves the current stream open.

        Raises:
            rdmaq.RdmaqError: The stream refused something; the text says what to do.
        """
        tick_due = 0.0
        for time_ns, event in feed:
            if isinstance(event, SessionBegin):
                self._begin(event)
                continue
            stream, session = self._stream, self.sessions[-1]
            assert stream is not None, "a session begins before anything else of it"
            self._pacer.wait_until(time_ns)
            if isinstance(event, Delivery):
                self._gathered.append(event)
                self._gathered_bytes += len(event.blocks)
                if self._gathered_bytes >= self._coalesce_bytes:
                    self._send(stream, session)
            elif isinstance(event, Loss):
                self._send(stream, session)
                stream.send_gap(event.first, event.last)
                ranges.append(session.lost, event.first, event.last)
            else:
                self._send(stream, session)
                self._end(event)
            if time.monotonic() >= tick_due:
                self._on_tick()
                tick_due = time.monotonic() + TICK_SECONDS

    def close(self, drain_seconds: float = DRAIN_SECONDS_INTERRUPTED) -> None:
        """Ends the current stream, if there is one; idempotent.

        Args:
            drain_seconds: That what is on its way to other hosts may take.
        """
        if self._stream is None:
            return
        stats = self._stream.stats
        session = self.sessions[-1]
        session.frames, session.stalls = stats.frames, stats.stalls
        session.ring_bytes, session.subscribers = stats.ring_bytes, stats.readers
        self._stream.close(drain=drain_seconds)
        self._stream = None

    def _begin(self, event: SessionBegin) -> None:
        self.sessions.append(PublishedSession(event.session, event.first_sequence, event.joined))
        self._stream = self._open_stream(event)
        # What the stream waited for, its subscribers, is no time of the feed.
        self._pacer = self._pacer.restarted()

    def _send(self, stream: StreamWriter, session: PublishedSession) -> None:
        """Publishes what was gathered, as one frame: deliveries follow one another."""
        gathered, self._gathered, self._gathered_bytes = self._gathered, [], 0
        if not gathered:
            return
        count = sum(event.message_count for event in gathered)
        whole = gathered[0].blocks
        if len(gathered) > 1:
            whole = memoryview(b"".join(event.blocks for event in gathered))
        blocks = rdmaq.MessageBlocks(whole, count)
        stream.send_many(blocks, first_sequence=gathered[0].first_sequence)
        session.published += count

    def _end(self, event: SessionEnd) -> None:
        session = self.sessions[-1]
        session.end_cause = event.cause
        self.close(self._drain_seconds)
        self._on_session_end(session)

    def _idle(self) -> None:
        if self._stream is not None:
            self._stream.heartbeat()
        self._on_tick()
