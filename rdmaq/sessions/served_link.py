"""A link at its publisher: one subscriber's replica, written by our NIC."""

from __future__ import annotations

import errno
import logging
import mmap
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from rdmaq._fast import error_text, ffi, lib
from rdmaq.bootstrap.messages import (
    STARTS,
    TAIL_MODES,
    AbsenceRefusal,
    FullRefusal,
    LinkAsk,
    LinkGrant,
    OutrunRefusal,
    Refusal,
)
from rdmaq.sessions import attributes
from rdmaq.sessions.link_facts import cause, link_info, packed
from rdmaq.sessions.link_terms import LinkTerms, terms_at_publisher
from rdmaq.sessions.minder import MINDER
from rdmaq.sessions.opened_ring import OpenedRing, Ring
from rdmaq.verbs import pointers
from rdmaq.verbs.constants import Access
from rdmaq.verbs.link_settings import LinkSettings

if TYPE_CHECKING:
    from rdmaq.stream.link_info import LinkInfo
    from rdmaq.stream.publisher import Publisher
    from rdmaq.verbs.pair import Pair

_log = logging.getLogger("rdmaq")
_FLUSH_SECONDS_MAX = 2.0
_LOOK_SECONDS = 0.001
_MODES = {"write": lib.RQ_TAIL_BY_WRITE, "imm": lib.RQ_TAIL_BY_IMM}
assert tuple(_MODES) == TAIL_MODES
assert STARTS.index("sequence") == lib.RQ_START_SEQUENCE
assert STARTS.index("time") == lib.RQ_START_WALL_NS


class ServedLink:
    """Made by Connect, started by Confirm or by Begin, ended by whoever comes first.

    Args:
        publisher: of the stream; keeps its ring's bytes until the link has sent them.
        session_pair: of the session; the link gets one of its own, of the same domain.
        ring: the publisher's, registered in that domain; must outlive this.
        ask: the subscriber's.
        settings: of the pair.
        tell: tells the subscriber that the link has failed; False: not now. Called until it could.

    Attributes:
        publisher, ask, tell: as given.
        grant: what the subscriber must know.
        was_cut_off: its reader stood in a reliable publisher's way for too long.
        failure: its cause, as `link_facts.packed` has it; 0: it has not failed, as far as is seen.

    Raises:
        Refusal: why there can be no such link.
        PairError, RegistrationError: the device refuses.
    """

    def __init__(
        self,
        publisher: Publisher,
        session_pair: Pair,
        ring: Ring,
        ask: LinkAsk,
        settings: LinkSettings,
        tell: Callable[[], bool],
    ) -> None:
        self.publisher, self.ask, self.tell = publisher, ask, tell
        self._lock = threading.Lock()
        self._handle: Any = None
        self._opened: OpenedRing | None = None
        domain = session_pair.domain
        self._is_closed = self._is_told = self.was_cut_off = False
        self.failure = 0
        with ExitStack() as undo:
            self._event_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            undo.callback(os.close, self._event_fd)
            self._words = domain.register(mmap.mmap(-1, mmap.PAGESIZE))
            undo.callback(self._words.close)
            self._pair = domain.pair(settings.sending(), remote=Access.NONE, is_lent=True)
            undo.pop_all()
        try:
            terms = terms_at_publisher(settings, ask)
            self._terms: LinkTerms = terms
            self._pair.connect(attributes.to_address(ask.pair))
            if ask.is_held:
                self._opened = OpenedRing(ring, session_pair)
            self._handle = self._made(ring, terms)
            stats = self._stats()
            self.grant = LinkGrant(
                pair=attributes.to_message(self._pair),
                start=stats.start_bytes,
                sequence=stats.start_sequence,
                deliver_sequence=stats.deliver_sequence,
                origin_sequence=stats.origin_sequence,
                ring=None if self._opened is None else self._opened.keys,
                tail_mode=terms.tail,
                credit_count=terms.credits,
                depth=terms.depth,
                clock=(
                    stats.clock.base_ticks,
                    stats.clock.base_wall_ns,
                    stats.clock.ns_per_tick_q32,
                ),
            )
        except BaseException:
            self._let_go()
            raise

    def _made(self, ring: Ring, terms: LinkTerms) -> Any:
        ask, out = self.ask, ffi.new("struct rq_link **")
        there = ask.replica
        setup = ffi.new("struct rq_link_setup *")
        setup.replica = (there.data_address, there.live_address, there.data_key, there.live_key)
        setup.words_address, setup.words_key = self._words.address, self._words.lkey
        setup.data_key = ring.data.lkey
        setup.position, setup.cursor = ask.position, ask.cursor
        setup.modify_qp = pointers.modify_function()
        # The device's own time-outs come first; this is for completions that were lost.
        setup.overdue_ns = int(2e9 * self._pair.settings.failure_seconds_max)
        setup.generation = ask.generation
        setup.tail_mode = _MODES[terms.tail]
        setup.depth, setup.credit_count = terms.depth, terms.credits
        setup.event_fd = self._event_fd
        setup.start, setup.start_value = STARTS.index(ask.start), ask.start_value
        setup.is_held, setup.may_skip = ask.is_held, True
        publisher = self.publisher
        code = lib.rq_link_open(publisher.handle, publisher.keeper, self._pair.lend(), setup, out)
        if code != 0:
            raise _refusal(publisher, code)
        return out[0]

    def start(self) -> None:
        """Both sides are ready: what is published goes out from now on, unless it is held.

        Raises:
            OutrunRefusal: its publisher was faster than who connects.
            Refusal: it has failed otherwise, or was closed, meanwhile.
        """
        with self._lock:
            code = -errno.ESHUTDOWN if self._is_closed else 0
            if code == 0:
                code = lib.rq_link_start(self._handle)
            if code == 0:  # under the lock: once it is closed its descriptor is another's
                MINDER.add(self._event_fd, self)
            failed = None if code == 0 or self._is_closed else self._stats()
        if code == 0:
            return
        if self.publisher.closed:
            raise _refusal(self.publisher, code)
        why = error_text(code) if failed is None else cause(failed)
        has_lagged = failed is not None and failed.cause == lib.RQ_LINK_CAUSE_LAGGED
        raise (OutrunRefusal if has_lagged else Refusal)(
            f"the link of {self.publisher.name!r} has ended before it began: {why}; subscribe again"
        )

    def begin(self, position: int, cursor: int) -> bool:
        """The subscriber has READ up to `position`: there the link begins, if it was held.

        Its keys to the ring are taken back. False: it is too far behind, and reads on.

        Raises:
            Refusal: no link can begin there, or it has ended.
        """
        with self._lock:
            code = -errno.ESHUTDOWN
            if not self._is_closed:
                code = lib.rq_link_begin(self._handle, position, cursor)
            if code == 0 and self._opened is not None:
                self._opened.close()
        if code == -errno.ESHUTDOWN and not self.publisher.closed:
            raise Refusal(
                f"the link of {self.publisher.name!r} has failed, or a newer one was asked for: "
                "ask for the next one, and read on"
            )
        if code not in (0, -errno.ESTALE):
            raise _refusal(self.publisher, code)
        return bool(code == 0)

    def ready(self) -> None:
        """Its state has changed; `look` says to what."""
        with self._unless_busy() as is_free:
            if is_free and not self._is_closed:  # else its number may be another descriptor's
                with suppress(OSError):
                    os.eventfd_read(self._event_fd)

    def look(self) -> None:
        """Has it failed? Then its subscriber, who may not see that, is told."""
        with self._unless_busy() as is_free:
            if not is_free or self._is_closed or self._is_told:
                return
            stats = self._stats()
            if stats.state != lib.RQ_LINK_FAILED:
                return
            self.was_cut_off = stats.cause == lib.RQ_LINK_CAUSE_STALLED
            is_news, self.failure, facts = self.failure == 0, packed(stats), self._pair.facts
        if is_news and stats.cause != lib.RQ_LINK_CAUSE_STOPPED:  # a log's handler may call us
            name = self.publisher.name
            _log.warning("a link of stream %r failed: %s; %s", name, cause(stats), facts)
        # Its session may be busy: who was never told would take us for silent, and wait.
        self._is_told = self.tell()

    @contextmanager
    def _unless_busy(self) -> Iterator[bool]:
        """The lock, if it is free: who ends a link holds it for seconds, and others are minded."""
        is_free = self._lock.acquire(blocking=False)
        try:
            yield is_free
        finally:
            if is_free:
                self._lock.release()

    def has_sent(self, tail_bytes: int) -> bool:
        """Whether all below `tail_bytes` has arrived; True for a link that carries no more.

        False of one that has yet to begin: its subscriber is connecting, or READs what was
        published before, and would find the stream closed.
        """
        with self._lock:
            if self._is_closed:
                return True
            stats = self._stats()
        if stats.state == lib.RQ_LINK_OPENING:
            return False
        if stats.state not in (lib.RQ_LINK_LIVE, lib.RQ_LINK_LAGGING):
            return True
        return bool(stats.flushed_bytes >= tail_bytes)

    @property
    def has_failed(self) -> bool:
        """It carries no more, and its subscriber is to ask for the next one."""
        with self._lock:
            if self._is_closed or self.was_cut_off:
                return False
            return bool(self._stats().state == lib.RQ_LINK_FAILED)

    def facts(self) -> LinkInfo | None:
        """What there is to know of it; None once it is closed, or being closed."""
        if self._is_closed:  # who closes it has the lock until all is flushed, for seconds
            return None
        with self._lock:
            pair = self._pair
            return None if self._is_closed else link_info(self._stats(), pair.facts, self._terms)

    def _stats(self) -> Any:
        stats = ffi.new("struct rq_link_stats *")
        lib.rq_link_read_stats(self._handle, stats)
        return stats

    def close(self) -> None:
        """Ends it in order: nothing more is posted, all is flushed, the pair goes, its memory goes.

        When it returns the ring is not read for it any more. Idempotent, from any thread.
        """
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            MINDER.remove(self._event_fd)
            with ExitStack() as last:  # whatever of it refuses to end: the publisher must go on
                last.callback(os.close, self._event_fd)
                last.callback(self._words.close)
                last.callback(self._leave_ring)
                # When the QP is gone, whatever was not flushed never will be read.
                last.callback(self._pair.close)
                last.callback(self._end_posting)
                if self._opened is not None:
                    self._opened.close()

    def _end_posting(self) -> None:
        lib.rq_link_stop(self._handle)
        deadline = time.monotonic() + _FLUSH_SECONDS_MAX
        while not self._stats().is_flushed and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        lib.rq_link_detach(self._handle)

    def _leave_ring(self) -> None:
        lib.rq_link_close(self._handle)
        lib.rq_link_free(self._handle)
        self._handle = None

    def _let_go(self) -> None:
        """Of one that could not be made."""
        with ExitStack() as last:  # also where the device refuses to end what it has made
            last.callback(os.close, self._event_fd)
            last.callback(self._words.close)
            last.callback(self._pair.close)
            if self._opened is not None:
                self._opened.close()


def _refusal(publisher: Publisher, code: int) -> Refusal:
    name = publisher.name
    if code == -errno.ESHUTDOWN:
        return AbsenceRefusal(f"stream {name!r} was closed meanwhile: list the streams again")
    if code == -errno.EMSGSIZE:
        return Refusal(
            f"frames of {name!r} may have {publisher.segment.description.guard_bytes:,} bytes: "
            "that is more than the device sends in one request; publish it with a smaller guard"
        )
    if code == -errno.ENOSPC:
        return FullRefusal(
            f"stream {name!r} has {lib.RQ_TAPS_MAX} subscribers on other hosts, as many as it can: "
            "close some"
        )
    if code == -errno.EINVAL:
        return Refusal(
            f"the replica of {name!r} stands where no frame of this stream begins: it is not of "
            "this incarnation; subscribe anew"
        )
    return Refusal(f"stream {name!r} takes no link now: {error_text(code)}")
