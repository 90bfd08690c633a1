"""A reliable connected queue pair, from its making to its end."""

from __future__ import annotations

import errno
import secrets
import time
from typing import TYPE_CHECKING, Any

from rdmaq._handle import Handle
from rdmaq.errors import ClosedError, OperationFailed, PairError
from rdmaq.verbs import attributes, failure, pointers, states
from rdmaq.verbs._calls import keep_for_ever, refusals
from rdmaq.verbs.address import PairAddress
from rdmaq.verbs.attributes import PairAttributes
from rdmaq.verbs.constants import QP_TYPE_RC, Access, QpState
from rdmaq.verbs.events import summary
from rdmaq.verbs.library import load
from rdmaq.verbs.queue import CompletionQueue
from rdmaq.verbs.settings import PairSettings

if TYPE_CHECKING:
    from rdmaq.verbs.domain import Domain

_PSN_BITS = 24
FLUSH_SECONDS_MAX = 5.0  # a device flushes in microseconds; rxe under load in tenths of a second

_MAKE_CURES = {
    errno.ENOMEM: "the device has no room for it (see `rdma resource`): close others, or lower "
    "send_depth, receive_depth and inline_bytes; or raise `ulimit -l`",
    errno.EINVAL: "the device refuses these depths: lower send_depth, receive_depth, inline_bytes",
    0: "see the kernel's log",
}
_CONNECT_CURES = {
    errno.ETIMEDOUT: "nobody on the network has the peer's address: check that it lives and that "
    "`ping` reaches it from the interface of our GID",
    errno.ENETUNREACH: "our GID's interface has no route there: choose another GID on one of the "
    "sides (interface=, reach= or gid_index= of rdmaq.verbs.open)",
    errno.EHOSTUNREACH: "the peer does not answer on our GID's network: check that it lives, and "
    "the GIDs of both sides",
    errno.EINVAL: "the device refuses what was agreed on: check the GIDs of both sides (of one "
    "kind, and still there: `rdmaq.verbs.ports()`), the MTU and the depths",
    0: "check the GIDs of both sides and see the kernel's log",
}


class Pair(Handle):
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
    """

    __slots__ = (
        "_pointer", "_qp", "_queue", "address", "attributes", "domain", "remote", "settings",
    )  # fmt: skip

    def __init__(self, domain: Domain, settings: PairSettings, remote_access: Access) -> None:
        self._qp: Any = None
        self._queue: CompletionQueue | None = None
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
        # A device may grant more than was asked; the completion queue must hold all of it. So it is
        # made for what queue pairs of this size are granted, with room to spare, and checked.
        entry_count = 2 * (settings.send_depth + settings.receive_depth + 1)
        entry_count = min(entry_count, device.limits.cq_entries_max)
        self._queue = CompletionQueue(device, entry_count)
        with refusals(what, _MAKE_CURES, PairError):
            capacity = pyverbs.qp.QPCap(
                # One more than is offered: the C side keeps one (csrc/rdma/pair.h, cover).
                max_send_wr=settings.send_depth + 1,
                max_recv_wr=max(settings.receive_depth, 1),
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
        with refusals(what, _CONNECT_CURES, PairError):
            states.to_init(self._qp, settings, device.port.number, remote_access)
            self.attributes: PairAttributes = attributes.read(self._qp)

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
            receives=settings.receive_depth,
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
        if self.remote is not None:
            raise PairError(
                f"{self.facts} is connected already: a queue pair connects once; make another"
            )
        agreement = states.agree(self.address, remote)
        self.remote = remote
        device, settings = self.domain.device, self.settings
        with refusals(f"cannot connect {self.facts}", _CONNECT_CURES, PairError):
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
        return granted

    @property
    def state(self) -> QpState:
        """What the device says now: RTS when connected, ERR after a failure.

        Raises:
            ClosedError: it was closed.
        """
        self._check_open()
        with refusals(f"cannot query {self.facts}", _CONNECT_CURES, PairError):
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

    def explain(
        self,
        *,
        opcode: str,
        length_bytes: int,
        status: int,
        vendor_error: int,
        token: int,
        is_unknown: bool = False,
    ) -> OperationFailed:
        """The error to raise for a completion that is none of success."""
        events = self.domain.device.events
        if not self.closed:
            events.poll()
        text = failure.explain(
            self.facts,
            opcode=opcode,
            length_bytes=length_bytes,
            status=status,
            vendor_error=vendor_error,
            is_unknown=is_unknown,
            events=summary(events.recent, time.monotonic()),
        )
        return OperationFailed(
            text, status=status, vendor_error=vendor_error, opcode=opcode, token=token
        )

    def _check_open(self) -> None:
        if self.closed:
            raise self.closed_error()
        if self._qp is None:
            raise ClosedError("this pair was never made: its making failed; make another")

    def close(self) -> None:
        """Ends it in order: error state, everything flushed, queue pair and queue destroyed.

        Operations in flight end in `OperationFailed` (flushed); nothing of the peer's arrives any
        more. Memory stays registered. Idempotent.
        """
        if self.closed:
            return
        self._is_closed = True
        self._destroy()

    def _destroy(self) -> None:
        qp, self._qp = self._qp, None
        if qp is not None:
            with refusals("cannot close a queue pair", {0: "see the kernel's log"}, PairError):
                qp.close()
        if self._queue is not None:
            self._queue.close()

    def _forget(self) -> None:
        keep_for_ever(self._qp, self._queue and self._queue.cq, self._queue and self._queue.channel)

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
