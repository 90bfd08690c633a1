"""A region's owner behind the tests' own NIC: its memory is an array of this process."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from rdmaq.errors import OperationFailed, RdmaqError
from rdmaq.region.grant import RegionInfo
from rdmaq.region.lost import lost
from rdmaq.region.selection import address_of
from rdmaq.verbs import PairSettings, RemoteMemory
from tests.verbs.nic import SENDS, End, library

DEPTH = SENDS - 1  # one is kept
INLINE_BYTES = 64
_CALLBACK = ctypes.CFUNCTYPE(None)
_keys = itertools.count(0x1000)


class FakeMemory:
    """Registered with the NIC: the only memory of ours that it touches."""

    def __init__(self, end: End, buffer: npt.NDArray[np.uint8]) -> None:
        self.buffer = buffer
        self.address, self.length = address_of(buffer), buffer.nbytes
        self.lkey = next(_keys)
        self.is_closed = False
        number = [ctypes.c_uint64(self.address), ctypes.c_uint64(self.length)]
        library().nic_register(end.qp, *number, self.lkey)

    def close(self) -> None:
        self.is_closed = True


class Attributes:
    inline_bytes = INLINE_BYTES


class FakePair:
    """What a channel uses of a pair, by an End of the NIC."""

    def __init__(self, end: End) -> None:
        self.settings = PairSettings(send_depth=DEPTH)
        self.attributes: Any = Attributes()
        self.requests, self.post = end.pair.requests, end.pair.post
        self.run, self.settle = end.pair.run, end.pair.settle


class FakeSession:
    """A session with an owner whose memory is `array`.

    Attributes:
        end: the NIC's queue pair; quick: each chain is carried out as it is posted.
        failures: what `failure` was called with.
        end_said: what the owner says that it ended the session for.
    """

    def __init__(
        self, array: npt.NDArray[Any], info: RegionInfo, *, key_bytes: int | None = None
    ) -> None:
        self.end = End()
        self.array, self.info = array, info
        self.pair = FakePair(self.end)
        self.memories: list[FakeMemory] = []
        self.failures: list[OperationFailed] = []
        self.closed = self.forgotten = 0
        self.end_said: RdmaqError | None = None
        self._key_bytes = array.nbytes if key_bytes is None else key_bytes
        self._rkey = next(_keys)
        self._during: Any = None
        may = {"read": (0, 0), "write": (1, 0), "atomic": (1, 1)}[info.access]
        number = [ctypes.c_uint64(address_of(array)), ctypes.c_uint64(array.nbytes)]
        library().nic_carry(self.end.qp, *number, self._rkey, *may)
        self.end.be_quick()

    @property
    def domain(self) -> Any:
        return self

    def register(self, buffer: Any, access: object = None) -> Any:
        assert access is None, "a peer gets no key of our buffers"
        self.memories.append(FakeMemory(self.end, buffer))
        return self.memories[-1]

    def key(self) -> RemoteMemory:
        return RemoteMemory(address=address_of(self.array), length=self._key_bytes, rkey=self._rkey)

    def ended(self) -> RdmaqError | None:
        return self.end_said

    def failure(self, error: OperationFailed) -> RdmaqError:
        self.failures.append(error)
        return lost(f"region {self.info.name!r}", error)

    def close(self) -> None:
        assert not any(memory.is_closed for memory in self.memories), "lent to the NIC still"
        self.closed += 1
        if not self.end.is_closed:
            library().nic_during_reads(self.end.qp, None)
        self.end.close()

    def forget(self) -> None:
        self.forgotten += 1
        self.end.pair.forget()
        self.end.queue.forget()

    def revoke(self) -> None:
        """The owner takes its key back."""
        library().nic_revoke(self.end.qp)

    def during_reads(self, call: Callable[[], None]) -> None:
        """Runs `call` in the middle of each READ, which has half of its words by then."""
        self._during = _CALLBACK(call)
        library().nic_during_reads(self.end.qp, self._during)

    def counts(self) -> dict[str, int]:
        """What the NIC was asked for so far."""
        nic, qp = library(), self.end.qp
        return {
            "doorbells": int(nic.nic_doorbells(qp)),
            "requests": int(nic.nic_posted(qp)),
            "fences": int(nic.nic_fences(qp)),
            "inlines": int(nic.nic_inlines(qp)),
            "bytes": int(nic.nic_bytes(qp)),
        }
