"""Everything that can befall a stream over verbs, the state that it ends in, and what is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

import rdmaq
from rdmaq.rig.devices import local_devices
from rdmaq.rig.fixtures import FaultInjector, RdmaWire, wire_of
from rdmaq.sessions.backfill import Backfill
from tests.conformance.rig import PATIENCE_SECONDS, TICK, ticks_of
from tests.rdma.publishing import Publishing
from tests.rdma.sessions import INSECURE, patiently

pytestmark = [pytest.mark.rdma, pytest.mark.slow, pytest.mark.timeout(300)]

CAPACITY = 256 << 10


def connected(wire: RdmaWire, address: str) -> rdmaq.Peer:
    return rdmaq.connect(
        address,
        credentials=INSECURE,
        transport="verbs",
        interface=wire.right.interface,
        timeout=PATIENCE_SECONDS,
    )


class Reader:
    """Reads a subscription, and holds it to the law.

    Attributes:
        sub: read from.
        told: the kinds of its events so far.
        next_sequence: everything before was delivered, whole, or declared.
        lost: of it, declared.
    """

    def __init__(self, sub: rdmaq.Subscription) -> None:
        self.sub = sub
        self.told: list[str] = []
        self.next_sequence = 1
        self.lost = 0

    def look(self) -> None:
        """One poll."""
        try:
            batch = self.sub.poll(0.1)
        finally:
            self.told += [event.kind for event in self.sub.events()]
        if batch is None:
            return
        if batch.gap is not None:
            assert batch.gap.first == self.next_sequence
            self.lost += batch.gap.last - batch.gap.first + 1
            self.next_sequence = batch.gap.last + 1
            return
        assert batch.sequence == self.next_sequence, self.told
        expected = ticks_of(batch.sequence, len(batch))
        assert batch.data.tobytes() == expected.tobytes()
        self.next_sequence += len(batch)

    def read_to(self, sequence: int) -> None:
        """Until all before that was delivered or declared."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.next_sequence < sequence:
            assert time.monotonic() < deadline, (self.next_sequence, sequence, self.told)
            self.look()
        assert self.next_sequence == sequence

    def look_for(self, kind: str) -> None:
        """Until an event of the kind is told."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while kind not in self.told:
            assert time.monotonic() < deadline, (kind, self.told)
            self.look()


@pytest.fixture(scope="module")
def publisher() -> Iterator[Publishing]:
    """One that its tests leave alive."""
    with Publishing(wire_of(local_devices()), CAPACITY) as made:
        made.begin()
        yield made


@pytest.fixture(scope="module")
def peer(publisher: Publishing) -> Iterator[rdmaq.Peer]:
    """Of that publisher's node."""
    with connected(wire_of(local_devices()), publisher.address) as made:
        yield made


@pytest.fixture
def reader(peer: rdmaq.Peer) -> Iterator[Reader]:
    """Reads its stream from now on."""
    with peer.subscribe("s", TICK) as sub:
        made = Reader(sub)
        made.next_sequence = max(1, sub.position)
        yield made


def test_stopped_publisher_is_silent_and_live_follows_when_it_goes_on(
    rdma_wire: RdmaWire, publisher: Publishing, reader: Reader
) -> None:
    """Nothing is torn down: its NIC answers READs. What is published later comes by this link."""
    reader.read_to(publisher.send(100))
    publisher.stop()
    try:
        reader.look_for("silent")
        sent = rdma_wire.left.counters()["sent_pkts"]
        patiently(lambda: rdma_wire.left.counters()["sent_pkts"] > sent + 2, "answers to READs")
        for _ in range(20):
            reader.look()
    finally:
        publisher.go_on()
    reader.look_for("heard")
    reader.read_to(publisher.send(100))
    assert not {"link_down", "gone"} & set(reader.told)
    assert reader.lost == 0


def test_backfill_of_a_stopped_publisher_completes_and_live_follows_when_it_goes_on(
    rdma_wire: RdmaWire,
    publisher: Publishing,
    peer: rdmaq.Peer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stopped between the connection and the first READ: its device answers all of them alone."""
    last = publisher.send(6000)
    is_stopped, step = threading.Event(), Backfill.step

    def step_when_stopped(self: Backfill) -> int:
        assert is_stopped.wait(PATIENCE_SECONDS)
        return step(self)

    monkeypatch.setattr(Backfill, "step", step_when_stopped)
    with peer.subscribe("s", TICK, start=last - 6000) as sub:
        reader = Reader(sub)
        reader.next_sequence = last - 6000
        publisher.stop()
        try:
            sent = rdma_wire.left.counters()["sent_pkts"]
            is_stopped.set()
            reader.read_to(last)
            answers = rdma_wire.left.counters()["sent_pkts"] - sent
            assert answers >= 6000 * TICK.itemsize // 4096
            reader.look_for("silent")
            assert sub.stats.backfilled == 6000
            assert "live" not in reader.told
        finally:
            is_stopped.set()
            publisher.go_on()
        reader.look_for("live")
        reader.read_to(publisher.send(100))
        assert reader.lost == 0
        assert not {"link_down", "gone"} & set(reader.told)


def test_port_that_goes_down_and_comes_up_is_resumed_where_the_link_ended(
    rdma_wire: RdmaWire, rdma_fault: FaultInjector, publisher: Publishing, reader: Reader
) -> None:
    """Down until the link is given up; meanwhile less is published than half of the ring."""
    reader.read_to(publisher.send(100))
    rdma_fault.inject("down", interface=rdma_wire.left.interface)
    last = publisher.send(1000)
    reader.look_for("link_down")
    rdma_fault.heal()
    reader.look_for("linked")
    reader.read_to(last)
    reader.read_to(publisher.send(100))
    assert reader.lost == 0
    assert "gone" not in reader.told


def test_port_that_stays_down_ends_the_subscription_and_the_next_one_works(
    rdma_wire: RdmaWire, rdma_fault: FaultInjector, publisher: Publishing, peer: rdmaq.Peer
) -> None:
    """The state is gone, in words, when the tries are used up."""
    with peer.subscribe("s", TICK) as sub:
        reader = Reader(sub)
        reader.next_sequence = sub.position
        reader.read_to(publisher.send(10))
        with (
            rdma_fault("down"),
            pytest.raises(rdmaq.PublisherGone, match="cannot be had again"),
        ):
            reader.look_for("never told")
        assert reader.told[-1] == "gone"
        assert sub.ended
    with connected(rdma_wire, publisher.address) as again, again.subscribe("s", TICK) as sub:
        publisher.send(1)
        assert sub.poll(PATIENCE_SECONDS) is not None
