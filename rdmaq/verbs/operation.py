"""What posting returns: something to wait for, in a thread or in an event loop."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

    from rdmaq.errors import RdmaqError
    from rdmaq.verbs.reports import Reports


class Operation:
    """One or more requests in flight. The memory they name is lent to the NIC until it is done.

    Once done it is done for good: waiting again gives the same answer at once.
    """

    __slots__ = ("_end", "_error", "_futures", "_pair", "keep")

    def __init__(self, pair: Reports, end: int, keep: Any) -> None:
        self._pair = pair
        self._end = end  # the pair's count of reports by which all of these are in
        self._error: RdmaqError | None = None
        self._futures: list[asyncio.Future[None]] | None = None
        self.keep = keep

    @property
    def is_done(self) -> bool:
        """Whether every request of it was reported, well or not; looks, and does not wait."""
        pair = self._pair
        if pair.reported < self._end:
            pair.look(0)
        return pair.reported >= self._end

    def wait(self, timeout: float | None = None) -> None:
        """Waits until all of it is done.

        Args:
            timeout: seconds; None: as long as it takes, which the pair's timers bound, but for what
                waits for the receives of a peer that lives: nothing bounds that but the peer.

        Raises:
            OperationFailed: the first of its requests that was not carried out, and why.
            OperationPending: time is up; it is still in flight and its memory still lent.
            ConcurrentUse: another thread waits on this pair, or an event loop does.
            ClosedError: the pair was closed meanwhile.
        """
        pair = self._pair
        if pair.reported < self._end:
            pair.wait_until(self._end, timeout)
        if self._error is not None:
            raise self._error

    def __await__(self) -> Generator[Any, None, None]:
        """Waits in an event loop: `await pair.write(...)`. Raises as `wait` does."""
        pair = self._pair
        if pair.reported < self._end:
            pair.look(0)
        if pair.reported < self._end:
            yield from pair.future_of(self).__await__()
        if self._error is not None:
            raise self._error

    def _note_error(self, error: RdmaqError) -> None:
        """Keeps the first failure: the others follow from it."""
        if self._error is None:
            self._error = error

    def _finish(self, futures: list[asyncio.Future[None]] | None) -> None:
        """Lets the memory go, and wakes whoever awaits."""
        self.keep = None
        for future in futures or ():
            with suppress(RuntimeError):  # its loop was closed: nobody awaits it any more
                future.get_loop().call_soon_threadsafe(_resolve, future)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


@dataclass(frozen=True, slots=True)
class Receive:
    """What a peer's WRITE_WITH_IMM told when it was done.

    Attributes:
        imm: its 32-bit value.
        length: bytes that it wrote.
    """

    imm: int
    length: int
