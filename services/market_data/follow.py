"""A stream of market data followed from session to session, counted as it comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import rdmaq

from .errors import OptionError, SubscriberError
from .latency import Latencies
from .receive import Pace, receive
from .tally import Tally

POLL_SECONDS = 0.02
# A wait for a further session is told when it is longer than a change of sessions takes.
TELL_SECONDS = 0.5
# A node that is there and does not answer is asked so often; each time may take 10 s.
TRIES_MAX = 5
# What a node says that is just closing, or was stopped: it may come to itself.
_UNREADY = (
    rdmaq.HandoverError,
    rdmaq.BootstrapError,
    rdmaq.AuthenticationError,
    rdmaq.UnsupportedTransport,
)

Wait = Literal["auto", "spin", "yield", "sleep"]
OnGap = Literal["report", "recover"]
Transport = Literal["auto", "shm", "verbs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is subscribed to, and how.

    Attributes:
        address: Of the node.
        stream: Its name there.
        start: Where the first session begins.
        timeout: Seconds to wait for the node and the stream, and for each further session; 0: not
            at all for the former, and as long as the node lives for the latter.
        on_gap: "recover": what was missed while a link to another host was down is read out of the
            publisher's ring.
        wait: How to wait for messages.
        transport: How to go there.
        clocks_agree: Both hosts' clocks are synchronised, so that they tell latencies.
    """

    address: str
    stream: str
    start: Literal["live", "oldest"] = "live"
    timeout: float = 0.0
    on_gap: OnGap = "report"
    wait: Wait = "auto"
    transport: Transport = "auto"
    clocks_agree: bool = False


class Follower:
    """Counts a stream, session after session, until its node closes.

    Args:
        wish: What is subscribed to.
        say: Takes a line about what happens.

    Attributes:
        tallies: One for each session, the current one last.
    """

    def __init__(self, wish: Wish, say: Callable[[str], None]) -> None:
        self._wish = wish
        self._say = say
        self._latencies = Latencies()
        self.tallies: list[Tally] = []

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing without a word, and nothing came twice."""
        return not any(tally.undeclared or tally.doubled for tally in self.tallies)

    def run(self, on_progress: Callable[[], None], on_session_end: Callable[[], None]) -> None:
        """Follows the stream to its end.

        Args:
            on_progress: Called about four times a second while a session is read.
            on_session_end: Called when a session has ended, also by an exception.

        Raises:
            OptionError: There is no such node or stream, or it does not carry market data.
            SubscriberError: The publisher vanished, or cut this subscriber off; what came before
                has been counted.
            rdmaq.RdmaqError: Anything else that the node refused.
        """
        wish = self._wish
        with (
            _in_words_of_options(wish),
            rdmaq.connect(wish.address, timeout=wish.timeout, transport=wish.transport) as peer,
        ):
            subscription: rdmaq.Subscription | None = peer.subscribe(
                wish.stream,
                start=wish.start,
                on_gap=wish.on_gap,
                wait=wish.wait,
                timeout=wish.timeout,
            )
            while subscription is not None:
                with subscription:
                    self._begin(subscription)
                    try:
                        receive(subscription, self.tallies[-1], Pace(wait=wish.wait), on_progress)
                    finally:
                        self.tallies[-1].stats = subscription.stats
                        on_session_end()
                subscription = self._next_session(peer, subscription)

    def _begin(self, subscription: rdmaq.Subscription) -> None:
        wish, transport = self._wish, subscription.transport
        if subscription.schema is not None:
            raise OptionError(
                f"stream {subscription.name!r} at {wish.address}",
                f"it carries records of {subscription.schema}, not market data messages",
                "choose another stream by --stream",
            )
        tally = Tally(
            latencies=self._latencies, transport=transport, clocks_agree=wish.clocks_agree
        )
        self.tallies.append(tally)
        number = len(self.tallies)
        self._say(f"subscribed to {wish.stream} at {wish.address} by {transport}: session {number}")

    def _next_session(
        self, peer: rdmaq.Peer, before: rdmaq.Subscription
    ) -> rdmaq.Subscription | None:
        """Waits for the stream's next incarnation; None when its node has closed, or time is up."""
        timeout, began = self._wish.timeout, time.monotonic()
        tries = 0
        has_told = False
        while True:
            try:
                # From the beginning, whatever it is: what the ring has lost by now is declared.
                subscription = peer.subscribe(
                    before.name, start=1, on_gap=self._wish.on_gap, wait=self._wish.wait
                )
            except rdmaq.PeerNotFound:
                return None
            except rdmaq.StreamNotFound:
                tries = 0  # between two sessions
            except _UNREADY:
                tries += 1
                if tries >= TRIES_MAX:
                    raise
            else:
                if subscription.epoch != before.epoch:
                    return subscription
                subscription.close()
            waited = time.monotonic() - began
            if waited > TELL_SECONDS and not has_told:
                has_told = True
                limit = f", {timeout:g} s at most" if timeout else ", until the publisher ends"
                self._say(f"waiting for a further session of {before.name}{limit}")
            if timeout and waited >= timeout:
                self._say(f"no further session within {timeout:g} s (--timeout)")
                return None
            time.sleep(POLL_SECONDS)


@contextmanager
def _in_words_of_options(wish: Wish) -> Iterator[None]:
    """Turns errors of the API, which name its arguments, into errors of this command line."""
    address, stream = wish.address, wish.stream
    is_local = address.startswith("local:")
    try:
        yield
    except rdmaq.PeerNotFound as error:
        cause = "no publisher is there, or it has another RDMAQ_RUNTIME_DIR"
        cure = "start rdmaq-md publish first, or wait for it by --timeout SECONDS"
        if not is_local:
            cause = str(error).rpartition("; ")[0].removeprefix(f"no node at {address}: ") or cause
            cure += f"; else look at the way there: rdmaq doctor {address}"
        raise OptionError(f"no node at {address}", cause, cure) from error
    except rdmaq.StreamNotFound as error:
        offered = ", ".join(map(repr, error.available[:20])) or "no stream"
        raise OptionError(
            f"no stream {stream!r} at {address}",
            f"it offers {offered}",
            "choose one by --stream, or wait for it by --timeout SECONDS",
        ) from error
    except rdmaq.PublisherGone as error:
        cause = "its process ended without closing the stream"
        if not is_local:
            cause += f", or it is out of reach ({error})"
        raise SubscriberError(
            f"the publisher of {stream!r} at {address} is gone",
            cause,
            "all that came here was counted; start it again, and subscribe again",
        ) from error
    except rdmaq.CutOff as error:
        raise SubscriberError(
            f"the publisher of {stream!r} at {address} cut this subscriber off",
            f"it stood still for longer than the publisher's --timeout, at {error.sequence:,}",
            "give it more CPU time, or the publisher a longer --timeout or a larger --capacity",
        ) from error
