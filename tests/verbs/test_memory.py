"""What may be registered, how refusals are told, and the order of closing; on a fake of pyverbs.

The fake does what pyverbs does to memory's lifetime: it takes an address and gives keys. The same
is done with real devices in tests/rdma/.
"""

from __future__ import annotations

import errno
import mmap
import os
import resource
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rdmaq.errors import ClosedError, RegistrationError
from rdmaq.verbs import Access, _calls, memory
from rdmaq.verbs.memory import Memory
from tests.verbs.nic import End, Place


class PyverbsError(Exception):
    def __init__(self, text: str, error_code: int) -> None:
        super().__init__(text)
        self.error_code = error_code


class FakeMr:
    refuse_with = 0

    def __init__(self, _pd: object, _length: int, access: int, *, address: int) -> None:
        if FakeMr.refuse_with:
            raise PyverbsError("Failed to register a MR", FakeMr.refuse_with)
        self.address, self.access = address, access
        self.lkey, self.rkey, self.is_open = 7, 8, True

    def close(self) -> None:
        self.is_open = False


class FakePair:
    def __init__(self) -> None:
        self.busy_with: object = None

    def windows(self) -> list[Any]:
        return []

    def uses(self, candidate: object) -> bool:
        return candidate is self.busy_with

    def __str__(self) -> str:
        return "queue pair 17"


class FakeDomain:
    device = SimpleNamespace(port=SimpleNamespace(device="rxe0"))
    pyverbs_pd = object()

    def __init__(self) -> None:
        self.pair = FakePair()

    def discard(self, _: object) -> None:
        pass

    def pairs(self) -> list[FakePair]:
        return [self.pair]


@pytest.fixture
def domain(monkeypatch: pytest.MonkeyPatch) -> FakeDomain:
    pyverbs = SimpleNamespace(
        mr=SimpleNamespace(MR=FakeMr), pyverbs_error=SimpleNamespace(PyverbsError=PyverbsError)
    )
    for module in (memory, _calls):
        monkeypatch.setattr(module, "load", lambda: pyverbs)
    monkeypatch.setattr(FakeMr, "refuse_with", 0)
    return FakeDomain()


def register(domain: Any, buffer: object, access: Access = Access.NONE) -> Memory:
    return Memory(domain, buffer, access)


def test_arrays_bytearrays_and_memfd_mappings_are_registered_in_place(domain: FakeDomain) -> None:
    array = np.zeros((4, 8), "<u4")
    memfd = os.memfd_create("test")
    os.truncate(memfd, 8192)
    for buffer, size_bytes in (
        (array, 128),
        (bytearray(100), 100),
        (mmap.mmap(memfd, 8192), 8192),
    ):
        found = register(domain, buffer, Access.REMOTE_WRITE)
        assert found.length == size_bytes
        assert found.access == Access.LOCAL_WRITE | Access.REMOTE_WRITE
        assert found.remote.address == found.address
        assert found[8:16].address == found.address + 8
        found.close()
    assert register(domain, array).address == array.ctypes.data
    os.close(memfd)


def test_read_only_memory_is_registered_for_reading_only(domain: FakeDomain) -> None:
    found = register(domain, b"x" * 64, Access.REMOTE_READ)
    assert found.access == Access.REMOTE_READ
    with pytest.raises(RegistrationError, match=r"read-only memory .*; register a writable"):
        register(domain, b"x" * 64, Access.REMOTE_ATOMIC)


@pytest.mark.parametrize(
    "buffer", [b"", None, 7, "text", np.zeros((4, 4))[:, 1], np.zeros(0), np.array([object()])]
)
def test_what_is_no_buffer_in_one_piece_is_refused_in_words(
    domain: FakeDomain, buffer: object
) -> None:
    with pytest.raises(RegistrationError, match=r"cannot be registered: .*; "):
        register(domain, buffer)


def test_access_that_is_none_is_refused_in_words(domain: FakeDomain) -> None:
    for access in (None, "read", 4):
        with pytest.raises(RegistrationError, match=r"combine members of Access"):
            register(domain, bytearray(8), access)  # type: ignore[arg-type]


def test_bytearray_cannot_move_while_it_is_registered(domain: FakeDomain) -> None:
    buffer = bytearray(64)
    with register(domain, buffer), pytest.raises(BufferError):
        buffer.extend(bytes(1000))
    buffer.extend(bytes(1000))


@pytest.mark.parametrize("code", [errno.ENOMEM, errno.EPERM])
def test_memlock_is_named_with_its_limit_and_cure(
    domain: FakeDomain, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(FakeMr, "refuse_with", code)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (8 << 20, 8 << 20))
    with pytest.raises(
        RegistrationError,
        match=r"cannot register 64 bytes with rxe0: .*; .*8,388,608 bytes .*ulimit -l unlimited",
    ):
        register(domain, bytearray(64))


def test_machine_without_memory_is_not_blamed_on_memlock(
    domain: FakeDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeMr, "refuse_with", errno.ENOMEM)
    infinity = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda _: (infinity, infinity))
    with pytest.raises(RegistrationError, match=r"has no memory for it"):
        register(domain, bytearray(64))


def test_memory_of_operations_in_flight_stays_registered(domain: FakeDomain) -> None:
    found = register(domain, bytearray(64))
    domain.pair.busy_with = found
    with pytest.raises(RegistrationError, match=r"in flight on queue pair 17.*; wait for them"):
        found.close()
    assert not found.closed
    domain.pair.busy_with = None
    found.close()
    found.close()
    assert found.closed


def _use(action: Callable[[Memory], object]) -> Callable[[Memory], object]:
    return action


@pytest.mark.parametrize("action", [_use(lambda m: m[0:8]), _use(lambda m: m.remote)])
def test_closed_memory_gives_no_parts(
    domain: FakeDomain, action: Callable[[Memory], object]
) -> None:
    found = register(domain, bytearray(64))
    found.close()
    with pytest.raises(ClosedError, match=r"this memory is closed"):
        action(found)


@pytest.mark.parametrize("check", [True, False])
def test_closed_memory_never_gets_to_the_nic(domain: FakeDomain, check: bool) -> None:
    """Nor a part that was taken of it before; the pair is as good as it was."""
    with End() as end:
        found = register(domain, bytearray(64))
        part, remote = found[0:8], Place(0x2000, 64)
        found.close()
        for place in (found, part):
            for call in (
                lambda: end.pair.write(place, remote, check=check),  # noqa: B023 - called at once
                lambda: end.pair.read(place, remote, check=check),  # noqa: B023
                lambda: end.pair.batch().write(place, remote, check=check),  # noqa: B023
                lambda: end.pair.write_with_imm(place, remote, 1, check=check),  # noqa: B023
            ):
                with pytest.raises(ClosedError, match="this memory is closed"):
                    call()
        assert (end.posted, end.pair.outstanding) == (0, 0)


def test_fields_may_have_any_names_but_no_objects(domain: FakeDomain) -> None:
    """The code of a Python object is a letter that a field's name may have as well."""
    rows = np.zeros(4, [("OrderId", "<u8"), ("O", "<u4", (2,))])
    assert register(domain, rows).length == rows.nbytes
    for dtype in ([("OrderId", "<u8"), ("what", "O")], object):
        with pytest.raises(RegistrationError, match="references to Python objects"):
            register(domain, np.zeros(4, dtype))
