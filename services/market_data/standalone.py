"""`rdmaq-md publish` and `rdmaq-md subscribe`: the two halves of a replay, by themselves."""

from __future__ import annotations

import json
import time
from typing import Any, Literal

import click
from rich.console import Console

import rdmaq

from . import ranges
from .errors import OptionError
from .events import SessionBegin
from .feed import Feed
from .publish import FeedPublisher
from .receive import Pace, receive
from .report import print_feed, print_subscriber
from .tally import Tally

POLL_SECONDS = 0.02


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

        def open_stream(begin: SessionBegin) -> rdmaq.Publisher:
            publisher = node.publish(
                stream, capacity=capacity, flow=flow, first_sequence=begin.first_sequence
            )
            if begin.joined:
                click.echo(f"joined {begin.session} at {begin.first_sequence:,}", err=True)
            while publisher.reader_count < wait_subscribers:
                time.sleep(POLL_SECONDS)
            return publisher

        publisher = FeedPublisher(open_stream, speed=speed)
        try:
            publisher.run(feed)
        finally:
            publisher.close()
    sessions = publisher.sessions
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
    """Counts a stream to its end, or until Ctrl-C, and tells; False if something is undeclared.

    Raises:
        OptionError: The stream does not carry market data.
        rdmaq.RdmaqError: There is no such node or stream, or its publisher vanished (what it had
            published has been counted and told).
    """
    tally = Tally()
    with rdmaq.connect(address, timeout=timeout) as peer:
        subscription = peer.subscribe(stream, start=start, timeout=timeout, wait=wait)
        with subscription:
            if subscription.schema is not None:
                raise OptionError(
                    f"stream {stream!r} at {address}",
                    f"it carries records of {subscription.schema}, not market data messages",
                    "choose another stream by --stream",
                )
            try:
                receive(subscription, tally, Pace(wait=wait))
            finally:
                _tell(tally.as_json(), as_json=as_json, console=console)
    return not (tally.undeclared or tally.doubled)


def _tell(report: dict[str, Any], *, as_json: bool, console: Console) -> None:
    if as_json:
        click.echo(json.dumps(report))
    else:
        print_subscriber(console, report)
