"""One-sided operations over one queue pair, at the price of C: posting, polling, waiting.

Nothing here knows pyverbs: it is given addresses of libibverbs' structs. What finds no room in the
send queue, or no receive at the peer, waits in a backlog and is posted in order as room comes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rdmaq._fast import address_of, error_text, ffi, lib
from rdmaq.errors import ClosedError, PairError
from rdmaq.verbs import requests
from rdmaq.verbs.operation import Operation
from rdmaq.verbs.reports import DONE_COUNT_MAX, SLICE_NS, Explain, Queue, Reports, second_thread
from rdmaq.verbs.requests import PACKED, Batch, Local, Remote, Requests, Shape

if TYPE_CHECKING:
    from rdmaq.errors import RdmaqError

__all__ = ["BACKLOG_MAX", "PostedPair", "Queue"]

_REQUEST_BYTES = PACKED.size
#: Requests that may wait in a backlog; whoever posts more must wait for some of them.
BACKLOG_MAX = 1 << 16
_YIELD_SECONDS = 0.0001

_post = lib.rq_pair_post
_pack_into = PACKED.pack_into


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

    Attributes:
        reported: how many requests have ended so far, well or not.

    Raises:
        PairError: the numbers cannot be right.
    """

    __slots__ = ("_piece_bytes_max", "_run", "_single", "_single_bytes")

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
        self._single = ffi.new("struct rq_op[1]")
        self._single_bytes = ffi.buffer(self._single)
        self._run = ffi.new(
            "struct rq_run *", (self._done, SLICE_NS, DONE_COUNT_MAX, wait_mode, 0, 0)
        )
        places = (handle, self._run, queue.special)
        pair, run, special = map(address_of, places)
        self._bind(pair, run, special, places, Requests)

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
            PairError: the two do not fit together, or the pair is broken; nothing was posted.
            ConcurrentUse: another thread is posting.
            ClosedError: the pair was closed.
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
        """Posts the first `count` of them (all of them) as one chain with one doorbell."""
        count = len(requests.array) if count is None else count
        if not 0 < count <= len(requests.array):
            raise PairError(
                f"{count} of {len(requests.array)} requests cannot be posted: "
                "post at least one and at most all of them"
            )
        return self._accept(requests.pointer, count, requests)

    def _run_slowly(self, requests: Requests, timeout: float | None) -> None:
        """Of `run`: something is in flight, or another thread posts."""
        self.post(requests).wait(timeout)

    def _run_on(self, requests: Requests, timeout: float | None, count: int) -> None:
        """Of `run`, which posts and now has `count` reports: not all is done, or not all well."""
        try:
            operation = self._continue(requests, count)
        finally:
            self._end_posting()
        if operation is None:
            operation = self.post(requests)
        operation.wait(timeout)

    def _continue(self, requests: Requests, count: int) -> Operation | None:
        """None: it posted nothing."""
        taken = self._run.taken
        if count < 0:
            raise self._refusal(count)
        if taken == 0:
            return None
        self._taken += requests.count
        self._posted += taken
        operation = Operation(self, self._taken, requests)
        self._in_flight.append(operation)
        self._keep_rest(requests.pointer, taken, requests.count)
        self._settle(count)
        return operation

    def pack(self, shape: Shape, local: Local, remote: Remote, *, check: bool) -> bytes:
        """The requests of one operation, as the C side takes them."""
        if check:
            requests.check_places(shape.opcode, local, remote)
        requests.check_words(shape)
        return requests.pack(
            shape, local, remote, piece_bytes_max=self._piece_bytes_max, token=self._taken
        )

    def post_packed(self, packed: bytes, keep: Any) -> Operation:
        """Posts what `pack` made."""
        pointer = ffi.from_buffer("struct rq_op[]", packed)
        return self._accept(pointer, len(packed) // _REQUEST_BYTES, keep)

    def _one(self, opcode: int, local: Local, remote: Remote, flags: int, check: bool) -> Operation:
        """The way of WRITEs and READs: one request, no object more than the Operation."""
        length = local.length
        if (check and length > remote.length) or length > self._piece_bytes_max:
            shape = Shape(opcode, flags)
            return self.post_packed(self.pack(shape, local, remote, check=check), local)
        if not self._begin_posting():
            raise second_thread("posts")
        try:
            _pack_into(
                self._single_bytes, 0, self._taken, local.address, remote.address, 0, 0, length,
                local.lkey, remote.rkey, 0, opcode, flags,
            )  # fmt: skip
            return self._accept_locked(self._single, 1, local)
        finally:
            self._end_posting()

    def _accept(self, pointer: Any, count: int, keep: Any) -> Operation:
        if count == 0:
            raise PairError("nothing was posted: the batch is empty; add operations to it")
        if not self._begin_posting():
            raise second_thread("posts")
        try:
            return self._accept_locked(pointer, count, keep)
        finally:
            self._end_posting()

    def _accept_locked(self, pointer: Any, count: int, keep: Any) -> Operation:
        if self._dropped:
            raise PairError(
                "requests that waited to be posted were refused by the device: wait for those in "
                "flight, which says why, then close the pair and connect a new one"
            )
        # Known before it is posted: another thread may take its report before the call returns.
        self._taken += count
        operation = Operation(self, self._taken, keep)
        self._in_flight.append(operation)
        taken = 0 if self._backlog else _post(self._handle, pointer, count)
        if taken == count:
            self._posted += count
            return operation
        if taken >= 0 and self._taken - self._posted <= BACKLOG_MAX:
            self._posted += taken
            self._keep_rest(pointer, taken, count)
            return operation
        self._in_flight.pop()
        self._taken -= count
        if taken >= 0:
            raise PairError(
                f"{self._taken - self._posted:,} requests wait for room or for the peer's receives "
                "already: wait for some of them before you post more"
            )
        raise self._refusal(taken)

    def _keep_rest(self, pointer: Any, taken: int, count: int) -> None:
        if taken < count:
            self._backlog.append((_copy(pointer + taken, count - taken), count - taken))

    def _post_backlog(self) -> None:
        if not self._begin_posting():
            return  # who posts now looks by itself
        try:
            while self._backlog:
                pointer, count = self._backlog[0]
                taken = _post(self._handle, pointer, count)
                if taken < 0:
                    self._drop_backlog(self._refusal(taken))
                    return
                self._posted += taken
                if taken < count:
                    self._backlog[0] = (_copy(pointer + taken, count - taken), count - taken)
                    return
                self._backlog.popleft()
        finally:
            self._end_posting()

    def _drop_backlog(self, error: RdmaqError) -> None:
        """What was never posted ends with this error, after everything that was."""
        for operation in list(self._in_flight):
            if operation._end > self._posted:
                operation._note_error(error)
        self._backlog.clear()
        self._dropped = self._taken - self._posted

    # ---- the end ----

    def close(self) -> None:
        """Refuses every later call, wakes whoever waits, and ends what was never posted.

        What is in flight ends in `drain`, which must follow once the QP is in the error state.
        """
        lib.rq_cq_close(self._queue.handle)
        lib.rq_pair_close(self._handle)
        while not self._begin_posting():  # whoever posts ends at once, since the queue is closed
            time.sleep(_YIELD_SECONDS)
        self._drop_backlog(
            ClosedError("this pair was closed before the operation was posted; make a new one")
        )
        self._end_posting()
        self._finish()

    def drain(self, seconds: float) -> int:
        """Takes the reports of what is in flight. Returns how many are missing after so long."""
        deadline = time.monotonic() + seconds
        while True:
            count = lib.rq_cq_drain(self._queue.handle, self._done, DONE_COUNT_MAX, SLICE_NS // 10)
            if count > 0:
                self._settle(count)
                continue
            left = int(lib.rq_pair_outstanding(self._handle))
            if left == 0 or count < 0 or time.monotonic() >= deadline:
                return left

    def abandon(self) -> None:
        """Ends as unknown what has no report. Only after the QP was destroyed."""
        while (count := lib.rq_pair_abandon(self._handle, self._done, DONE_COUNT_MAX)) > 0:
            self._settle(count)
        self._finish()
        self._awaiting.stop()

    def forget(self) -> None:
        """In a forked child: the QP is the parent's, every later call is refused."""
        lib.rq_pair_forget(self._handle)


def _copy(pointer: Any, count: int) -> Any:
    copied = ffi.new("struct rq_op[]", count)
    ffi.memmove(copied, pointer, count * _REQUEST_BYTES)
    return copied
