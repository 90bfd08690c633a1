"""What a region over verbs needs of the connection to its owner; the peer side makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rdmaq.errors import OperationFailed, RdmaqError
    from rdmaq.verbs import (
        Access,
        Memory,
        Operation,
        PairAttributes,
        PairSettings,
        RemoteMemory,
        Requests,
    )


class Traffic(Protocol):
    """What a channel does with a queue pair; `verbs.Pair` is one.

    Attributes:
        settings: of it; a chain has at most `send_depth` requests.
        attributes: as granted.
    """

    settings: PairSettings
    attributes: PairAttributes

    def requests(self, count: int, keep: Any = None) -> Requests:
        """An array of requests to fill in and to post again and again."""

    def post(self, requests: Requests, count: int | None = None) -> Operation:
        """Posts the first `count` of them as one chain."""

    def run(self, requests: Requests, timeout: float | None = None) -> None:
        """Posts `requests.count` of them and waits for their end."""

    def settle(self) -> None:
        """Waits until nothing is in flight, well or not."""


class Circle(Protocol):
    """Where a channel's own buffers are registered; `verbs.Domain` is one."""

    def register(self, buffer: Any, access: Access = ...) -> Memory:
        """Registers memory of ours; the peer gets no key of it."""


class Session(Protocol):
    """One confirmed connection to the owner of one region, for one handle.

    The pair is connected, and its operations are the handle's alone: what becomes of it disturbs no
    other handle. It is used by one thread at a time, but for `close`.

    Attributes:
        pair: ours.
        domain: the pair's.
    """

    @property
    def pair(self) -> Traffic:
        """Our queue pair, connected; nobody else posts on it."""

    @property
    def domain(self) -> Circle:
        """The pair's own domain."""

    def key(self) -> RemoteMemory:
        """The region's memory at its owner: exactly its bytes, and the key that opens them."""

    def ended(self) -> RdmaqError | None:
        """What the owner said when it ended this session by itself; None: nothing. Costs nothing.

        Asked before each call, of which then nothing is done.
        """

    def failure(self, error: OperationFailed) -> RdmaqError:
        """What an operation's failure means to the region's user, who never sees `error` alone.

        `RegionRevoked` or `PeerGone`, with the facts of `error` in the text. Called once, on a
        thread that may wait (never an event loop's): it may ask the node what happened.
        """

    def close(self) -> None:
        """Ends the queue pair, flushing what is in flight, then tells the node. Idempotent.

        May be called while another thread waits on the pair, which then ends. When it returns, no
        operation of the pair touches memory any more.
        """

    def forget(self) -> None:
        """In a forked child: lets go without touching what is the parent's."""
