"""How a region's operations travel over verbs: as chains of one queue pair of its own."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections import deque
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from rdmaq._fast import ffi, lib
from rdmaq.errors import (
    ClosedError,
    ConcurrentUse,
    HandoverError,
    OperationFailed,
    PairError,
    PeerGone,
    RdmaqError,
)
from rdmaq.region.bounce import Bounce, Part
from rdmaq.region.grant import RegionInfo
from rdmaq.region.lost import again
from rdmaq.region.refusals import ACCESSES
from rdmaq.region.session import Session
from rdmaq.verbs.operation import Operation

#: Steps of a call: each is a chain to be waited for, None meaning `whole.requests`, not posted yet.
_Steps = Generator[Operation | None, None, int]

# Whoever reads a row asks again until its own timeout; this bounds one call.
_COPIES_MAX = 64


class VerbsChannel:
    """A region or a table on another host, by one-sided operations (see `Channel`).

    Operations are checked before the first of them is posted. Once one has failed, all later calls
    raise what it meant: the queue pair is over.

    Args:
        session: the connection; closed with this object, and when its making fails.
        info: what the owner says of the region.

    Raises:
        HandoverError: the key opens another number of bytes than the region has.
        RegistrationError: no memory could be registered for the bytes to pass through.
    """

    transport = "verbs"

    def __init__(self, session: Session, info: RegionInfo) -> None:
        self._session = session
        self._what = f"{'table' if info.kind == 'table' else 'region'} {info.name!r}"
        self._lock = threading.Lock()
        self._inside = 0  # the thread that holds it; 0: an event loop's task, or nobody
        self._turns: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None
        self._lost: RdmaqError | None = None
        self._is_closed = self._is_unsettled = self._is_stopping = False
        try:
            self._check_key(session.key().length, info.data_bytes)
            self._bounce = Bounce(session, info, ACCESSES[info.access])
        except BaseException:
            self._is_closed = True
            session.close()
            raise
        self._bad_index = ffi.new("uint64_t *")

    def _check_key(self, key_bytes: int, region_bytes: int) -> None:
        if key_bytes != region_bytes:
            raise HandoverError(
                f"the node's key of {self._what} opens {key_bytes:,} bytes, and it should have "
                f"{region_bytes:,}: run the same release on both sides"
            )

    # ---- the calls ----

    def run(self, ops: npt.NDArray[Any]) -> int:
        """See `Channel`."""
        return self._drive(self._steps_of(ops))

    async def run_async(self, ops: npt.NDArray[Any], lent: object) -> int:  # noqa: ARG002
        """See `Channel`. Tasks of one event loop take turns.

        The NIC never touches `lent`: bytes are copied to and from it between two steps.
        """
        return await self._drive_async(self._steps_of(ops))

    def read_rows(
        self,
        shape: Any,
        rows: npt.NDArray[np.uint64],
        out: npt.NDArray[np.uint8],
        versions: npt.NDArray[np.uint64],
        note: Any,
    ) -> int:
        """See `Channel`."""
        return self._drive(self._fetches_of(shape, rows, out, versions, note))

    async def read_rows_async(
        self,
        shape: Any,
        rows: npt.NDArray[np.uint64],
        out: npt.NDArray[np.uint8],
        versions: npt.NDArray[np.uint64],
        note: Any,
    ) -> int:
        """See `Channel`."""
        return await self._drive_async(self._fetches_of(shape, rows, out, versions, note))

    # ---- their steps ----

    def _steps_of(self, ops: npt.NDArray[Any]) -> _Steps:
        bounce, count = self._bounce, len(ops)
        pointer = ffi.cast("struct rq_region_op *", ops.ctypes.data)
        code = int(lib.rq_chain_check(bounce.chain, pointer, count, bounce.needs, self._bad_index))
        if code != 0:
            return code
        if not bounce.is_one_chain:
            return (yield from self._chains_of(pointer, count))
        part = bounce.whole
        part.c.first_op = part.c.first_bytes = part.c.has_unfenced = 0
        if self._fill(part, pointer, count):
            yield None
            lib.rq_chain_take(bounce.chain, pointer, count, part.c)
        return count

    def _chains_of(self, pointer: Any, count: int) -> _Steps:
        """One half of the buffer is filled, or emptied, while the other is in flight."""
        bounce = self._bounce
        flying: deque[tuple[Part, Operation]] = deque()
        free = deque(bounce.halves)
        next_op = next_bytes = has_unfenced = 0
        while True:
            is_over = next_op == count or self._is_stopping
            if not is_over and free:
                part = free.popleft()
                part.c.first_op, part.c.first_bytes = next_op, next_bytes
                part.c.has_unfenced = has_unfenced
                if filled := self._fill(part, pointer, count):
                    flying.append((part, self._session.pair.post(part.requests, filled)))
                next_op, next_bytes = part.c.next_op, part.c.next_bytes
                has_unfenced = part.c.has_unfenced
                continue
            if not flying:
                return count
            part, operation = flying.popleft()
            yield operation
            lib.rq_chain_take(bounce.chain, pointer, count, part.c)
            free.append(part)

    def _fill(self, part: Part, pointer: Any, count: int) -> int:
        filled = int(
            lib.rq_chain_fill(self._bounce.chain, pointer, count, part.c, part.requests.pointer)
        )
        part.requests.count = filled
        return filled

    def _fetches_of(
        self,
        shape: Any,
        rows: npt.NDArray[np.uint64],
        out: npt.NDArray[np.uint8],
        versions: npt.NDArray[np.uint64],
        note: Any,
    ) -> _Steps:
        """Window after window: each row until three copies that follow each other agree."""
        bounce, row_bytes = self._bounce, int(shape.row_bytes)
        if len(rows) and int(rows.max()) >= shape.row_count:
            note.bad_index = int(rows.argmax())
            return -errno.ERANGE
        fetch, pending = bounce.fetch, bounce.pending
        pending_pointer = ffi.cast("uint32_t *", pending.ctypes.data)
        done = 0
        while done < len(rows) and not self._is_stopping:
            window = min(len(rows) - done, bounce.window_rows)
            fetch.slot_count = fetch.pending_count = window
            fetch.copy_count = 0
            pending[:window] = np.arange(window)
            rows_pointer = ffi.cast("uint64_t *", rows.ctypes.data + 8 * done)
            out_pointer = ffi.cast("uint8_t *", out.ctypes.data + row_bytes * done)
            versions_pointer = ffi.cast("uint64_t *", versions.ctypes.data + 8 * done)
            while fetch.pending_count and fetch.copy_count < _COPIES_MAX and not self._is_stopping:
                requests = bounce.whole.requests
                filled = int(
                    lib.rq_fetch_fill(
                        bounce.chain, shape, rows_pointer, pending_pointer, fetch, requests.pointer
                    )
                )
                if filled < 0:
                    return filled
                requests.count = filled
                # Waiting for its end orders it before the next copy, which no fence is needed for.
                yield None
                left = lib.rq_fetch_judge(
                    shape, pending_pointer, fetch, out_pointer, versions_pointer
                )
                note.reread_count += left if fetch.copy_count > 2 else 0
            if fetch.pending_count:
                return done + int(pending[0])  # those before it are whole
            done += window
        return done

    # ---- carrying them out ----

    def _drive(self, steps: _Steps) -> int:
        code = self._enter(threading.get_ident())
        if code != 0:
            return code
        try:
            if self._is_unsettled:
                self._session.pair.settle()
                self._is_unsettled = False
            while True:
                operation = next(steps)
                if operation is None:
                    self._session.pair.run(self._bounce.whole.requests)
                else:
                    operation.wait()
        except StopIteration as end:
            return int(end.value)
        except RdmaqError as error:
            if (code := self._code_of(error)) != 0:
                return code
            raise self._lose(error) from error
        except BaseException:  # interrupted: what is in flight uses the buffer still
            self._is_unsettled = True
            raise
        finally:
            self._leave()

    async def _drive_async(self, steps: _Steps) -> int:
        async with self._turn():
            code = self._enter(0)
            if code != 0:
                return code
            loop, cancelled = asyncio.get_running_loop(), None
            try:
                if self._is_unsettled:
                    await loop.run_in_executor(None, self._session.pair.settle)
                    self._is_unsettled = False
                while True:
                    operation = next(steps)
                    if operation is None:
                        operation = self._session.pair.post(
                            self._bounce.whole.requests, self._bounce.whole.requests.count
                        )
                    cancelled = await self._landed(operation) or cancelled
            except StopIteration as end:
                if cancelled is not None:
                    raise cancelled from None
                return int(end.value)
            except RdmaqError as error:
                if cancelled is not None:
                    self._is_unsettled = True
                    raise cancelled from None
                if (code := self._code_of(error)) != 0:
                    return code
                raise await loop.run_in_executor(None, self._lose, error) from error
            except BaseException:  # the loop is thrown away, with us in it
                self._is_unsettled = True
                raise
            finally:
                self._leave()

    async def _landed(self, operation: Operation) -> asyncio.CancelledError | None:
        """Waits for it, also when cancelled meanwhile; then no other step is begun."""
        cancelled: asyncio.CancelledError | None = None
        while True:
            try:
                await operation
            except asyncio.CancelledError as error:  # what was posted cannot be called back
                cancelled = error
                self._is_stopping = True
            except RdmaqError:
                if cancelled is None:
                    raise
                return cancelled
            else:
                return cancelled

    def _turn(self) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        if self._turns is None or self._turns[0] is not loop:
            self._turns = (loop, asyncio.Lock())
        return self._turns[1]

    # ---- who is inside ----

    def _enter(self, thread_id: int) -> int:
        if self._is_closed:  # first: in a forked child the lock may be held by nobody any more
            return -errno.ESHUTDOWN
        if not self._lock.acquire(blocking=False):
            return -errno.ESHUTDOWN if self._is_closed else -errno.EBUSY
        self._lost = self._lost or self._session.ended()
        if self._lost is not None:
            self._lock.release()
            raise again(self._lost)
        self._inside = thread_id
        self._is_stopping = False
        return 0

    def _leave(self) -> None:
        self._inside = 0
        self._lock.release()

    def _code_of(self, error: RdmaqError) -> int:
        """Not 0: the errors that all transports have, by their number."""
        if self._is_closed or isinstance(error, ClosedError):
            return -errno.ESHUTDOWN
        return -errno.EBUSY if isinstance(error, ConcurrentUse) else 0

    def _lose(self, error: RdmaqError) -> RdmaqError:
        """Notes what every later call will be told."""
        if isinstance(error, OperationFailed):
            self._lost = self._session.failure(error)
        elif isinstance(error, PairError):
            self._lost = PeerGone(
                f"{self._what} has lost its connection, and the operation may or may not have been "
                f"done: {error}; ask the peer for it again"
            )
        else:
            self._is_unsettled = True
            return error
        return self._lost

    def close(self) -> None:
        """See `Channel`."""
        if self._is_closed:
            return
        self._is_closed = True
        self._session.close()  # ends whoever waits inside
        if self._inside not in (0, threading.get_ident()):
            with self._lock:
                pass
        self._bounce.close()

    def forget(self) -> None:
        """See `Channel`."""
        self._is_closed = True
        self._session.forget()

    def __del__(self) -> None:
        with suppress(Exception):  # its making failed, or the interpreter ends
            self.close()
