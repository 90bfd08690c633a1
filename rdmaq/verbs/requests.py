"""Work requests as the C side takes them: one at a time, in batches, or as a numpy array."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rdmaq._fast import address_of, ffi, lib
from rdmaq.errors import PairError

if TYPE_CHECKING:
    from rdmaq.errors import RdmaqError
    from rdmaq.verbs.fast import PostedPair
    from rdmaq.verbs.operation import Operation

#: struct rq_op of csrc/include/rdmaq_verbs.h, 64 bytes. A test compares the two.
REQUEST = np.dtype(
    [
        ("token", "<u8"),
        ("local_address", "<u8"),
        ("remote_address", "<u8"),
        ("compare_add", "<u8"),
        ("swap", "<u8"),
        ("length_bytes", "<u4"),
        ("local_key", "<u4"),
        ("remote_key", "<u4"),
        ("imm", "<u4"),
        ("opcode", "u1"),
        ("flags", "u1"),
        ("reserved", "u1", 6),
    ]
)
#: The same for one request at a time.
PACKED = struct.Struct("<QQQQQIIIIBB6x")

WRITE = lib.RQ_OP_WRITE
WRITE_WITH_IMM = lib.RQ_OP_WRITE_WITH_IMM
READ = lib.RQ_OP_READ
FETCH_ADD = lib.RQ_OP_FETCH_ADD
COMPARE_SWAP = lib.RQ_OP_COMPARE_SWAP
OPCODE_NAMES = {
    WRITE: "WRITE",
    WRITE_WITH_IMM: "WRITE_WITH_IMM",
    READ: "READ",
    FETCH_ADD: "FETCH_ADD",
    COMPARE_SWAP: "COMPARE_SWAP",
    lib.RQ_OP_RECEIVE: "RECEIVE",
    lib.RQ_OP_PROBE: "WRITE_WITH_IMM",  # what waits for the peer's receive, and asks if it lives
    lib.RQ_OP_BIND: "BIND_MW",
}
#: Requests that may wait in a backlog; whoever posts more must wait for some of them.
BACKLOG_MAX = 1 << 16
_ATOMIC_BYTES = 8
_WORD_MAX = (1 << 64) - 1
_IMM_MAX = (1 << 32) - 1


class Local(Protocol):
    """Registered memory of ours, or a part of it."""

    @property
    def address(self) -> int:
        """Where it begins."""

    @property
    def length(self) -> int:
        """Bytes."""

    @property
    def lkey(self) -> int:
        """The key by which our own NIC knows it."""

    @property
    def domain(self) -> Any:
        """Within which the key is valid."""


class Remote(Protocol):
    """A peer's registered memory, or a part of it."""

    @property
    def address(self) -> int:
        """Where it begins, in the peer's address space."""

    @property
    def length(self) -> int:
        """Bytes."""

    @property
    def rkey(self) -> int:
        """The key that opens it."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One operation before it is posted: what it does, in plain numbers."""

    opcode: int
    flags: int = 0
    imm: int = 0
    compare_add: int = 0
    swap: int = 0


def check_places(opcode: int, local: Local, remote: Remote) -> None:
    """Refuses what the peer's NIC would refuse, before the pair is lost to it.

    Raises:
        PairError: the two do not fit together; nothing was posted.
    """
    if local.length > remote.length:
        raise PairError(
            f"a {OPCODE_NAMES[opcode]} of {local.length:,} bytes reaches beyond the peer's memory "
            f"of {remote.length:,}: use a part of the local memory (memory[start:stop]) as long as "
            "the remote one, or a longer remote one"
        )
    if opcode < FETCH_ADD:
        return
    if local.length != _ATOMIC_BYTES or remote.address % _ATOMIC_BYTES != 0:
        raise PairError(
            f"a {OPCODE_NAMES[opcode]} works on 8 bytes at an address that 8 divides: here are "
            f"{local.length:,} local bytes and the remote address {remote.address:#x}; use parts "
            "of 8 bytes (memory[start:start + 8])"
        )


def no_places(local: object, remote: object) -> RdmaqError:
    """What to raise when one of them is no place that an operation can name (any more)."""
    memory = getattr(local, "memory", local)
    if getattr(memory, "closed", False):
        error: RdmaqError = memory.closed_error()  # type: ignore[attr-defined]
        return error
    return PairError(
        f"a {type(local).__name__} and a {type(remote).__name__} are no places of an operation: "
        "first comes registered memory of ours (what Domain.register returned, or a part of it), "
        "then the peer's (RemoteMemory.from_bytes(what the peer sent), or a part of it)"
    )


def foreign(local: Local) -> PairError:
    """What to raise for registered memory that is of another domain than the pair."""
    return PairError(
        f"memory at {local.address:#x} cannot be used: it is registered with another domain than "
        "the pair's, whose keys mean nothing here; use memory of pair.domain.register(...)"
    )


def check_words(shape: Shape) -> None:
    """Refuses numbers that the request's fields cannot hold.

    Raises:
        PairError: one is no integer, negative or too large; nothing was posted.
    """
    words = (
        ("imm", shape.imm, _IMM_MAX),
        ("the operand", shape.compare_add, _WORD_MAX),
        ("swap", shape.swap, _WORD_MAX),
    )
    for name, value, most in words:
        if not isinstance(value, (int, np.integer)) or not 0 <= value <= most:
            raise PairError(
                f"{name} = {value!r} does not fit: it is an unsigned number up to {most:#x}; "
                "for a negative one use its two's complement, value & 0xffff_ffff_ffff_ffff"
            )


def pack(shape: Shape, local: Local, remote: Remote, *, piece_bytes_max: int, token: int) -> bytes:
    """The requests of one operation: several when it is longer than one may be.

    Only the last of them bears the immediate value, so a WRITE_WITH_IMM in pieces consumes one
    receive, and the peer is told when all of it is there.
    """
    length = local.length
    if length <= piece_bytes_max:
        return PACKED.pack(
            token, local.address, remote.address, shape.compare_add, shape.swap, length,
            local.lkey, remote.rkey, shape.imm, shape.opcode, shape.flags,
        )  # fmt: skip
    pieces = []
    for at in range(0, length, piece_bytes_max):
        size = min(piece_bytes_max, length - at)
        is_last = at + size == length
        opcode = WRITE if shape.opcode == WRITE_WITH_IMM and not is_last else shape.opcode
        flags = shape.flags if at == 0 else shape.flags & ~lib.RQ_OP_FENCE
        imm = shape.imm if is_last else 0
        places = (token, local.address + at, remote.address + at, 0, 0, size)
        pieces.append(PACKED.pack(*places, local.lkey, remote.rkey, imm, opcode, flags))
    return b"".join(pieces)


class Requests:
    """An array of requests to fill in by numpy and to post again and again, at no cost an element.

        requests = pair.requests(64, keep=memory)
        requests.array["opcode"] = requests.WRITE
        requests.array["local_address"] = memory.address + np.arange(64) * 64
        ...
        pair.post(requests).wait()

    Nothing is checked but what the device and the C side check: a key or an address that is wrong
    ends the pair.

    Attributes:
        array: `count` records of dtype `REQUEST`; `token` is free for your own use and comes back
            in `OperationFailed.token`.
        count: how many of them are posted: all of them, until it is lowered to take the first only.
        keep: what must stay alive as long as a request is in flight.
    """

    __slots__ = ("_address", "_count", "array", "keep", "pointer")

    WRITE = WRITE
    WRITE_WITH_IMM = WRITE_WITH_IMM
    READ = READ
    FETCH_ADD = FETCH_ADD
    COMPARE_SWAP = COMPARE_SWAP

    def __init__(self, count: int, keep: Any = None) -> None:
        if not isinstance(count, int) or not 0 < count <= BACKLOG_MAX:
            raise PairError(
                f"{count!r} requests cannot be made: an array has 1 to {BACKLOG_MAX:,}, as many as "
                "may wait to be posted"
            )
        self.array = np.zeros(count, REQUEST)
        self._count = count
        self.keep = keep
        self.pointer = ffi.from_buffer("struct rq_op[]", self.array)
        self._address = address_of(self.pointer)

    @property
    def count(self) -> int:
        """How many are posted, from the first on.

        Raises:
            PairError: there are not so many.
        """
        return self._count

    @count.setter
    def count(self, count: int) -> None:
        if not isinstance(count, (int, np.integer)) or not 0 <= count <= len(self.pointer):
            raise PairError(
                f"{count!r} of {len(self.pointer)} requests cannot be posted: "
                "use 0 to as many as there are"
            )
        self._count = int(count)


class Batch:
    """Operations that are posted together: one chain, one doorbell. `PostedPair.batch()` makes it.

    They are carried out in order. `post()` gives one `Operation` for all of them.
    """

    __slots__ = ("_keep", "_packed", "_pair")

    def __init__(self, pair: PostedPair) -> None:
        self._pair = pair
        self._packed: list[bytes] = []
        self._keep: list[Any] = []

    def _add(self, shape: Shape, local: Local, remote: Remote, *, check: bool) -> Batch:
        self._packed.append(self._pair.pack(shape, local, remote, check=check))
        self._keep.append(local)
        return self

    def write(
        self, local: Local, remote: Remote, *, fence: bool = False, check: bool = True
    ) -> Batch:
        """As `PostedPair.write`."""
        return self._add(Shape(WRITE, int(fence)), local, remote, check=check)

    def read(
        self, local: Local, remote: Remote, *, fence: bool = False, check: bool = True
    ) -> Batch:
        """As `PostedPair.read`."""
        return self._add(Shape(READ, int(fence)), local, remote, check=check)

    def write_with_imm(
        self, local: Local, remote: Remote, imm: int, *, fence: bool = False, check: bool = True
    ) -> Batch:
        """As `PostedPair.write_with_imm`."""
        return self._add(Shape(WRITE_WITH_IMM, int(fence), imm), local, remote, check=check)

    def fetch_add(
        self, local: Local, remote: Remote, add: int, *, fence: bool = False, check: bool = True
    ) -> Batch:
        """As `PostedPair.fetch_add`."""
        shape = Shape(FETCH_ADD, int(fence), compare_add=add)
        return self._add(shape, local, remote, check=check)

    def compare_swap(
        self,
        local: Local,
        remote: Remote,
        compare: int,
        swap: int,
        *,
        fence: bool = False,
        check: bool = True,
    ) -> Batch:
        """As `PostedPair.compare_swap`."""
        shape = Shape(COMPARE_SWAP, int(fence), compare_add=compare, swap=swap)
        return self._add(shape, local, remote, check=check)

    def post(self) -> Operation:
        """Posts them; the batch is empty again, to be filled anew."""
        data, keep = b"".join(self._packed), self._keep
        self._packed, self._keep = [], []
        return self._pair.post_packed(data, keep)
