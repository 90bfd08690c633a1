"""The next incarnation of a stream of another host: connected to in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from rdmaq import errors
from rdmaq.stream.cursor import Cursor

if TYPE_CHECKING:
    from rdmaq.sessions.outlet import Outlet
    from rdmaq.sessions.remote import Remote

_PAUSE_SECONDS = 0.1
# Nothing that waiting mends; a node that begins anew refuses, hangs up or is not there for a while.
_FINAL = (
    errors.SchemaMismatch,
    errors.SchemaError,
    errors.CapacityError,
    errors.RegistrationError,
    errors.UnsupportedTransport,
)
_log = logging.getLogger("rdmaq")


class RemoteFollower:
    """A `stream.following.Follower`: connecting takes longer than a poll may.

    Args:
        make: makes what connects; epoch and sequence as `Follower` has them.
        outlet: the device; held until `close`, also when the peer is closed.
    """

    def __init__(self, make: Callable[[int, int], Remote], outlet: Outlet) -> None:
        self._make, self._outlet = make, outlet
        self._lock = threading.Lock()
        self._is_trying = self._is_closed = False
        self._found: Cursor | None = None
        self._error: errors.RdmaqError | None = None
        self._next_seconds = 0.0
        outlet.hold()

    def __call__(self, epoch: int, sequence: int, /) -> Cursor:
        """See `Follower`."""
        with self._lock:
            found, self._found = self._found, None
            error, self._error = self._error, None
            is_due = time.monotonic() >= self._next_seconds and not self._is_closed
            if found is None and error is None and is_due and not self._is_trying:
                self._is_trying = True
                threading.Thread(
                    target=self._run, args=(epoch, sequence), name="rdmaq-follow", daemon=True
                ).start()
        if found is not None:
            return found
        if error is not None:
            raise error
        raise errors.StreamNotFound("it is not there yet: it is asked for again", available=())

    def _run(self, epoch: int, sequence: int) -> None:
        found: Cursor | None = None
        error: errors.RdmaqError | None = None
        try:
            found = self._make(epoch, sequence).connect()
        except _FINAL as final:
            error = final
        except errors.RdmaqError:  # not there yet
            pass
        except Exception:
            _log.exception("the next incarnation could not be asked for")
        with self._lock:
            self._is_trying = False
            self._next_seconds = time.monotonic() + _PAUSE_SECONDS
            if not self._is_closed:
                self._found, self._error = found, error
                return
        if found is not None:
            found.close()

    def close(self) -> None:
        """See `Follower`."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            found, self._found = self._found, None
        if found is not None:
            found.close()
        self._outlet.let_go()

    def __del__(self) -> None:
        with suppress(Exception):  # its subscription was dropped without a word
            self.close()
