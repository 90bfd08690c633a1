"""Memory windows on real verbs: who can use their keys, and until when."""

from __future__ import annotations

import pytest

from rdmaq import verbs
from rdmaq.errors import ClosedError, OperationFailed, PairError, RegistrationError
from rdmaq.rig.fixtures import RdmaWire
from tests.rdma.ends import HASTY, End, census, connected

pytestmark = [pytest.mark.rdma, pytest.mark.slow]

READ, WRITE, ATOMIC = (
    verbs.Access.REMOTE_READ,
    verbs.Access.REMOTE_WRITE,
    verbs.Access.REMOTE_ATOMIC,
)
REFUSED = verbs.Status.REM_ACCESS_ERR


def refused(pair: verbs.Pair, local: verbs.MemoryPart, remote: verbs.RemoteMemory) -> bool:
    with pytest.raises(OperationFailed) as caught:
        pair.read(local, remote).wait(30)
    return caught.value.status == REFUSED


def test_window_opens_a_part_of_closed_memory_for_all_that_it_says(rdma_wire: RdmaWire) -> None:
    with connected(rdma_wire) as (left, right):
        target = left.memory(4096, verbs.Access.WINDOWS)
        target.buffer[64:72] = b"readable"
        window = left.pair.window(target[64:128], READ | WRITE | ATOMIC)
        own = right.memory(64)
        right.pair.read(own, window.remote).wait(30)
        assert bytes(own.buffer[:8]) == b"readable"
        right.pair.write(own[0:8], window.remote[8:16]).wait(30)
        right.pair.fetch_add(own[16:24], window.remote[16:24], 3).wait(30)
        assert bytes(target.buffer[72:88]) == b"readable" + (3).to_bytes(8, "little")
        assert refused(right.pair, own[0:64], target.remote[0:64])  # the memory's own key


def test_key_is_of_use_to_its_own_pair_only(rdma_wire: RdmaWire) -> None:
    """A second connection into the same domain knows the key, and is refused."""
    with connected(rdma_wire, HASTY) as (left, right):
        target, own = left.memory(64, verbs.Access.WINDOWS), right.memory(64)
        window = left.pair.window(target, READ)
        with left.domain.pair(HASTY) as one, right.domain.pair(HASTY) as other:
            one.connect(other.address)
            other.connect(one.address)
            assert refused(other, own[0:64], window.remote)
        right.pair.read(own, window.remote).wait(30)


def test_closed_window_refuses_from_then_on(rdma_wire: RdmaWire) -> None:
    with connected(rdma_wire, HASTY) as (left, right):
        target, own = left.memory(64, verbs.Access.WINDOWS), right.memory(64)
        window = left.pair.window(target, READ)
        right.pair.read(own, window.remote).wait(30)
        window.close()
        window.close()
        assert refused(right.pair, own[0:64], window.remote)
        target.close()


def test_read_only_window_is_not_written(rdma_wire: RdmaWire) -> None:
    with connected(rdma_wire, HASTY) as (left, right):
        target, own = left.memory(64, verbs.Access.WINDOWS), right.memory(64)
        window = left.pair.window(target, READ)
        own.buffer[:] = b"x" * 64
        with pytest.raises(OperationFailed) as caught:
            right.pair.write(own, window.remote).wait(30)
        assert caught.value.status == REFUSED
        assert bytes(target.buffer) == bytes(64)


def test_what_no_window_can_be_is_refused_and_leaves_nothing(rdma_wire: RdmaWire) -> None:
    """Another domain's memory, memory that takes none, no access; and the ends' order."""
    before = census()
    with connected(rdma_wire) as (left, right):
        assert left.device.limits.has_windows
        open_memory, memory = left.memory(64), left.memory(64, verbs.Access.WINDOWS)
        wrong = [
            (open_memory, READ),
            (right.memory(64, verbs.Access.WINDOWS), READ),
            (memory, verbs.Access.NONE),
            (memory, verbs.Access.LOCAL_WRITE),
            (left.domain.register(bytes(64), verbs.Access.WINDOWS), WRITE),
            (bytearray(8), READ),
        ]
        for part, access in wrong:
            with pytest.raises(RegistrationError, match=r".+: .+; .+"):
                left.pair.window(part, access)  # type: ignore[arg-type]
        with pytest.raises(PairError, match=r"cannot open a window now: .*; connect it"):
            left.domain.pair().window(memory, READ)
        left.pair.window(memory, READ)
        with pytest.raises(RegistrationError, match=r"1 open windows: .*; close those first"):
            memory.close()
        left.pair.close()
        with pytest.raises(ClosedError):
            left.pair.window(memory, READ)
        memory.close()
    assert census().objects == before.objects


def test_many_windows_come_and_go_with_their_pairs(rdma_wire: RdmaWire) -> None:
    """The pair's close takes them with it, at once: rxe stands still when they outlive it."""
    before = census()

    def turn(left: End, right: End) -> None:
        with left.domain.pair(HASTY) as one, right.domain.pair(HASTY) as other:
            one.connect(other.address)
            other.connect(one.address)
            windows = [one.window(target[at : at + 64], READ) for at in range(0, 1024, 64)]
            own = right.memory(64)
            other.read(own, windows[-1].remote).wait(30)

    with connected(rdma_wire) as (left, right):
        target = left.memory(1024, verbs.Access.WINDOWS)
        for _ in range(5):
            turn(left, right)
        target.close()
    assert census().objects == before.objects
