"""Devices, memory and queue pairs on real verbs: what is granted, what is refused, what is left."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from rdmaq import verbs
from rdmaq.errors import ClosedError, DeviceNotFound, PairError, RegistrationError
from rdmaq.rig.fixtures import FaultInjector, RdmaWire
from tests.rdma.ends import ALL, PATIENT, End, census, connected, opened

pytestmark = [pytest.mark.rdma, pytest.mark.slow]

CONNECTS = 100


def test_choice_by_interface_name_and_itself_ends_at_the_routable_gid(rdma_wire: RdmaWire) -> None:
    left = rdma_wire.left
    for wishes in ({"interface": left.interface}, {"device": left.name}):
        with verbs.open(**wishes) as device:  # type: ignore[arg-type]
            assert device.port.device == left.name
            assert str(device.gid.address) == left.address
            assert device.gid_now() == device.gid
    with verbs.open(reach=left.address) as device:
        assert str(device.gid.address) == left.address


def test_slot_of_the_gid_table_that_is_empty_is_refused(rdma_wire: RdmaWire) -> None:
    with pytest.raises(DeviceNotFound, match=r"gid_index=200: there is .*; choose one of these"):
        verbs.open(rdma_wire.left.name, gid_index=200)


def test_least_mtu_and_depth_of_both_sides_are_granted_and_read_back(rdma_wire: RdmaWire) -> None:
    small = verbs.PairSettings(mtu_bytes=1024, max_rd_atomic=4, timeout=14, retry_count=2)
    with connected(rdma_wire, small, PATIENT) as (left, right):
        for end, settings, other in ((left, small, right), (right, PATIENT, left)):
            granted = end.pair.attributes
            assert granted.state == verbs.QpState.RTS == end.pair.state
            assert granted.mtu_bytes == 1024
            assert (granted.initiator_depth, granted.responder_depth) == (
                4,
                4,
            )  # rxe takes powers of two
            assert (granted.timeout, granted.retry_count) == (
                settings.timeout,
                settings.retry_count,
            )
            assert granted.remote_qp_num == other.pair.address.qp_num
            assert granted.receive_psn == other.pair.address.psn
            assert granted.send_depth >= settings.send_depth
        assert left.pair.address.psn != right.pair.address.psn


def test_mtu_larger_than_the_ports_is_lowered_to_it(rdma_wire: RdmaWire) -> None:
    with connected(rdma_wire, verbs.PairSettings(mtu_bytes=4096)) as (left, _):
        assert left.pair.attributes.mtu_bytes == left.device.limits.mtu_bytes <= 4096


def test_pair_connects_once_and_only_before_its_close(rdma_wire: RdmaWire) -> None:
    with connected(rdma_wire) as (left, right):
        with pytest.raises(PairError, match=r"connected already: .*; make another"):
            left.pair.connect(right.pair.address)
        left.pair.close()
        left.pair.close()
        with pytest.raises(ClosedError):
            left.pair.connect(right.pair.address)
        with pytest.raises(ClosedError):
            left.pair.write(left.memory(8), right.memory(8).remote)
        fresh = left.domain.pair()
        with pytest.raises(PairError, match=r"cannot write: it has no peer; call connect"):
            fresh.write(left.memory(8), right.memory(8).remote)


def test_depths_beyond_the_device_are_refused_before_anything_is_made(rdma_wire: RdmaWire) -> None:
    with opened(rdma_wire.left) as device, device.domain() as domain:
        before = census()
        most = device.limits.cq_entries_max
        deep = verbs.PairSettings(send_depth=16384, receive_depth=16384)
        if most >= 32769:
            pytest.fail("this device takes more than PairSettings can ask for")
        with pytest.raises(PairError, match=r"cannot be in flight: .*; lower send_depth"):
            domain.pair(deep)
        assert census().objects == before.objects


def test_closing_the_device_closes_everything_in_order_and_again_does_nothing(
    rdma_wire: RdmaWire,
) -> None:
    before = census()
    with connected(rdma_wire) as (left, right):
        memories = [left.memory(4096), right.memory(4096)]
        assert census().objects["mr"] == before.objects["mr"] + 2
        left.device.close()
        left.device.close()
        assert left.pair.closed
        assert left.domain.closed
        assert memories[0].closed
        with pytest.raises(ClosedError, match="this device is closed"):
            left.device.domain()
    assert census().objects == before.objects


def test_hundred_connects_and_closes_leak_nothing(rdma_wire: RdmaWire) -> None:
    """Objects by the kernel's count, descriptors, and memory after a first few of them.

    The devices are opened anew for every tenth.
    """

    def connect_and_close(left: End, right: End) -> None:
        with left.domain.pair(PATIENT) as one, right.domain.pair(PATIENT) as other:
            one.connect(other.address)
            other.connect(one.address)
            with left.memory(64) as source, right.memory(4096) as target:
                one.write(source, target.remote).wait(30)

    before = census()
    for turn in range(CONNECTS // 10):
        with connected(rdma_wire) as (left, right):
            for _ in range(9):
                connect_and_close(left, right)
        if turn == 1:
            warm = census()
    after = census()
    assert after.objects == before.objects
    assert after.fds == before.fds
    # A pair holds some 50 kB beside its device's own: one kept a turn would show as 4 MB.
    assert after.rss_bytes - warm.rss_bytes < 2 << 20


def test_port_that_goes_down_is_told_while_other_threads_run(
    rdma_wire: RdmaWire, rdma_fault: FaultInjector
) -> None:
    """A waiting poll that held Python's lock would keep this thread from breaking the wire."""
    with opened(rdma_wire.left) as device:
        found: list[verbs.DeviceEvent] = []
        waiter = threading.Thread(target=lambda: found.extend(device.events.poll(timeout=30)))
        waiter.start()
        rdma_fault.inject("down")
        waiter.join()
        assert [event.kind for event in found[:1]] == [verbs.EventKind.PORT_ERR]
        assert found[0].port == device.port.number
        rdma_fault.heal()
        kinds = {event.kind for event in device.events.poll(timeout=30)}
        assert verbs.EventKind.PORT_ACTIVE in kinds


def test_gid_that_comes_and_goes_is_told(rdma_wire: RdmaWire) -> None:
    """An address more on the interface below, as a host's network may change at any time."""
    left, address = rdma_wire.left, "10.99.77.1"

    def ip(word: str) -> None:
        words = ["/usr/sbin/ip", "address", word, f"{address}/32", "dev", left.interface]
        subprocess.run(words, check=True)

    def told(device: verbs.Device) -> bool:
        return any(e.kind == verbs.EventKind.GID_CHANGE for e in device.events.poll(timeout=30))

    with opened(left) as device:
        ip("add")
        try:
            assert told(device)
            (port,) = verbs.ports(device=left.name)
            (new,) = [gid for gid in port.gids if str(gid.address) == address and "v2" in gid.kind]
            other = verbs.open(left.name, gid_index=new.index)
            assert other.gid_now() == new
        finally:
            ip("del")
        with other:
            assert told(device)
            assert other.gid_now() is None
            assert any(f"{address} " in text and "is gone" in text for text in other.changes(256))
        assert device.gid_now() == device.gid
        assert device.changes(256) == []


_LOCKED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_MEMLOCK, (1 << 20, 1 << 20))
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
from rdmaq import RegistrationError, verbs
with verbs.open(sys.argv[1]) as device, device.domain() as domain:
    domain.register(bytearray(1 << 16))
    try:
        domain.register(bytearray(1 << 22))
    except RegistrationError as error:
        print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_memlock_that_is_too_small_is_named_with_its_cure(rdma_wire: RdmaWire) -> None:
    """An ordinary user's process with 1 MiB, since root's is not limited."""
    answer = subprocess.run(
        [sys.executable, "-c", _LOCKED, rdma_wire.left.name], capture_output=True, text=True
    )
    assert "cannot register 4,194,304 bytes" in answer.stdout, answer.stderr
    assert "may lock 1,048,576 bytes" in answer.stdout
    assert "ulimit -l unlimited" in answer.stdout


def test_forked_child_can_use_and_harm_nothing_of_its_parents(rdma_wire: RdmaWire) -> None:
    with connected(rdma_wire) as (left, right):
        source, target = left.memory(64), right.memory(64)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                left.pair.write(source, target.remote)
            except ClosedError:
                status = 0
            for thing in (left.pair, source, left.domain, left.device):
                thing.close()
            os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        source.buffer[:] = b"still works!" * 5 + b"...."
        left.pair.write(source, target.remote).wait(30)
        assert bytes(target.buffer) == bytes(source.buffer)


def test_registration_beyond_mapped_memory_is_refused_in_words(rdma_wire: RdmaWire) -> None:
    """Writable by type, read-only in truth: the device's refusal is told, not a crash."""
    import ctypes
    import mmap

    with opened(rdma_wire.left) as device, device.domain() as domain:
        room = mmap.mmap(-1, mmap.PAGESIZE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(room))
        libc = ctypes.CDLL(None)
        assert libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(mmap.PAGESIZE), 1) == 0
        with pytest.raises(RegistrationError, match=r"Bad address.*; a part of it is not mapped"):
            domain.register(room, ALL)
