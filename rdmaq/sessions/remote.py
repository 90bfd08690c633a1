"""One subscription over verbs: a replica here, the link that writes it, the session of both."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rdmaq import errors
from rdmaq._fast import ffi, lib
from rdmaq.bootstrap.messages import (
    STARTS,
    SUBSCRIPTION_BYTES,
    Description,
    LinkAsk,
    LinkGrant,
    RingKeys,
)
from rdmaq.sessions import attributes
from rdmaq.sessions.backfill import Counts
from rdmaq.sessions.calling import Caller, CallingSession, dial
from rdmaq.sessions.link_settings import LinkSettings
from rdmaq.sessions.minder import MINDER
from rdmaq.sessions.obituaries import CLOSED, CUT_OFF, OVER, UNREACHABLE
from rdmaq.sessions.outlet import Outlet
from rdmaq.sessions.probe import Farewell
from rdmaq.sessions.remote_cursor import RemoteCursor
from rdmaq.sessions.replay import Replay
from rdmaq.sessions.replica import Replica
from rdmaq.sessions.wanted import wanted
from rdmaq.verbs.constants import Access

if TYPE_CHECKING:
    from rdmaq.verbs.pair import Pair
    from rdmaq.verbs.settings import PairSettings

_log = logging.getLogger("rdmaq")
# A link that failed is asked for again for so long; between two tries longer and longer.
_RESUME_SECONDS = 10.0
_PAUSE_SECONDS, _PAUSE_SECONDS_MAX = 0.02, 1.0
_CLOSE_SECONDS_MAX = 2.0


class Remote:
    """Connects, watches the link, and takes all of it down in order. A `sessions.calling.Rider`.

    Args:
        call: makes a client of the bootstrap.
        outlet: the device; held until `close`.
        request: names the stream, the schema that is expected and where to begin.
        wait_mode: RQ_WAIT_*: how the reader waits.
        settings: of the link.
        session_settings: of the session's pair.

    Attributes:
        obituary: why nothing comes any more, in words.
        news: kind, words and time (ns since 1970) of each change of the link.
        counts: of links, and of what was READ.
    """

    def __init__(
        self,
        call: Callable[[float | None], Caller],
        outlet: Outlet,
        request: dict[str, Any],
        wait_mode: int,
        settings: LinkSettings,
        session_settings: PairSettings,
    ) -> None:
        self.obituary = CLOSED
        self.news: list[tuple[str, str, int]] = []
        self.counts = Counts()
        self._call, self._outlet, self._request = call, outlet, request
        self._wait_mode, self._settings = wait_mode, settings
        self._session_settings = session_settings
        self._subscription = secrets.token_bytes(SUBSCRIPTION_BYTES)
        self._generation = 0
        self._tail_mode = settings.tail_mode(outlet.device.port.device)
        self._lock = threading.Lock()
        self._is_closed = self._is_lost = self._is_let_go_due = False
        self._replica: Replica | None = None
        self._pair: Pair | None = None
        self._session: CallingSession | None = None
        self._cursor: RemoteCursor | None = None  # until it is handed out: it keeps us, not we it
        self._slot = -1
        self._sock: socket.socket | None = None  # our end of the reader's
        # What was missed is READ before a link carries: of the first one what `start` asks for.
        self._is_held = request["start"] != lib.RQ_START_LIVE
        self._ring: RingKeys | None = None  # the publisher's, while the link is held
        self._replay: Replay | None = None
        self._working: threading.Thread | None = None  # which reads, or asks for the next link
        outlet.hold()

    def connect(self) -> RemoteCursor:
        """Makes all of it, and returns the reader.

        Raises:
            StreamNotFound, SchemaMismatch, SegmentError, CapacityError: there is no such stream, or
                no replica of it can be made here.
            RdmaqError: else as `sessions.calling.dial`. Nothing is left.
        """
        try:
            self._session = self._dialled()
        except BaseException:
            cursor, self._cursor = self._cursor, None
            if cursor is not None:
                cursor.close()  # and us
            self.close()
            raise
        cursor, self._cursor = self._cursor, None
        assert cursor is not None
        assert self._sock is not None
        if self._ring is None:
            self.counts.links += 1
        else:
            self._begin_work("its first link was not had")
        MINDER.add(self._sock, self)
        return cursor

    def _dialled(self) -> CallingSession:
        self._generation += 1
        return dial(self._call, self._outlet, settings=self._session_settings, rider=self)

    # ---- connecting (called by `dial`) ----

    def ask(self, description: Description) -> LinkAsk:
        """A replica of the stream, if there is none yet, and the pair that writes it."""
        offer = wanted(description, self._request)
        domain, settings = self._outlet.domain, self._settings
        if self._replica is None:
            self._replica = Replica(domain, offer, settings.silent_seconds)
        if offer.epoch != self._replica.epoch:
            raise errors.StreamNotFound(
                f"stream {offer.name!r} is another incarnation by now: its publisher has begun "
                "anew; subscribe again",
                available=[offer.name],
            )
        self._pair = domain.pair(
            settings.receiving(self._tail_mode),
            remote=Access.REMOTE_READ | Access.REMOTE_WRITE,
            is_lent=True,
        )
        tail, request = self._replica.tail_bytes, self._request
        return LinkAsk(
            stream=offer.name,
            subscription=self._subscription,
            generation=self._generation,
            epoch=offer.epoch,
            position=tail,
            cursor=min(tail, self._replica.cursor_bytes) if tail and offer.is_reliable else 0,
            tail_mode=self._tail_mode,
            credit_count=settings.credits if self._tail_mode == "imm" else 0,
            replica=self._replica.keys,
            pair=attributes.to_message(self._pair),
            start="live" if tail else STARTS[request["start"]],
            start_value=0 if tail else request["start_value"],
            is_held=self._is_held,
        )

    def granted(self, grant: LinkGrant) -> None:
        """Puts the replica where the link will begin; admits the reader there, if it is the first.

        Raises:
            SegmentError: no link can begin there.
        """
        replica = self._replica
        assert replica is not None
        assert self._pair is not None
        self._pair.connect(attributes.to_address(grant.pair))
        is_first, self._ring = self._sock is None, grant.ring
        if is_first:
            origin, generation = grant.origin_sequence, self._generation
            replica.open(grant.start, grant.sequence, origin, generation)
        elif grant.ring is None:
            replica.restart(self._generation, grant.start, grant.sequence)
        else:  # the backfill finds out where it goes on
            replica.restart(self._generation, replica.tail_bytes, 0)
        if grant.ring is None:
            self._attach()
        if is_first:
            self._cursor = self._admitted(replica, grant.deliver_sequence)

    def _attach(self) -> None:
        """The link may write the replica from now on."""
        assert self._replica is not None
        assert self._pair is not None
        is_imm = self._tail_mode == "imm"
        self._replica.attach(
            self._outlet.keeper(),
            self._pair.lend() if is_imm else ffi.NULL,
            self._settings.credits if is_imm else 0,
        )

    def _admitted(self, replica: Replica, sequence: int) -> RemoteCursor:
        kind, value = self._request["start"], self._request["start_value"]
        self._sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.setblocking(False)
        try:
            control_fd, self._slot, position = replica.admit(self._sock)
            try:
                cursor = RemoteCursor(
                    replica.segment,
                    replica.dtype,
                    control_fd,
                    (self._slot, position, sequence),
                    deliver_from=value if kind == lib.RQ_START_SEQUENCE else 0,
                    deliver_from_ns=value if kind == lib.RQ_START_WALL_NS else 0,
                    sock=theirs,
                    pidfd=None,
                    wait_mode=self._wait_mode,
                )
            finally:
                os.close(control_fd)
        except BaseException:
            theirs.close()
            raise
        cursor.remote = self
        return cursor

    # ---- watching (on the minder's thread) ----

    def ready(self) -> None:
        """The reader hung up: it was closed, or forgotten."""
        self.close()

    def look(self) -> None:
        """Is the publisher there? What has come is delivered before the reader is told."""
        with self._lock:
            session = self._session
            if self._is_closed or self._is_lost or self._working is not None:
                return
            assert self._replica is not None
            assert session is not None
            state, farewell = self._replica.state(), session.farewell
            if state == lib.RQ_REPLICA_ENDED:
                return
            if farewell in OVER:
                self._lose(OVER[farewell])
            elif farewell == Farewell.LINK_ENDED:
                self._resume("the publisher ended it: we lag, or its retries are used up")
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
        MINDER.remove(self._sock)
        self._replica.dismiss(self._slot)
        self._sock.close()

    def _resume(self, why: str) -> None:
        """Begins to connect anew, in a thread of its own; under the lock."""
        self._tell("link_down", why)
        self._is_let_go_due = True
        self._begin_work(why)

    def _tell(self, kind: str, words: str) -> None:
        self.news.append((kind, words, time.time_ns()))

    # ---- getting to a link that carries (a thread of its own) ----

    def _begin_work(self, why: str) -> None:
        self._working = threading.Thread(
            target=self._work, args=(why,), name="rdmaq-resume", daemon=True
        )
        self._working.start()

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
            is_reliable=self._replica.is_reliable,
        )
        if self._is_closed:
            self._replay.cancel()
        self._replay.run()

    def _carried(self) -> None:
        """A link carries now, or the end of the stream is here."""
        with self._lock:
            self._working = self._replay = None
            self.counts.links += 1
            if self._generation > 1:
                self._tell("linked", f"link {self._generation}")
            if self._ring is not None:
                self._tell("live", "what was published before is here")
            self._ring, self._is_held = None, False
            if self._is_closed:
                self._take_down()

    # ---- the end ----

    def _let_go(self) -> None:
        """The link: the node is told, its queue pair destroyed, then nothing arrives any more."""
        self._is_let_go_due = False
        session, self._session = self._session, None
        if session is not None:
            session.close()
        replay, self._replay = self._replay, None
        if replay is not None:
            replay.close()
        pair, self._pair = self._pair, None
        if pair is not None:
            lent = None if pair.closed else pair.lend()
            pair.close()
            if self._replica is not None:
                self._replica.detach()
            del lent  # the struct was the keeper's until here

    def _take_down(self) -> None:
        self._let_go()
        if self._replica is not None:
            self._replica.close()
        self._outlet.let_go()

    def close(self) -> None:
        """Tells the node, ends both pairs, then the replica. Idempotent, from any thread.

        When it returns nothing of it is left on the device, and the ring here is not written any
        more; the readers' arrays stay. While a link is being asked for, that is soon after.
        """
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            if self._sock is not None:
                MINDER.remove(self._sock)
                self._sock.close()
            working, replay = self._working, self._replay
            if working is None:
                self._take_down()
        if replay is not None:
            replay.cancel()
        if working is not None:
            working.join(_CLOSE_SECONDS_MAX)
