"""Memory windows of type 2: a key to registered memory that one queue pair alone can use.

The memory itself need not be open to anybody, and closing the window takes the key back while pair
and memory go on. Binding is a request on the pair's own queue; pyverbs posts it, since it happens
once in a connection's life; its completion is taken by C as any other, so that none of the peer's
WRITE_WITH_IMM is taken for it.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from rdmaq._handle import Handle
from rdmaq.errors import (
    ConcurrentUse,
    OperationPending,
    PairError,
    RdmaqError,
    RegistrationError,
)
from rdmaq.verbs._calls import keep_for_ever, refusals
from rdmaq.verbs.constants import MW_TYPE_2, SEND_SIGNALED, WR_BIND_MW, Access
from rdmaq.verbs.library import load
from rdmaq.verbs.memory import Memory, MemoryPart, RemoteMemory

if TYPE_CHECKING:
    from rdmaq.verbs.fast import PostedPair
    from rdmaq.verbs.operation import Operation
    from rdmaq.verbs.pair import Pair

_BIND_SECONDS_MAX = 10.0  # nothing of it goes over the network: only a broken device takes long
_TURN_SECONDS = 0.0002
_Result = TypeVar("_Result")
_OPEN = Access.REMOTE_READ | Access.REMOTE_WRITE | Access.REMOTE_ATOMIC
_CURES = {
    errno.ENOMEM: "the device has no more of them (see `ibv_devinfo -v`, max_mw); close some",
    errno.EOPNOTSUPP: "the device has none of type 2: see `Device.limits.has_windows`",
    0: "see the kernel's log",
}


class Window(Handle):
    """A part of registered memory, opened to the peer of one queue pair; `Pair.window()` makes it.

    Attributes:
        pair: whose peer can use it, and nobody else.
        memory: whose part it is; it can be closed after its windows.
        remote: what to tell the peer.
    """

    __slots__ = ("_mw", "memory", "pair", "remote")

    def __init__(
        self,
        pair: Pair,
        posted: PostedPair,
        qp: Any,
        part: Memory | MemoryPart,
        access: Access,
    ) -> None:
        self._mw: Any = None
        self.pair = pair
        if not isinstance(part, Memory | MemoryPart):
            raise RegistrationError(
                f"a {type(part).__name__} takes no window: it is no registered memory; pass what "
                "`Domain.register` returned, or a part of it (memory[start:stop])"
            )
        self.memory = part.memory if isinstance(part, MemoryPart) else part
        super().__init__()
        _check(pair, self.memory, access)
        pyverbs = load()
        what = f"cannot open a window for {pair}"
        with refusals(what, _CURES, RegistrationError):
            self._mw = pyverbs.mr.MW(pair.domain.pyverbs_pd, MW_TYPE_2)
            info = pyverbs.mr.MWBindInfo(
                self.memory.pyverbs_mr, part.address, part.length, int(access)
            )
            request = pyverbs.wr.SendWR(opcode=WR_BIND_MW, send_flags=SEND_SIGNALED)
            request.set_bind_wr(self._mw, info)
        operation: Operation | None = None
        try:
            with refusals(what, _CURES, RegistrationError):
                operation = _in_turn(posted, lambda: posted.post_bind(qp, request, part))
            _wait(posted, operation, what)
        except BaseException:
            if operation is not None:
                with suppress(RdmaqError):  # an interrupted wait: the device may still be at it
                    operation.wait(_BIND_SECONDS_MAX)
            self._mw.close()
            raise
        self.remote = RemoteMemory(address=part.address, length=part.length, rkey=request.rkey)

    def close(self) -> None:
        """Takes the key back: what the peer asks with it from now on is refused. Idempotent.

        The peer's first refused operation ends its queue pair, and this side's.
        """
        if self.closed:
            return
        self._is_closed = True
        with refusals("cannot close a window", {0: "close its pair"}, RegistrationError):
            self._mw.close()
        self._mw = None
        self.pair.discard(self)

    def _forget(self) -> None:
        keep_for_ever(self._mw)

    def __enter__(self) -> Window:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check(pair: Pair, memory: Memory, access: Access) -> None:
    if not isinstance(access, Access) or not access or access & ~_OPEN:
        raise RegistrationError(
            f"access={access!r} opens no window: it must say what the peer may do; combine "
            "REMOTE_READ, REMOTE_WRITE, REMOTE_ATOMIC"
        )
    if not memory.access & Access.WINDOWS or memory.domain is not pair.domain:
        raise RegistrationError(
            f"this memory takes no window of {pair}: it is of another domain, or was registered "
            "without Access.WINDOWS; register it so, with the pair's domain"
        )
    if access & ~Access.REMOTE_READ and not memory.access & Access.LOCAL_WRITE:
        raise RegistrationError(
            f"access={access!r}: the memory is read-only; open it for REMOTE_READ alone"
        )


def _wait(posted: PostedPair, operation: Operation, what: str) -> None:
    try:
        _in_turn(posted, lambda: operation.wait(_BIND_SECONDS_MAX))
    except OperationPending as error:
        raise PairError(
            f"{what}: the device did not answer within {_BIND_SECONDS_MAX:g} s; close the pair and "
            "see the kernel's log"
        ) from error


def _in_turn(posted: PostedPair, call: Callable[[], _Result]) -> _Result:
    """What the call gives, once there is room, and no other thread inside.

    A node's own looks now and then whether its peers live.
    """
    deadline = time.monotonic() + _BIND_SECONDS_MAX
    while True:
        try:
            return call()
        except ConcurrentUse:
            if time.monotonic() >= deadline:
                raise
            posted.look(0)
            time.sleep(_TURN_SECONDS)
