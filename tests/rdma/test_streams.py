"""Streams between two devices: the publisher's NIC writes the subscriber's replica."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import numpy as np
import pytest

import rdmaq
from rdmaq.rig.fixtures import RdmaWire
from rdmaq.verbs.link_settings import LinkSettings
from tests.conformance.rig import (
    TICK,
    eventually,
    message_of,
    take,
    take_gap,
    take_messages,
    ticks_of,
)
from tests.rdma.ends import census
from tests.rdma.sessions import calling, link_of, serving

pytestmark = [pytest.mark.rdma, pytest.mark.slow, pytest.mark.timeout(300)]

TAILS = pytest.mark.parametrize("tail", ["write", "imm"])
CAPACITY = 64 << 10


def told(peer: rdmaq.Peer, tail: str) -> rdmaq.Peer:
    """Its subscriptions ask for tails of that kind, whatever the device is known for."""
    link_of(peer)._link_settings = LinkSettings(tail=tail)
    return peer


@TAILS
def test_what_is_published_arrives_byte_for_byte_by_every_way_to_send(
    rdma_wire: RdmaWire, tail: str
) -> None:
    """send, send_many, send_gap, claim; over the wire; then the end of the stream."""
    with (
        serving(rdma_wire) as node,
        node.publish("s", capacity=CAPACITY) as pub,
        told(calling(rdma_wire, node), tail) as peer,
        peer.subscribe("s") as sub,
    ):
        assert sub.transport == "verbs"
        assert sub.epoch == pub.epoch
        assert sub.schema is None
        before = rdma_wire.packets()
        for sequence in range(1, 51):
            pub.send(message_of(sequence))
        assert take_messages(sub, 50) == [message_of(n) for n in range(1, 51)]
        assert rdma_wire.packets() > before
        pub.send_many([message_of(n) for n in range(51, 81)])
        assert take_messages(sub, 30) == [message_of(n) for n in range(51, 81)]
        pub.send_gap(81, 90)
        assert take_gap(sub) == rdmaq.Gap(81, 90, "upstream", pub.epoch)
        with pub.claim(5) as area:
            area[:] = b"claim"
        batch = take(sub)
        assert (batch.sequence, batch.messages) == (91, [b"claim"])
        with pytest.raises(rdmaq.UnsupportedTransport, match="whose clock is not ours"):
            _ = batch.frame_latency_ns
        pub.close()
        with pytest.raises(rdmaq.EndOfStream):
            sub.poll(30)
        assert [event.kind for event in sub.events()] == ["connected", "ended"]


@TAILS
def test_records_arrive_through_many_laps_of_the_ring(rdma_wire: RdmaWire, tail: str) -> None:
    """Batches of records, some eight times the capacity; none is lost since each is awaited."""
    with (
        serving(rdma_wire) as node,
        node.publish("t", TICK, capacity=CAPACITY) as pub,
        told(calling(rdma_wire, node), tail) as peer,
        peer.subscribe("t", TICK) as sub,
    ):
        first, count = 1, 200
        while first * TICK.itemsize < 8 * CAPACITY:
            records = ticks_of(first, count)
            assert pub.send_batch(records) == first
            got: list[Any] = []
            while sum(map(len, got)) < count:
                batch = take(sub)
                assert batch.gap is None
                got.append(batch.data)
            assert np.concatenate(got).tobytes() == records.tobytes()
            first += count


def test_lossy_link_that_lags_is_cut_and_had_again_and_the_loss_is_told_exactly(
    rdma_wire: RdmaWire,
) -> None:
    """Three laps at once, then more until the reader has seen the last: nothing is left out."""
    with (
        serving(rdma_wire) as node,
        node.publish("s", capacity=CAPACITY) as pub,
        calling(rdma_wire, node) as peer,
        peer.subscribe("s") as sub,
    ):
        count = 0
        while pub.stats.ring_bytes < 3 * CAPACITY:
            count += 1
            pub.send(message_of(count))
        next_sequence, deadline = 1, time.monotonic() + 120
        while next_sequence != count + 1 or count < 1000:
            assert time.monotonic() < deadline, (next_sequence, count, sub.events())
            for _ in range(20 if count < 2000 else 0):
                count += 1
                pub.send(message_of(count))
            batch = sub.poll(0.05)
            if batch is None:
                continue
            if batch.gap is not None:
                assert batch.gap.first == next_sequence
                assert batch.gap.cause == "overrun"
                next_sequence = batch.gap.last + 1
            for message in batch.messages:
                assert message == message_of(next_sequence)
                next_sequence += 1
        told = sub.stats
        assert told.messages + told.lost_overrun == count
        pub.close(drain=60)  # its link may have failed once more; a slow machine asks late
        with pytest.raises(rdmaq.EndOfStream):
            sub.poll(30)


def test_event_loop_is_woken_by_what_a_nic_wrote(rdma_wire: RdmaWire) -> None:
    """`async for` sleeps on its socket until the replica's owner wakes it."""

    async def read(sub: rdmaq.Subscription, pub: rdmaq.Publisher) -> list[bytes]:
        got: list[bytes] = []

        async def send() -> None:
            for sequence in range(1, 31):
                pub.send(message_of(sequence))
                await asyncio.sleep(0.001)
            pub.close()

        sending = asyncio.create_task(send())
        async for batch in sub:
            assert batch.gap is None
            got += batch.messages
        await sending
        return got

    with (
        serving(rdma_wire) as node,
        node.publish("s", capacity=CAPACITY) as pub,
        calling(rdma_wire, node) as peer,
        peer.subscribe("s") as sub,
    ):
        assert asyncio.run(read(sub, pub)) == [message_of(n) for n in range(1, 31)]


def test_reliable_publisher_waits_for_a_reader_of_a_replica(rdma_wire: RdmaWire) -> None:
    """Four laps go through a reader that is slow: nothing is lost, and the gate was shut."""
    flow = rdmaq.reliable(timeout=120)
    with (
        serving(rdma_wire) as node,
        node.publish("s", capacity=CAPACITY, flow=flow) as pub,
        calling(rdma_wire, node) as peer,
        peer.subscribe("s") as sub,
    ):

        async def both() -> list[bytes]:
            loop = asyncio.get_running_loop()
            count = 4 * CAPACITY // 400

            def send() -> None:
                for sequence in range(1, count + 1):
                    pub.send(message_of(sequence))

            sending = loop.run_in_executor(None, send)
            got = await loop.run_in_executor(None, take_messages, sub, count)
            await sending
            return got

        got = asyncio.run(both())
        assert got == [message_of(n) for n in range(1, len(got) + 1)]
        assert pub.stats.readers_cut_off == 0


@TAILS
def test_nothing_is_left_on_the_devices_when_subscriptions_end(
    rdma_wire: RdmaWire, tail: str
) -> None:
    """Closed by the user, or dropped without a word: pairs, queues and memory are gone."""
    with serving(rdma_wire) as node, told(calling(rdma_wire, node), tail) as peer:
        with node.publish("s", capacity=CAPACITY) as pub:
            peer.subscribe("s").close()  # what is made once and kept: domains, threads
            before = census().objects
            assert pub.reader_count == 0
            sub = peer.subscribe("s")
            assert (pub.reader_count, pub.stats.readers) == (1, 1)
            pub.send(b"one")
            assert take(sub).messages == [b"one"]
            assert census().objects["qp"] == before["qp"] + 4  # a session's and a link's, each side
            sub.close()
            assert census().objects == before
            sub = peer.subscribe("s")
            del sub
            eventually(lambda: census().objects == before, "the dropped one's end")
            kept = peer.subscribe("s")
            pub.send(b"two")
            eventually(lambda: kept.lag > 0, "its arrival")
        # The stream's end took the publisher's half; the ring is not registered any more.
        assert take(kept).messages == [b"two"]
        kept.close()


def test_node_that_closes_ends_streams_and_a_silent_loss_is_told(rdma_wire: RdmaWire) -> None:
    """Closing the node is an end like any other: what was sent before it arrives."""
    with serving(rdma_wire) as node:
        pub = node.publish("s", capacity=CAPACITY)
        with calling(rdma_wire, node) as peer, peer.subscribe("s") as sub:
            pub.send(b"last")
            node.close()
            assert take(sub).messages == [b"last"]
            with pytest.raises(rdmaq.EndOfStream):
                sub.poll(30)


def test_what_cannot_be_had_is_told_and_leaves_nothing(rdma_wire: RdmaWire) -> None:
    """Streams that are not there; another schema."""
    with serving(rdma_wire) as node, calling(rdma_wire, node) as peer:
        before = census().objects
        with node.publish("s", TICK, capacity=CAPACITY) as pub:
            pub.send_batch(ticks_of(1, 10))
            with pytest.raises(rdmaq.StreamNotFound, match=r"offers 's'") as caught:
                peer.subscribe("nothing")
            assert list(caught.value.available) == ["s"]
            with pytest.raises(rdmaq.SchemaMismatch):
                peer.subscribe("s", "<u8")
            with peer.subscribe("s", start=12) as sub:
                pub.send_batch(ticks_of(11, 3))
                assert take(sub).sequence == 12
        eventually(lambda: census().objects == before, "the stream's ring to be let go")
