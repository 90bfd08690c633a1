"""Ends a pair whose device stands still: the last bound, for a device that breaks its own.

A device ends every request by itself, well or not, within the pair's time-outs. One that does not
(rxe of Linux 6.12 stands still at a fenced request after a lost packet) would be waited for without
end. So when nothing of what it has completes for long, the pair is moved to its error state, which
flushes everything.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rdmaq._fast import lib

if TYPE_CHECKING:
    from rdmaq.verbs.reports import Reports

# No working network is slower: a request is given so much time for its bytes alone.
BYTES_PER_SECOND_MIN = 1_000_000
_GAP_SECONDS_MAX = 2.0  # between two looks of one who waits


class Watchdog:
    """Looked at by whoever waits, now and then; costs nothing where completions come.

    Args:
        seconds: without a completion, beside the time for the bytes in flight.
        end: moves the queue pair to its error state.
    """

    __slots__ = ("_end", "_looked", "_reported", "_since", "seconds")

    def __init__(self, seconds: float, end: Callable[[], None]) -> None:
        self.seconds = seconds
        self._end = end
        self._reported = -1
        self._since = self._looked = 0.0

    def look(self, reports: Reports) -> None:
        """Ends the pair if nothing of what is in flight has completed for too long."""
        now = time.monotonic()
        # While nobody looked, requests may have ended and others begun: the time begins anew.
        is_watched = now - self._looked < max(self.seconds / 2, _GAP_SECONDS_MAX)
        self._looked = now if lib.rq_pair_outstanding(reports.handle) else 0.0
        if reports.reported != self._reported or not is_watched:
            self._reported, self._since = reports.reported, now
            return
        idle_seconds = now - self._since
        if idle_seconds < self.seconds:
            return
        if idle_seconds >= self.seconds + reports.in_flight_bytes() / BYTES_PER_SECOND_MIN:
            self._since = now
            self._end()
