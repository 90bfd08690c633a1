"""Who waits for whom: `lossy()` and `reliable()`."""

from __future__ import annotations

from dataclasses import dataclass

from rdmaq._fast import lib


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
            and told (`CutOff`).

    Raises:
        ValueError: a count outside 0 to 128, or a time that is negative or has no end.
    """
    if not isinstance(min_readers, int) or not 0 <= min_readers <= lib.RQ_READERS_MAX:
        raise ValueError(
            f"min_readers={min_readers}: must be a whole number from 0 to {lib.RQ_READERS_MAX}, "
            "the most subscribers that a stream can have"
        )
    if not 0 <= timeout < 1e9:
        raise ValueError(f"timeout={timeout}: must be seconds, 0 or more and finite")
    return Flow(is_reliable=True, min_readers=min_readers, timeout_seconds=timeout)
