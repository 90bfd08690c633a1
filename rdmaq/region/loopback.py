"""A session with oneself: the owner's own way to its memory by its own NIC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdmaq.region.lost import lost

if TYPE_CHECKING:
    from rdmaq.errors import OperationFailed, RdmaqError
    from rdmaq.verbs import Domain, Pair, RemoteMemory


class Loopback:
    """Two queue pairs of one domain, connected to each other; a `Session` for a VerbsChannel.

    Args:
        domain: in which the memory is registered; stays open as long as this.
        memory: the region's, for remote atomics.
        what: the region, for messages.

    Raises:
        PairError: the device has no more pairs, or cannot reach itself.
    """

    def __init__(self, domain: Domain, memory: RemoteMemory, what: str) -> None:
        self.domain = domain
        self._memory = memory
        self._what = what
        self.pair: Pair = domain.pair()
        try:
            self._far = domain.pair()
            self._far.connect(self.pair.address)
            self.pair.connect(self._far.address)
        except BaseException:
            self.close()
            raise

    def key(self) -> RemoteMemory:
        """See `Session`."""
        return self._memory

    def ended(self) -> None:
        """See `Session`: nobody else ends it."""

    def failure(self, error: OperationFailed) -> RdmaqError:
        """See `Session`."""
        return lost(self._what, error)

    def close(self) -> None:
        """See `Session`."""
        self.pair.close()
        if hasattr(self, "_far"):
            self._far.close()

    def forget(self) -> None:
        """See `Session`: pairs forget by themselves."""
