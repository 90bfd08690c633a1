"""From one link to the next: a subscription's way to a link that carries, again and again."""

from __future__ import annotations

import logging
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from rdmaq import errors
from rdmaq._fast import lib
from rdmaq.sessions.backfill import Counts
from rdmaq.sessions.link_facts import unpacked
from rdmaq.sessions.obituaries import CLOSED, CUT_OFF, OVER, UNREACHABLE
from rdmaq.sessions.probe import Farewell
from rdmaq.sessions.replay import Replay

if TYPE_CHECKING:
    from rdmaq.bootstrap.messages import RingKeys
    from rdmaq.sessions.calling import CallingSession
    from rdmaq.sessions.replica import Replica

_log = logging.getLogger("rdmaq")
# A link that failed is asked for again for so long; between two tries longer and longer.
_RESUME_SECONDS = 10.0
_PAUSE_SECONDS, _PAUSE_SECONDS_MAX = 0.02, 1.0
_NEWS_MAX = 1000  # of a user who never asks for events


class Persisting(ABC):
    """Looks after a link, asks for the next one, and READs what no link will bring.

    How a link is made and taken down is the subclass's: `sessions.remote.Remote`.

    Attributes:
        obituary: why nothing comes any more, in words.
        news: kind, words and time (ns since 1970) of each change of the link: the latest of them.
        counts: of links, and of what was READ.
    """

    def __init__(self) -> None:
        self.obituary = CLOSED
        self.news: deque[tuple[str, str, int]] = deque(maxlen=_NEWS_MAX)
        self.counts = Counts()
        self._lock = threading.Lock()
        self._is_closed = self._is_lost = self._is_let_go_due = False
        self._is_held = self._recovers = False
        self._replica: Replica | None = None
        self._session: CallingSession | None = None
        self._slot = -1
        self._sock: socket.socket | None = None  # our end of the reader's
        self._ring: RingKeys | None = None  # the publisher's, while the link is held
        self._replay: Replay | None = None
        self._working: threading.Thread | None = None  # which reads, or asks for the next link

    @abstractmethod
    def _dialled(self) -> CallingSession:
        """A session, and the link along with it; `_ring` says whether it is held."""

    @abstractmethod
    def _attach(self) -> None:
        """The link may write the replica from now on."""

    @abstractmethod
    def _let_go(self) -> None:
        """Of session and link; nothing arrives any more. Under the lock."""

    @abstractmethod
    def _take_down(self) -> None:
        """Of all of it. Under the lock."""

    # ---- watching (on the minder's thread) ----

    def look(self) -> None:
        """Is the publisher there? What has come is delivered before the reader is told."""
        if not self._lock.acquire(blocking=False):
            return  # who has it ends a link, or all of it: others are not to wait for that
        try:
            self._look()
        finally:
            self._lock.release()

    def _look(self) -> None:
        session = self._session
        if self._is_closed or self._is_lost or self._working is not None:
            return
        assert self._replica is not None
        state = self._replica.state()
        if state == lib.RQ_REPLICA_ENDED:
            return
        assert session is not None
        farewell = session.farewell
        if farewell in OVER:
            self._lose(OVER[farewell])
            self._set_to(self._leave)
        elif farewell == Farewell.LINK_ENDED:
            self._resume(f"the publisher ended it: {unpacked(session.farewell_cause)}")
        elif state == lib.RQ_REPLICA_FAILED:
            self._resume("a receive failed")
        elif state == lib.RQ_REPLICA_SILENT and not session.beat():
            self._resume(UNREACHABLE)

    def _lose(self, obituary: str) -> None:
        """The reader finds that nobody is at the other end any more; under the lock."""
        if self._is_lost or self._is_closed:
            return
        assert self._replica is not None
        assert self._sock is not None
        self.obituary = obituary
        if obituary == CUT_OFF:
            self._replica.cut_off(self._slot)  # the reader finds that before anything else
        self._is_lost = True
        self._replica.dismiss(self._slot)
        # Not closed: a reader that is dropped without a word must still be heard to hang up, or all
        # that is its own would stay on the device, and the node's thread in memory that is gone.
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def _resume(self, why: str) -> None:
        """Begins to connect anew, in a thread of its own; under the lock."""
        self._tell("link_down", why)
        self._is_let_go_due = True
        self._begin_work(why)

    def _tell(self, kind: str, words: str) -> None:
        self.news.append((kind, words, time.time_ns()))

    # ---- getting to a link that carries (a thread of its own) ----

    def _begin_work(self, why: str) -> None:
        self._set_to(self._run, why)

    def _set_to(self, work: Callable[..., None], *arguments: str) -> None:
        self._working = threading.Thread(
            target=work, args=arguments, name="rdmaq-resume", daemon=True
        )
        try:
            self._working.start()
        except RuntimeError:  # no room for it: at the next look
            self._working = None
            raise

    def _leave(self) -> None:
        """A thread, after `_lose`: only the bytes are of use yet, and not to a NIC."""
        with self._lock:
            self._working = None
            try:
                self._unpin()
            except Exception:
                _log.exception("what was left of a link could not be let go of")
            if self._is_closed:
                self._take_down()

    def _unpin(self) -> None:
        """Who subscribes anew needs the memory that may be locked; readers read on."""
        assert self._replica is not None
        self._let_go()
        self._replica.unpin()

    def _run(self, why: str) -> None:
        """The thread. Whatever becomes of it, the reader is told."""
        try:
            self._work(why)
        except Exception:  # of letting go: a device that is gone may refuse that, too
            _log.exception("what was left of a link could not be let go of")
            with self._lock:
                self._working = None
                self._lose(f"its link cannot be had again: {why}")
                if self._is_closed:
                    self._take_down()

    def _work(self, why: str) -> None:
        """Asks for a link, ever more patiently, and READs what it will not bring."""
        deadline = time.monotonic() + _RESUME_SECONDS
        pause = _PAUSE_SECONDS
        if self._is_let_go_due:
            with self._lock:
                self._let_go()
        while not self._is_closed:
            try:
                session = self._session
                if session is None:
                    session = self._dialled()
                    self._session = session
                if self._ring is not None:
                    self._fill(session, self._ring)
            except errors.StreamNotFound as error:
                why = f"{error}"
                break
            except Exception as error:  # else nobody would ever ask again, nor tell the reader
                if not isinstance(error, errors.RdmaqError):
                    _log.exception("a link could not be asked for")
                if self._replay is not None and self._replay.has_progressed:
                    deadline, pause = time.monotonic() + _RESUME_SECONDS, _PAUSE_SECONDS
                if self._session is not None:
                    self._tell("link_down", f"{error}")
                # A publisher may outrun us while we connect: a link that he does not wait for lags
                # by half the ring then before it begins, again and again. Who READs catches up.
                self._is_held = True
                with self._lock:
                    farewell = 0 if self._session is None else self._session.farewell
                    self._let_go()
                why = OVER.get(farewell, f"its link cannot be had again: {error}")
                if farewell in OVER or time.monotonic() >= deadline:
                    break
                time.sleep(pause)
                pause = min(2 * pause, _PAUSE_SECONDS_MAX)
                continue
            self._carried()
            return
        with self._lock:
            self._working = None
            self._let_go()
            self._lose(why)
            self._unpin()
            if self._is_closed:
                self._take_down()

    def _fill(self, session: CallingSession, ring: RingKeys) -> None:
        """READs until the link carries."""
        assert self._replica is not None
        self._replay = Replay(
            session,
            self._replica,
            ring,
            attach=self._attach,
            counts=self.counts,
            tell=self._tell,
        )
        if self._is_closed:
            self._replay.cancel()
        self._replay.run()

    def _carried(self) -> None:
        """A link carries now, or the end of the stream is here."""
        assert self._replica is not None
        with self._lock:
            self._working = self._replay = None
            has_ended = self._replica.state() == lib.RQ_REPLICA_ENDED
            if self.counts.links > 0 and not has_ended:
                self._tell("linked", "what was lost between the two is told as a gap")
            if self._ring is not None:
                self._tell("live", "what was published before is here")
            self._ring = None
            if has_ended:  # the node need not wait for us
                self._let_go()
            else:
                self._note_link()
            if self._is_closed:
                self._take_down()

    def _note_link(self) -> None:
        """One carries. The next one READs first where nothing is to be lost that can be had."""
        assert self._replica is not None
        self.counts.links += 1
        self._is_held = self._recovers or self._replica.is_reliable
