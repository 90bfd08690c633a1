"""Registered memory: what the NIC may read and write, and what a peer is told of it."""

from __future__ import annotations

import errno
import re
import resource
import struct
from dataclasses import dataclass
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rdmaq._fast import ffi
from rdmaq._handle import Handle
from rdmaq.errors import HandoverError, RegistrationError
from rdmaq.verbs._calls import keep_for_ever, refusals
from rdmaq.verbs.constants import Access
from rdmaq.verbs.library import load

if TYPE_CHECKING:
    from rdmaq.verbs.domain import Domain

_REMOTE = struct.Struct(">4sIQQ")
_MAGIC = b"RQM\x01"
_FIELD_NAME = re.compile(":[^:]*:")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteMemory:
    """A peer's registered memory, or a part of it: all that the peer told.

    Attributes:
        address: where it begins, in the peer's address space.
        length: bytes.
        rkey: the key that opens it. Whoever has address and key has the access that was granted.
    """

    address: int
    length: int
    rkey: int

    SIZE_BYTES: ClassVar[int] = _REMOTE.size  # of to_bytes()

    def __getitem__(self, part: slice) -> RemoteMemory:
        """The bytes from `part.start` to `part.stop`."""
        start, length = _bounds(part, self.length)
        return RemoteMemory(address=self.address + start, length=length, rkey=self.rkey)

    def to_bytes(self) -> bytes:
        """24 bytes for the peer."""
        return _REMOTE.pack(_MAGIC, self.rkey, self.address, self.length)

    @classmethod
    def from_bytes(cls, data: bytes) -> RemoteMemory:
        """Reads what a peer sent.

        Raises:
            HandoverError: it describes no memory.
        """
        if not isinstance(data, (bytes, bytearray)):
            raise HandoverError(
                f"a {type(data).__name__} describes no memory: pass the bytes that the peer sent"
            )
        if len(data) != _REMOTE.size or data[:4] != _MAGIC:
            raise HandoverError(
                f"what the peer sent ({len(data)} bytes) describes no memory: that is "
                f"{_REMOTE.size} bytes which begin with RQM; is the peer rdmaq, of this release?"
            )
        _, rkey, address, length = _REMOTE.unpack(data)
        if address + length > 1 << 64:
            raise HandoverError(
                f"the peer's memory would end at {address + length:#x}: no address space reaches "
                "there; the description was damaged on the way"
            )
        return cls(address=address, length=length, rkey=rkey)


def _bounds(part: slice, length: int) -> tuple[int, int]:
    if not isinstance(part, slice):
        raise RegistrationError(
            f"[{part!r}] is no part of memory: parts are [start:stop] in bytes; "
            "for one byte use [n : n + 1]"
        )
    try:
        start = 0 if part.start is None else index(part.start)
        stop = length if part.stop is None else index(part.stop)
    except TypeError:
        start, stop = 1, 0
    if part.step not in (None, 1) or not 0 <= start <= stop <= length:
        raise RegistrationError(
            f"[{part.start}:{part.stop}] is no part of memory of {length:,} bytes: parts are "
            "[start:stop] in bytes, from 0 to its length; negative places and steps are not taken"
        )
    return start, stop - start


@dataclass(frozen=True, slots=True)
class MemoryPart:
    """Some bytes of registered memory, for one operation; keeps the memory alive.

    Attributes:
        memory: whose part it is.
        address: where it begins.
        length: bytes.
    """

    memory: Memory
    address: int
    length: int

    @property
    def lkey(self) -> int:
        """The key by which our own NIC knows it."""
        return self.memory.lkey

    @property
    def domain(self) -> Domain:
        """Within which the key is valid."""
        return self.memory.domain

    def __getitem__(self, part: slice) -> MemoryPart:
        """A part of the part."""
        start, length = _bounds(part, self.length)
        return MemoryPart(self.memory, self.address + start, length)


class Memory(Handle):
    """A buffer that is registered: pinned, and known to the NIC by keys.

    `Domain.register` makes it. It holds the buffer: a bytearray cannot be resized and a mapping not
    closed before `close()`. Indexing gives parts of it: `memory[0:64]`.

    Attributes:
        domain: within which its keys are valid.
        buffer: the object that was registered.
        address: where it begins in this process.
        length: bytes.
        lkey: the key for our own operations, gone once it is closed.
        rkey: the key for the peer's.
        access: what the NIC may do, LOCAL_WRITE included where it may.
    """

    __slots__ = ("_keep", "_mr", "access", "address", "buffer", "domain", "length", "lkey", "rkey")

    def __init__(self, domain: Domain, buffer: Any, access: Access) -> None:
        self._mr: Any = None
        self.domain = domain
        super().__init__()
        self.buffer = buffer
        self._keep, is_readonly = _hold(buffer)
        self.length = len(self._keep)
        self.address = int(ffi.cast("uintptr_t", self._keep))
        self.access = _checked(access, is_readonly=is_readonly)
        what = f"cannot register {self.length:,} bytes with {domain.device.port.device}"
        with refusals(what, _cures(), RegistrationError):
            self._mr = load().mr.MR(
                domain.pyverbs_pd, self.length, int(self.access), address=self.address
            )
        self.lkey: int = self._mr.lkey
        self.rkey: int = self._mr.rkey

    @property
    def remote(self) -> RemoteMemory:
        """What to tell a peer, so that it can use the memory as `access` allows.

        Raises:
            ClosedError: it was closed.
        """
        if self.closed:
            raise self.closed_error()
        return RemoteMemory(address=self.address, length=self.length, rkey=self.rkey)

    @property
    def pyverbs_mr(self) -> Any:
        """Pyverbs' MR, for what rdmaq does not do; rdmaq closes it."""
        if self.closed:
            raise self.closed_error()
        return self._mr

    def __getitem__(self, part: slice) -> MemoryPart:
        """The bytes from `part.start` to `part.stop`, for an operation."""
        if self.closed:
            raise self.closed_error()
        start, length = _bounds(part, self.length)
        return MemoryPart(self, self.address + start, length)

    def close(self) -> None:
        """Deregisters: from now on the peer's operations on it fail, and ours may not name it.

        The bytes stay; the buffer is given back. Idempotent.

        Raises:
            RegistrationError: operations of our own that use it are in flight, or windows of it are
                open: wait for them or close them or their pair, then close again. Nothing happened.
        """
        if self.closed:
            return
        pairs = self.domain.pairs()
        windows = [window for pair in pairs for window in pair.windows() if window.memory is self]
        if windows:
            raise RegistrationError(
                f"memory of {self.length:,} bytes has {len(windows)} open windows: peers of "
                f"{', '.join(str(window.pair) for window in windows[:4])} may still use it; "
                "close those first"
            )
        users = [pair for pair in pairs if pair.uses(self)]
        if users:
            raise RegistrationError(
                f"memory of {self.length:,} bytes is lent to operations in flight on "
                f"{', '.join(map(str, users))}: the NIC may still write there; "
                "wait for them, or close the queue pair first"
            )
        self._is_closed = True
        del self.lkey  # an operation that still names it finds no key, and never gets to the NIC
        if self._mr is not None:
            with refusals("cannot deregister memory", {0: "close its domain"}, RegistrationError):
                self._mr.close()
        self._keep = self._mr = self.buffer = None
        self.domain.discard(self)

    def _forget(self) -> None:
        keep_for_ever(self._mr, self._keep)

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _hold(buffer: Any) -> tuple[Any, bool]:
    """A pointer that keeps the buffer exported, and whether it may be written."""
    try:
        with memoryview(buffer) as view:
            is_readonly, is_contiguous = view.readonly, view.c_contiguous
            size_bytes, what = view.nbytes, type(buffer).__name__
            # Names of fields stand between colons; the code of an object is O.
            has_objects = "O" in _FIELD_NAME.sub("", view.format)
        if size_bytes and is_contiguous and not has_objects:
            return ffi.from_buffer("unsigned char[]", buffer), is_readonly
    except (TypeError, ValueError, BufferError) as error:
        raise RegistrationError(
            f"a {type(buffer).__name__} cannot be registered: {error}; use a bytearray, a numpy "
            "array or an mmap"
        ) from error
    why = "it is empty" if not size_bytes else "its bytes do not lie in one piece"
    if has_objects:
        why = "it holds references to Python objects, which mean nothing to a peer"
    raise RegistrationError(
        f"this {what} cannot be registered: {why}; register one contiguous buffer that holds it"
    )


def _checked(access: Access, *, is_readonly: bool) -> Access:
    if not isinstance(access, Access):
        raise RegistrationError(
            f"access={access!r} is none: combine members of Access (Access.REMOTE_READ | ...)"
        )
    writes = Access.LOCAL_WRITE | Access.REMOTE_WRITE | Access.REMOTE_ATOMIC
    if not is_readonly:
        return access | Access.LOCAL_WRITE
    if access & writes:
        raise RegistrationError(
            f"read-only memory cannot be registered for {(access & writes)!r}: the NIC would write "
            "where this process must not; register a writable buffer, or ask for REMOTE_READ alone"
        )
    return access


def _cures() -> dict[int, str]:
    limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    lock = (
        f"registered memory is locked, and this process may lock "
        f"{limit:,} bytes ({_locked()} are; `ulimit -l`): raise it by `ulimit -l unlimited`, "
        "LimitMEMLOCK=infinity in a systemd unit, --ulimit memlock=-1 for a container, or "
        "/etc/security/limits.conf; or register less"
    )
    if limit == resource.RLIM_INFINITY:
        lock = "this machine has no memory for it (see `free`); register less"
    return {
        errno.ENOMEM: lock,
        errno.EPERM: lock,
        errno.EAGAIN: lock,
        errno.EFAULT: "a part of it is not mapped, or a part that is to be written is read-only",
        errno.EINVAL: "the device refuses such access or so many bytes; ask for less access",
        errno.EOPNOTSUPP: "the device cannot do it; ask for less access",
        0: "see the kernel's log",
    }


def _locked() -> str:
    """How many bytes this process has pinned by now, in words of the kernel."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmPin:"):
            return line.partition(":")[2].strip()
    return "an unknown number"
