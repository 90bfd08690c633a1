"""What a device tells by itself: a port that went down, a GID that changed, the device's death.

pyverbs waits for events with Python's lock held, which stops the whole process. So its call is made
only when the descriptor says that there is an event, and the descriptor never blocks.
"""

from __future__ import annotations

import os
import select
import struct
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rdmaq.verbs.constants import PORT_EVENTS, EventKind
from rdmaq.verbs.library import load
from rdmaq.verbs.pointers import read_memory

if TYPE_CHECKING:
    from collections.abc import Iterable

_SLICE_SECONDS = 0.2  # after so long a wait sees that the device was closed
_KEPT_MAX = 16  # of those seen: for the texts of errors
# struct ibv_async_event: a union of pointers and the port's number, then the kind
_EVENT = struct.Struct("@QiI")

_MEANINGS = {
    EventKind.PORT_ERR: "the port lost its link",
    EventKind.PORT_ACTIVE: "the port has a link (again)",
    EventKind.DEVICE_FATAL: "the device failed and must be opened anew",
    EventKind.GID_CHANGE: "the port's GIDs changed: an address came or went",
    EventKind.LID_CHANGE: "the subnet manager gave the port another LID",
    EventKind.PKEY_CHANGE: "the port's partitions changed",
    EventKind.QP_FATAL: "a queue pair failed inside the device",
    EventKind.QP_ACCESS_ERR: "a peer asked for memory that it must not touch",
    EventKind.QP_REQ_ERR: "a peer sent a request that makes no sense",
    EventKind.CQ_ERR: "a completion queue overflowed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEvent:
    """One thing that a device told.

    Attributes:
        kind: what happened; `EventKind.OTHER` for what this rdmaq has no name for.
        port: which port it is about, None where it is about none.
        qp_address: for events of a queue pair, its struct's address; `Pair.is_about` compares it.
        seen: `time.monotonic()` when it was taken.
    """

    kind: EventKind
    port: int | None
    qp_address: int | None
    seen: float

    def __str__(self) -> str:
        where = f" (port {self.port})" if self.port is not None else ""
        meaning = _MEANINGS.get(self.kind)
        return f"{self.kind.name}{where}" + (f": {meaning}" if meaning else "")


class Events:
    """The events of one opened device, in the order that they came; any thread may poll.

    Watch `fileno()` with poll(2) or an event loop, then call `poll()`.

    Attributes:
        recent: the last few that were seen, oldest first.
        is_fatal: the device told, to whoever polled, that it failed: it must be opened anew.
    """

    def __init__(self, context: Any, fd: int) -> None:
        self.is_fatal = False
        self._context = context
        self._fd = fd
        self._lock = threading.Lock()
        self.recent: deque[DeviceEvent] = deque(maxlen=_KEPT_MAX)
        os.set_blocking(fd, False)

    def fileno(self) -> int:
        """The descriptor, readable when there is an event; the device's own, never to be closed."""
        return self._fd

    def poll(self, timeout: float = 0.0) -> list[DeviceEvent]:
        """Takes the events that there are, waiting at most `timeout` seconds for the first."""
        found: list[DeviceEvent] = []
        # Not within the lock: an operation that fails looks here for its cause, and would wait for
        # a thread that does nothing but watch.
        if timeout > 0:
            self._wait(timeout)
        with self._lock:
            while self._is_readable(0.0) and (event := self._take()):
                found.append(event)
        self.recent.extend(found)
        if any(event.kind is EventKind.DEVICE_FATAL for event in found):
            self.is_fatal = True
        return found

    def _wait(self, timeout: float) -> None:
        """Until there is an event, time is up, or the device is closed."""
        deadline = time.monotonic() + timeout
        while self._context is not None and not self._is_readable(
            max(0.0, min(_SLICE_SECONDS, deadline - time.monotonic()))
        ):
            if time.monotonic() >= deadline:
                return

    def _is_readable(self, seconds: float) -> bool:
        if self._context is None:
            return False
        poller = select.poll()
        poller.register(self._fd, select.POLLIN)
        return bool(poller.poll(seconds * 1000))

    def close(self) -> None:
        """No more are taken; the descriptor goes with the device."""
        self._context = None

    def _take(self) -> DeviceEvent | None:
        context = self._context
        if context is None:  # another thread has closed the device meanwhile
            return None
        try:
            event = context.get_async_event()
        except load().pyverbs_error.PyverbsError:
            return None
        try:
            return _understood(event)
        finally:
            event.ack()  # else destroying what it is about would wait for ever


def _understood(event: Any) -> DeviceEvent:
    kind = EventKind(event.event_type)
    # Which port or queue pair it is about has no property in any release; the struct stands behind
    # the base class's part, and is believed only if the kind in it is the same.
    base = next(part for part in type(event).__mro__ if part.__name__ == "PyverbsObject")
    element, own_kind, _ = _EVENT.unpack(read_memory(id(event) + base.__basicsize__, _EVENT.size))
    is_understood = own_kind == kind
    port = element & 0xFFFFFFFF if is_understood and kind in PORT_EVENTS else None
    is_pair = is_understood and kind.name.startswith(("QP_", "SQ_", "COMM_", "PATH_"))
    return DeviceEvent(
        kind=kind, port=port, qp_address=element if is_pair else None, seen=time.monotonic()
    )


def summary(events: Iterable[DeviceEvent], now: float, seconds: float = 30.0) -> str:
    """The events of the last seconds as a clause for an error's text; "" if there were none."""
    told = [event for event in events if now - event.seen <= seconds]
    return "; ".join(f"{event} {now - event.seen:.1f} s before" for event in told)
