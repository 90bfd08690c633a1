"""Subscribing: a reader's life from the first batch to the end of the stream."""

from __future__ import annotations

import errno
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Literal

import numpy as np

from rdmaq import errors
from rdmaq._fast import error_text, lib
from rdmaq._handle import Handle
from rdmaq.stream.batch import Batch
from rdmaq.stream.batches import Batches
from rdmaq.stream.cursor import Cursor
from rdmaq.stream.events import Event
from rdmaq.stream.stats import SubscriptionStats
from rdmaq.stream.view import View

OnGap = Literal["report", "raise", "skip"]
OnRestart = Literal["raise", "follow"]
Wait = Literal["auto", "spin", "yield", "sleep"]
WAIT_MODES = {
    "auto": lib.RQ_WAIT_AUTO,
    "spin": lib.RQ_WAIT_SPIN,
    "yield": lib.RQ_WAIT_YIELD,
    "sleep": lib.RQ_WAIT_SLEEP,
}

_SLICE_NS = lib.RQ_WAIT_SLICE_NS_MAX
_SLICE_SECONDS = _SLICE_NS / 1e9
_SILENT_NS = 1_000_000_000
_COUNT_MAX = lib.RQ_FRAME_MESSAGES_MAX
_STAT_NAMES = tuple(SubscriptionStats.__dataclass_fields__)


def _not_nan(timeout: float) -> int:
    """0 for a time-out that is over already."""
    if timeout != timeout:
        raise ValueError("timeout=nan: give seconds, 0, or None to wait for ever")
    return 0


class Subscription(Handle):
    """A stream's reader; made by `Peer.subscribe`.

    One thread at a time: a second one inside gets `ConcurrentUse`; `close()` may come from any
    thread. A forked child cannot use it. The arrays in batches stay valid after `close()`.

    Attributes:
        name: the stream's.
    """

    __slots__ = (
        "_attach",
        "_cursor",
        "_end",
        "_events",
        "_is_inside",
        "_is_silent",
        "_looked_seconds",
        "_on_gap",
        "_on_restart",
        "_stats_before",
        "_tail_of_dead",
        "_take",
        "name",
    )

    #: How the bytes come here: "shm".
    transport = "shm"

    def __init__(
        self,
        name: str,
        cursor: Cursor,
        *,
        on_gap: OnGap,
        on_restart: OnRestart,
        attach: Callable[[], Cursor],
    ) -> None:
        super().__init__()
        self.name = name
        self._on_gap = on_gap
        self._on_restart = on_restart
        self._attach = attach  # connects to the next incarnation, from its oldest message
        self._events: list[Event] = []
        self._stats_before = SubscriptionStats()  # of epochs that are over
        self._end: errors.RdmaqError | None = None
        self._is_inside = False
        self._is_silent = False
        self._tail_of_dead = -1
        self._looked_seconds = time.monotonic()
        self._adopt(cursor)
        self._tell("connected", f"stream {name!r} by {self.transport}")

    def _adopt(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._take = cursor.take

    # ---- reading ----

    def poll(
        self, timeout: float | None = None, *, max_messages: int = 1024, into: Any = None
    ) -> Batch | None:
        """Returns the next batch, copied out of the ring, or a gap, or None when time is up.

        Args:
            timeout: seconds to wait when there is nothing; None: for ever; 0: not at all.
            max_messages: the most that the batch may hold.
            into: your own writable buffer (typed: a contiguous array of the dtype) to copy into;
                `batch.data` is then a part of it, and the next poll writes over it.

        Raises:
            EndOfStream: the publisher closed the stream and all was delivered.
            PublisherGone: it vanished, and all that it had published was delivered.
            GapError: only with `on_gap="raise"`; the next poll goes on behind the gap.
            CutOff: a reliable publisher gave this subscription up.
            ValueError: `into` does not fit (nothing is lost), or another argument is out of range.
            SegmentError, ConcurrentUse, ClosedError: see there.

        An exception that a signal handler raises (Ctrl-C) in the very moment of delivery loses that
        batch for this caller; between batches, and while waiting, it loses nothing.
        """
        if timeout is None or timeout >= _SLICE_SECONDS:
            wait_ns = _SLICE_NS
        else:
            wait_ns = int(timeout * 1e9) if timeout > 0 else _not_nan(timeout)
        if not 1 <= max_messages <= _COUNT_MAX:
            raise ValueError(f"max_messages={max_messages}: must be 1 to {_COUNT_MAX:,}")
        # No call stands between test and set, so that no other thread runs between them.
        if self._is_inside:
            raise self._refusal(-errno.EBUSY)
        self._is_inside = True
        try:
            if into is None:
                found = self._take(max_messages, wait_ns)
            else:
                found = self._cursor.take_into(max_messages, wait_ns, into)
            if isinstance(found, Batch):
                return found
            deadline = None if timeout is None else time.monotonic() + timeout - wait_ns / 1e9
            return self._poll_on(found, deadline, max_messages, into)
        finally:
            self._is_inside = False

    def _poll_on(
        self, found: Batch | int, deadline: float | None, max_messages: int, into: Any
    ) -> Batch | None:
        """Goes on until there is something to tell, or time is up."""
        wait_ns = _SLICE_NS
        while True:
            answer = self._answer(found, is_growable=into is None)
            if answer is not None:
                return answer
            if found == lib.RQ_POLL_NOTHING and deadline is not None:
                left_seconds = deadline - time.monotonic()
                if left_seconds <= 0:
                    return None
                wait_ns = int(min(_SLICE_SECONDS, left_seconds) * 1e9) + 1
            if into is None:
                found = self._take(max_messages, wait_ns)
            else:
                found = self._cursor.take_into(max_messages, wait_ns, into)

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
        if not 1 <= max_messages <= _COUNT_MAX:
            raise ValueError(f"max_messages={max_messages}: must be 1 to {_COUNT_MAX:,}")
        return View(self, timeout=timeout, max_messages=max_messages)

    # ---- what there is to know ------

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
        return int(self._counts().next_sequence)

    @property
    def lag(self) -> int:
        """Bytes of the ring that are published and not yet delivered."""
        if isinstance(self._end, errors.EndOfStream):
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
        counts, before = self._counts(), self._stats_before
        return SubscriptionStats(
            **{name: getattr(before, name) + int(getattr(counts, name)) for name in _STAT_NAMES}
        )

    def events(self) -> list[Event]:
        """The changes of state since the last call, oldest first. Raises nothing."""
        events, self._events = self._events, []
        return events

    def _counts(self) -> Any:
        if self._is_forked:
            raise self.closed_error()
        return self._cursor.counts()

    # ---- the end ----

    def close(self) -> None:
        """Ends the subscription; idempotent, from any thread. Arrays of its batches stay valid."""
        if self.closed:
            return
        self._is_closed = True
        self._cursor.close()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _forget(self) -> None:
        self._cursor.forget()

    # ---- the slow half: everything but messages ------

    def _answer(self, found: Batch | int, *, is_growable: bool) -> Batch | None:
        """What a status means: a batch for the user, an exception, or None: take again."""
        if isinstance(found, Batch):
            return found
        if found == lib.RQ_POLL_NOTHING:
            if self._end is not None:
                raise self._end.with_traceback(None)
            self._look_around()
            return None
        if found == lib.RQ_POLL_GAP:
            return self._gap()
        if found == lib.RQ_POLL_TOO_SMALL and is_growable:
            self._cursor.grow()
            return None
        if found == lib.RQ_POLL_END:
            raise self._finish(
                "ended", errors.EndOfStream(f"stream {self.name!r} ended: its publisher closed it")
            )
        if found == lib.RQ_POLL_CUT_OFF:
            raise self._finish("cut_off", self._cut_off())
        raise self._refusal(found)

    def _gap(self) -> Batch | None:
        if self._on_gap == "skip":
            return None  # counted in C
        batch = self._cursor.gap()
        gap = batch.gap
        if self._on_gap == "report":
            return batch
        raise errors.GapError(
            f"stream {self.name!r} lost sequences {gap.first} to {gap.last}: {gap.cause}; go on "
            "polling to read what follows, or subscribe with on_gap='report'",
            gap,
        )

    def _cut_off(self) -> errors.CutOff:
        is_stall = self._cursor.cut_off_reason == lib.RQ_CUT_STALLED
        why = "it stood still for longer than the timeout" if is_stall else "its cursor was invalid"
        return errors.CutOff(
            f"the publisher of {self.name!r} cut this subscription off: {why}; read faster, or "
            f"subscribe again with start={self.position}",
            sequence=self.position,
        )

    def _finish(self, kind: str, end: errors.RdmaqError) -> errors.RdmaqError:
        if self._end is None:
            self._end = end
            self._tell(kind, str(end))
        return self._end

    def _tell(self, kind: str, detail: str = "") -> None:
        self._events.append(Event(kind, self._cursor.epoch, detail))

    def _look_around(self) -> None:
        """Every slice, when nothing came: is the publisher silent, or gone?"""
        now_seconds = time.monotonic()
        if now_seconds - self._looked_seconds < _SLICE_SECONDS:
            return
        self._looked_seconds = now_seconds
        cursor = self._cursor
        if not cursor.publisher_lives():
            self._lose_publisher()
            return
        is_silent = cursor.counts().heartbeat_age_ns > _SILENT_NS
        if is_silent != self._is_silent:
            self._is_silent = is_silent
            self._tell("silent" if is_silent else "heard")

    def _lose_publisher(self) -> None:
        """It died; what it published before that has been delivered, or is delivered now."""
        if self.closed:  # by another thread meanwhile: it was our side that hung up
            raise self.closed_error()
        counts = self._cursor.counts()
        if counts.tail_bytes != counts.cursor_bytes and counts.tail_bytes != self._tail_of_dead:
            self._tail_of_dead = counts.tail_bytes
            return  # something may be left: it is delivered first, unless it cannot be read
        if self._on_restart == "raise":
            raise self._finish(
                "gone",
                errors.PublisherGone(
                    f"the publisher of {self.name!r} is gone: its process ended without closing "
                    "the stream; all that it published was delivered. Connect again when it is "
                    "back, or subscribe with on_restart='follow'"
                ),
            )
        if self._events[-1:] == [] or self._events[-1].kind != "gone":
            self._tell("gone", "waiting for the next incarnation")
        self._follow()

    def _follow(self) -> None:
        try:
            cursor = self._attach()
        except (errors.PeerNotFound, errors.StreamNotFound, errors.HandoverError):
            return
        if self.closed:
            cursor.close()
            raise self.closed_error()
        self._stats_before = self.stats
        self._cursor.close()
        self._adopt(cursor)
        self._tell("restarted", f"epoch {cursor.epoch}")

    def _refusal(self, code: int) -> Exception:
        if code == -errno.ESHUTDOWN:
            return self.closed_error()
        if code == -errno.EBUSY:
            return errors.ConcurrentUse(
                f"another thread or task is inside this subscription to {self.name!r}: one thread "
                "at a time; subscribe once a thread"
            )
        if code == -errno.EALREADY:
            return errors.ConcurrentUse(
                f"a view of {self.name!r} is open: end its with-block before you read on"
            )
        if code == lib.RQ_POLL_TOO_SMALL:
            return ValueError("into= is too small for the next message: give a larger buffer")
        if code == -errno.EBADMSG:
            return self._finish(
                "gone",
                errors.SegmentError(
                    f"the ring of {self.name!r} holds what no publisher writes: it is damaged or "
                    "hostile; nothing of it was delivered. Close, and look at the publisher"
                ),
            )
        return errors.RdmaqError(f"reading {self.name!r} failed: {error_text(code)}")
