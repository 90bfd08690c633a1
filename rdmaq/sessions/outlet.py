"""The device by which a peer reaches its node: opened once, for all its sessions."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from rdmaq._fast import lib
from rdmaq.errors import ClosedError
from rdmaq.stream import keeper
from rdmaq.verbs.device import Device

if TYPE_CHECKING:
    from rdmaq.sessions.choice import DeviceChoice
    from rdmaq.verbs.domain import Domain


class Outlet:
    """The device and the domain that all sessions of one peer share; closed by the last of them.

    Args:
        choice: what the user says of the device.
        host: whom to reach.

    Attributes:
        device: opened.
        domain: for pairs, probe memory and bounce buffers.

    Raises:
        VerbsUnavailable, DeviceNotFound: there is none; the text says what to do.
    """

    def __init__(self, choice: DeviceChoice, host: str) -> None:
        from rdmaq.verbs.library import load

        port, gid = choice.find(host)  # before pyverbs is loaded: mostly there is no device
        load()
        self.device = Device(port, gid)
        try:
            self.domain: Domain = self.device.domain()
        except BaseException:
            self.device.close()
            raise
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._holders = 1
        self._keeper: Any = None

    def hold(self) -> None:
        """One more needs it; each lets go once.

        Raises:
            ClosedError: the last one has let go of it.
        """
        with self._lock:
            if self._holders == 0:
                raise ClosedError(
                    f"{self.device} was closed with its peer: nothing is connected by it any more; "
                    "connect again"
                )
            self._holders += 1

    def keeper(self) -> Any:
        """The `struct rq_keeper` of our replicas; for who holds the outlet, until it lets go."""
        with self._lock:
            if self._keeper is None:
                self._keeper = keeper.start()
            return self._keeper

    def let_go(self) -> None:
        """One fewer; the last one closes it. Nothing in a forked child, where it is not ours."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            self._holders -= 1
            if self._holders:
                return
            kept, self._keeper = self._keeper, None
        if kept is not None:
            lib.rq_keeper_stop(kept)
        self.device.close()
