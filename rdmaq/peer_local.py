"""A node of this host as its peer reaches it: by the hand-over of descriptors."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rdmaq import errors
from rdmaq.region.attach import attach as attach_region
from rdmaq.region.channel import Channel
from rdmaq.region.grant import RegionInfo, from_message
from rdmaq.shm import wire
from rdmaq.shm.dial import ask, dial
from rdmaq.shm.offers import listed, taken
from rdmaq.stream.attach import hand_over
from rdmaq.stream.cursor import Cursor
from rdmaq.stream.following import AttachingFollower, Follower
from rdmaq.stream.listing import StreamInfo, stream_info

if TYPE_CHECKING:
    from rdmaq.verbs.link_settings import LinkSettings

# A restart is followed from inside poll and from event loops: neither may stand still for long.
_FOLLOW_PATIENCE_SECONDS = 0.2


class LocalLink:
    """Dials the node's hand-over for each question; holds nothing between them.

    Args:
        address: the node's, for messages.
        name: under which its hand-over listens.
        allow_uids: users who may run it.

    Attributes:
        transport: "shm".
        check_wanted: raises when nobody wants an answer any more.
    """

    transport = "shm"

    def __init__(self, address: str, name: str, allow_uids: frozenset[int]) -> None:
        self._address, self._name, self._allow_uids = address, name, allow_uids
        self.check_wanted: Callable[[], None] = _outlives

    def streams(self) -> list[StreamInfo]:
        """See `Peer.streams`."""
        return listed(self.dial, self._address, "streams", stream_info)

    def regions(self) -> list[RegionInfo]:
        """See `Peer.regions`."""
        return listed(self.dial, self._address, "regions", from_message)

    def attach(self, name: str, kind: str, timeout: float) -> tuple[RegionInfo, Channel]:
        """The mapped area of a region or table."""
        return attach_region(self.dial, name, kind, timeout)

    def subscribe(
        self,
        request: dict[str, Any],
        wait_mode: int,
        timeout: float,
        _settings: LinkSettings | None = None,
        patience: float | None = None,
    ) -> Cursor:
        """The mapped ring of a stream; `patience`: how many seconds an answer may take."""
        return taken(
            lambda seconds: self.dial(seconds, patience),
            lambda sock: hand_over(sock, request, wait_mode),
            errors.StreamNotFound,
            timeout,
        )

    def follower(
        self, request: dict[str, Any], wait_mode: int, _settings: LinkSettings | None
    ) -> Follower:
        """Asks anew each time."""
        return AttachingFollower(
            lambda: self.subscribe(request, wait_mode, 0.0, patience=_FOLLOW_PATIENCE_SECONDS)
        )

    def hello(self, timeout: float = 0.0) -> float:
        """One question and answer; returns the seconds that they took."""
        return self._ask_hello(timeout)[1]

    def check_is(self, instance: bytes) -> None:
        """Sees that the node which hands over here is the one that says so elsewhere.

        Args:
            instance: what that one bears; b"" where it is of a release that bears none.

        Raises:
            HandoverError: it is another one.
            PeerNotFound, AccessDenied: see `dial`.
        """
        answer = self._ask_hello(0.0)[0]
        if instance and answer.get("instance") != instance.hex():
            raise errors.HandoverError(
                f"'local:{self._name}' is another node here: hosts that look alike (containers of "
                "one kernel, clones of one machine) each have one; connect to that by its own name"
            )

    def _ask_hello(self, timeout: float) -> tuple[dict[str, Any], float]:
        begin = time.perf_counter()
        with self.dial(timeout) as sock:
            answer, unwanted = ask(sock, {"want": "hello"})
        seconds = time.perf_counter() - begin
        wire.close_all(unwanted)
        return answer, seconds

    def ping(self) -> float:
        """See `Peer.ping`."""
        return self.hello()

    def negotiated(self) -> dict[str, str | int]:
        """See `Peer.negotiated`."""
        return {"transport": self.transport, "name": self._name}

    def dial(self, timeout: float, patience: float | None = None) -> Any:
        """A connection to the hand-over."""
        # Who has patience of its own is a subscription that follows: it outlives its peer.
        return dial(
            self._name,
            timeout=timeout,
            allow_uids=self._allow_uids,
            patience=patience,
            check_wanted=self.check_wanted if patience is None else _outlives,
        )

    def close(self) -> None:
        """Nothing is held."""


def _outlives() -> None:
    """Never raises."""
