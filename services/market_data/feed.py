"""A feed from its datagrams to its events, with everything counted on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .arbiter import Arbiter, arbitrate
from .capture import Capture, CutShort
from .datagrams import Datagram, DatagramReader
from .errors import CaptureError
from .events import Event
from .lines import LineFaults, LossyLines, Truth
from .moldudp64 import MalformedPacketError, Packet, parse
from .synthetic import synthetic_packets
from .window import WindowLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedOptions:
    """How a feed is read.

    Attributes:
        limits: The reorder window.
        join_live: Take the first session up where it is; False expects it from sequence 1.
        lines: Only these lines ("group:port"); none means all.
    """

    limits: WindowLimits = field(default_factory=WindowLimits)
    join_live: bool = False
    lines: frozenset[str] = frozenset()


class Feed:
    """Iterates once over (capture time in ns, event) pairs; counts are complete at the end.

    Args:
        name: For people: the file, or what else it is.
        datagrams: In order of capture.
        options: How to arbitrate.

    Attributes:
        malformed: Datagrams that are not MoldUDP64, by reason.
        datagram_count: Datagrams seen.
    """

    def __init__(self, name: str, datagrams: Iterable[Datagram], options: FeedOptions) -> None:
        self.name = name
        self.arbiter = Arbiter(options.limits, join_live=options.join_live)
        self.malformed: Counter[str] = Counter()
        self.datagram_count = 0
        self._datagrams = datagrams

    def __iter__(self) -> Iterator[tuple[int, Event]]:
        yield from arbitrate(self._packets(), self.arbiter)
        if not self.arbiter.counts.packets:
            self._refuse_empty()

    @property
    def cut_short(self) -> CutShort | None:
        """Where the source ended too early, if it did."""
        return None

    @property
    def truth(self) -> Truth | None:
        """What was sent and lost, when the feed was made here."""
        return None

    def describe(self) -> dict[str, Any]:
        """Gives the counts as `--json` has them."""
        counts = self.arbiter.counts
        windows = self.arbiter.window_counts
        return {
            "name": self.name,
            "datagrams": self.datagram_count,
            "malformed": dict(self.malformed),
            "sessions": counts.sessions,
            "packets": counts.packets,
            "heartbeats": counts.heartbeats,
            "end_of_session": counts.end_of_session,
            "duplicate_packets": sum(window.duplicate_packets for window in windows),
            "duplicate_messages": sum(window.duplicate_messages for window in windows),
            "trimmed_packets": sum(window.trimmed_packets for window in windows),
            "late_messages": sum(window.late_messages for window in windows),
            "held_packets_max": max((window.held_packets_max for window in windows), default=0),
            "packets_before_start": counts.before_start,
            "packets_after_end": dict(counts.after_end),
        }

    def _packets(self) -> Iterator[tuple[int, Packet]]:
        for datagram in self._datagrams:
            self.datagram_count += 1
            try:
                packet = parse(datagram.payload)
            except MalformedPacketError as reason:
                self.malformed[str(reason)] += 1
                continue
            yield datagram.time_ns, packet

    def _refuse_empty(self) -> None:
        why = ", ".join(f"{count} x {reason}" for reason, count in self.malformed.most_common(3))
        raise CaptureError(
            f"{self.name} has no MoldUDP64 in it",
            why or "it holds no UDP datagrams on these lines",
            "choose a capture of a MoldUDP64 feed",
        )


class CaptureFeed(Feed):
    """A feed out of a capture file.

    Args:
        capture: Open; stays the caller's.
        options: How to read it.
    """

    def __init__(self, capture: Capture, options: FeedOptions) -> None:
        self._capture = capture
        self._reader = DatagramReader(capture, options.lines, name=str(capture.path))
        super().__init__(str(capture.path), self._reader, options)

    @property
    def cut_short(self) -> CutShort | None:
        """Where the file was cut, if it was."""
        return self._capture.cut_short

    def describe(self) -> dict[str, Any]:
        """Gives the counts as `--json` has them."""
        cut = self.cut_short
        return {
            **super().describe(),
            "format": self._capture.format,
            "compressed": self._capture.compressed,
            "frames": self._capture.frame_count,
            "skipped": dict(self._reader.skipped),
            "lines": dict(self._reader.line_frames),
            "cut_short": None
            if cut is None
            else {
                "frames_whole": cut.frames_whole,
                "offset_bytes": cut.offset_bytes,
                "cause": cut.cause,
            },
        }

    def _refuse_empty(self) -> None:
        if self._capture.cut_short is not None and not self._capture.frame_count:
            raise CaptureError(
                f"{self.name} is cut short", str(self._capture.cut_short), "fetch it again"
            )
        if not self._capture.frame_count:
            raise CaptureError(
                f"{self.name} is empty", "it has a header and no packets", "give another capture"
            )
        if not self.malformed and self._reader.skipped:
            why = ", ".join(f"{n} x {reason}" for reason, n in self._reader.skipped.most_common(3))
            raise CaptureError(
                f"{self.name} has no MoldUDP64 in it", why, "choose another capture or --line"
            )
        super()._refuse_empty()


class SyntheticFeed(Feed):
    """The project's own feed, arbitrated from lossy lines like a captured one.

    Args:
        message_count: Messages sent.
        seed: The same seed gives the same feed and the same losses.
        faults: What the lines do.
        options: How to read it.
    """

    def __init__(
        self, message_count: int, seed: int, faults: LineFaults, options: FeedOptions
    ) -> None:
        self._lossy_lines = LossyLines(synthetic_packets(message_count, seed), seed, faults)
        name = f"synthetic feed of {message_count:,} messages (seed {seed})"
        super().__init__(name, self._lossy_lines, options)

    @property
    def truth(self) -> Truth | None:
        """What was sent, and what the lines lost of it."""
        return self._lossy_lines.truth


@contextmanager
def open_capture_feed(path: Path, options: FeedOptions) -> Iterator[CaptureFeed]:
    """Opens a capture file as a feed, and closes it at the end of the block.

    Raises:
        CaptureError: As `Capture` does; the iteration raises it when nothing can be decoded.
    """
    with Capture(path) as capture:
        yield CaptureFeed(capture, options)
