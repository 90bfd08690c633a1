"""The operations of a queue pair as its users see them: thin, since every one of them is hot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rdmaq.errors import PairError

if TYPE_CHECKING:
    from rdmaq.verbs.fast import PostedPair
    from rdmaq.verbs.operation import Operation, Receive
    from rdmaq.verbs.pair import Pair
    from rdmaq.verbs.requests import Batch, Local, Remote, Requests


class NotConnected:
    """Stands for the operations of a pair that has no peer (yet, or any more)."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    def __getattr__(self, name: str) -> Any:
        self._pair._check_open()
        raise PairError(
            f"{self._pair.facts} cannot {name}: it has no peer; call connect(peer's address) first"
        )

    def run(self, *_: Any, **__: Any) -> None:
        """Refuses when it is called, not when it is looked up."""
        self.__getattr__("run")


class OneSided:
    """Reads, writes and atomics in the peer's memory, which no instruction of the peer runs for.

    Each is posted at once and gives an `Operation`: `.wait(timeout)` it, or `await` it. They are
    carried out in order, but a READ or atomic may still be under way when the next begins, unless
    that has `fence=True`. Local memory is lent to the NIC until the operation is done. What finds
    no room in the send queue, or no receive at the peer, waits in order and is posted when it can.

    One thread may post while another waits; a second one at either is told `ConcurrentUse`.
    """

    __slots__ = ()
    if TYPE_CHECKING:
        _traffic: PostedPair

    def write(
        self, local: Local, remote: Remote, *, fence: bool = False, check: bool = True
    ) -> Operation:
        """Writes local memory into the peer's.

        Args:
            local: a Memory or a part of it.
            remote: where to; at least as long.
            fence: begin only after all earlier READs and atomics of this pair are done.
            check: refuse what does not fit before it is posted; False leaves that to the devices,
                which end the pair for it.

        Raises:
            PairError: not connected, broken, the two do not fit together, or `local` is of another
                domain; nothing was posted.
            ConcurrentUse: another thread is posting.
            ClosedError: the pair or `local` was closed.
        """
        return self._traffic.write(local, remote, fence=fence, check=check)

    def read(
        self, local: Local, remote: Remote, *, fence: bool = False, check: bool = True
    ) -> Operation:
        """Reads as many bytes of the peer's memory as `local` has; else as `write`."""
        return self._traffic.read(local, remote, fence=fence, check=check)

    def write_with_imm(
        self, local: Local, remote: Remote, imm: int, *, fence: bool = False, check: bool = True
    ) -> Operation:
        """As `write`, then tells the peer a number of 32 bits (its `receive()` gives it)."""
        return self._traffic.write_with_imm(local, remote, imm, fence=fence, check=check)

    def fetch_add(
        self, local: Local, remote: Remote, add: int, *, fence: bool = False, check: bool = True
    ) -> Operation:
        """Adds to 8 bytes of the peer's memory, modulo 2^64; their old value comes to `local`.

        Args:
            local: 8 bytes; the old value in the peer's byte order.
            remote: 8 bytes at an address that 8 divides.
            add: 0 to 2^64 - 1.
            fence: as in `write`.
            check: as in `write`.

        Atomic among the operations of the peer's NIC; towards the peer's CPU only where its device
        says so.
        """
        return self._traffic.fetch_add(local, remote, add, fence=fence, check=check)

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
        return self._traffic.compare_swap(local, remote, compare, swap, fence=fence, check=check)

    def batch(self) -> Batch:
        """Operations to be posted together: one chain, one doorbell, one `Operation`."""
        return self._traffic.batch()

    def requests(self, count: int, keep: Any = None) -> Requests:
        """An array of requests to fill in by numpy and to post again and again."""
        return self._traffic.requests(count, keep)

    def post(self, requests: Requests, count: int | None = None) -> Operation:
        """Posts the first `count` of them (all of them) as one chain with one doorbell."""
        return self._traffic.post(requests, count)

    def settle(self, timeout: float | None = None) -> None:
        """Waits until nothing is in flight any more, well or not: no memory is lent then.

        Raises:
            OperationPending: time is up.
            ConcurrentUse: another thread waits on this pair, or an event loop does.
            ClosedError: the pair was closed.
        """
        self._traffic.settle(timeout)

    def receive(self, timeout: float | None = None) -> Receive | None:
        """The next WRITE_WITH_IMM of the peer's; None after `timeout` seconds.

        Nobody asks meanwhile whether the peer lives: give a time-out where it may be gone.

        It used up one of the `receive_depth` receives: `post_receives(1)`, and tell the peer, which
        calls `grant(1)`.

        Raises:
            OperationFailed: the pair has failed: none will come.
            ConcurrentUse: another thread waits on this pair, or an event loop does.
            ClosedError: the pair was closed.
        """
        return self._traffic.receive(timeout)

    async def receive_async(self) -> Receive:
        """As `receive`, in an event loop."""
        return await self._traffic.receive_async()

    def post_receives(self, count: int) -> int:
        """Lets the peer send `count` more WRITE_WITH_IMM, once it was told; returns how many."""
        return self._traffic.post_receives(count)

    def grant(self, count: int) -> None:
        """The peer told that it has posted so many more receives."""
        self._traffic.grant(count)

    @property
    def outstanding(self) -> int:
        """Requests that were accepted and have not ended yet."""
        return self._traffic.outstanding
