"""How pairs end whose peer, device or queue pair is gone without a completion; on real verbs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rdmaq import verbs
from rdmaq.errors import (
    ClosedError,
    OperationFailed,
    OperationPending,
    PairError,
    RdmaqError,
)
from rdmaq.rig.fixtures import FaultInjector, RdmaWire
from rdmaq.verbs.library import load
from tests.rdma.ends import HASTY, PATIENT, census, connected
from tests.rdma.sessions import patiently

pytestmark = [pytest.mark.rdma, pytest.mark.slow]

END_SECONDS_MAX = 30.0
# Of its timers nothing is seen while a test runs: half a minute.
ENDLESS = verbs.PairSettings(timeout=20, retry_count=6, wait="sleep", receive_depth=1)


@pytest.fixture(autouse=True)
def nothing_is_left(rdma_wire: RdmaWire) -> Iterator[None]:
    """Whatever was gone: closing gives every object back."""
    before = census().objects
    yield
    assert census().objects == before


def error_of(call: Callable[[], object]) -> RdmaqError:
    """What it raises; whatever takes too long fails by the test's own time-out."""
    with pytest.raises(RdmaqError) as caught:
        call()
    return caught.value


def test_write_that_waits_for_a_receive_of_a_peer_that_is_gone_ends(rdma_wire: RdmaWire) -> None:
    """Nothing is in flight, and nobody gives a time-out. The peer grants none while it lives."""
    none = verbs.PairSettings(timeout=13, retry_count=1, wait="sleep", receive_depth=0)
    with connected(rdma_wire, none) as (left, right):
        source, target = left.memory(64), right.memory(64)
        operation = left.pair.write_with_imm(source, target.remote, 1)
        with pytest.raises(OperationPending):
            operation.wait(2.5)  # asked more than once, and alive
        right.pair.close()
        error = error_of(operation.wait)
        assert isinstance(error, OperationFailed)
        assert error.status == verbs.Status.RETRY_EXC_ERR
        assert "does not answer" in str(error)
        assert f"queue pair {left.pair.address.qp_num}" in str(error)


def test_receive_ends_when_the_pair_does(rdma_wire: RdmaWire) -> None:
    """A key that is none ends both sides; no receive will come, and nobody waits for it."""
    with connected(rdma_wire, HASTY) as (left, right):
        bad = verbs.RemoteMemory(address=0x1000, length=64, rkey=0xDEAD00)
        failed = left.pair.write(left.memory(64), bad)
        assert isinstance(error_of(failed.wait), OperationFailed)
        for end in (left, right):
            error = error_of(end.pair.receive)
            assert "RECEIVE failed with WR_FLUSH_ERR" in str(error)

            async def main(pair: verbs.Pair = end.pair) -> None:
                await pair.receive_async()

            assert isinstance(error_of(lambda: asyncio.run(main())), OperationFailed)


def tell_fatal(device: verbs.Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the driver had: rxe never does, and a removed one waits for us to let go."""
    told = [verbs.DeviceEvent(kind=verbs.EventKind.DEVICE_FATAL, port=None, qp_address=None,
                              seen=time.monotonic())]  # fmt: skip
    events = device.events
    monkeypatch.setattr(events, "_is_readable", lambda _seconds: bool(told))
    monkeypatch.setattr(events, "_take", told.pop)


def test_all_pairs_of_a_device_that_failed_end_in_errors_that_name_it(
    rdma_wire: RdmaWire, rdma_fault: FaultInjector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In threads and in a loop, with and without something in flight; the wire is silent."""
    with connected(rdma_wire, ENDLESS) as (left, right):
        pairs = [left.domain.pair(ENDLESS) for _ in range(3)]
        others = [right.domain.pair(ENDLESS) for _ in pairs]
        for pair, other in zip(pairs, others, strict=True):
            pair.connect(other.address)
            other.connect(pair.address)
        source, target = left.memory(64), right.memory(64)
        rdma_fault.inject("loss", "100%")
        errors: list[RdmaqError] = []

        async def main() -> None:
            await pairs[1].read(source, target.remote)

        waits: list[Callable[[], Any]] = [
            lambda: left.pair.write(source, target.remote).wait(),
            lambda: pairs[0].receive(),
            lambda: asyncio.run(main()),
            lambda: [pairs[2].write_with_imm(source, target.remote, n) for n in (1, 2)][1].wait(),
        ]
        threads = [
            threading.Thread(target=lambda call=call: errors.append(error_of(call)))
            for call in waits
        ]
        for thread in threads:
            thread.start()
        patiently(
            lambda: sum(pair.outstanding for pair in (left.pair, *pairs)) >= 4, "all to be posted"
        )
        tell_fatal(left.device, monkeypatch)
        for thread in threads:
            thread.join(END_SECONDS_MAX)
        assert len(errors) == len(waits)
        for error in errors:
            assert rdma_wire.left.name in str(error)
            assert "DEVICE_FATAL" in str(error)
        for pair in (left.pair, *pairs):
            with pytest.raises(RdmaqError) as caught:
                pair.write(source, target.remote).wait()
            error = caught.value
            assert "DEVICE_FATAL" in str(error)
            assert pair.outstanding == 0
        left.device.close()
        assert source.closed


def test_queue_pair_that_cannot_be_destroyed_ends_its_operations_all_the_same(
    rdma_wire: RdmaWire, rdma_fault: FaultInjector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rdmaq.verbs.pair_end.FLUSH_SECONDS_MAX", 0.2)
    with connected(rdma_wire, ENDLESS) as (left, right):
        source, target = left.memory(64), right.memory(64)

        class Stuck:
            """pyverbs' queue pair, whose device refuses to let it go."""

            def __init__(self, qp: Any) -> None:
                self.qp = qp

            def modify(self, *_: object) -> None:
                """It stays as it is: nothing is flushed."""

            def close(self) -> None:
                raise load().pyverbs_error.PyverbsError("Failed to destroy QP")

        real = left.pair._qp
        left.pair._qp = Stuck(real)
        rdma_fault.inject("loss", "100%")
        operation = left.pair.write(source, target.remote)
        try:
            error = error_of(left.pair.close)
            assert "cannot close a queue pair: Failed to destroy QP" in str(error)
            ended = error_of(operation.wait)
            assert "its completion never came" in str(ended)
            assert left.pair.closed
            assert left.domain.pairs() == []
            assert isinstance(error_of(lambda: left.pair.write(source, target.remote)), ClosedError)
        finally:
            real.close()
            rdma_fault.heal()


def test_window_is_bound_while_both_sides_are_busy(rdma_wire: RdmaWire) -> None:
    """Each of the peer's numbers comes and each READ of ours ends, whichever was first."""
    with connected(rdma_wire, PATIENT) as (left, right):
        closed, source = left.memory(4096, verbs.Access.WINDOWS), right.memory(8)
        open_memory, source_of_reads = left.memory(8), right.memory(8)
        count = PATIENT.receive_depth
        operations = [
            right.pair.write_with_imm(source, open_memory.remote, n) for n in range(count)
        ]
        landing, windows = left.memory(8), []
        for at in range(0, 1024, 64):
            operations.append(left.pair.read(landing, source_of_reads.remote))
            windows.append(left.pair.window(closed[at : at + 64], verbs.Access.REMOTE_READ))
        for operation in operations:
            operation.wait(END_SECONDS_MAX)
        for number in range(count):
            came = left.pair.receive(END_SECONDS_MAX)
            assert came is not None
            assert came.imm == number
        own = right.memory(64)
        for window in windows:
            right.pair.read(own, window.remote).wait(END_SECONDS_MAX)


def test_memory_that_is_closed_or_of_another_domain_costs_no_pair(rdma_wire: RdmaWire) -> None:
    with connected(rdma_wire, HASTY) as (left, right):
        closed, target = left.memory(64), right.memory(64)
        closed.close()
        with pytest.raises(ClosedError, match="this memory is closed"):
            left.pair.write(closed, target.remote)
        with pytest.raises(PairError, match=r"another domain .*; use memory of"):
            left.pair.write(right.memory(64), target.remote)
        left.pair.write(left.memory(64), target.remote).wait(END_SECONDS_MAX)
