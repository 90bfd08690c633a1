"""Subscribing: a reader's life from the first batch to the end of the stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal

import numpy as np

from rdmaq import arguments
from rdmaq._fast import lib
from rdmaq.stream.batch import Batch
from rdmaq.stream.batches import Batches
from rdmaq.stream.events import Event
from rdmaq.stream.reading import Reading
from rdmaq.stream.stats import SubscriptionStats
from rdmaq.stream.view import View

Wait = Literal["auto", "spin", "yield", "sleep"]
WAIT_MODES = {
    "auto": lib.RQ_WAIT_AUTO,
    "spin": lib.RQ_WAIT_SPIN,
    "yield": lib.RQ_WAIT_YIELD,
    "sleep": lib.RQ_WAIT_SLEEP,
}

_COUNT_MAX = lib.RQ_FRAME_MESSAGES_MAX


class Subscription(Reading):
    """A stream's reader; made by `Peer.subscribe`.

    One thread at a time: a second one inside gets `ConcurrentUse`; `close()` may come from any
    thread. A forked child cannot use it. The arrays in batches stay valid after `close()`.

    Attributes:
        name: the stream's.
    """

    __slots__ = ()

    # ---- reading ----

    def batches(self, *, max_messages: int = 1024, timeout: float | None = None) -> Batches:
        """Batches (of `max_messages` at most) and gaps as they come: for `for` and `async for`.

        The iteration ends at the end of the stream, or when `timeout` seconds pass with nothing:
        `ended` tells which. `async for` uses no thread and does not poll.

        Raises: as `poll`, at each step; the end of the stream is no exception here.
        """
        return Batches(self, max_messages=max_messages, timeout=timeout)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches())

    def __aiter__(self) -> AsyncIterator[Batch]:
        return aiter(self.batches())

    def view(self, timeout: float | None = None, *, max_messages: int = 1024) -> View:
        """Borrows the next batch in place, without a copy; use it in a `with` block.

        The block gets the batch (or None when time is up, or a gap). Its arrays are read-only
        windows into the ring: at most one frame, and only until the block ends. Then they are
        checked, and `ViewOverrun` is raised if the publisher wrote over them meanwhile. If the
        block itself raises, the batch counts as not delivered. Of an untyped stream
        `batch.messages` are memoryviews, and `batch.offsets` has a begin and an end for each.
        `timeout` (seconds) and `max_messages` are as in `poll`.

        Raises: as `poll`; `ViewOverrun` at the block's end.
        """
        cure = "leave it out for 1,024"
        count_max = arguments.whole("max_messages", max_messages, 1, _COUNT_MAX, cure)
        return View(self, timeout=timeout, max_messages=count_max)

    # ---- what there is to know ------

    @property
    def transport(self) -> str:
        """How the bytes come here: "shm" or "verbs"."""
        return self._cursor.transport

    def negotiated(self) -> dict[str, str | int]:
        """What was agreed on with the publisher's side, for people.

        "transport"; over verbs also what carries the stream: "device", "gid", "peer_gid",
        "queue_pair", "peer_queue_pair", "mtu_bytes", "timers", "generation" (of the subscription's
        links, which one it is), and of both sides' `LinkSettings` the lesser: "tail" ("write" or
        "imm"), "credits", "depth". New names may come.

        Raises:
            ClosedError: the subscription is closed.
        """
        if self.closed:
            raise self.closed_error()
        return self._cursor.negotiated()

    @property
    def schema(self) -> np.dtype[Any] | None:
        """The dtype of the records; None for an untyped stream."""
        return self._cursor.dtype

    @property
    def epoch(self) -> int:
        """The publisher's incarnation: ns since 1970 when its stream was made."""
        return self._cursor.epoch

    @property
    def position(self) -> int:
        """The next sequence to be delivered; 0 while the stream has not begun."""
        return self._position()

    @property
    def lag(self) -> int:
        """Bytes of the ring that are published and not yet delivered."""
        if self._end_kind == "ended":
            return 0
        counts = self._counts()
        return int(counts.tail_bytes - counts.cursor_bytes)

    @property
    def ended(self) -> bool:
        """True once nothing more can come: ended, gone or cut off."""
        return self._end is not None

    @property
    def stats(self) -> SubscriptionStats:
        """Counts since the subscription began."""
        return self._stats()

    def events(self) -> list[Event]:
        """The changes of state since the last call, oldest first. Raises nothing."""
        self._take_news()
        events, self._events = self._events, []
        return sorted(events, key=lambda event: event.time_ns)

    # ---- the end ----

    def close(self) -> None:
        """Ends the subscription; idempotent, from any thread. Arrays of its batches stay valid."""
        if self.closed:
            return
        self._is_closed = True
        self._cursor.close()
        self._follower.close()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _forget(self) -> None:
        self._cursor.forget()
