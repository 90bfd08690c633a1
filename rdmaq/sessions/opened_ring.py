"""A publisher's own ring, registered for links, and open to one subscriber's READs."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from rdmaq.bootstrap.messages import RingKeys
from rdmaq.errors import RdmaqError
from rdmaq.verbs.constants import Access

if TYPE_CHECKING:
    from rdmaq.stream.publisher import Publisher
    from rdmaq.verbs.domain import Domain
    from rdmaq.verbs.memory import Memory, RemoteMemory
    from rdmaq.verbs.pair import Pair
    from rdmaq.verbs.window import Window


class Ring:
    """The ring in one domain. Nothing of it can be written by way of it.

    Args:
        publisher: of the stream.
        domain: whose pairs read it.

    Attributes:
        data: one copy of the data.
        told: live words, ledger and index.

    Raises:
        RegistrationError: it cannot be pinned.
    """

    def __init__(self, publisher: Publisher, domain: Domain) -> None:
        self.has_windows = domain.device.limits.has_windows
        # Where a window opens it, it is open to nobody without one. Elsewhere the domain has the
        # pairs of one caller only.
        access = Access.WINDOWS if self.has_windows else Access.REMOTE_READ
        segment = publisher.segment
        data = segment.view[: segment.description.capacity_bytes].toreadonly()
        self.data = domain.register(data, access)
        try:
            self.told = domain.register(segment.told(), access)
        except BaseException:
            self.data.close()
            raise

    @property
    def closed(self) -> bool:
        """It is not registered any more."""
        return self.data.closed

    def close(self) -> None:
        """Deregisters it; when no link and no window of it is left."""
        self.data.close()
        self.told.close()


class OpenedRing:
    """The keys to a ring for one session, until they are taken back.

    Args:
        ring: what they open.
        pair: of the session: it alone can use them, where the device has windows.

    Attributes:
        keys: what to tell the subscriber.

    Raises:
        PairError, RegistrationError: the device refuses.
    """

    def __init__(self, ring: Ring, pair: Pair) -> None:
        self._pair = pair
        self._windows: list[Window] = []
        try:
            data, told = self._open(ring, ring.data), self._open(ring, ring.told)
        except BaseException:
            self.close()
            raise
        self.keys = RingKeys(
            data_address=data.address,
            live_address=told.address,
            data_key=data.rkey,
            live_key=told.rkey,
        )

    def _open(self, ring: Ring, memory: Memory) -> RemoteMemory:
        if not ring.has_windows:
            return memory.remote
        window = self._pair.window(memory, Access.REMOTE_READ)
        self._windows.append(window)
        return window.remote

    def close(self) -> None:
        """From now on they open nothing. Idempotent."""
        windows, self._windows = self._windows, []
        for window in windows:
            try:
                window.close()
            except RdmaqError:  # a device that keeps a key loses the pair which alone can use it
                with suppress(RdmaqError):
                    self._pair.close()
