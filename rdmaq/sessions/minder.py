"""One thread that looks after all links of streams of this process, at both of their ends."""

from __future__ import annotations

import logging
import os
import selectors
import socket
import threading
from contextlib import suppress
from typing import Protocol

from rdmaq.errors import CapacityError

_log = logging.getLogger("rdmaq")

#: How often the state of a link is looked at, besides what makes its descriptor readable.
EVERY_SECONDS = 0.1


class Minded(Protocol):
    """A subscription, or a publisher's link, as the thread sees it. Neither call waits for long."""

    def look(self) -> None:
        """Every now and then."""

    def ready(self) -> None:
        """Its descriptor can be read."""


class Minder:
    """Runs as long as there is something to mind."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minded: dict[socket.socket | int, Minded] = {}
        self._bell: int | None = None

    def add(self, what: socket.socket | int, minded: Minded) -> None:
        """Looks after it until `remove`.

        Args:
            what: a descriptor that becomes readable when there is something to do.
            minded: told of that.

        Raises:
            CapacityError: the system has no room for the thread.
        """
        with self._lock:
            if self._bell is None:
                self._bell = self._begin()
            self._minded[what] = minded
            os.eventfd_write(self._bell, 1)

    def _begin(self) -> int:
        """The thread, which waits for the lock; returns its bell."""
        bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        run = threading.Thread(target=self._run, args=(bell,), name="rdmaq-links", daemon=True)
        try:
            run.start()
        except RuntimeError as error:
            os.close(bell)
            raise CapacityError(
                f"the thread that looks after links cannot be started: {error}; raise the limit "
                "of processes (ulimit -u) or the container's of tasks"
            ) from error
        return bell

    def remove(self, what: socket.socket | int) -> None:
        """No more looks at it; the caller closes it. Idempotent, from any thread."""
        with self._lock:
            self._minded.pop(what, None)
            if self._bell is not None:
                os.eventfd_write(self._bell, 1)

    def _run(self, bell: int) -> None:
        while True:
            with self._lock:
                minded = dict(self._minded)
                if not minded:
                    self._bell = None
                    os.close(bell)
                    return
            ready = self._ready(bell, minded)
            for one in minded.values():
                try:
                    if one in ready:
                        one.ready()
                    one.look()
                except Exception:  # a bug of ours costs this look, not the others
                    _log.exception("a link could not be looked at")

    def _ready(self, bell: int, minded: dict[socket.socket | int, Minded]) -> list[Minded]:
        with selectors.DefaultSelector() as selector:
            selector.register(bell, selectors.EVENT_READ, None)
            for what, one in minded.items():
                with suppress(ValueError, OSError, KeyError):  # closed meanwhile
                    selector.register(what, selectors.EVENT_READ, one)
            ready = selector.select(EVERY_SECONDS)
        with suppress(BlockingIOError):
            os.eventfd_read(bell)
        return [key.data for key, _ in ready if key.data is not None]

    def forget(self) -> None:
        """In a forked child: thread, sockets and subscriptions are the parent's."""
        self._lock = threading.Lock()
        self._minded, self._bell = {}, None


MINDER = Minder()
os.register_at_fork(after_in_child=MINDER.forget)
