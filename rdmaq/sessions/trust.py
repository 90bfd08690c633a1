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


class Owners:
    """The owners' own way to atomic exports by one device; lives as long as that is open.

    An atomic of a NIC is one step among those of that NIC, whatever the domain. So owners have a
    domain of theirs, which no peer has a queue pair in; the memory is pinned once more for it.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._domain: Domain | None = None
        self._memories: dict[Exported, Memory] = {}

    def let_nic_count(self, exported: Exported) -> None:
        """Has the owner's atomics go by the NIC, too, where they would not be one step else.

        Must be called before a key for atomics is given to a peer; idempotent.

        Raises:
            RegionAccessError: peers of this host count in it by their CPUs.
            PairError, RegistrationError: the device has no room for it.
        """
        if self._device.limits.atomics_are_global:
            return
        assert isinstance(exported, Export), "tables are for reading"
        with self._lock:
            if exported in self._memories:
                return
            if self._domain is None:
                self._domain = self._device.domain()
            area = exported.area
            access = remote_access(exported, has_atomics=True)
            memory = self._domain.register(area.array(np.dtype("u1"), (area.data_bytes,)), access)
            try:
                exported.count_by_nic(self._domain, memory.remote)
            except BaseException:
                memory.close()
                raise
            self._memories[exported] = memory

    def revoke(self, exported: Exported) -> None:
        """Lets go of an export whose owner has stopped counting."""
        with self._lock:
            memory = self._memories.pop(exported, None)
            if memory is not None:
                memory.close()

    def retire(self) -> None:
        """The device is gone: the exports' owners count without it. It is closed by others."""
        with self._lock:
            counted, self._memories = list(self._memories), {}
        for exported in counted:
            assert isinstance(exported, Export), "tables are for reading"
            exported.count_by_cpu()


class Circle:
    """Callers that share a protection domain.

    Attributes:
        device: it is of.
        owners: what counts for the exports' owners on it.
        domain: its own.
        lock: held by who registers, opens or revokes.
        sessions: of its callers, that are open.
        user_count: sessions open or being made; counted by the door, under its lock.
    """

    def __init__(self, device: Device, owners: Owners) -> None:
        self.device = device
        self.owners = owners
        self.domain: Domain = device.domain()
        self.lock = threading.RLock()
        self.sessions: set[ServedSession] = set()
        self.user_count = 0
        self._memories: dict[Exported, Memory] = {}

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

    def revoke(self, exported: Exported) -> None:
        """Nobody reaches it from now on: its windows are closed, and its memory deregistered."""
        with self.lock:
            for session in tuple(self.sessions):
                session.revoke(exported)
            memory = self._memories.pop(exported, None)
            if memory is not None:
                memory.close()

    def close(self) -> None:
        """After its last session: everything is deregistered."""
        with self.lock:
            self._memories.clear()
            self.domain.close()
