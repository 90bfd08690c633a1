"""Broken wires, dead peers and wrong keys: what can complete does, all else ends in words."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest

from rdmaq import verbs
from rdmaq.errors import OperationFailed, PairError, RdmaqError, RegistrationError
from rdmaq.rig.fixtures import FaultInjector, RdmaWire
from tests.rdma.ends import HASTY, End, census, connected, opened
from tests.rdma.peer import peer
from tests.rdma.walk import Near, Walk

pytestmark = [pytest.mark.rdma, pytest.mark.slow, pytest.mark.timeout(300)]

KIB = 1 << 10
# An operation's own bound is HASTY.failure_seconds_max (0.3 s); emulation on a busy host is slow.
END_SECONDS_MAX = 30.0
OUTSTANDING = 40


@pytest.fixture(autouse=True)
def nothing_is_left(rdma_wire: RdmaWire) -> Iterator[None]:
    """Whatever broke: closing gives every object back."""
    before = census().objects
    yield
    assert census().objects == before


def names_all(text: str, pair: verbs.Pair) -> bool:
    """Whether an error says which queue pair, GIDs, MTU and timers, a cause and a cure."""
    assert pair.remote is not None
    facts = (
        f"queue pair {pair.address.qp_num}",
        f"to {pair.remote.qp_num}",
        str(pair.domain.device.gid.address),
        str(pair.remote.gid.ipv4_mapped or pair.remote.gid),
        f"MTU {pair.attributes.mtu_bytes}",
        f"timeout {pair.settings.timeout}",
        f"retries {pair.settings.retry_count}",
    )
    what, _, rest = text.partition(": ")
    return all(fact in what for fact in facts) and "; " in rest


def errors_of(operations: Sequence[verbs.Operation]) -> list[OperationFailed]:
    """The errors in which operations end; waiting too long for one fails the test."""
    errors = []
    for operation in operations:
        try:
            operation.wait(END_SECONDS_MAX)
        except OperationFailed as error:
            errors.append(error)
    return errors


@pytest.mark.parametrize(("kind", "amount"), [("loss", "5%"), ("delay", "5ms"), ("reorder", "20%")])
def test_everything_completes_and_is_right_on_a_bad_wire(
    rdma_wire: RdmaWire, rdma_fault: FaultInjector, kind: str, amount: str
) -> None:
    with connected(rdma_wire) as (left, right):
        walk = Walk(left, Near(right), seed=4, is_on_a_bad_wire=True)
        with rdma_fault(kind, amount):
            walk.run(200)


def test_all_in_flight_ends_when_the_link_goes_down(
    rdma_wire: RdmaWire, rdma_fault: FaultInjector
) -> None:
    with connected(rdma_wire, HASTY) as (left, right):
        source, target = left.memory(64 * KIB), right.memory(64 * KIB)
        left.pair.write(source, target.remote).wait(END_SECONDS_MAX)
        rdma_fault.inject("down")
        errors = errors_of([left.pair.write(source, target.remote) for _ in range(OUTSTANDING)])
        assert len(errors) == OUTSTANDING
        assert all(names_all(str(error), left.pair) for error in errors)
        assert "PORT_ERR" in str(errors[0])
        assert left.pair.outstanding == 0


def test_peer_killed_while_idle_is_told_by_the_next_operation(rdma_wire: RdmaWire) -> None:
    with peer(rdma_wire.right, HASTY) as other, opened(rdma_wire.left) as device:
        domain = device.domain()
        pair = domain.pair(HASTY)
        other.connect(pair)
        local = domain.register(bytearray(b"x" * 100))
        pair.write(local, other.memory[:100]).wait(END_SECONDS_MAX)
        other.kill()
        (error,) = errors_of([pair.write(local, other.memory[:100])])
        assert error.status == verbs.Status.RETRY_EXC_ERR
        assert names_all(str(error), pair)
        assert "does not answer" in str(error)
        assert pair.state == verbs.QpState.ERR


def test_peer_killed_under_load_ends_all_that_is_in_flight(rdma_wire: RdmaWire) -> None:
    with peer(rdma_wire.right, HASTY) as other, opened(rdma_wire.left) as device:
        domain = device.domain()
        pair = domain.pair(HASTY)
        other.connect(pair)
        local = domain.register(bytearray(64 * KIB))
        operations = [pair.write(local, other.memory) for _ in range(OUTSTANDING)]
        operations += [pair.read(local, other.memory) for _ in range(OUTSTANDING)]
        operations[0].wait(END_SECONDS_MAX)
        other.kill()
        errors = errors_of(operations)
        assert errors
        assert all(names_all(str(error), pair) for error in errors)
        # The first says why, the others that they were thrown away with it.
        assert errors[0].status != verbs.Status.WR_FLUSH_ERR
        assert {error.status for error in errors[1:]} == {verbs.Status.WR_FLUSH_ERR}
        assert "the first to fail was a" in str(errors[-1])


def _wrong_key(left: End, right: End) -> verbs.Operation:
    remote = replace(right.memory(4 * KIB).remote, rkey=0x00DEAD00)
    return left.pair.write(left.memory(64), remote)


def _beyond_the_end(left: End, right: End) -> verbs.Operation:
    remote = right.memory(4 * KIB).remote
    beyond = replace(remote, address=remote.address + 4 * KIB - 32)
    return left.pair.write(left.memory(64), beyond)


def _closed_memory(left: End, right: End) -> verbs.Operation:
    target = right.memory(4 * KIB)
    remote = target.remote
    target.close()
    return left.pair.read(left.memory(64), remote)


def _not_open_to_writes(left: End, right: End) -> verbs.Operation:
    remote = right.memory(4 * KIB, verbs.Access.REMOTE_READ).remote
    return left.pair.write(left.memory(64), remote)


def _of_another_domain(left: End, right: End) -> verbs.Operation:
    other = right.device.domain()
    target = other.register(bytearray(4 * KIB), verbs.Access.REMOTE_READ)
    return left.pair.read(left.memory(64), target.remote)


@pytest.mark.parametrize(
    "post",
    [_wrong_key, _beyond_the_end, _closed_memory, _not_open_to_writes, _of_another_domain],
)
def test_memory_that_is_not_open_ends_the_pair_and_touches_nothing(
    rdma_wire: RdmaWire, post: Callable[[End, End], verbs.Operation]
) -> None:
    with connected(rdma_wire, HASTY) as (left, right):
        source, target = left.memory(64), right.memory(64)
        source.buffer[:] = b"x" * 64
        failed = post(left, right)
        later = left.pair.write(source, target.remote)
        first, second = errors_of([failed, later])
        assert first.status == verbs.Status.REM_ACCESS_ERR
        assert names_all(str(first), left.pair)
        assert "does not allow it" in str(first)
        assert second.status == verbs.Status.WR_FLUSH_ERR
        assert "the first to fail was a" in str(second)
        assert target.buffer == bytes(64)


def test_what_does_not_fit_is_refused_before_it_is_posted(rdma_wire: RdmaWire) -> None:
    with connected(rdma_wire, HASTY) as (left, right):
        source, target = left.memory(64), right.memory(32)
        with pytest.raises(PairError, match=r"64 bytes .*32"):
            left.pair.write(source, target.remote)
        with pytest.raises(RegistrationError, match="is no part of memory"):
            target.remote[0:33]
        left.pair.write(source[:32], target.remote).wait(END_SECONDS_MAX)


def received(end: End) -> int:
    """The number of the next WRITE_WITH_IMM."""
    came = end.pair.receive(END_SECONDS_MAX)
    assert came is not None
    return came.imm


def test_peer_without_a_receive_is_waited_for_and_then_served(rdma_wire: RdmaWire) -> None:
    few = replace(HASTY, receive_depth=2)
    with connected(rdma_wire, few) as (left, right):
        source, target = left.memory(8), right.memory(8)
        operations = [left.pair.write_with_imm(source, target.remote, n) for n in range(3)]
        for operation in operations[:2]:
            operation.wait(END_SECONDS_MAX)
        assert not operations[2].is_done
        assert [received(right), received(right)] == [0, 1]
        left.pair.grant(right.pair.post_receives(1))
        operations[2].wait(END_SECONDS_MAX)
        assert received(right) == 2


def test_gid_that_cannot_reach_the_peer_ends_in_words(rdma_wire: RdmaWire) -> None:
    """Link-local by hand on one side: the other's GID is IPv4."""
    with (
        opened(rdma_wire.left, gid_index=0) as left,
        opened(rdma_wire.right) as right,
        left.domain() as left_domain,
        right.domain() as right_domain,
    ):
        pair, other = left_domain.pair(HASTY), right_domain.pair(HASTY)
        with pytest.raises(PairError, match=r"cannot reach .*\(fe80.*; choose GIDs of one family"):
            pair.connect(other.address)


def test_peer_address_of_nobody_ends_in_words(rdma_wire: RdmaWire) -> None:
    with connected(rdma_wire, HASTY) as (left, right):
        assert left.pair.remote is not None
        pair = left.domain.pair(HASTY)
        nobody = replace(right.pair.address, qp_num=0xABCDE)
        pair.connect(nobody)
        local, target = left.memory(8), right.memory(8)
        (error,) = errors_of([pair.write(local, target.remote)])
        assert error.status == verbs.Status.RETRY_EXC_ERR
        assert names_all(str(error), pair)


@contextmanager
def smaller_mtu(wire: RdmaWire, size_bytes: int) -> Iterator[None]:
    """The interfaces below carry less than the connection was agreed on."""

    def set_mtu(size_bytes: int) -> None:
        for end in (wire.left, wire.right):
            words = ["/usr/sbin/ip", "link", "set", end.interface, "mtu", str(size_bytes)]
            subprocess.run(words, check=True)

    set_mtu(size_bytes)
    try:
        yield
    finally:
        set_mtu(4300)


def test_wire_that_carries_less_than_the_mtu_is_named(rdma_wire: RdmaWire) -> None:
    with connected(rdma_wire, HASTY) as (left, right):
        source, target = left.memory(64 * KIB), right.memory(64 * KIB)
        with smaller_mtu(rdma_wire, 1500):
            left.pair.write(source[:8], target.remote).wait(END_SECONDS_MAX)
            errors = errors_of([left.pair.write(source, target.remote) for _ in range(OUTSTANDING)])
        assert len(errors) == OUTSTANDING
        assert all(names_all(str(error), left.pair) for error in errors)
        assert "carries 1024 bytes now, less than the connection's MTU of 4096" in str(errors[0])
    with connected(rdma_wire, HASTY) as (left, right):
        left.pair.write(left.memory(64 * KIB), right.memory(64 * KIB).remote).wait(END_SECONDS_MAX)


def test_memory_in_flight_is_not_given_back(rdma_wire: RdmaWire, rdma_fault: FaultInjector) -> None:
    with connected(rdma_wire) as (left, right):
        source, target, other = left.memory(64 * KIB), right.memory(64 * KIB), left.memory(64)
        with rdma_fault("delay", "20ms"):
            operation = left.pair.write(source, target.remote)
            with pytest.raises(RegistrationError, match=r"lent to operations in flight on queue"):
                source.close()
            other.close()
            operation.wait(END_SECONDS_MAX)
        source.close()


def test_closing_ends_what_is_in_flight_and_then_gives_memory_back(rdma_wire: RdmaWire) -> None:
    with connected(rdma_wire) as (left, right):
        source, target = left.memory(64 * KIB), right.memory(64 * KIB)
        operations = [left.pair.write(source, target.remote) for _ in range(OUTSTANDING)]
        left.domain.close()
        ends = []
        for operation in operations:
            try:
                operation.wait(END_SECONDS_MAX)
            except RdmaqError as error:
                ends.append(error)
        assert ends
        assert source.closed
