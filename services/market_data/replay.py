"""A feed through one ring to several subscriber processes, and the account of every message."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import rdmaq

from . import conservation
from .errors import SubscriberError
from .events import SessionBegin
from .feed import Feed
from .publish import FeedPublisher, PublishedSession
from .receive import Pace
from .subscribers import SubscriberProcess

STREAM = "itch"
# At the same time, of one user.
REPLAYS_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySettings:
    """How a feed is replayed.

    Attributes:
        subscribers: Processes that subscribe.
        speed: 1 is the capture's pace; None never waits.
        flow: Who waits for whom.
        capacity: Of the ring, as `Node.publish` takes it.
        wait: How subscribers wait, as `Peer.subscribe` takes it.
        slow_pause_us: The last subscriber sleeps so many microseconds after each batch.
    """

    subscribers: int = 4
    speed: float | None = None
    flow: rdmaq.Flow = field(default_factory=rdmaq.lossy)
    capacity: str = "16MiB"
    wait: Literal["auto", "spin", "yield", "sleep"] = "auto"
    slow_pause_us: int = 0


@dataclass(slots=True)
class SubscriberAccount:
    """One subscriber at the end of a replay.

    Attributes:
        number: From 1.
        report: Its own counts, over all sessions it read to the end.
        breaches: What is not accounted for, in words.
        died: How it ended before its work was done; None when it did not.
        expected_dead: It was killed on purpose: no fault of the replay.
    """

    number: int
    report: dict[str, Any]
    breaches: list[str]
    died: str | None = None
    expected_dead: bool = False

    @property
    def conserved(self) -> bool:
        """Whether every message is accounted for."""
        return not self.breaches and self.died is None


def _make_node() -> rdmaq.Node:
    """A node under the first name that no living replay has.

    So a replay that was killed leaves files of one name behind, which the next one takes over.
    """
    for number in range(1, REPLAYS_MAX):
        with suppress(rdmaq.AddressInUse):
            return rdmaq.Node(f"local:rdmaq-md-{number}")
    return rdmaq.Node(f"local:rdmaq-md-{REPLAYS_MAX}")


class Replay:
    """One replay from start to end; `run` it once.

    Args:
        feed: To be replayed.
        settings: How.

    Attributes:
        processes: The subscribers, once the first session has begun.
        killed: Numbers of the subscribers killed on purpose.
        capacity_bytes: Of the ring, once there is one.
        publisher: With what was published so far.
    """

    def __init__(self, feed: Feed, settings: ReplaySettings) -> None:
        self.feed = feed
        self.settings = settings
        self.processes: list[SubscriberProcess] = []
        self.killed: set[int] = set()
        self.capacity_bytes = 0
        self._node: rdmaq.Node | None = None
        self._on_begin: Callable[[], None] = lambda: None
        self.publisher = FeedPublisher(self._open_stream, on_session_end=self._collect)

    def run(
        self,
        *,
        on_begin: Callable[[], None] = lambda: None,
        on_tick: Callable[[], None] = lambda: None,
    ) -> None:
        """Publishes the feed to its end and waits for the subscribers' reports.

        However it ends, no subscriber process is left.

        Args:
            on_begin: Called when all subscribers are attached, before anything is published.
            on_tick: Called some twenty times a second while publishing.

        Raises:
            MarketDataError: The feed or a subscriber cannot be used.
            rdmaq.RdmaqError: The ring refused something.
        """
        self._on_begin = on_begin
        self.publisher = FeedPublisher(
            self._open_stream,
            on_session_end=self._collect,
            on_tick=on_tick,
            speed=self.settings.speed,
        )
        try:
            with _make_node() as node:
                self._node = node
                try:
                    self.publisher.run(self.feed)
                finally:
                    self.publisher.close()
        finally:
            self._node = None
            for process in self.processes:
                if not process.reports or process.died:
                    process.kill()
                process.end()

    def kill_subscriber(self, number: int) -> None:
        """Kills a subscriber on purpose; its death is then no fault."""
        self.killed.add(number)
        self.processes[number - 1].send_signal(signal.SIGKILL)

    def accounts(self) -> list[SubscriberAccount]:
        """Weighs what each subscriber said against what was published."""
        accounts = []
        for process in self.processes:
            found: list[str] = []
            for session, report in zip(self.publisher.sessions, process.reports, strict=False):
                found.extend(conservation.breaches(session, report))
            if len(process.reports) < len(self.publisher.sessions):
                found.append("it did not report every session")
            truth = self.feed.truth
            if truth is not None and not found:
                found.extend(conservation.truth_breaches(truth, process.reports[0]))
            accounts.append(
                SubscriberAccount(
                    process.number,
                    conservation.total(process.reports),
                    found,
                    process.died,
                    process.number in self.killed,
                )
            )
        return accounts

    def _open_stream(self, begin: SessionBegin) -> rdmaq.Publisher:
        """Publishes a session's stream and returns when every subscriber has it."""
        assert self._node is not None, "streams are opened while the replay runs"
        settings = self.settings
        publisher = self._node.publish(
            STREAM,
            capacity=settings.capacity,
            flow=settings.flow,
            first_sequence=begin.first_sequence,
        )
        self.capacity_bytes = publisher.capacity_bytes
        is_first = not self.processes
        for number in range(1, settings.subscribers + 1) if is_first else ():
            is_slow = number == settings.subscribers
            pace = Pace(pause_us=settings.slow_pause_us if is_slow else 0, wait=settings.wait)
            self.processes.append(SubscriberProcess(number, self._node.address, pace))
        session_count = len(self.publisher.sessions)
        alive = [process for process in self.processes if process.died is None]
        for process in alive:
            process.attach(STREAM, begin.first_sequence)
        for process in alive:
            try:
                process.wait_attached(session_count)
            except SubscriberError:
                # One that dies between two sessions is told at the end; the others go on.
                if is_first or process.died is None:
                    raise
        if is_first:
            self._on_begin()
        return publisher

    def _collect(self, session: PublishedSession) -> None:
        """Waits until every subscriber that lives has read the session to its end."""
        del session
        for process in self.processes:
            if not process.wait_report(len(self.publisher.sessions)) and process.died is None:
                process.give_up()
