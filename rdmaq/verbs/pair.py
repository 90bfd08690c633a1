"""A reliable connected queue pair, from its making to its end."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from rdmaq._handle import Handle
from rdmaq.errors import OperationFailed, PairError
from rdmaq.verbs import attributes, failure, fast, pair_end, pointers, states
from rdmaq.verbs._calls import keep_for_ever, refusals, take_all
from rdmaq.verbs.address import PairAddress
from rdmaq.verbs.attributes import PairAttributes
from rdmaq.verbs.constants import QP_TYPE_RC, Access, QpState
from rdmaq.verbs.events import summary
from rdmaq.verbs.library import load
from rdmaq.verbs.one_sided import NotConnected, OneSided
from rdmaq.verbs.pair_cures import CONNECT_CURES, MAKE_CURES
from rdmaq.verbs.queue import CompletionQueue
from rdmaq.verbs.settings import WAIT_MODES, PairSettings
from rdmaq.verbs.watchdog import Watchdog
from rdmaq.verbs.window import Window

if TYPE_CHECKING:
    from rdmaq.verbs.domain import Domain
    from rdmaq.verbs.memory import Memory, MemoryPart

_PSN_BITS = 24


class Pair(OneSided, Handle):
    """One end of a reliable connection; `Domain.pair()` makes it.

    Exchange `address` with the peer by whatever means there is, then both call `connect`. A pair
    connects once: after an error or the peer's end close it and make another, whose number and
    packet numbers are new, so that nothing late from the old one is taken for the new.

    Attributes:
        domain: whose memory its operations use; stays open as long as the pair.
        settings: as asked for; `attributes` tells what was granted.
        address: what the peer must know.
        remote: the peer's address, None before `connect`.
        attributes: as granted, read back from the device.
        run: `run(requests, timeout=None)` posts all of them as one chain and waits for their end,
            as `post(requests).wait(timeout)` does and raises: in C, in one go, and without an
            `Operation` when nothing else is in flight. The quickest way to do one thing after the
            other.
    """

    __slots__ = (
        "_counted", "_first_failure", "_is_lent", "_pointer", "_posted", "_qp", "_queue",
        "_stalled", "_traffic", "_windows", "address", "attributes", "domain", "remote", "run",
        "settings",
    )  # fmt: skip

    def __init__(
        self, domain: Domain, settings: PairSettings, remote_access: Access, *, is_lent: bool
    ) -> None:
        self._qp: Any = None
        self._queue: CompletionQueue | None = None
        self._counted: fast.Queue | None = None
        self._posted: fast.PostedPair | None = None
        self._set_traffic(NotConnected(self))
        self._first_failure = ""
        self._stalled = ""
        self._windows: set[Window] = set()
        self._is_lent = is_lent
        self.domain = domain
        self.settings = settings
        self.remote: PairAddress | None = None
        super().__init__()
        device = domain.device
        if max(settings.send_depth, settings.receive_depth) > device.limits.send_depth_max:
            raise PairError(
                f"a queue pair of {device.port.device} may have {device.limits.send_depth_max:,} "
                f"requests: send_depth={settings.send_depth:,} or "
                f"receive_depth={settings.receive_depth:,} is more; lower it"
            )
        try:
            self._make(remote_access)
            self.address = self._own_address()
        except BaseException:
            self._destroy()
            raise

    def _make(self, remote_access: Access) -> None:
        device, settings, pyverbs = self.domain.device, self.settings, load()
        what = f"cannot make a queue pair of {device.port.device}"
        # Each request and each receive may complete at once when the pair is flushed; of the sends
        # the C side keeps one more for itself (csrc/rdma/pair.h, cover).
        send_count, receive_count = settings.send_depth + 1, settings.receive_depth
        self._queue = CompletionQueue(device, send_count + receive_count)
        with refusals(what, MAKE_CURES, PairError):
            capacity = pyverbs.qp.QPCap(
                max_send_wr=send_count,
                max_recv_wr=max(receive_count, 1),
                max_send_sge=1,
                max_recv_sge=1,
                max_inline_data=settings.inline_bytes,
            )
            self._qp = pyverbs.qp.QP(
                self.domain.pyverbs_pd,
                pyverbs.qp.QPInitAttr(
                    qp_type=QP_TYPE_RC,
                    scq=self._queue.cq,
                    rcq=self._queue.cq,
                    cap=capacity,
                    sq_sig_all=0,
                ),
            )
        self._pointer = pointers.of_qp(
            self._qp,
            context=device.pointers.context,
            pd=self.domain.pointer,
            cq=self._queue.pointers.cq,
        )
        with refusals(what, CONNECT_CURES, PairError):
            states.to_init(self._qp, settings, device.port.number, remote_access)
            self.attributes: PairAttributes = attributes.read(self._qp)
        get_event, ack_events = pointers.event_functions()
        self._counted = fast.Queue(
            cq=self._queue.pointers.cq,
            channel_fd=self._queue.pointers.channel_fd,
            get_event=get_event,
            ack_events=ack_events,
            entry_count=self._queue.pointers.cqe,
        )
        self._posted = fast.PostedPair(
            self._counted,
            qp=self._pointer,
            send_count_max=send_count,
            receive_count_max=receive_count,
            inline_bytes_max=self.attributes.inline_bytes,
            request_bytes_max=device.limits.message_bytes_max,
            explain=self._explain,
            wait_mode=WAIT_MODES[settings.wait],
            domain=self.domain,
        )
        self._posted.watchdog = Watchdog(
            max(settings.stall_seconds, 2 * settings.failure_seconds_max),
            self._end_stalled,
            self._gone,
        )
        # Before the peer can send: it is told of them by our address.
        if not self._is_lent:
            self._posted.post_receives(receive_count)

    def _own_address(self) -> PairAddress:
        device, limits, settings = self.domain.device, self.domain.device.limits, self.settings
        return PairAddress(
            qp_num=self._qp.qp_num,
            psn=secrets.randbits(_PSN_BITS),
            gid=device.gid.value,
            gid_kind=device.gid.kind,
            lid=limits.lid,
            link_layer=limits.link_layer,
            mtu_bytes=min(settings.mtu_bytes or limits.mtu_bytes, limits.mtu_bytes),
            initiator_depth=min(settings.max_rd_atomic, limits.initiator_depth_max),
            responder_depth=min(settings.max_rd_atomic, limits.responder_depth_max),
            receives=0 if self._is_lent else settings.receive_depth,
        )

    def connect(self, remote: PairAddress) -> PairAttributes:
        """Connects to the peer's queue pair; the peer must do the same with our `address`.

        Returns what was granted: the least MTU of both, and READs and atomics in flight as both
        sides can. Nothing is sent: whether the peer is there shows with the first operation.

        Raises:
            PairError: connected before, the GIDs do not fit together, or the device refuses; close
                the pair and make another.
            ClosedError: it was closed.
        """
        self._check_open()
        assert self._posted is not None
        if self.remote is not None:
            raise PairError(
                f"{self.facts} is connected already: a queue pair connects once; make another"
            )
        if not isinstance(remote, PairAddress):
            raise PairError(
                f"{self.facts} cannot be connected to a {type(remote).__name__}: it takes the "
                "peer's PairAddress (PairAddress.from_bytes(what the peer sent))"
            )
        agreement = states.agree(self.address, remote)
        self.remote = remote
        device, settings = self.domain.device, self.settings
        with refusals(f"cannot connect {self.facts}", CONNECT_CURES, PairError):
            states.to_rtr(
                self._qp,
                settings,
                agreement,
                remote,
                port=device.port.number,
                gid_index=device.gid.index,
            )
            states.to_rts(self._qp, settings, agreement, self.address.psn)
            granted = attributes.read(self._qp)
        if (granted.mtu_bytes, granted.state) != (agreement.mtu_bytes, QpState.RTS):
            raise PairError(
                f"{self.facts} has MTU {granted.mtu_bytes} and state {granted.state.name} after "
                f"asking for {agreement.mtu_bytes} and RTS: the device granted something else; "
                "set mtu_bytes in PairSettings to what it grants"
            )
        self.attributes = granted
        self._posted.grant(remote.receives)
        if not self._is_lent:
            self._set_traffic(self._posted)
        return granted

    def lend(self) -> Any:
        """The `struct rq_pair`, for the C code that alone posts and polls on it, until `close`.

        Of a pair that was not made to be lent: until that code has nothing in flight any more. The
        struct itself lives as long as the reference. Raises ClosedError, and PairError if busy.
        """
        self._check_open()
        posted = self._posted if self._is_lent else self._idle("be lent")
        assert posted is not None
        return posted.lend()

    def window(self, part: Memory | MemoryPart, access: Access) -> Window:
        """Opens registered memory to this pair's peer, and to nobody else, until it is closed.

        Operations may be in flight meanwhile, but none that wait for the peer's receives; what the
        peer tells meanwhile is kept for `receive`.

        Args:
            part: memory of this pair's domain, registered with `Access.WINDOWS`, or a part of it.
            access: REMOTE_READ, REMOTE_WRITE and REMOTE_ATOMIC, or some of these.

        Raises:
            PairError: it is not connected, or the device refused.
            ConcurrentUse: another thread, or an event loop, does not let go of the pair.
            RegistrationError: no such memory or access, or the device has no windows.
            ClosedError: the pair or the memory was closed.
        """
        made = Window(self, self._connected("open a window"), self._qp, part, access)
        self._windows.add(made)
        return made

    def _connected(self, does: str) -> fast.PostedPair:
        self._check_open()
        if self.remote is None or self._posted is None:
            raise PairError(f"{self.facts} cannot {does} now: it has no peer; connect it")
        return self._posted

    def _idle(self, does: str) -> fast.PostedPair:
        posted = self._connected(does)
        if posted.outstanding:
            raise PairError(f"{self.facts} cannot {does} now: operations are in flight; wait")
        return posted

    def windows(self) -> list[Window]:
        """Those that are open."""
        return list(self._windows)

    def discard(self, window: Window) -> None:
        """Lets go of a window that was closed."""
        self._windows.discard(window)

    def _set_traffic(self, traffic: Any) -> None:
        self._traffic: Any = traffic
        self.run: Callable[..., None] = traffic.run

    @property
    def state(self) -> QpState:
        """What the device says now: RTS when connected, ERR after a failure.

        Raises:
            ClosedError: it was closed.
        """
        self._check_open()
        with refusals(f"cannot query {self.facts}", CONNECT_CURES, PairError):
            return attributes.read(self._qp).state

    @property
    def facts(self) -> failure.PairFacts:
        """What the texts of errors say of it."""
        remote, device = self.remote, self.domain.device
        return failure.PairFacts(
            qp_num=self.address.qp_num,
            remote_qp_num=remote.qp_num if remote else 0,
            device=str(device.port),
            local=str(device.gid),
            remote=f"{remote.gid.ipv4_mapped or remote.gid}" if remote else "",
            mtu_bytes=min(self.address.mtu_bytes, remote.mtu_bytes) if remote else 0,
            timers=str(self.settings),
            seconds_max=self.settings.failure_seconds_max,
        )

    def __str__(self) -> str:
        return f"queue pair {self.address.qp_num}"

    def _explain(
        self,
        *,
        opcode: str,
        length_bytes: int,
        status: int,
        vendor_error: int,
        token: int,
        is_unknown: bool,
    ) -> OperationFailed:
        """The error for a completion that is none of success."""
        device = self.domain.device
        device.events.poll()
        seen = summary(device.events.recent, time.monotonic())
        if not self._first_failure:  # those that follow have no cause of their own
            seen = "; ".join(
                filter(None, [self._stalled, seen, *device.changes(self.attributes.mtu_bytes)])
            )
        text = failure.explain(
            self.facts,
            opcode=opcode,
            length_bytes=length_bytes,
            status=status,
            vendor_error=vendor_error,
            is_unknown=is_unknown,
            first=self._first_failure,
            seen=seen,
        )
        if not self._first_failure:
            self._first_failure = f"{opcode} with {failure.status_name(status)}"
        return OperationFailed(
            text, status=status, vendor_error=vendor_error, opcode=opcode, token=token
        )

    def _end_stalled(self) -> PairError:
        """The watchdog's: what is in flight is flushed, and its errors say why."""
        self._stalled = "nothing in flight had completed for so long that the device stands still"
        pair_end.to_error(self._qp)
        return pair_end.stands_still(self.facts)

    def _gone(self) -> PairError | None:
        """The watchdog's: what is lost with the device."""
        device = self.domain.device
        return pair_end.gone(self.facts, device) if device.is_gone else None

    def uses(self, memory: Memory) -> bool:
        """Whether an operation in flight may still touch that memory."""
        return self._posted is not None and self._posted.uses(memory.address, memory.length)

    def _check_open(self) -> None:
        if self.closed:
            raise self.closed_error()

    def close(self) -> None:
        """Ends it in order: error state, everything flushed, queue pair and queue destroyed.

        Operations in flight end in `OperationFailed` (flushed); nothing of the peer's arrives any
        more. Memory stays registered. Idempotent. A signal's handler that interrupted a call of
        this very pair is refused (`ConcurrentUse`).
        """
        if self.closed:
            return
        if self._posted is not None:
            self._posted.check_close()
        self._is_closed = True
        take_all(self._destroy, partial(self.domain.discard, self))

    def _destroy(self) -> None:
        """Each step is taken though one before it failed: nobody comes back for it."""
        posted, queue, qp = self._posted, self._queue, self._qp
        self._set_traffic(NotConnected(self))  # what comes from now on is told that it is closed
        steps: list[Callable[[], object]] = [window.close for window in self.windows()]
        if posted is not None:
            steps.append(partial(pair_end.flush, posted, qp, self.domain.device))
        if qp is not None:  # behind its windows, or rxe stands still for a while
            steps.append(partial(pair_end.destroy, qp))
        if posted is not None:
            # Nothing can complete any more; or it is in its error state for ever, and nobody polls.
            steps.append(posted.abandon)
        if queue is not None:
            steps.append(queue.close)
        take_all(*steps)
        self._posted = self._counted = self._queue = self._qp = None

    def _forget(self) -> None:
        if self._posted is not None and self._counted is not None:
            self._posted.forget()
            self._counted.forget()
        keep_for_ever(self._qp, self._queue and self._queue.cq, self._queue and self._queue.channel)

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
