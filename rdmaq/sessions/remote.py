"""One subscription over verbs: a replica here, the link that writes it, the session of both."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from rdmaq import errors
from rdmaq._fast import ffi, lib
from rdmaq.bootstrap.messages import (
    STARTS,
    SUBSCRIPTION_BYTES,
    Description,
    LinkAsk,
    LinkGrant,
    LinkOutrun,
)
from rdmaq.sessions import attributes
from rdmaq.sessions.calling import Caller, CallingSession, dial
from rdmaq.sessions.link_terms import LinkTerms, less_than_asked, terms_at_subscriber, told
from rdmaq.sessions.minder import MINDER
from rdmaq.sessions.outlet import Outlet
from rdmaq.sessions.persisting import Persisting
from rdmaq.sessions.remote_cursor import RemoteCursor
from rdmaq.sessions.replica import Replica
from rdmaq.sessions.wanted import wanted
from rdmaq.verbs.constants import Access
from rdmaq.verbs.link_settings import LinkSettings

if TYPE_CHECKING:
    from rdmaq.verbs.pair import Pair
    from rdmaq.verbs.settings import PairSettings

_CLOSE_SECONDS_MAX = 2.0


class Remote(Persisting):
    """Connects, watches the link, and takes all of it down in order. A `sessions.calling.Rider`.

    Args:
        call: makes a client of the bootstrap.
        outlet: the device; held until `close`.
        request: names the stream, the schema that is expected and where to begin.
        wait_mode: RQ_WAIT_*: how the reader waits.
        settings: of the link.
        session_settings: of the session's pair.

    Attributes: as `Persisting`.
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
        super().__init__()
        self._call, self._outlet, self._request = call, outlet, request
        self._wait_mode, self._settings = wait_mode, settings
        self._session_settings = session_settings
        self._subscription = secrets.token_bytes(SUBSCRIPTION_BYTES)
        self._generation = 0
        self._tail_mode = settings.tail_mode(outlet.device.port.device)
        self._asked: LinkAsk | None = None  # of the newest link, and what was granted of it
        self._terms: LinkTerms | None = None
        self._pair: Pair | None = None
        self._cursor: RemoteCursor | None = None  # until it is handed out: it keeps us, not we it
        # What was missed is READ before a link carries: of the first one what `start` asks for.
        self._is_held = request["start"] != lib.RQ_START_LIVE
        self._start: tuple[int, int] = request["start"], request["start_value"]
        self._recovers = bool(request.get("recovers"))  # ... of later ones what was missed
        outlet.hold()

    def connect(self) -> RemoteCursor:
        """Makes all of it, and returns the reader.

        Raises:
            StreamNotFound, SchemaMismatch, SegmentError, CapacityError: there is no such stream, or
                no replica of it can be made here.
            RdmaqError: else as `sessions.calling.dial`. Nothing is left.
        """
        why = "its first link was not had"
        try:
            try:
                self._session = self._dialled()
            except LinkOutrun as error:  # who READs catches up, where a link lags again and again
                if self._cursor is None:  # no link was granted: whatever the node means by that
                    raise
                why = f"{error}"
                self._tell("link_down", why)
                self._is_held = True
                self._let_go()
        except BaseException:
            cursor, self._cursor = self._cursor, None
            if cursor is not None:
                cursor.close()  # and us
            self.close()
            raise
        cursor, self._cursor = self._cursor, None
        assert cursor is not None
        assert self._sock is not None
        try:
            if self._session is not None and self._ring is None:
                self._note_link()
            else:
                self._begin_work(why)
            MINDER.add(self._sock, self)
        except BaseException:  # no room for a thread
            cursor.close()
            raise
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
            self._replica = Replica(domain, offer, self.silent_ns)
            epoch, sequence = self._request.get("after", (0, 0))
            if epoch == offer.epoch and sequence:  # it was not over: on from there
                self._start = lib.RQ_START_SEQUENCE, sequence
        if offer.epoch != self._replica.epoch:
            raise errors.StreamNotFound(
                f"stream {offer.name!r} is another incarnation by now: its publisher has begun "
                "anew; subscribe again",
                available=[offer.name],
            )
        self._pair = domain.pair(
            settings.receiving(self._session_settings.mtu_bytes),
            remote=Access.REMOTE_READ | Access.REMOTE_WRITE,
            is_lent=True,
        )
        tail = self._replica.tail_bytes
        self._asked = LinkAsk(
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
            start="live" if tail else STARTS[self._start[0]],
            start_value=0 if tail else self._start[1],
            is_held=self._is_held,
            depth=settings.depth,
            receive_count_max=settings.credits,
        )
        return self._asked

    def granted(self, grant: LinkGrant) -> None:
        """Puts the replica where the link will begin; admits the reader there, if it is the first.

        Raises:
            SegmentError: no link can begin there.
        """
        replica = self._replica
        assert replica is not None
        assert self._pair is not None
        assert self._asked is not None
        self._pair.connect(attributes.to_address(grant.pair))
        self._terms = terms_at_subscriber(grant, self._asked)
        is_first, self._ring = self._sock is None, grant.ring
        if is_first and (less := less_than_asked(self._terms, self._asked)):
            self._tell("linked", f"link {self._generation}: {less}")
        if is_first:
            replica.open(grant, self._generation)
        elif grant.ring is None:
            replica.restart(grant, self._generation, grant.start, grant.sequence)
        else:  # the backfill finds out where it goes on
            replica.restart(grant, self._generation, replica.tail_bytes, 0)
        if grant.ring is None:
            self._attach()
        if is_first:
            self._cursor = self._admitted(replica, grant.deliver_sequence)

    def _attach(self) -> None:
        """The link may write the replica from now on."""
        assert self._replica is not None
        assert self._pair is not None
        assert self._terms is not None
        self._replica.attach(
            self._outlet.keeper(),
            self._pair.lend() if self._terms.tail == "imm" else ffi.NULL,
            self._terms.credits,
        )

    def _admitted(self, replica: Replica, sequence: int) -> RemoteCursor:
        kind, value = self._start
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
        lib.rq_reader_ring_before_sleep(cursor.handle, self._outlet.keeper())
        return cursor

    @property
    def silent_ns(self) -> int:
        """Without a heartbeat for so long the publisher is silent."""
        return int(self._settings.silent_seconds * 1e9)

    def negotiated(self) -> dict[str, str | int]:
        """What holds for the newest link; "transport" alone while there is none."""
        terms, pair = self._terms, self._pair
        if terms is None or pair is None:
            return {"transport": "verbs"}
        return told(terms, pair.facts, self._generation)

    def ready(self) -> None:
        """The reader hung up: it was closed, or forgotten.

        In a thread: with a peer that is gone the end takes seconds, and there are other links.
        """
        if self._is_closed or self._sock is None:
            return
        MINDER.remove(self._sock)
        try:
            threading.Thread(target=self.close, name="rdmaq-end", daemon=True).start()
        except RuntimeError:  # no room for it
            self.close()

    # ---- the end ----

    def _let_go(self) -> None:
        """The link: the node is told, its queue pair destroyed, then nothing arrives any more."""
        self._is_let_go_due = False
        session, self._session = self._session, None
        replay, self._replay = self._replay, None
        pair, self._pair = self._pair, None
        with ExitStack() as last:  # whatever of it refuses to end, the rest is let go
            if pair is not None:
                lent = None if pair.closed else pair.lend()  # the struct is the keeper's until then
                last.callback(self._detach, lent)
                last.callback(pair.close)
            if replay is not None:
                last.callback(replay.close)
            if session is not None:
                session.close()

    def _detach(self, _lent: object) -> None:
        if self._replica is not None:
            self._replica.detach()

    def _take_down(self) -> None:
        with ExitStack() as last:
            last.callback(self._outlet.let_go)
            if self._replica is not None:
                last.callback(self._replica.close)
            self._let_go()

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
