"""A pointer behind an object of pyverbs is believed only when its struct agrees with the object."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from rdmaq.errors import VerbsUnavailable
from rdmaq.verbs import pointers
from tests.verbs import fake_pyverbs as fake

CONTEXT, PD = 0x1000, 0x2000


@dataclass
class Laid:
    """Objects and their structs, agreeing with each other."""

    cq: Any
    cq_struct: fake.StructCq
    channel: Any
    channel_struct: fake.StructChannel
    qp: Any
    qp_struct: fake.StructQp

    def find_queue(self) -> pointers.QueuePointers:
        return pointers.of_queue(self.cq, self.channel, context=CONTEXT, entry_count_min=100)

    def find_qp(self) -> int:
        return pointers.of_qp(self.qp, context=CONTEXT, pd=PD, cq=ctypes.addressof(self.cq_struct))


@pytest.fixture
def laid(monkeypatch: pytest.MonkeyPatch) -> Iterator[Laid]:
    # An eventfd stands in for uverbs' own kind of descriptor.
    monkeypatch.setattr(pointers, "_EVENT_FILE", "anon_inode:[eventfd]")
    monkeypatch.setattr(pointers, "_has_sound_properties", lambda _: False)
    fd = os.eventfd(0)
    channel_struct = fake.StructChannel(CONTEXT, fd, 1)
    channel_address = ctypes.addressof(channel_struct)
    cq_struct = fake.StructCq(CONTEXT, channel_address, None, 5, 127)
    cq_address = ctypes.addressof(cq_struct)
    qp_struct = fake.StructQp(CONTEXT, None, PD, cq_address, cq_address, None, 6, 17, 0, 2)
    yield Laid(
        fake.pointing_at(cq_address),
        cq_struct,
        fake.pointing_at(channel_address),
        channel_struct,
        fake.pointing_at(ctypes.addressof(qp_struct)),
        qp_struct,
    )
    os.close(fd)


def test_structs_that_agree_are_found(laid: Laid) -> None:
    found = laid.find_queue()
    assert found.cq == ctypes.addressof(laid.cq_struct)
    assert found.channel_fd == laid.channel_struct.fd
    assert found.cqe == 127
    assert laid.find_qp() == ctypes.addressof(laid.qp_struct)


def _set(struct: str, field: str, value: int) -> Callable[[Laid], None]:
    return lambda laid: setattr(getattr(laid, struct), field, value)


@pytest.mark.parametrize(
    ("struct", "field", "value", "find"),
    [
        ("cq_struct", "context", 0x3000, Laid.find_queue),
        ("cq_struct", "channel", 0x3000, Laid.find_queue),
        ("cq_struct", "cqe", 126, Laid.find_queue),
        ("cq_struct", "cqe", 99, Laid.find_queue),
        ("channel_struct", "context", 0x3000, Laid.find_queue),
        ("channel_struct", "fd", 0, Laid.find_queue),
        ("channel_struct", "fd", 9999, Laid.find_queue),
        ("qp_struct", "context", 0x3000, Laid.find_qp),
        ("qp_struct", "pd", 0x3000, Laid.find_qp),
        ("qp_struct", "send_cq", 0x3000, Laid.find_qp),
        ("qp_struct", "recv_cq", 0x3000, Laid.find_qp),
        ("qp_struct", "srq", 0x3000, Laid.find_qp),
        ("qp_struct", "qp_num", 18, Laid.find_qp),
        ("qp_struct", "qp_type", 4, Laid.find_qp),
    ],
)
def test_struct_that_disagrees_is_refused(
    laid: Laid, struct: str, field: str, value: int, find: Callable[[Laid], object]
) -> None:
    setattr(getattr(laid, struct), field, value)
    with pytest.raises(VerbsUnavailable, match=r"RDMA verbs cannot be used: .*; use the distrib"):
        find(laid)


@pytest.mark.parametrize("address", [0, 8, 0xDEAD_BEEF_0000, (1 << 64) - 16])
def test_wild_pointer_is_an_error_and_no_crash(
    monkeypatch: pytest.MonkeyPatch, address: int
) -> None:
    monkeypatch.setattr(pointers, "_has_sound_properties", lambda _: False)
    with pytest.raises(VerbsUnavailable, match=r"leads nowhere"):
        pointers.of_qp(fake.pointing_at(address), context=CONTEXT, pd=PD, cq=1)


def test_struct_at_the_edge_of_mapped_memory_is_an_error_and_no_crash() -> None:
    """A read that only begins in mapped memory is short, not faulty."""
    page_bytes = mmap.PAGESIZE
    room = mmap.mmap(-1, 2 * page_bytes)  # unmapped when its exported pointer has died, too
    second = ctypes.addressof(ctypes.c_char.from_buffer(room)) + page_bytes
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(second), ctypes.c_size_t(page_bytes), 0) == 0
    with pytest.raises(OSError, match=r"Bad address"):
        pointers.read_memory(second - 8, 16)
    assert pointers.read_memory(second - 16, 16) == bytes(16)


class Official(fake.PyverbsCM):
    """As objects of rdma-core 61 and later: a property says where the struct is."""

    __slots__ = ()
    qp_num = 17
    qp = 0


@pytest.mark.parametrize("is_sound", [True, False])
def test_official_property_is_taken_where_it_is_sound_and_never_touched_else(
    laid: Laid, monkeypatch: pytest.MonkeyPatch, is_sound: bool
) -> None:
    """Before release 61 a property of that name turned the pointer into an object, and crashed."""
    touched: list[None] = []

    def says(_: object) -> int:
        touched.append(None)
        return ctypes.addressof(laid.qp_struct)

    monkeypatch.setattr(Official, "qp", property(says))
    monkeypatch.setattr(pointers, "_has_sound_properties", lambda _: is_sound)
    official = Official(laid.qp if not is_sound else 0.0)
    laid.qp = official
    assert laid.find_qp() == ctypes.addressof(laid.qp_struct)
    assert bool(touched) is is_sound


def test_object_of_another_kind_is_refused() -> None:
    with pytest.raises(VerbsUnavailable, match=r"is not a PyverbsCM"):
        pointers.pointer_of(object())


def test_context_is_checked_by_its_descriptors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pointers, "_EVENT_FILE", "anon_inode:[eventfd]")
    fd = os.eventfd(0)
    struct = fake.StructContext(cmd_fd=3, async_fd=fd, num_comp_vectors=2)
    try:
        context = fake.pointing_at(ctypes.addressof(struct))
        found = pointers.of_context(context, cmd_fd=3, vector_count=2)
        assert (found.context, found.async_fd) == (ctypes.addressof(struct), fd)
        pointers.of_context(context, cmd_fd=None, vector_count=2)
        for cmd_fd, vector_count in ((4, 2), (3, 1)):
            with pytest.raises(VerbsUnavailable, match=r"different numbers"):
                pointers.of_context(context, cmd_fd=cmd_fd, vector_count=vector_count)
        struct.async_fd = 0
        with pytest.raises(VerbsUnavailable, match=r"not one of events"):
            pointers.of_context(context, cmd_fd=3, vector_count=2)
    finally:
        os.close(fd)


def test_kernel_that_forbids_the_reading_is_named_and_not_the_layout(
    laid: Laid, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(address: int, size_bytes: int) -> bytes:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(pointers, "read_memory", refuse)
    with pytest.raises(VerbsUnavailable, match="seccomp"):
        laid.find_qp()
