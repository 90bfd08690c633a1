"""`rdmaq-md subscribe`: a stream of market data counted, session after session."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import click
from rich.console import Console

import rdmaq

from . import conservation
from .errors import OptionError, SubscriberError
from .progress import LiveProgress, tally_rows
from .receive import Pace, receive
from .report import print_subscriber
from .tally import Latencies, Tally

POLL_SECONDS = 0.02
# A wait for a further session is told when it is longer than a change of sessions takes.
TELL_SECONDS = 0.5
# A node that is there and does not answer is asked so often; each time may take 10 s.
HANDOVER_TRIES_MAX = 5

Wait = Literal["auto", "spin", "yield", "sleep"]


def subscribe_stream(
    address: str,
    stream: str,
    *,
    start: Literal["live", "oldest"],
    timeout: float,
    wait: Wait,
    as_json: bool,
    console: Console,
) -> bool:
    """Counts a stream, session after session, until its node closes; False if incomplete.

    Each session is told when it ends, or the command does.

    Args:
        address: Of the node.
        stream: Its name there.
        start: Where the first session begins.
        timeout: Seconds to wait for the node and the stream, and for each further session; 0: not
            at all for the former, and as long as the node lives for the latter.
        wait: How to wait for messages.
        as_json: Print one object at the end instead of a table for each session.
        console: For the tables.

    Raises:
        OptionError: There is no such node or stream, or it does not carry market data.
        SubscriberError: The publisher vanished, or cut this subscriber off; what came before has
            been counted and told.
        rdmaq.RdmaqError: Anything else that the node refused.
    """
    latencies = Latencies()
    tallies: list[Tally] = []
    with _in_words_of_options(address, stream), rdmaq.connect(address, timeout=timeout) as peer:
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
                        _count(subscription, tally, wait, is_shown=not as_json)
                    finally:
                        if not as_json:
                            console.print(f"session {number}:")
                            print_subscriber(console, tally.as_json())
                subscription = _next_session(peer, subscription, wait, timeout)
        finally:
            if as_json and tallies:
                reports = [tally.as_json() for tally in tallies]
                words = {**conservation.total(reports), "sessions": reports}
                click.echo(json.dumps(words))
    return not any(tally.undeclared or tally.doubled for tally in tallies)


def _count(subscription: rdmaq.Subscription, tally: Tally, wait: Wait, *, is_shown: bool) -> None:
    with LiveProgress(lambda: tally_rows(tally), is_wanted=is_shown) as progress:
        receive(subscription, tally, Pace(wait=wait), progress.update)


def _check_untyped(subscription: rdmaq.Subscription, address: str) -> None:
    if subscription.schema is not None:
        raise OptionError(
            f"stream {subscription.name!r} at {address}",
            f"it carries records of {subscription.schema}, not market data messages",
            "choose another stream by --stream",
        )


def _next_session(
    peer: rdmaq.Peer, before: rdmaq.Subscription, wait: Wait, timeout: float
) -> rdmaq.Subscription | None:
    """Waits for the stream's next incarnation; None when its node has closed, or time is up."""
    began = time.monotonic()
    handover_tries = 0
    has_told = False
    while True:
        try:
            # From the beginning, whatever it is: what the ring has lost by now is declared.
            subscription = peer.subscribe(before.name, start=1, wait=wait)
        except rdmaq.PeerNotFound:
            return None
        except rdmaq.StreamNotFound:
            handover_tries = 0  # between two sessions
        except rdmaq.HandoverError:
            handover_tries += 1  # closing just now, or stopped
            if handover_tries >= HANDOVER_TRIES_MAX:
                raise
        else:
            if subscription.epoch != before.epoch:
                return subscription
            subscription.close()
        waited = time.monotonic() - began
        if waited > TELL_SECONDS and not has_told:
            has_told = True
            limit = f", {timeout:g} s at most" if timeout else ", until the publisher ends"
            click.echo(f"waiting for a further session of {before.name}{limit}", err=True)
        if timeout and waited >= timeout:
            click.echo(f"no further session within {timeout:g} s (--timeout)", err=True)
            return None
        time.sleep(POLL_SECONDS)


@contextmanager
def _in_words_of_options(address: str, stream: str) -> Iterator[None]:
    """Turns errors of the API, which name its arguments, into errors of this command line."""
    try:
        yield
    except rdmaq.PeerNotFound as error:
        raise OptionError(
            f"no node at {address}",
            "no publisher is there, or it has another RDMAQ_RUNTIME_DIR",
            "start rdmaq-md publish first, or wait for it by --timeout SECONDS",
        ) from error
    except rdmaq.StreamNotFound as error:
        offered = ", ".join(map(repr, error.available[:20])) or "no stream"
        raise OptionError(
            f"no stream {stream!r} at {address}",
            f"it offers {offered}",
            "choose one by --stream, or wait for it by --timeout SECONDS",
        ) from error
    except rdmaq.PublisherGone as error:
        raise SubscriberError(
            f"the publisher of {stream!r} at {address} is gone",
            "its process ended without closing the stream",
            "all that it had published was counted; start it again, and subscribe again",
        ) from error
    except rdmaq.CutOff as error:
        raise SubscriberError(
            f"the publisher of {stream!r} at {address} cut this subscriber off",
            f"it stood still for longer than the publisher's --timeout, at {error.sequence:,}",
            "give it more CPU time, or the publisher a longer --timeout or a larger --capacity",
        ) from error
