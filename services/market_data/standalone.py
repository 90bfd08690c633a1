"""`rdmaq-md publish`: the publishing half of a replay, by itself."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import click
from rich.console import Console

import rdmaq

from . import conservation, ranges
from .events import SessionBegin
from .feed import Feed
from .options import CAPACITY_LOCAL, CAPACITY_NETWORK
from .progress import LiveProgress, publisher_rows
from .publish import FeedPublisher, PublishedSession
from .report import print_feed

POLL_SECONDS = 0.02
# Subscribers of one session get so long to read it to its end and be there for the next one.
FOLLOW_SECONDS_MAX = 10.0


def publish_feed(
    feed: Feed,
    address: str,
    stream: str,
    *,
    speed: float | None,
    capacity: str | None,
    flow: rdmaq.Flow,
    wait_subscribers: int,
    coalesce_bytes: int,
    drain_seconds: float,
    as_json: bool,
    console: Console,
) -> None:
    """Publishes a feed at an address, each session as a new incarnation of the stream.

    Args:
        feed: What is published.
        address: Of the node.
        stream: Its name there.
        speed: As in `Pacer`.
        capacity: Of the ring; None: what suits those who may subscribe.
        flow: Who waits for whom.
        wait_subscribers: How many must have subscribed before the first message.
        coalesce_bytes: As in `FeedPublisher`, as is the next.
        drain_seconds: See there.
        as_json: Print one object at the end instead of what people read.
        console: For that.

    Raises:
        MarketDataError: The feed cannot be used.
        rdmaq.RdmaqError: The address, the stream or the ring refused something.
    """
    with rdmaq.Node(address) as node:
        door = _Door(node, stream, capacity, flow, wait_subscribers)
        progress = LiveProgress(lambda: publisher_rows(publisher.sessions), is_wanted=not as_json)
        publisher = FeedPublisher(
            door.open,
            speed=speed,
            on_tick=progress.update,
            coalesce_bytes=coalesce_bytes,
            drain_seconds=drain_seconds,
        )
        door.sessions = publisher.sessions
        try:
            with progress:
                publisher.run(feed)
        finally:
            publisher.close()
            if door.has_opened:  # also after Ctrl-C: what was published until then
                _tell_published(feed, publisher.sessions, as_json=as_json, console=console)


class _Door:
    """Opens the streams of a feed's sessions, and waits for who should be there.

    Attributes:
        sessions: What was published so far, the one to be opened last.
    """

    def __init__(
        self,
        node: rdmaq.Node,
        stream: str,
        capacity: str | None,
        flow: rdmaq.Flow,
        wait_subscribers: int,
    ) -> None:
        self._node = node
        self._stream = stream
        self._is_local = node.address.startswith("local:")
        self._capacity = capacity or (CAPACITY_LOCAL if self._is_local else CAPACITY_NETWORK)
        self._flow = flow
        self._wait_subscribers = wait_subscribers
        self._before: rdmaq.Publisher | None = None
        self.sessions: Sequence[PublishedSession] = ()

    @property
    def has_opened(self) -> bool:
        """Whether a stream was opened."""
        return self._before is not None

    def open(self, begin: SessionBegin) -> rdmaq.Publisher:
        """Publishes a session's stream and returns when its subscribers have had their chance."""
        followers = self._follower_count()
        publisher = self._node.publish(
            self._stream,
            capacity=self._capacity,
            flow=self._flow,
            first_sequence=begin.first_sequence,
        )
        where = f"{self._stream} at {self._node.address}"
        click.echo(f"publishing {where}: session {begin.session}", err=True)
        if begin.joined:
            click.echo(f"joined {begin.session} at {begin.first_sequence:,}", err=True)
        if self._before is None:
            _wait_for(publisher, self._wait_subscribers, None)
        else:
            _wait_for(publisher, followers, FOLLOW_SECONDS_MAX)
        self._before = publisher
        return publisher

    def _follower_count(self) -> int:
        """How many of the last session's subscribers may come to the next one."""
        if self._before is None:
            return 0
        # A closed stream still counts those of this host who did not let go of it; links to other
        # hosts ended with it.
        after = self._before.stats.readers
        return after if self._is_local else max(after, self.sessions[-2].subscribers)


def _wait_for(publisher: rdmaq.Publisher, count: int, seconds_max: float | None) -> None:
    """Waits for so many subscribers, and says so."""
    if publisher.reader_count >= count:
        return
    limit = "" if seconds_max is None else f", {seconds_max:.0f} s at most"
    click.echo(f"waiting for {count} subscriber{'s' if count > 1 else ''}{limit}", err=True)
    began = time.monotonic()
    while publisher.reader_count < count:
        if seconds_max is not None and time.monotonic() - began > seconds_max:
            click.echo(f"going on with {publisher.reader_count} of {count}", err=True)
            return
        time.sleep(POLL_SECONDS)


def _tell_published(
    feed: Feed, sessions: Sequence[PublishedSession], *, as_json: bool, console: Console
) -> None:
    if not as_json:
        print_feed(console, feed.describe(), sessions)
        return
    lost = conservation.lost_of_all(sessions)
    words = {
        "published": sum(session.published for session in sessions),
        "lost_messages": ranges.message_count(lost),
        "lost_ranges": lost,
        "sessions": [session.as_json() for session in sessions],
        "feed": feed.describe(),
    }
    click.echo(json.dumps(words))
