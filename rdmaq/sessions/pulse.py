"""Finds out which peers have died: their NICs answer no READ any more."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

_log = logging.getLogger("rdmaq")

#: How often a peer's NIC is asked. One that answers no more is given up within so many seconds, two
#: looks (2 s), and its own bound (`failure_seconds_max`, 7.5 s with the defaults): 15 in all.
EVERY_SECONDS = 5.0


class Beating(Protocol):
    """A session as the pulse sees it."""

    def beat(self, now: float, every_seconds: float) -> bool:
        """Sees whether the peer is there, without waiting."""


class Pulse:
    """One thread that looks at every session by turns, and waits for none.

    Args:
        sessions: those that are open now, by name.
        end: what to do with one whose peer is dead.
        look: called at each turn before them.
        every_seconds: how often a peer is asked.
    """

    def __init__(
        self,
        sessions: Callable[[], Sequence[tuple[bytes, Beating]]],
        end: Callable[[bytes], None],
        look: Callable[[], None],
        *,
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        self._sessions = sessions
        self._end = end
        self._look = look
        self._every_seconds = every_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rdmaq-pulse", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(self._every_seconds / 5):
            try:
                self._look()
            except Exception:
                _log.exception("the devices could not be looked at")
            for name, session in self._sessions():
                try:
                    if not session.beat(time.monotonic(), self._every_seconds):
                        _log.info("a peer's NIC does not answer any more: its session is ended")
                        self._end(name)
                except Exception:  # a bug of ours costs this look, not the others
                    _log.exception("a session could not be looked at")

    def close(self) -> None:
        """No more looks; waits for the one under way."""
        self._stopping.set()
        self._thread.join()
