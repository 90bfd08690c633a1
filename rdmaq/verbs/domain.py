"""A protection domain: the circle within which keys are valid."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from rdmaq._handle import Handle
from rdmaq.errors import DeviceNotFound, PairError
from rdmaq.verbs import pointers
from rdmaq.verbs._calls import keep_for_ever, refusals, take_all
from rdmaq.verbs.constants import Access
from rdmaq.verbs.library import load
from rdmaq.verbs.memory import Memory
from rdmaq.verbs.pair import Pair
from rdmaq.verbs.settings import PairSettings

if TYPE_CHECKING:
    from rdmaq.verbs.device import Device

_CURES = {
    errno.ENOMEM: "the device has no more of them (see `rdma resource`); close some",
    errno.EBUSY: "something of it is still open",
    0: "see the kernel's log",
}


class Domain(Handle):
    """Memory and queue pairs that belong together; `Device.domain()` makes it.

    A peer connected to one of its queue pairs can use the keys of this domain's memory, and of no
    other's. So there is one domain for each circle of peers that trust each other.

    Attributes:
        device: the device that it is of; stays open as long as the domain.
        pointer: the verified address of its struct, for the C side.
    """

    __slots__ = ("_memories", "_pairs", "_pd", "device", "pointer")

    def __init__(self, device: Device) -> None:
        self._pd: Any = None
        # Not weak: memory that a peer was told of, and forgotten here, must stay registered.
        self._memories: set[Memory] = set()
        self._pairs: set[Pair] = set()
        super().__init__()
        self.device = device
        with refusals(f"cannot make a domain of {device.port.device}", _CURES, DeviceNotFound):
            self._pd = load().pd.PD(device.pyverbs_context)
        try:
            self.pointer = pointers.of_pd(self._pd, context=device.pointers.context)
        except BaseException:
            self._pd.close()
            raise

    @property
    def pyverbs_pd(self) -> Any:
        """Pyverbs' PD, for what rdmaq does not do; rdmaq closes it."""
        if self.closed:
            raise self.closed_error()
        return self._pd

    def register(self, buffer: Any, access: Access = Access.NONE) -> Memory:
        """Registers memory with the NIC, in place: nothing is copied, its pages are pinned.

        It takes time (0.1 ms per MiB on hardware, 20 on rxe), during which no other Python thread
        runs: register once, not per message.

        Args:
            buffer: a bytearray, numpy array, mmap (of a memfd, say): anything contiguous. It stays
                yours to read and write; the memory holds it until it is closed.
            access: what peers may do. Our own operations may always read it, and write it unless
                the buffer is read-only.

        Raises:
            RegistrationError: no such buffer or access, or more than the process may lock (the text
                names the limit and how to raise it). Nothing was pinned.
            ClosedError: the domain is closed.
        """
        memory = Memory(self, buffer, access)
        self._memories.add(memory)
        return memory

    def pair(
        self,
        settings: PairSettings | None = None,
        *,
        remote: Access = Access.REMOTE_READ | Access.REMOTE_WRITE | Access.REMOTE_ATOMIC,
        is_lent: bool = False,
    ) -> Pair:
        """Makes a queue pair, not connected yet.

        Args:
            settings: depths, time-outs and the rest; the defaults are `PairSettings()`.
            remote: what the peer may do through this pair, at most; memory's access narrows it.
            is_lent: C code posts and polls on it (`Pair.lend`), its receives, too.

        Raises:
            PairError: the device refuses; the text says which limit to lower.
        """
        settings = PairSettings() if settings is None else settings
        if not isinstance(settings, PairSettings) or not isinstance(remote, Access):
            raise PairError(
                f"settings={settings!r} and remote={remote!r} make no pair: the first is a "
                "PairSettings, the second combines members of Access"
            )
        pair = Pair(self, settings, remote, is_lent=is_lent)
        self._pairs.add(pair)
        return pair

    def pairs(self) -> list[Pair]:
        """The queue pairs that are open."""
        return [pair for pair in tuple(self._pairs) if not pair.closed]

    def discard(self, child: Memory | Pair) -> None:
        """Lets go of memory or a pair that was closed."""
        self._memories.discard(child)
        self._pairs.discard(child)

    def close(self) -> None:
        """Closes its queue pairs, then deregisters its memory, then goes. Idempotent.

        In that order no operation in flight ever loses its memory.
        """
        if self.closed:
            return
        take_all(
            *(pair.close for pair in self.pairs()),
            *(memory.close for memory in tuple(self._memories)),
        )
        self._is_closed = True
        with refusals("cannot close a domain", _CURES, DeviceNotFound):
            self._pd.close()
        self._pd = None
        self.device.discard(self)

    def _forget(self) -> None:
        keep_for_ever(self._pd)

    def __enter__(self) -> Domain:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
