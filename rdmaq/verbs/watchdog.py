"""Ends a pair whose device or peer stands still: the last bound, for who breaks its own.

A device ends every request by itself, well or not, within the pair's time-outs. One that does not
(rxe of Linux 6.12 stands still at a fenced request after a lost packet) would be waited for without
end. So when nothing of what it has completes for long, the pair is moved to its error state, which
flushes everything; where even that does not come, or the device says that it is gone, all is ended
as unknown.

What waits for the peer's receives is not with the device, whose timers do not run for it. So then
the peer is asked, now and then, by a request of no bytes: one that lives may take as long as it
likes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rdmaq._fast import lib

if TYPE_CHECKING:
    from rdmaq.errors import RdmaqError
    from rdmaq.verbs.reports import Reports

# No working network is slower: a request is given so much time for its bytes alone.
BYTES_PER_SECOND_MIN = 1_000_000
FLUSH_SECONDS_MAX = 5.0  # a device flushes in microseconds; rxe under load in tenths of a second
PROBE_SECONDS = 1.0
_GAP_SECONDS_MAX = 2.0  # between two looks of one who waits


def _is_there() -> None:
    """Of a device that tells nothing of itself."""


class Watchdog:
    """Looked at by whoever waits, now and then; costs nothing where completions come.

    Args:
        seconds: without a completion, beside the time for the bytes in flight.
        end: moves the queue pair to its error state, and says what is lost if that does nothing.
        gone: what is lost with the device, if it has told that it is gone.
    """

    __slots__ = ("_end", "_gone", "_looked", "_lost", "_probed", "_reported", "_since", "seconds")

    def __init__(
        self,
        seconds: float,
        end: Callable[[], RdmaqError],
        gone: Callable[[], RdmaqError | None] = _is_there,
    ) -> None:
        self.seconds = seconds
        self._end = end
        self._gone = gone
        self._lost: RdmaqError | None = None  # the pair is in its error state, and nothing came yet
        self._reported = -1
        self._since = self._looked = self._probed = 0.0

    def look(self, reports: Reports) -> None:
        """Ends the pair if nothing of what is in flight has completed for too long."""
        if (error := self._gone()) is not None:
            reports.give_up(error)
            return
        now = time.monotonic()
        # While nobody looked, requests may have ended and others begun: the time begins anew.
        is_watched = now - self._looked < max(self.seconds / 2, _GAP_SECONDS_MAX)
        outstanding = lib.rq_pair_outstanding(reports.handle)
        self._looked = now if outstanding else 0.0
        if not outstanding and reports.outstanding and now - self._probed >= PROBE_SECONDS:
            self._probed = now
            lib.rq_pair_probe(reports.handle)  # who posts meanwhile will hear of the peer as well
        if reports.reported != self._reported or not is_watched:
            self._reported, self._since = reports.reported, now
            return
        idle_seconds = now - self._since
        if self._lost is not None:
            if idle_seconds >= FLUSH_SECONDS_MAX:
                reports.give_up(self._lost)
        elif idle_seconds >= self.seconds + reports.in_flight_bytes() / BYTES_PER_SECOND_MIN:
            self._since = now
            self._lost = self._end()
