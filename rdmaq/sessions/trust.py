"""A node's circles of trust on one device: domains, and the exported areas registered in them.

Where the device has windows of type 2 one circle holds all callers: its memory is open to nobody,
and each key is bound to one session's queue pair. Elsewhere a key opens its memory to every queue
pair of its domain, so each caller has a domain of its own.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from rdmaq.errors import ClosedError
from rdmaq.region.exported import Export, Exported
from rdmaq.region.refusals import ACCESSES
from rdmaq.verbs.constants import Access

if TYPE_CHECKING:
    from rdmaq.sessions.serving import ServedSession
    from rdmaq.verbs.device import Device
    from rdmaq.verbs.domain import Domain
    from rdmaq.verbs.memory import Memory

EVERYBODY = ""


def remote_access(exported: Exported, *, has_atomics: bool) -> Access:
    """What peers may do with an export, as the NIC is told: never more than it was exported for."""
    granted = ACCESSES[exported.info.access]
    access = Access.REMOTE_READ
    if granted & 2:
        access |= Access.REMOTE_WRITE
    if granted & 4 and has_atomics:
        access |= Access.REMOTE_ATOMIC
    return access


class Circle:
    """Callers that share a protection domain.

    Attributes:
        device: it is of.
        domain: its own.
        lock: held by who registers, opens or revokes.
        sessions: of its callers, that are open.
        user_count: sessions open or being made; counted by the door, under its lock.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.domain: Domain = device.domain()
        self.lock = threading.RLock()
        self.sessions: set[ServedSession] = set()
        self.user_count = 0
        self._memories: dict[Exported, Memory] = {}
        self._owners: dict[Exported, Domain] = {}

    @property
    def has_windows(self) -> bool:
        """Whether keys are bound to one session each."""
        return self.device.limits.has_windows

    def registered(self, exported: Exported) -> Memory:
        """The export's memory, registered once in this circle; must be called under the lock.

        Raises:
            ClosedError: it was revoked.
            RegistrationError: it cannot be pinned; the text says why.
        """
        if exported.closed:
            raise ClosedError(
                f"{exported.what} was revoked: it is not exported any more; ask again"
            )
        memory = self._memories.get(exported)
        if memory is None:
            access = Access.WINDOWS
            if not self.has_windows:
                has_atomics = self.device.limits.has_atomics
                access = remote_access(exported, has_atomics=has_atomics)
            area = exported.area
            memory = self.domain.register(area.array(np.dtype("u1"), (area.data_bytes,)), access)
            self._memories[exported] = memory
        return memory

    def let_nic_count(self, exported: Exported) -> None:
        """Has the owner's atomics go by the NIC, too, where they would not be one step else.

        Must be called under the lock, before a key for atomics is given to a peer. The owner's own
        way has a domain of its own, so that no peer can come by it; the memory is pinned once more.

        Raises:
            RegionAccessError: peers of this host count in it by their CPUs.
            PairError, RegistrationError: the device has no room for it.
        """
        if self.device.limits.atomics_are_global or exported in self._owners:
            return
        assert isinstance(exported, Export), "tables are for reading"
        domain = self.device.domain()
        try:
            area = exported.area
            access = remote_access(exported, has_atomics=True)
            memory = domain.register(area.array(np.dtype("u1"), (area.data_bytes,)), access)
            exported.count_by_nic(domain, memory.remote)
        except BaseException:
            domain.close()
            raise
        self._owners[exported] = domain

    def revoke(self, exported: Exported) -> None:
        """Nobody reaches it from now on: its windows are closed, and its memory deregistered."""
        with self.lock:
            for session in tuple(self.sessions):
                session.revoke(exported)
            memory = self._memories.pop(exported, None)
            if memory is not None:
                memory.close()
            owners = self._owners.pop(exported, None)
            if owners is not None:
                owners.close()

    def close(self) -> None:
        """After its last session: everything is deregistered."""
        with self.lock:
            self._memories.clear()
            for domain in self._owners.values():
                domain.close()
            self._owners.clear()
            self.domain.close()
