"""What a node on this host offers under a name: listed page by page, and taken once it is there."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from rdmaq import errors
from rdmaq.shm import wire
from rdmaq.shm.dial import ask

_RETRY_SECONDS = 0.02
_OFFERS_MAX = 100_000  # a stranger could list names for ever

#: Connects to the node, waiting so many seconds for it to appear.
Dial = Callable[[float], socket.socket]


class Named(Protocol):
    """One thing on offer."""

    @property
    def name(self) -> str:
        """Its own among its kind, in the order of which a node lists."""
        ...


N = TypeVar("N", bound=Named)
T = TypeVar("T")


def listed(dial: Dial, address: str, want: str, read: Callable[[dict[str, Any]], N]) -> list[N]:
    """All of one kind that the node at `address` offers now.

    Args:
        dial: connects to it.
        address: how to name it in an error.
        want: the kind, and the answer's field: "streams" or "regions".
        read: makes one offer of its message.

    Raises:
        HandoverError: it lists them in an unknown form, or without end.
    """
    offers: list[N] = []
    is_whole = False
    while not is_whole:
        after = offers[-1].name if offers else ""
        with dial(0.0) as sock:
            answer, unwanted = ask(sock, {"want": want, "after": after})
        wire.close_all(unwanted)
        try:
            page = [read(message) for message in answer[want]]
            is_whole = bool(answer["is_whole"]) or not page or page[-1].name <= after
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise errors.HandoverError(
                f"the node at {address} listed its {want} in an unknown form: {error!r}; run the "
                "same release on both sides"
            ) from error
        offers += page
        if len(offers) > _OFFERS_MAX:
            raise errors.HandoverError(
                f"the node at {address} lists more than {_OFFERS_MAX:,} {want}: is it really an "
                "rdmaq node?"
            )
    return offers


def taken(
    dial: Dial,
    take: Callable[[socket.socket], T],
    absent: type[errors.RdmaqError],
    timeout: float,
) -> T:
    """Asks by `take`, each time on a connection of its own, until that does not raise `absent`.

    The connection is `take`'s once it returns, and is closed when it raises.

    Raises:
        RdmaqError: `absent`, after `timeout` seconds of it; what `dial` and `take` raise, at once.
    """
    deadline = time.monotonic() + timeout
    while True:
        sock = dial(max(0.0, deadline - time.monotonic()))
        try:
            return take(sock)
        except absent:
            sock.close()
            if time.monotonic() >= deadline:
                raise
            time.sleep(_RETRY_SECONDS)
        except BaseException:
            sock.close()
            raise
