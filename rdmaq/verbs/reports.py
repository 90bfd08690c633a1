"""What became of the requests of one queue pair: reports are counted, and failures explained.

Requests end in the order in which they were posted, so a count of reports says which are done, and
only those that failed are looked at one by one.
"""

from __future__ import annotations

import errno
import time
from abc import ABCMeta, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from rdmaq._fast import Poster, error_text, ffi, lib
from rdmaq.errors import ClosedError, ConcurrentUse, OperationFailed, OperationPending, PairError
from rdmaq.verbs.awaiting import Awaiting
from rdmaq.verbs.constants import Status
from rdmaq.verbs.operation import Operation, Receive
from rdmaq.verbs.requests import OPCODE_NAMES, Requests

if TYPE_CHECKING:
    from rdmaq.errors import RdmaqError
    from rdmaq.verbs.watchdog import Watchdog

DONE_COUNT_MAX = 256
SLICE_NS = lib.RQ_WAIT_SLICE_NS_MAX


class Explain(Protocol):
    """Makes the error of a request that was not carried out."""

    def __call__(
        self,
        *,
        opcode: str,
        length_bytes: int,
        status: int,
        vendor_error: int,
        token: int,
        is_unknown: bool,
    ) -> OperationFailed:
        """All in the words and numbers of the completion."""


class Queue:
    """The C side of a completion queue.

    Args:
        cq: address of the ibv_cq; must outlive this.
        channel_fd: of its channel, non-blocking.
        get_event: address of ibv_get_cq_event.
        ack_events: address of ibv_ack_cq_events.
        entry_count: as granted.

    Raises:
        PairError: the numbers cannot be right.
    """

    __slots__ = ("channel_fd", "handle", "special")

    def __init__(
        self, *, cq: int, channel_fd: int, get_event: int, ack_events: int, entry_count: int
    ) -> None:
        setup = ffi.new(
            "struct rq_cq_setup *", (cq, get_event, ack_events, min(entry_count, 1 << 22), 1)
        )
        out = ffi.new("struct rq_cq **")
        code = lib.rq_cq_open(setup, out)
        if code != 0:
            raise PairError(
                f"a completion queue of {entry_count:,} entries cannot be used: "
                f"{error_text(code)}; use smaller depths, or install libibverbs-dev and build anew"
            )
        self.handle = ffi.gc(out[0], lib.rq_cq_free)
        self.channel_fd = channel_fd
        self.special = lib.rq_cq_special(self.handle)

    def forget(self) -> None:
        """In a forked child: every later call is refused."""
        lib.rq_cq_forget(self.handle)


class Reports(Poster, metaclass=ABCMeta):
    """The reporting half of `PostedPair`: one thread, or one event loop, waits at a time.

    Of `Poster` are `_taken`, requests accepted, those in the backlog among them; `_posted`, of them
    handed to the device; `reported`; `awaited_count`; `_dropped`, of those accepted: never will be
    posted; and `look`, which calls `_settle_each` and `_finish`.

    A signal's handler may raise wherever a call of Python's has ended. So what belongs together
    (a report settled and counted as settled) has no call between.
    """

    __slots__ = (
        "_are_flushed", "_awaiting", "_backlog", "_done", "_explain", "_handle", "_in_flight",
        "_is_lent", "_lost", "_probe_error", "_queue", "_receives", "_settled", "_wait_mode",
        "watchdog",
    )  # fmt: skip

    def __init__(self, queue: Queue, handle: Any, explain: Explain, wait_mode: int) -> None:
        self._queue = queue
        self._handle = handle
        self._explain = explain
        self._wait_mode = wait_mode
        self._done = ffi.new("struct rq_done[]", DONE_COUNT_MAX)
        self._settled = 0  # of those found
        self._is_lent = False  # C posts and polls: its reports are not ours
        self._are_flushed = False  # receives: the pair is in its error state
        self._lost: RdmaqError | None = None  # its device tells nothing any more, and why
        self._probe_error: OperationFailed | None = None  # the peer that grants nothing is gone
        self._in_flight: deque[Operation] = deque()
        self._backlog: deque[tuple[bytes, int]] = deque()
        self._receives: deque[Receive] = deque()
        self.watchdog: Watchdog | None = None
        self._awaiting = Awaiting(self, queue)

    def _finish(self) -> None:
        if self._dropped and self.reported == self._posted:
            self.reported = self._posted = self._taken
            self._dropped = 0
        in_flight, reported = self._in_flight, self.reported
        while in_flight and in_flight[0]._end <= reported:
            self._pop()

    def _pop(self) -> None:
        operation = self._in_flight[0]
        futures, operation._futures = operation._futures, None
        if futures is not None:
            self.awaited_count -= 1
        operation._finish(futures)
        self._in_flight.popleft()

    def _settle_each(self) -> None:
        """Of `look`: some of what was found are receives or failures. Goes on where it was."""
        in_flight, special = self._in_flight, self._queue.special[0]
        while self._settled < self._found:
            done = self._done[self._settled]
            if done.opcode == lib.RQ_OP_RECEIVE:
                receive = Receive(done.imm, done.length_bytes)
                self._settled += 1
                if done.outcome == lib.RQ_OUTCOME_OK:
                    self._receives.append(receive)
                else:
                    self._are_flushed = True
                continue
            if done.opcode == lib.RQ_OP_PROBE:
                if self._probe_error is None and not self._is_closed:
                    error = self._failure(done)
                    self._probe_error = error
                self._has_failed = 1
                self._settled += 1
                continue
            if done.outcome != lib.RQ_OUTCOME_OK:
                # Those before it are done; another thread may append behind it meanwhile.
                while in_flight and in_flight[0]._end <= self.reported:
                    self._pop()
                if in_flight and in_flight[0]._error is None:
                    error = self._failure(done)
                    in_flight[0]._error = error
                self._has_failed = 1
            self.reported += 1
            self._settled += 1
        # Receives are flushed when the pair is in its error state, of which nothing else may tell.
        # What is in flight says why, and is waited for.
        if self._are_flushed and self.reported == self._posted:
            self._has_failed = 1
        self._found = self._settled = 0
        self._special_seen = special
        self._finish()
        self._awaiting.deliver(self._receives)
        if self._has_failed and not self._is_closed:
            self._awaiting.refuse_receivers(self._no_receive)

    def _failure(self, done: Any) -> OperationFailed:
        return self._explain(
            opcode=OPCODE_NAMES[done.opcode],
            length_bytes=done.length_bytes,
            status=done.status,
            vendor_error=done.vendor_error,
            token=done.token,
            is_unknown=done.outcome == lib.RQ_OUTCOME_UNKNOWN,
        )

    def _flushed(self, request: tuple[Any, ...]) -> OperationFailed:
        """The error of a request that was not posted any more, since its pair had failed."""
        token, length_bytes, opcode = request[0], request[5], request[9]
        return self._explain(
            opcode=OPCODE_NAMES[opcode],
            length_bytes=length_bytes,
            status=Status.WR_FLUSH_ERR,
            vendor_error=0,
            token=token,
            is_unknown=False,
        )

    def _no_receive(self) -> OperationFailed:
        """The error of who waits for a receive: none will come."""
        return self._explain(
            opcode="RECEIVE",
            length_bytes=0,
            status=Status.WR_FLUSH_ERR,
            vendor_error=0,
            token=0,
            is_unknown=False,
        )

    def wait_until(
        self, operation_end: int, timeout: float | None, waited_seconds: float = 0.0
    ) -> None:
        """Waits until so many requests have ended; see `Operation.wait`."""
        if self._awaiting.is_awaited():
            raise second_thread("waits in an event loop")
        deadline = _deadline_of(timeout)
        if deadline is not None:
            deadline -= waited_seconds
        wait_ns = SLICE_NS
        while self.reported < operation_end:
            if deadline is not None:
                wait_ns = _slice_until(deadline)
            before = self.reported
            code = self.look(wait_ns)
            if self.reported >= operation_end:
                return
            if code < 0:
                raise self._refusal(code)
            if self.reported == before and self.watchdog is not None:
                self.watchdog.look(self)
            if wait_ns == 0 and code == 0:
                raise OperationPending(
                    f"not done after {timeout} s: {self._taken - self.reported:,} requests are in "
                    "flight and their memory is lent to the NIC; wait again, or close the pair"
                )

    def settle(self, timeout: float | None = None) -> None:
        """Waits until nothing is in flight any more, well or not; raises as `Operation.wait`."""
        if self.reported < self._taken:
            self.wait_until(self._taken, timeout)

    def future_of(self, operation: Operation) -> Any:
        """A future of the running event loop that ends with the operation."""
        return self._awaiting.future_of(operation)

    @property
    def outstanding(self) -> int:
        """Requests that were accepted and have not ended yet."""
        return self._taken - self.reported

    @property
    def handle(self) -> Any:
        """The C side's pair."""
        return self._handle

    def in_flight_bytes(self) -> int:
        """Of local memory that operations in flight name; walks over all of them."""
        return sum(_length_of(operation.keep) for operation in list(self._in_flight))

    def uses(self, address: int, length: int) -> bool:
        """Whether an operation in flight names memory within these bytes."""
        return any(
            _overlaps(operation.keep, address, address + length)
            for operation in list(self._in_flight)
            if operation._end > self.reported  # else a signal's handler raised as it was ended
        )

    # ---- receives, for the peer's WRITE_WITH_IMM ----

    def post_receives(self, count: int) -> int:
        """Lets the peer send `count` more WRITE_WITH_IMM, once it was told. Returns how many."""
        code = lib.rq_pair_post_receives(self._handle, count)
        if code < 0:
            raise self._refusal(code)
        return int(code)

    def grant(self, count: int) -> None:
        """The peer has posted so many more receives: that many more WRITE_WITH_IMM may go."""
        if not 0 <= count <= lib.RQ_RECEIVES_MAX:
            raise PairError(
                f"{count!r} receives cannot be granted: a queue has 0 to {lib.RQ_RECEIVES_MAX:,}; "
                "pass on what the peer's post_receives returned"
            )
        lib.rq_pair_grant(self._handle, count)
        if self._backlog:
            self._post_waiting()

    def receive(self, timeout: float | None = None) -> Receive | None:
        """The next WRITE_WITH_IMM of the peer's; None when time is up.

        Its receive is consumed: `post_receives(1)` and tell the peer, so that it can go on.

        Raises:
            OperationFailed: the pair is in its error state: none will come.
            ConcurrentUse, ClosedError, PairError: as `Operation.wait`.
        """
        deadline = _deadline_of(timeout)
        wait_ns = 0
        while not self._receives:
            if self._awaiting.is_awaited():
                raise second_thread("waits in an event loop")
            code = self.look(wait_ns)
            if self._receives:
                break
            if code < 0:
                raise self._refusal(code)
            if code == 0 and self._has_failed:
                raise self._no_receive()
            if code == 0 and self.watchdog is not None:
                self.watchdog.look(self)
            wait_ns = SLICE_NS if deadline is None else _slice_until(deadline)
            if wait_ns == 0:
                return None
        return self._receives.popleft()

    async def receive_async(self) -> Receive:
        """As `receive`, in an event loop."""
        if not self._receives:
            code = self.look(0)
            if code < 0:
                raise self._refusal(code)
        if self._receives:
            return self._receives.popleft()
        if self._has_failed:
            raise self._no_receive()
        return await self._awaiting.future_of_receive()

    @abstractmethod
    def give_up(self, error: RdmaqError) -> None:
        """Ends all as unknown, though the queue pair is there: its device tells no end any more.

        By whoever waits. Later calls raise `error`; the pair is still to be closed.
        """

    def closed_error(self) -> RdmaqError:
        """What to raise when it is used after its end."""
        return self._lost or ClosedError(
            "this pair was closed: it cannot be used any more; make a new one"
        )

    def _refusal(self, code: int) -> RdmaqError:
        if code == -errno.EBUSY:
            return second_thread("waits or posts")
        if code == -errno.ESHUTDOWN:
            return self.closed_error()
        if code in (-errno.EINVAL, -errno.EMSGSIZE):
            return PairError(
                f"a request is malformed: {error_text(code)}; its opcode, length, address or flags "
                "are none that a device takes; nothing of it was posted"
            )
        return PairError(
            f"the device refuses to go on: {error_text(code)}; close the pair and connect a new one"
        )


def _deadline_of(timeout: float | None) -> float | None:
    if timeout is None:
        return None
    if not isinstance(timeout, (int, float)) or timeout != timeout:
        raise PairError(
            f"timeout={timeout!r} is no time: use seconds, or None to wait as long as it takes"
        )
    try:
        return time.monotonic() + timeout
    except OverflowError:  # an integer that no float holds
        return float("inf")


def _slice_until(deadline: float) -> int:
    """How long to wait at once, in nanoseconds; 0: time is up."""
    return max(0, int(min(SLICE_NS, (deadline - time.monotonic()) * 1e9)))


def second_thread(does: str) -> ConcurrentUse:
    """What a second thread is told; nothing happened."""
    return ConcurrentUse(
        f"another thread {does} on this pair: one thread posts and one waits; "
        "use a pair each, or a lock of your own"
    )


def _overlaps(keep: Any, begin: int, end: int) -> bool:
    if isinstance(keep, (list, tuple)):
        return any(_overlaps(part, begin, end) for part in keep)
    if isinstance(keep, Requests):
        return _overlaps(keep.keep, begin, end)
    address = getattr(keep, "address", None)
    return address is not None and address < end and begin < address + keep.length


def _length_of(keep: Any) -> int:
    if isinstance(keep, (list, tuple)):
        return sum(map(_length_of, keep))
    if isinstance(keep, Requests):
        return int(keep.array["length_bytes"][: keep.count].sum())
    return int(getattr(keep, "length", 0))
