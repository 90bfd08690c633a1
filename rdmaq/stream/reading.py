"""What a subscription does besides taking messages: gaps, ends, restarts, and what went wrong."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NoReturn

import numpy as np

from rdmaq import errors
from rdmaq._fast import Receiver, address_of, error_text, ffi, lib
from rdmaq._handle import BareHandle
from rdmaq.stream import encode
from rdmaq.stream.batch import Batch, Gap, GapBatch
from rdmaq.stream.cursor import Cursor
from rdmaq.stream.events import Event
from rdmaq.stream.following import Follower
from rdmaq.stream.stats import SubscriptionStats

OnGap = Literal["report", "raise", "skip", "recover"]
OnRestart = Literal["raise", "follow"]

_CAUSES = {lib.RQ_CAUSE_UPSTREAM: "upstream", lib.RQ_CAUSE_OVERRUN: "overrun"}
_STAT_NAMES = tuple(SubscriptionStats.__dataclass_fields__)


class Reading(Receiver, BareHandle):
    """The slow half of `Subscription`. `poll` is written in C (csrc/python/receiver.c).

    It hands messages over by itself and asks here (`_answer`) about everything else.
    """

    __slots__ = (
        "__weakref__",
        "_cursor",
        "_end",
        "_end_kind",
        "_events",
        "_follower",
        "_is_closed",
        "_is_forked",
        "_is_gone_told",
        "_is_silent",
        "_on_gap",
        "_on_restart",
        "_stats_before",
        "_tail_of_dead",
        "name",
    )

    def __init__(
        self,
        name: str,
        cursor: Cursor,
        *,
        on_gap: OnGap,
        on_restart: OnRestart,
        follower: Follower,
    ) -> None:
        super().__init__()
        self.name = name
        self._on_gap = on_gap
        self._on_restart = on_restart
        self._follower = follower
        self._events: list[Event] = []
        self._stats_before = SubscriptionStats()  # of epochs that are over
        self._end: Callable[[], errors.RdmaqError] | None = None  # what every poll raises then
        self._end_kind = ""
        self._is_silent = self._is_gone_told = False
        self._tail_of_dead = -1
        self._adopt(cursor)
        words = f"stream {name!r} by {cursor.transport}"
        self._events.append(Event("connected", cursor.epoch, words, cursor.made_ns))

    def _adopt(self, cursor: Cursor) -> None:
        self._cursor = cursor
        record_bytes = 0 if cursor.dtype is None else cursor.dtype.itemsize
        self._bind(cursor, address_of(cursor.handle), record_bytes, cursor.wait_mode, Batch)

    def _stats(self) -> SubscriptionStats:
        counts, before = self._counts(), self._stats_before
        carried = self._cursor.carried()
        return SubscriptionStats(
            **{
                name: getattr(before, name) + carried.get(name, int(getattr(counts, name, 0)))
                for name in _STAT_NAMES
            }
        )

    def _position(self) -> int:
        counts, kept = self._counts(), self._kept
        if kept is not None:  # taken out of the ring, and not delivered
            return kept.sequence
        return self._undelivered_sequence if self._undelivered else int(counts.next_sequence)

    def _counts(self) -> Any:
        if self._is_forked:
            raise self.closed_error()
        return self._cursor.counts()

    # ---- what C asks ------

    def _refuse_entry(self) -> NoReturn:
        raise self._refusal(-errno.EBUSY)

    def _check_into(self, into: Any) -> Any:
        """Says what to cut batches of when they are copied into this buffer.

        Raises:
            ValueError: it is not writable and contiguous, or (typed) of another dtype.
        """
        dtype = self._cursor.dtype
        is_list = isinstance(into, np.ndarray) and into.ndim == 1
        if dtype is not None and not (is_list and into.dtype == dtype):
            raise ValueError(
                f"into= must be a 1-D array of the stream's dtype {dtype}: "
                "make one by np.empty(count, sub.schema)"
            )
        try:
            ffi.from_buffer("uint8_t *", into, require_writable=True)
            view = np.frombuffer(into, dtype=np.uint8)
            owner = into.obj if isinstance(into, memoryview) else into
            is_unfit = encode.holds_objects(into) or encode.is_masked(owner)
        except (BufferError, TypeError, ValueError) as error:
            raise ValueError(
                f"into= cannot be written to: {error}; give a writable contiguous array or "
                "bytearray"
            ) from error
        if is_unfit:
            raise ValueError(
                "into= is masked or holds Python objects: bytes written there would stay hidden, "
                "or be taken for objects; give a plain array of the dtype, or of bytes"
            )
        return view if dtype is None else into

    def _answer(self, status: int, found: bytes) -> Batch | errors.GapError | None:
        """What a status means: a batch for the user, an exception, or None: go on.

        The exception that tells of a gap is returned: once it is, the gap counts as told.

        Args:
            status: RQ_POLL_* or -errno.
            found: the `struct rq_batch` that came with it.
        """
        if status == lib.RQ_POLL_NOTHING:
            if self._end is not None:
                raise self._end()
            self._look_around()
            return None
        details = ffi.from_buffer("struct rq_batch *", found)
        if status == lib.RQ_POLL_GAP:
            return self._gap(details, found)
        if status == lib.RQ_POLL_END:
            text = f"stream {self.name!r} ended: its publisher closed it"
            raise self._finish("ended", partial(errors.EndOfStream, text))
        if status == lib.RQ_POLL_CUT_OFF:
            raise self._finish("cut_off", self._cut_off(details.cause == lib.RQ_CUT_STALLED))
        raise self._refusal(status)

    def _gap(self, details: Any, found: bytes) -> Batch | errors.GapError | None:
        if self._on_gap == "skip":
            return None  # counted in C
        cause = _CAUSES.get(details.cause, "overrun")
        gap = Gap(details.sequence, details.last, cause, self._cursor.epoch)
        if self._on_gap in ("report", "recover"):
            return GapBatch.of(gap, self._cursor, found)
        return errors.GapError(
            f"stream {self.name!r} lost sequences {gap.first} to {gap.last}: {gap.cause}; go on "
            "polling to read what follows, or subscribe with on_gap='report'",
            gap,
        )

    def _cut_off(self, is_stall: bool) -> Callable[[], errors.CutOff]:
        why = "it stood still for longer than the timeout" if is_stall else "its cursor was invalid"
        position = self._position()
        return partial(
            errors.CutOff,
            f"the publisher of {self.name!r} cut this subscription off: {why}; read faster, or "
            f"subscribe again with start={position}",
            sequence=position,
        )

    def _finish(self, kind: str, end: Callable[[], errors.RdmaqError]) -> errors.RdmaqError:
        """Keeps how to tell the end, for an exception that was raised holds its frames.

        They hold this subscription: in a circle with it, the ring would stay mapped until the
        garbage collector comes by.
        """
        if self._end is None:
            self._end = end
            self._end_kind = kind
            self._has_ended = True
            self._tell(kind, str(end()))
        return self._end()

    def _tell(self, kind: str, detail: str = "") -> None:
        self._events.append(Event(kind, self._cursor.epoch, detail))

    def _look_around(self) -> None:
        """Every slice, when nothing came: is the publisher silent, or gone?"""
        cursor = self._cursor
        if not cursor.publisher_lives():
            self._lose_publisher()
            return
        self._listen()

    def _take_news(self) -> None:
        """What became of the way here goes among the events."""
        for kind, detail, time_ns in self._cursor.take_news():
            self._events.append(Event(kind, self._cursor.epoch, detail, time_ns))

    def _listen(self) -> None:
        """Is the publisher's heart beating? Tells when that changed."""
        cursor = self._cursor
        is_silent = cursor.counts().heartbeat_age_ns > cursor.silent_ns
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
                partial(
                    errors.PublisherGone,
                    f"the publisher of {self.name!r} is gone: {self._cursor.obituary}; all that "
                    "came of it was delivered. Connect again when it is back, or subscribe with "
                    "on_restart='follow'",
                ),
            )
        if not self._is_gone_told:
            self._is_gone_told = True
            self._tell("gone", "waiting for the next incarnation")
        self._follow()

    def _follow(self) -> None:
        try:
            cursor = self._follower(self._cursor.epoch, self._position())
        except (errors.PeerNotFound, errors.StreamNotFound, errors.HandoverError):
            return
        if self.closed:
            cursor.close()
            raise self.closed_error()
        self._stats_before, epoch = self._stats(), self._cursor.epoch
        self._take_news()
        self._cursor.close()
        self._adopt(cursor)
        self._is_gone_told = False
        if cursor.epoch == epoch:
            self._tell("linked", "the publisher was there all the time; what was lost is told")
        else:
            self._tell("restarted", f"epoch {cursor.epoch}")

    def _refusal(self, code: int) -> Exception:
        if code == -errno.ESHUTDOWN or self._is_forked:
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
                partial(
                    errors.SegmentError,
                    f"the ring of {self.name!r} holds what no publisher writes: it is damaged or "
                    "hostile; nothing of it was delivered. Close, and look at the publisher",
                ),
            )
        return errors.RdmaqError(f"reading {self.name!r} failed: {error_text(code)}")
