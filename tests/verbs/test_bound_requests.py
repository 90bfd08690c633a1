"""Requests that pyverbs posts on a pair's own queue (windows), and how long `run` waits at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from rdmaq._fast import lib
from rdmaq.errors import ClosedError, ConcurrentUse, OperationFailed, OperationPending, PairError
from rdmaq.verbs import window
from rdmaq.verbs.operation import Receive
from rdmaq.verbs.reports import Reports
from tests.verbs.nic import FLUSHED, REMOTE_ACCESS, SENDS, End, Place, connect

LOCAL, REMOTE = Place(0x1000, 64), Place(0x2000, 64)
SLICE_NS = lib.RQ_WAIT_SLICE_NS_MAX


@pytest.fixture
def end() -> Iterator[End]:
    with End() as made:
        yield made


def request() -> Any:
    return SimpleNamespace(wr_id=0)


def test_what_the_peer_writes_meanwhile_is_not_taken_for_the_binding(end: End) -> None:
    """Its WRITE_WITH_IMM completes first, on the same queue."""
    with End() as other:
        connect(end, other)
        other.pair.grant(end.pair.post_receives(2))
        binding = end.pair.post_bind(end, request(), LOCAL)
        for number in (7, 8):
            other.pair.write_with_imm(LOCAL, REMOTE, number)
        other.run()
        assert not binding.is_done
        end.run()
        binding.wait(5)
        assert [end.pair.receive(5), end.pair.receive(5)] == [Receive(7, 64), Receive(8, 64)]


def test_binding_takes_its_place_among_our_requests(end: End) -> None:
    """Its memory is in use meanwhile, and room is counted; a failure is told to it alone."""
    first = end.pair.write(LOCAL, REMOTE)
    binding = end.pair.post_bind(end, request(), Place(0x9000, 64))
    last = end.pair.write(LOCAL, REMOTE)
    assert end.pair.uses(0x9000, 1)
    end.run(2, REMOTE_ACCESS)
    end.run()
    first.wait(5)
    with pytest.raises(OperationFailed, match="BIND_MW failed with 10"):
        binding.wait(5)
    with pytest.raises(OperationFailed) as failure:
        last.wait(5)
    assert failure.value.status == FLUSHED
    assert end.pair.outstanding == 0


def test_binding_that_is_refused_leaves_no_trace(end: End) -> None:
    """The call raises; the next request gets its place, and its report."""

    class Refusing:
        def post_send(self, _request: object) -> None:
            raise OSError("Failed to post send")

    with pytest.raises(OSError, match="post send"):
        end.pair.post_bind(Refusing(), request(), LOCAL)
    assert (end.pair.outstanding, end.pair.uses(LOCAL.address, 1)) == (0, False)
    for _ in range(2 * SENDS):
        operation = end.pair.write(LOCAL, REMOTE)
        end.run()
        operation.wait(5)


def test_binding_waits_for_nobodys_room(end: End) -> None:
    """Neither behind what waits already, nor in a full queue, nor on a closed pair."""
    end.pair.write_with_imm(LOCAL, REMOTE, 1)
    with pytest.raises(ConcurrentUse):
        end.pair.post_bind(end, request(), LOCAL)
    with End() as full:
        for _ in range(SENDS - 1):
            full.pair.write(LOCAL, REMOTE)
        with pytest.raises(ConcurrentUse):
            full.pair.post_bind(full, request(), LOCAL)
        assert full.pair.outstanding == SENDS - 1
    with pytest.raises(ClosedError):
        full.pair.post_bind(full, request(), LOCAL)


def test_binding_waits_for_its_turn(end: End) -> None:
    """Another thread looks now and then, as a node does whether its peers live."""
    other = end.pair.write(LOCAL, REMOTE)
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            end.pair.look(1_000_000)

    thread = threading.Thread(target=look)
    thread.start()
    binding = window._in_turn(end.pair, lambda: end.pair.post_bind(end, request(), LOCAL))
    end.run()
    window._wait(end.pair, binding, "cannot open a window")
    is_over.set()
    thread.join()
    other.wait(5)


def test_binding_waits_for_room_and_makes_it(end: End) -> None:
    """Nobody else looks; the NIC goes on by itself."""
    for _ in range(3 * SENDS):
        end.pair.write(LOCAL, REMOTE)
    end.be_quick()
    end.run()
    binding = window._in_turn(end.pair, lambda: end.pair.post_bind(end, request(), LOCAL))
    window._wait(end.pair, binding, "cannot open a window")
    assert end.pair.outstanding == 0


def test_binding_that_never_gets_its_turn_says_who_has_it(
    end: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, "_BIND_SECONDS_MAX", 0.01)

    def refuse() -> None:
        raise ConcurrentUse("another thread waits on this pair; use a pair each")

    with pytest.raises(ConcurrentUse, match="another thread waits"):
        window._in_turn(end.pair, refuse)


@pytest.mark.parametrize(
    ("timeout", "first_ns"),
    [
        (None, SLICE_NS),
        (3600, SLICE_NS),
        (0.004, 4_000_000),
        (0, 0),
        (-1.0, 0),
        (10**400, SLICE_NS),
    ],
)
@pytest.mark.parametrize("ops", [1, 3])
def test_run_waits_no_longer_at_once_than_its_timeout(
    end: End, monkeypatch: pytest.MonkeyPatch, timeout: float | None, first_ns: int, ops: int
) -> None:
    """And what it has waited already counts."""
    waited: list[object] = []

    def wait_until(reports: Reports, operation_end: int, *rest: object) -> None:
        waited.append(rest)
        raise OperationPending("time is up")

    monkeypatch.setattr(Reports, "wait_until", wait_until)
    requests = end.pair.requests(ops)
    requests.array["opcode"] = requests.WRITE
    with pytest.raises(OperationPending):
        end.pair.run(requests, timeout)
    expected_ns = 0 if timeout == 10**400 else first_ns  # it is no double: left to who waits on
    assert end.pair._run.wait_ns == expected_ns
    assert waited == [(timeout, expected_ns / 1e9)]


@pytest.mark.parametrize("timeout", ["soon", float("nan"), ()])
def test_run_says_what_is_no_timeout(end: End, timeout: Any) -> None:
    requests = end.pair.requests(1)
    requests.array["opcode"] = requests.WRITE
    with pytest.raises(PairError, match="is no time"):
        end.pair.run(requests, timeout)
    end.run()
    end.pair.settle(5)


def test_memory_of_another_domain_never_gets_to_the_nic(end: End) -> None:
    """By one operation and in a batch; unchecked it does, and so does our own."""
    ours, theirs = object(), object()
    end.pair._domain = ours
    for call in (
        lambda place: end.pair.write(place, REMOTE),
        lambda place: end.pair.read(place, REMOTE),
        lambda place: end.pair.write_with_imm(place, REMOTE, 1),
        lambda place: end.pair.fetch_add(place[0:8], REMOTE, 1),
        lambda place: end.pair.batch().write(place, REMOTE),
    ):
        with pytest.raises(PairError, match=r"another domain .*; use memory of"):
            call(Place(0x1000, 64, domain=theirs))
    assert end.posted == 0
    end.pair.write(Place(0x1000, 64, domain=theirs), REMOTE, check=False)
    end.pair.write(Place(0x1000, 64, domain=ours), REMOTE)
    assert end.posted == 2
