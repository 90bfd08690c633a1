"""Who waits for whom: `lossy()` and `reliable()`."""

from __future__ import annotations

from dataclasses import dataclass

from rdmaq import arguments
from rdmaq._fast import lib

_TIMEOUT_SECONDS_END = 1e9  # some 30 years: in ns it must fit into 63 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """How a stream treats slow subscribers; made by `lossy()` or `reliable()`.

    Attributes:
        is_reliable: whether the slowest subscriber gates the publisher.
        min_readers: subscribers without which sending blocks.
        timeout_seconds: how long the publisher waits for them, and for one that stands still.
    """

    is_reliable: bool
    min_readers: int = 0
    timeout_seconds: float = 0.0

    def __post_init__(self) -> None:
        """Refuses what no stream can have.

        Raises:
            TypeError: no number.
            ValueError: out of range.
        """
        cure = f"a stream can have {lib.RQ_READERS_MAX} subscribers"
        arguments.whole("min_readers", self.min_readers, 0, lib.RQ_READERS_MAX, cure)
        timeout = arguments.seconds("timeout", self.timeout_seconds)
        if not 0 <= timeout < _TIMEOUT_SECONDS_END:
            raise ValueError(f"timeout={timeout}: must be 0 or more and have an end; give seconds")


def lossy() -> Flow:
    """The publisher never waits. A subscriber that falls a ring behind is told its exact loss.

    Raises nothing.
    """
    return Flow(is_reliable=False)


def reliable(min_readers: int = 0, timeout: float = 5.0) -> Flow:
    """The slowest subscriber gates the publisher.

    Args:
        min_readers: with fewer subscribers than this, sending blocks; when that lasts longer than
            `timeout`, it raises `NotEnoughReaders`.
        timeout: seconds. A subscriber that is in the way and does not move for so long is cut off
            and told (`CutOff`). Time in which the publisher's process stood still as well (a paused
            machine) does not count.

    Raises:
        ValueError: a count outside 0 to 128, or a time that is negative or has no end.
        TypeError: no number.
    """
    return Flow(is_reliable=True, min_readers=min_readers, timeout_seconds=timeout)
