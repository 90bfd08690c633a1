"""One subscription read to its end, counted as it goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import rdmaq

from .tally import Tally

PROGRESS_SECONDS = 0.25
BATCH_MESSAGES = 8_192
# A slow subscriber takes little at a time, so that its pauses come often.
BATCH_MESSAGES_SLOW = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a subscriber reads.

    Attributes:
        pause_us: Microseconds it sleeps after each batch.
        wait: How it waits for messages, as `Peer.subscribe` takes it.
    """

    pause_us: int = 0
    wait: Literal["auto", "spin", "yield", "sleep"] = "auto"


def receive(
    subscription: rdmaq.Subscription,
    tally: Tally,
    pace: Pace,
    on_progress: Callable[[], None] = lambda: None,
) -> None:
    """Reads until the stream ends; what came before any exception is in the tally.

    Args:
        subscription: Stays the caller's.
        tally: Counts every batch.
        pace: How fast to read.
        on_progress: Called about four times a second, also when nothing comes.

    Raises:
        rdmaq.PublisherGone: The publisher vanished without an end.
        rdmaq.CutOff: A reliable publisher gave this subscription up.
    """
    batch_messages = BATCH_MESSAGES_SLOW if pace.pause_us else BATCH_MESSAGES
    pause_seconds = pace.pause_us / 1e6
    progress_due = time.monotonic() + PROGRESS_SECONDS
    while True:
        try:
            batch = subscription.poll(PROGRESS_SECONDS, max_messages=batch_messages)
        except rdmaq.EndOfStream:
            return
        if batch is not None:
            tally.add(batch)
            if pause_seconds:
                time.sleep(pause_seconds)
        if time.monotonic() >= progress_due:
            on_progress()
            progress_due = time.monotonic() + PROGRESS_SECONDS
