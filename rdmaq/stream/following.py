"""How a subscription gets to the next incarnation of its stream; each transport has its way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rdmaq.stream.cursor import Cursor


class Follower(Protocol):
    """Asked from within `poll` and by event loops, again and again: it never waits for long."""

    def __call__(self, epoch: int, sequence: int, /) -> Cursor:
        """The next incarnation, from its oldest message on.

        Args:
            epoch: of the one that is over.
            sequence: the next one to be delivered of it: should it be there again after all, with
                this epoch, it goes on from there.

        Raises:
            PeerNotFound, StreamNotFound, HandoverError: it is not there yet: ask again.
            RdmaqError: it is, and cannot be had.
        """

    def close(self) -> None:
        """Nobody will ask any more. Idempotent, from any thread."""


class AttachingFollower:
    """Where attaching is quick: each question is a try.

    Args:
        attach: attaches, or raises as `Follower` does.
    """

    def __init__(self, attach: Callable[[], Cursor]) -> None:
        self._attach = attach

    def __call__(self, _epoch: int, _sequence: int, /) -> Cursor:
        """What of it is gone already is told as a gap."""
        return self._attach()

    def close(self) -> None:
        """Nothing is held."""
