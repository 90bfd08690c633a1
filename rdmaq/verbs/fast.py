"""One-sided operations over one queue pair, at the price of C: posting, polling, waiting.

Nothing here knows pyverbs: it is given addresses of libibverbs' structs. What finds no room in the
send queue, or no receive at the peer, waits in a backlog and is posted in order as room comes.
"""

from __future__ import annotations

import errno
import time
from typing import Any, NoReturn

from rdmaq._fast import address_of, error_text, ffi, lib
from rdmaq.errors import ClosedError, ConcurrentUse, PairError, RdmaqError
from rdmaq.verbs import requests
from rdmaq.verbs.operation import Operation
from rdmaq.verbs.reports import DONE_COUNT_MAX, SLICE_NS, Explain, Queue, Reports
from rdmaq.verbs.requests import BACKLOG_MAX, PACKED, Batch, Local, Remote, Requests, Shape

__all__ = ["BACKLOG_MAX", "PostedPair", "Queue"]

_YIELD_SECONDS = 0.0001

_pack = PACKED.pack


class PostedPair(Reports):
    """Posts on one queue pair and reports what became of each request, in order.

    One thread may post while another waits; a second one at either is refused (`ConcurrentUse`).

    Args:
        queue: where it completes; no other pair does.
        qp: address of the ibv_qp, connected; must outlive `abandon()`.
        send_count_max: as granted; one of them is kept.
        receive_count_max: as granted.
        inline_bytes_max: as granted; writes up to so many bytes travel within the request.
        request_bytes_max: the port's largest message; longer operations go as several requests.
        explain: makes the error for what failed.
        wait_mode: RQ_WAIT_*: how a thread waits.
        domain: whose memory alone may be named; None: nobody looks.

    Attributes:
        reported: how many requests have ended so far, well or not.

    Raises:
        PairError: the numbers cannot be right.
    """

    __slots__ = ("_domain", "_piece_bytes_max", "_run")

    def __init__(
        self,
        queue: Queue,
        *,
        qp: int,
        send_count_max: int,
        receive_count_max: int,
        inline_bytes_max: int,
        request_bytes_max: int,
        explain: Explain,
        wait_mode: int = lib.RQ_WAIT_AUTO,
        domain: Any = None,
    ) -> None:
        piece_bytes_max = min(request_bytes_max, lib.RQ_REQUEST_BYTES_MAX)
        setup = ffi.new(
            "struct rq_pair_setup *",
            (qp, 0, send_count_max, receive_count_max, inline_bytes_max, piece_bytes_max, 0, 0),
        )
        out = ffi.new("struct rq_pair **")
        code = lib.rq_pair_open(queue.handle, setup, out)
        if code != 0:
            raise PairError(
                f"a queue pair with {send_count_max:,} sends and {receive_count_max:,} receives "
                f"cannot be used: {error_text(code)}; use at least {4} and at most "
                f"{lib.RQ_SENDS_MAX:,} of each, and a completion queue that holds them all"
            )
        # Its memory goes with the last reference: a thread that holds one while the pair is closed
        # is refused, and touches nothing that is gone.
        handle = ffi.gc(out[0], lib.rq_pair_free)
        super().__init__(queue, handle, explain, wait_mode)
        self._piece_bytes_max = piece_bytes_max
        self._domain = domain
        self._run = ffi.new(
            "struct rq_run *", (self._done, SLICE_NS, DONE_COUNT_MAX, wait_mode, 0, 0)
        )
        places = (handle, queue.handle, self._run, queue.special)
        pair, cq, run, special = map(address_of, places)
        kept = (*places, self._done)
        addresses = (pair, cq, run, special)
        self._bind(addresses, kept, Requests, Operation, self._in_flight, self._backlog)

    # ---- operations ----

    def write(
        self, local: Local, remote: Remote, *, fence: bool = False, check: bool = True
    ) -> Operation:
        """Writes local memory into the peer's.

        Args:
            local: registered memory or a part of it; lent to the NIC until the operation is done.
            remote: where to; at least as long as `local`.
            fence: begin only after all earlier READs and atomics of this pair are done.
            check: refuse what does not fit before it is posted; False lets the device refuse.

        Raises:
            PairError: the two do not fit together, `local` is of another domain, or the pair is
                broken; nothing was posted.
            ConcurrentUse: another thread is posting.
            ClosedError: the pair or `local` was closed.
        """
        return self._one(requests.WRITE, local, remote, int(fence), check)

    def read(
        self, local: Local, remote: Remote, *, fence: bool = False, check: bool = True
    ) -> Operation:
        """Reads `local.length` bytes of the peer's memory into local memory; else as `write`."""
        return self._one(requests.READ, local, remote, int(fence), check)

    def write_with_imm(
        self, local: Local, remote: Remote, imm: int, *, fence: bool = False, check: bool = True
    ) -> Operation:
        """As `write`, then tells the peer a 32-bit number, which consumes one of its receives.

        Without a receive that the peer granted it waits in the backlog.
        """
        shape = Shape(requests.WRITE_WITH_IMM, int(fence), imm)
        return self.post_packed(self.pack(shape, local, remote, check=check), local)

    def fetch_add(
        self, local: Local, remote: Remote, add: int, *, fence: bool = False, check: bool = True
    ) -> Operation:
        """Adds to 8 bytes of the peer's memory, atomically among the peer's NIC's own atomics.

        Args:
            local: 8 bytes, where the old value goes, in the peer's byte order.
            remote: 8 bytes at an address that 8 divides.
            add: modulo 2^64.
            fence: as in `write`.
            check: as in `write`.

        Raises: as `write`.
        """
        shape = Shape(requests.FETCH_ADD, int(fence), compare_add=add)
        return self.post_packed(self.pack(shape, local, remote, check=check), local)

    def compare_swap(
        self,
        local: Local,
        remote: Remote,
        compare: int,
        swap: int,
        *,
        fence: bool = False,
        check: bool = True,
    ) -> Operation:
        """Stores `swap` in 8 bytes of the peer's memory if they are `compare`; as `fetch_add`."""
        shape = Shape(requests.COMPARE_SWAP, int(fence), compare_add=compare, swap=swap)
        return self.post_packed(self.pack(shape, local, remote, check=check), local)

    def batch(self) -> Batch:
        """Operations to be posted together, as one chain with one doorbell."""
        return Batch(self)

    def requests(self, count: int, keep: Any = None) -> Requests:
        """An array of requests to fill in by numpy; see `Requests`."""
        return Requests(count, keep)

    def post(self, requests: Requests, count: int | None = None) -> Operation:
        """Posts the first `count` of them (`requests.count`) as one chain with one doorbell."""
        if type(requests) is not Requests:
            raise PairError(
                f"a {type(requests).__name__} cannot be posted: it is no array of requests; "
                "make one by pair.requests(count)"
            )
        if count is None:
            count = requests.count
        if not isinstance(count, int) or not 0 < count <= requests.count:
            raise PairError(
                f"{count!r} of {requests.count} requests cannot be posted: "
                "post at least one and at most all of them"
            )
        return self._enter(requests, requests, count)

    def _run_slowly(self, requests: Requests, timeout: float | None) -> None:
        """Of `run`: something is in flight, or another thread posts."""
        self.post(requests).wait(timeout)

    def _wait_on(self, operation: Operation, timeout: float | None, waited_ns: int) -> None:
        """Of `run`: it has waited for so long, and not all is done well."""
        if self.reported < operation._end:
            self.wait_until(operation._end, timeout, waited_ns / 1e9)
        operation.wait(0)

    def _refuse(self, code: int) -> NoReturn:
        """Of `run`: it posted nothing."""
        raise self._refusal(code)

    def pack(self, shape: Shape, local: Local, remote: Remote, *, check: bool) -> bytes:
        """The requests of one operation, as the C side takes them."""
        try:
            if check:
                requests.check_places(shape.opcode, local, remote)
                if self._domain is not None and local.domain is not self._domain:
                    raise requests.foreign(local)
            requests.check_words(shape)
            return requests.pack(
                shape, local, remote, piece_bytes_max=self._piece_bytes_max, token=self._taken
            )
        except AttributeError as error:
            raise requests.no_places(local, remote) from error

    def post_bind(self, qp: Any, request: Any, keep: Any) -> Operation:
        """Has pyverbs' `qp` post its own signalled request, and reports of it as of ours.

        Raises: as `write`, and what pyverbs raises; nothing was posted.
        """
        operation = Operation(self, 0, keep)
        code = self._accept_bind(operation, qp, request)
        if code < 0:
            raise self._refusal(code)
        return operation

    def post_packed(self, packed: bytes, keep: Any) -> Operation:
        """Posts what `pack` made."""
        if not packed:
            raise PairError("nothing was posted: the batch is empty; add operations to it")
        return self._enter(packed, keep, 0)

    def _one(self, opcode: int, local: Local, remote: Remote, flags: int, check: bool) -> Operation:
        """The way of WRITEs and READs: one request, no object more than the Operation."""
        try:
            length, domain = local.length, self._domain
            is_wrong = length > remote.length or (domain and local.domain is not domain)
            if (check and is_wrong) or length > self._piece_bytes_max:
                shape = Shape(opcode, flags)
                return self.post_packed(self.pack(shape, local, remote, check=check), local)
            packed = _pack(
                self._taken, local.address, remote.address, 0, 0, length,
                local.lkey, remote.rkey, 0, opcode, flags,
            )  # fmt: skip
        except AttributeError as error:
            raise requests.no_places(local, remote) from error
        return self._enter(packed, local, 0)

    def _enter(self, packed: bytes | Requests, keep: Any, count: int) -> Operation:
        operation = Operation(self, 0, keep)
        code = self._accept(operation, packed, count)
        if code < 0:
            raise self._refusal(code)
        return operation

    def _refusal(self, code: int) -> RdmaqError:
        if code == -errno.ECANCELED:
            return PairError(
                "requests that waited to be posted were refused by the device: wait for those in "
                "flight, which says why, then close the pair and connect a new one"
            )
        if code == -errno.ENOBUFS:
            return PairError(
                f"{self._taken - self._posted:,} requests wait for room or for the peer's receives "
                f"already, and at most {BACKLOG_MAX:,} may: wait for some of them before you post "
                "more"
            )
        return super()._refusal(code)

    def _drop_backlog(self, code: int) -> None:
        """What was never posted ends with this error, after everything that was."""
        if code == -errno.ECANCELED:  # the pair failed: as if the device had flushed it
            packed, first = self._backlog[0]
            request = PACKED.unpack_from(packed, first * PACKED.size)
            error: RdmaqError = self._probe_error or self._flushed(request)
        elif code == -errno.ESHUTDOWN:
            error = self._lost or ClosedError(
                "this pair was closed before the operation was posted; make a new one"
            )
        else:
            error = self._refusal(code)
        for operation in list(self._in_flight):
            if operation._end > self._posted:
                operation._note_error(error)
        self._dropped = self._taken - self._posted
        self._backlog.clear()

    # ---- the end ----

    def check_close(self) -> None:
        """Refuses a close from within: by a signal's handler that interrupted a call of this pair.

        Raises:
            ConcurrentUse: close it when that call has ended; nothing happened.
        """
        if not self._is_closed and self._is_inside():
            raise ConcurrentUse(
                "this pair cannot be closed by a signal's handler that interrupted a call of it: "
                "set a flag there, and close it when the call has ended"
            )

    def close(self) -> None:
        """Refuses every later call, wakes whoever waits, and ends what was never posted.

        What is in flight ends in `drain`, which must follow once the QP is in the error state.

        Raises:
            ConcurrentUse: as `check_close`.
        """
        if self._is_closed:
            return
        self.check_close()
        self._is_closed = 1
        lib.rq_cq_close(self._queue.handle)
        lib.rq_pair_close(self._handle)
        while not self._take_turns():  # whoever is inside ends at once, since both are closed
            time.sleep(_YIELD_SECONDS)
        self._settle(self._found)  # of a call that was interrupted
        self._drop_backlog(-errno.ESHUTDOWN)
        self._finish()

    def give_up(self, error: RdmaqError) -> None:
        """See `Reports`."""
        if not self._is_closed:
            self._lost = error
            self.close()
            self.abandon()

    def lend(self) -> Any:
        """Hands the `struct rq_pair` to C code that posts and polls from now on, and nobody else.

        `close`, `drain` and `abandon` stay this side's, once that code is done with it.
        """
        self._is_lent = True
        return self._handle

    def drain(self, seconds: float) -> int:
        """Takes the reports of what is in flight. Returns how many are missing after so long."""
        deadline = time.monotonic() + seconds
        while True:
            count = lib.rq_cq_drain(self._queue.handle, self._done, DONE_COUNT_MAX, SLICE_NS // 10)
            if count > 0:
                if not self._is_lent:
                    self._settle(count)
                continue
            left = int(lib.rq_pair_outstanding(self._handle))
            if left == 0 or count < 0 or time.monotonic() >= deadline:
                return left

    def abandon(self) -> None:
        """Ends as unknown what has no report. Only after the QP was destroyed."""
        while (count := lib.rq_pair_abandon(self._handle, self._done, DONE_COUNT_MAX)) > 0:
            if not self._is_lent:
                self._settle(count)
        self._finish()
        self._awaiting.stop()

    def forget(self) -> None:
        """In a forked child: the QP is the parent's, every later call is refused."""
        lib.rq_pair_forget(self._handle)
        self._is_closed = 1
        self._forget_turns()
