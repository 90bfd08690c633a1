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
    SUBSCRIPTION_BYTES,
    Description,
    LinkAsk,
    LinkGrant,
    StreamOffer,
)
from rdmaq.sessions import attributes
from rdmaq.sessions.calling import Caller, CallingSession, Outlet, dial
from rdmaq.sessions.link_settings import LinkSettings
from rdmaq.sessions.minder import MINDER
from rdmaq.sessions.probe import Farewell
from rdmaq.sessions.replica import Replica
from rdmaq.stream import refusals
from rdmaq.stream import schema as schemas
from rdmaq.stream.cursor import Cursor
from rdmaq.verbs.constants import Access

if TYPE_CHECKING:
    from rdmaq.verbs.pair import Pair
    from rdmaq.verbs.settings import PairSettings

_log = logging.getLogger("rdmaq")
# A link that failed is asked for again for so long; between two tries longer and longer.
_RESUME_SECONDS = 10.0
_PAUSE_SECONDS, _PAUSE_SECONDS_MAX = 0.02, 1.0
_CLOSE_SECONDS_MAX = 2.0
_CLOSED = "its node was closed, or ended the connection"
_UNREACHABLE = (
    "its node's NIC does not answer any more: the host, its port or the way there is down"
)


class RemoteCursor(Cursor):
    """Reads a replica; closing it ends the link and all that belongs to it."""

    transport = "verbs"
    remote: Remote

    @property
    def obituary(self) -> str:
        """Why nothing comes any more, in words."""
        return self.remote.obituary

    def take_news(self) -> list[tuple[str, str, int]]:
        """What became of the link since the last call."""
        news, self.remote.news = self.remote.news, []
        return news

    def close(self) -> None:
        """As `Cursor.close`; when it returns nothing of the subscription is left on the device."""
        super().close()
        self.remote.close()


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
        self.obituary = _CLOSED
        self.news: list[tuple[str, str, int]] = []
        self._call, self._outlet, self._request = call, outlet, request
        self._wait_mode, self._settings = wait_mode, settings
        self._session_settings = session_settings
        self._subscription = secrets.token_bytes(SUBSCRIPTION_BYTES)
        self._generation = 0
        self._tail_mode = settings.tail_mode(outlet.device.port.device)
        self._lock = threading.Lock()
        self._is_closed = self._is_lost = False
        self._replica: Replica | None = None
        self._pair: Pair | None = None
        self._session: CallingSession | None = None
        self._cursor: RemoteCursor | None = None  # until it is handed out: it keeps us, not we it
        self._slot = -1
        self._sock: socket.socket | None = None  # our end of the reader's
        self._resuming: threading.Thread | None = None
        outlet.hold()

    def connect(self) -> RemoteCursor:
        """Makes all of it, and returns the reader.

        Raises:
            StreamNotFound, SchemaMismatch, SegmentError, CapacityError: there is no such stream, or
                no replica of it can be made here.
            UnsupportedTransport: messages are asked for that were published before.
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
        MINDER.add(self._sock, self)
        return cursor

    def _dialled(self) -> CallingSession:
        self._generation += 1
        return dial(self._call, self._outlet, settings=self._session_settings, rider=self)

    # ---- connecting (called by `dial`) ----

    def ask(self, description: Description) -> LinkAsk:
        """A replica of the stream, if there is none yet, and the pair that writes it."""
        offer = _found(description, self._request)
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
        tail = self._replica.tail_bytes
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
        )

    def granted(self, grant: LinkGrant) -> None:
        """Puts the replica where the link will begin; admits the reader there, if it is the first.

        Raises:
            UnsupportedTransport: messages are asked for that were published before.
            SegmentError: no link can begin there.
        """
        assert self._replica is not None
        assert self._pair is not None
        kind, value = self._request["start"], self._request["start_value"]
        self._pair.connect(attributes.to_address(grant.pair))
        is_first = self._sock is None
        if is_first:
            _check_start(self._request["stream"], kind, value, grant.sequence)
            self._replica.open(grant.start, grant.sequence, self._generation)
        else:
            self._replica.restart(self._generation, grant.start, grant.sequence)
        is_imm = self._tail_mode == "imm"
        self._replica.attach(
            self._outlet.keeper(),
            self._pair.lend() if is_imm else ffi.NULL,
            self._settings.credits if is_imm else 0,
        )
        if is_first:
            self._cursor = self._admitted(self._replica, kind, value)

    def _admitted(self, replica: Replica, kind: int, value: int) -> RemoteCursor:
        self._sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.setblocking(False)
        try:
            control_fd, reader = replica.admit(kind, value, self._sock)
            self._slot = reader[0]
            try:
                cursor = RemoteCursor(
                    replica.segment,
                    replica.dtype,
                    control_fd,
                    reader,
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
            if self._is_closed or self._is_lost or self._resuming is not None:
                return
            assert self._replica is not None
            assert session is not None
            state, farewell = self._replica.state(), session.farewell
            if state == lib.RQ_REPLICA_ENDED:
                return
            if farewell in (Farewell.CLOSED, Farewell.REVOKED):
                self._lose(_CLOSED)
            elif farewell == Farewell.LINK_ENDED:
                self._resume("the publisher ended it: we lag, or its retries are used up")
            elif state == lib.RQ_REPLICA_FAILED:
                self._resume("a receive failed")
            elif state == lib.RQ_REPLICA_SILENT and not session.beat():
                self._resume(_UNREACHABLE)

    def _lose(self, obituary: str) -> None:
        """The reader finds that nobody is at the other end any more; under the lock."""
        if self._is_lost or self._is_closed:
            return
        assert self._replica is not None
        assert self._sock is not None
        self.obituary = obituary
        self._is_lost = True
        MINDER.remove(self._sock)
        self._replica.dismiss(self._slot)
        self._sock.close()

    def _resume(self, why: str) -> None:
        """Begins to connect anew, in a thread of its own; under the lock."""
        self.news.append(("link_down", why, time.time_ns()))
        self._resuming = threading.Thread(
            target=self._resumed, args=(why,), name="rdmaq-resume", daemon=True
        )
        self._resuming.start()

    def _resumed(self, why: str) -> None:
        """The thread: takes the old link down, then asks for the next one, ever more patiently."""
        deadline = time.monotonic() + _RESUME_SECONDS
        pause = _PAUSE_SECONDS
        with self._lock:
            self._let_go()
        while self._is_wanted():
            try:
                session = self._dialled()
            except errors.StreamNotFound as error:
                why = f"{error}"
                break
            except Exception as error:  # else nobody would ever ask again, nor tell the reader
                if not isinstance(error, errors.RdmaqError):
                    _log.exception("a link could not be asked for")
                with self._lock:
                    self._let_go()
                if time.monotonic() >= deadline:
                    why = f"its link cannot be had again: {error}"
                    break
                time.sleep(pause)
                pause = min(2 * pause, _PAUSE_SECONDS_MAX)
                continue
            with self._lock:
                self._session, self._resuming = session, None
                self.news.append(("linked", f"link {self._generation}", time.time_ns()))
                if not self._is_wanted():
                    self._take_down()
            return
        with self._lock:
            self._resuming = None
            self._let_go()
            self._lose(why)
            if self._is_closed:
                self._take_down()

    def _is_wanted(self) -> bool:
        return not self._is_closed

    # ---- the end ----

    def _let_go(self) -> None:
        """The link: the node is told, its queue pair destroyed, then nothing arrives any more."""
        session, self._session = self._session, None
        if session is not None:
            session.close()
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
            resuming = self._resuming
            if resuming is None:
                self._take_down()
        if resuming is not None:
            resuming.join(_CLOSE_SECONDS_MAX)


def _found(description: Description, request: dict[str, Any]) -> StreamOffer:
    """The stream that is asked for, as offered."""
    name = request["stream"]
    offer = next((stream for stream in description.streams if stream.name == name), None)
    if offer is None:
        host = description.identity.hostname
        raise refusals.no_such_stream(name, host, [stream.name for stream in description.streams])
    if offer.guard_bytes == 0:
        raise errors.UnsupportedTransport(
            f"stream {name!r} does not leave its host: its node's release "
            f"({description.release or 'unknown'}) is older than this one; run the same on both"
        )
    if (wanted := request.get("schema")) is not None and wanted != offer.schema:
        actual = schemas.from_text(offer.schema) if offer.schema else None
        schemas.check_wanted(wanted, actual, name)
    return offer


def _check_start(name: str, kind: int, value: int, sequence: int) -> None:
    """What was published before the link began is not here."""
    is_all_to_come = sequence == 0 or kind == lib.RQ_START_LIVE
    if is_all_to_come or (kind == lib.RQ_START_SEQUENCE and value >= sequence):
        return
    raise errors.UnsupportedTransport(
        f"stream {name!r} cannot be read from before now over verbs: this release does not fetch "
        f"what was published before message {sequence}; subscribe with start='live' (or "
        f"start={sequence} or later), or in a process of the node's host"
    )
