"""Who counts in an atomic region: the CPUs of its host, or a NIC.

An atomic of a NIC is one step among those of that NIC. A CPU may come between its load and its
store, unless the device says that it is atomic to all of the host (few do; SoftRoCE and most
adapters do not). So on other devices an atomic region is counted in by one of the two at a time: by
the CPUs until a peer comes over verbs, from then on by the NIC, the owner's own calls included.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from rdmaq.errors import RdmaqError, RegionAccessError

if TYPE_CHECKING:
    from rdmaq.region.region import Region


class Counting:
    """Of one export; any thread may call.

    Args:
        what: the region, for messages.
        own: the owner's own way to it, by the CPU.
    """

    def __init__(self, what: str, own: Region) -> None:
        self._what = what
        self._own = own
        self._by_nic: Region | None = None
        self._cpu_peers = 0
        # Held for an atomic of the owner's, and to change hands. A handler of signals may come in
        # the middle of the first, in the same thread.
        self._lock = threading.RLock()
        self._is_counting = threading.Lock()

    def admit_cpu_peer(self) -> Callable[[], None]:
        """A peer of this host is about to get the memory; returns what to call when it is gone.

        Raises:
            RegionAccessError: a NIC counts in it.
        """
        with self._lock:
            if self._by_nic is not None:
                raise RegionAccessError(
                    f"{self._what} is counted in by a NIC, since peers reach it over verbs, and "
                    "this device's atomics are not atomic to CPUs: connect with transport='verbs' "
                    "from this host, too, or export it with access='write' or 'read'"
                )
            self._cpu_peers += 1
        return self._leave

    def _leave(self) -> None:
        with self._lock:
            self._cpu_peers -= 1

    def begin_nic(self, make: Callable[[], Region]) -> None:
        """From now on the owner counts by the NIC; idempotent.

        Args:
            make: a way to the region by that NIC, looped back; called at most once.

        Raises:
            RegionAccessError: peers of this host count in it by their CPUs.
        """
        with self._is_counting:
            if self._by_nic is not None:
                return
            self._check_no_cpu_peer()
            by_nic = make()  # not under the lock: it takes long
            try:
                with self._lock:
                    self._check_no_cpu_peer()
                    self._by_nic = by_nic
            except BaseException:
                by_nic.close()
                raise

    def end_nic(self) -> None:
        """The NIC is gone, and so is whoever counted by it: the owner counts by the CPU again."""
        with self._is_counting:
            with self._lock:
                by_nic, self._by_nic = self._by_nic, None
            if by_nic is not None:
                with suppress(RdmaqError):  # of a device that is gone not even that may work
                    by_nic.close()

    def _check_no_cpu_peer(self) -> None:
        if self._cpu_peers:
            raise RegionAccessError(
                f"{self._what} is counted in by {self._cpu_peers} peers of its own host over "
                "shared memory, and this device's atomics are not atomic to CPUs: have them "
                "connect with transport='verbs' first, or export it with access='write' or 'read'"
            )

    def do(self, call: Callable[[Region], int]) -> int:
        """The owner's own atomic, by whoever counts now. Threads wait for each other."""
        with self._lock:
            return call(self._own if self._by_nic is None else self._by_nic)

    def close(self) -> None:
        """Ends the way by the NIC, waiting for nobody; the owner's calls are refused by then."""
        if self._by_nic is not None:
            self._by_nic.close()
