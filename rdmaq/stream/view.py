"""Borrowing a batch in place: `with sub.view() as batch`."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING

from rdmaq import arguments, errors
from rdmaq._fast import lib
from rdmaq.stream.batch import Batch

if TYPE_CHECKING:
    from rdmaq.stream.subscription import Subscription

_SLICE_NS = lib.RQ_WAIT_SLICE_NS_MAX
_SLICE_SECONDS = _SLICE_NS / 1e9


class View:
    """Context manager made by `Subscription.view`; see there."""

    __slots__ = ("_count_max", "_has_looked", "_is_lent", "_subscription", "_timeout")

    def __init__(
        self, subscription: Subscription, *, timeout: float | None, max_messages: int
    ) -> None:
        self._subscription = subscription
        self._timeout = None if timeout is None else arguments.seconds("timeout", timeout)
        self._count_max = max_messages
        self._is_lent = False
        self._has_looked = False

    def __enter__(self) -> Batch | None:
        subscription = self._subscription
        if self._is_lent:
            raise subscription._refusal(-errno.EALREADY)
        self._has_looked = False
        subscription._enter()
        try:
            return self._borrow()
        except BaseException as error:
            # Ctrl-C after it was lent: the block that would end it never begins. Another view that
            # is open keeps what is its own.
            if self._is_lent or (self._has_looked and not subscription._cursor.is_lent):
                self._is_lent = subscription._cursor.is_lent = False
                subscription._cursor.give_back(consume=False)
            gap = subscription._cursor.lent_gap() if self._has_looked else None
            if gap is not None and not isinstance(error, errors.GapError):
                subscription._keep_gap(gap)  # nobody was told
            raise
        finally:
            subscription._leave()

    def _borrow(self) -> Batch | None:
        subscription, timeout = self._subscription, self._timeout
        if (kept := subscription._take_undelivered()) is not None:
            return kept  # taken out already, by a poll that a signal's handler ended
        deadline = None if timeout is None else time.monotonic() + timeout
        subscription._cursor.forget_gap()
        self._has_looked = True
        while True:
            wait_ns = _SLICE_NS
            if deadline is not None:
                left_seconds = min(_SLICE_SECONDS, deadline - time.monotonic())
                wait_ns = int(left_seconds * 1e9) if left_seconds > 0 else 0
            lent, found = subscription._cursor.lend(self._count_max, wait_ns)
            if lent == -errno.EALREADY:
                self._has_looked = False  # what is lent is not ours, also when its end has begun
            if isinstance(lent, Batch):
                self._is_lent = subscription._cursor.is_lent = True
                return lent
            answer = subscription._answer(lent, found)
            if isinstance(answer, errors.GapError):
                raise answer
            if answer is not None:
                return answer
            if lent == lib.RQ_POLL_NOTHING and wait_ns == 0:
                return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._is_lent:
            return
        self._is_lent = self._subscription._cursor.is_lent = False
        code = self._subscription._cursor.give_back(consume=kind is None)
        if kind is not None:
            return  # the block's own exception says more
        if code == 0:
            raise errors.ViewOverrun(
                f"the publisher of {self._subscription.name!r} wrote over the borrowed bytes: "
                "throw away what was computed from them; hold views for a shorter time, copy "
                "(poll), or use a larger ring"
            )
        if code < 0:
            raise self._subscription._refusal(code)
