"""`rdmaq-md publish` and `rdmaq-md subscribe`: the two halves of a replay, by themselves."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Literal

import click
from rich.console import Console

import rdmaq

from . import conservation, ranges
from .errors import OptionError
from .events import SessionBegin
from .feed import Feed
from .publish import FeedPublisher, PublishedSession
from .receive import Pace, receive
from .report import print_feed, print_subscriber
from .tally import Latencies, Tally

POLL_SECONDS = 0.02
# Subscribers of one session get so long to read it to its end and be there for the next one.
FOLLOW_SECONDS_MAX = 10.0


def publish_feed(
    feed: Feed,
    address: str,
    stream: str,
    *,
    speed: float | None,
    capacity: str,
    flow: rdmaq.Flow,
    wait_subscribers: int,
    as_json: bool,
    console: Console,
) -> None:
    """Publishes a feed at an address, each session as a new incarnation of the stream.

    Raises:
        MarketDataError: The feed cannot be used.
        rdmaq.RdmaqError: The address, the stream or the ring refused something.
    """
    with rdmaq.Node(address) as node:
        door = _Door(node, stream, capacity, flow, wait_subscribers)
        publisher = FeedPublisher(door.open, speed=speed)
        try:
            publisher.run(feed)
        finally:
            publisher.close()
            if door.has_opened:  # also after Ctrl-C: what was published until then
                _tell_published(feed, publisher.sessions, as_json=as_json, console=console)


class _Door:
    """Opens the streams of a feed's sessions, and waits for who should be there."""

    def __init__(
        self, node: rdmaq.Node, stream: str, capacity: str, flow: rdmaq.Flow, wait_subscribers: int
    ) -> None:
        self._node = node
        self._stream = stream
        self._capacity = capacity
        self._flow = flow
        self._wait_subscribers = wait_subscribers
        self._before: rdmaq.Publisher | None = None

    @property
    def has_opened(self) -> bool:
        """Whether a stream was opened."""
        return self._before is not None

    def open(self, begin: SessionBegin) -> rdmaq.Publisher:
        """Publishes a session's stream and returns when its subscribers have had their chance."""
        # A closed stream still counts those who did not let go of it.
        followers = 0 if self._before is None else self._before.stats.readers
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
    lost = [span for session in sessions for span in session.lost]
    words = {
        "published": sum(session.published for session in sessions),
        "lost_messages": ranges.message_count(lost),
        "lost_ranges": lost,
        "sessions": [session.as_json() for session in sessions],
        "feed": feed.describe(),
    }
    click.echo(json.dumps(words))


def subscribe_stream(
    address: str,
    stream: str,
    *,
    start: Literal["live", "oldest"],
    timeout: float,
    wait: Literal["auto", "spin", "yield", "sleep"],
    as_json: bool,
    console: Console,
) -> bool:
    """Counts a stream, session after session, until its node closes; False if incomplete.

    Each session is told when it ends, or the command does.

    Raises:
        OptionError: The stream does not carry market data.
        rdmaq.RdmaqError: There is no such node or stream, or its publisher vanished (what it had
            published has been counted and told).
    """
    latencies = Latencies()
    tallies: list[Tally] = []
    with rdmaq.connect(address, timeout=timeout) as peer:
        subscription: rdmaq.Subscription | None = peer.subscribe(
            stream, start=start, timeout=timeout, wait=wait
        )
        try:
            while subscription is not None:
                with subscription:
                    _check_untyped(subscription, address)
                    tally = Tally(latencies=latencies)
                    tallies.append(tally)
                    number = len(tallies)
                    click.echo(f"subscribed to {stream} at {address}: session {number}", err=True)
                    try:
                        receive(subscription, tally, Pace(wait=wait))
                    finally:
                        if not as_json:
                            console.print(f"session {number}:")
                            print_subscriber(console, tally.as_json())
                subscription = _next_session(peer, subscription.epoch, stream, wait)
        finally:
            if as_json and tallies:
                reports = [tally.as_json() for tally in tallies]
                words = {**conservation.total(reports), "sessions": reports}
                click.echo(json.dumps(words))
    return not any(tally.undeclared or tally.doubled for tally in tallies)


def _check_untyped(subscription: rdmaq.Subscription, address: str) -> None:
    if subscription.schema is not None:
        raise OptionError(
            f"stream {subscription.name!r} at {address}",
            f"it carries records of {subscription.schema}, not market data messages",
            "choose another stream by --stream",
        )


def _next_session(
    peer: rdmaq.Peer,
    epoch: int,
    stream: str,
    wait: Literal["auto", "spin", "yield", "sleep"],
) -> rdmaq.Subscription | None:
    """Waits for the stream's next incarnation; None when its node has closed."""
    while True:
        try:
            # From the beginning, whatever it is: what the ring has lost by now is declared.
            subscription = peer.subscribe(stream, start=1, wait=wait)
        except rdmaq.PeerNotFound:
            return None
        except (rdmaq.StreamNotFound, rdmaq.HandoverError):
            pass  # between two sessions, or closing just now
        else:
            if subscription.epoch != epoch:
                return subscription
            subscription.close()
        time.sleep(POLL_SECONDS)
