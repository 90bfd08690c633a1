"""Arrays outlive what they came from; memory goes when the last of them does."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import rdmaq
from tests.conformance.rig import (
    TICK,
    Link,
    Transport,
    eventually,
    take,
    take_messages,
    ticks_of,
)


def segments_mapped() -> int:
    """How many mappings of segments this process has."""
    return Path("/proc/self/maps").read_text().count("rdmaq-segment")


def test_batches_outlive_subscription_publisher_and_node(link: Link) -> None:
    """Data, offsets, times and latencies of small and large batches answer after all is closed."""
    pub, raw = link.publish("typed", TICK), link.publish("raw")
    sub, raw_sub = link.subscribe("typed"), link.subscribe("raw")
    small, large = ticks_of(1, 3), ticks_of(4, 340)
    raw.send_many([b"a", b"bb"])
    pub.send_batch(small)
    got_small, got_raw = take(sub), take(raw_sub)
    pub.send_batch(large)
    got_large = take(sub)
    time_ns = got_large.time_ns
    for handle in (sub, raw_sub, link.node):
        handle.close()
    del sub, raw_sub
    gc.collect()
    assert np.array_equal(got_small.data, small)
    assert np.array_equal(got_large.data, large)
    assert got_raw.messages == [b"a", b"bb"]
    assert got_large.time_ns == time_ns
    if link.transport.has_one_clock:
        assert got_large.frame_latency_ns.shape == (1,)


def test_borrowed_array_keeps_its_mapping_alive(link: Link) -> None:
    """An array kept from a view is stale after its block, but reading it never faults."""
    before = segments_mapped()
    pub = link.publish(schema=TICK)
    sub = link.subscribe()
    pub.send_batch(ticks_of(1, 100))
    link.settle()
    with sub.view(0) as batch:
        assert batch is not None
        kept = batch.data
    sub.close()
    pub.close()
    del sub, pub, batch
    link.node.close()
    gc.collect()
    assert segments_mapped() > before
    assert np.array_equal(kept, ticks_of(1, 100))


def test_polled_arrays_are_read_only(link: Link) -> None:
    """A write is refused: what one consumer computes from cannot change under another."""
    pub, sub = link.publish(schema=TICK), link.subscribe()
    for count in (1, 340):
        pub.send_batch(ticks_of(1, count))
        batch = take(sub)
        assert not batch.data.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            batch.data["ts"][0] = 1


def test_arrays_of_polls_do_not_share_memory(link: Link) -> None:
    """An array from one poll is not written over by the next, small or large."""
    pub, sub = link.publish(schema=TICK), link.subscribe()
    kept = []
    for turn in range(40):
        pub.send_batch(ticks_of(1000 * turn + 1, 1 + 8 * turn))
        kept.append(take(sub).data)
    for turn, data in enumerate(kept):
        assert np.array_equal(data, ticks_of(1000 * turn + 1, 1 + 8 * turn))


def test_closed_stream_can_be_drained_by_who_subscribed_before(link: Link) -> None:
    """The ring lives until its last subscriber lets go, though the stream is not on offer."""
    pub, sub = link.publish(), link.subscribe()
    for turn in range(10):
        pub.send(str(turn).encode())
    pub.close()
    assert link.peer.streams() == []
    with pytest.raises(rdmaq.StreamNotFound):
        link.subscribe()
    assert take_messages(sub, 10) == [str(turn).encode() for turn in range(10)]
    link.settle()
    with pytest.raises(rdmaq.EndOfStream):
        sub.poll(0)


def test_closing_gives_back_descriptors_and_mappings(link: Link) -> None:
    """Twenty streams and subscriptions come and go: counts of both return to where they were."""

    def open_descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a mere count

    def come_and_go() -> None:
        with (
            link.node.publish("brief", TICK, capacity=link.transport.capacity_bytes) as pub,
            link.peer.subscribe("brief") as sub,
        ):
            pub.send_batch(ticks_of(1, 10))
            take(sub)

    come_and_go()
    eventually(lambda: gc.collect() >= 0 and segments_mapped() == 0, "the first ones to go")
    descriptors = open_descriptors()
    for _ in range(20):
        come_and_go()
    eventually(lambda: gc.collect() >= 0 and segments_mapped() == 0, "the mappings to go")
    eventually(lambda: open_descriptors() <= descriptors, "the descriptors to be closed")


def poll_to_the_end(link: Link) -> None:
    """The publisher closes; the end is told twice."""
    pub, sub = link.publish("ending"), link.subscribe("ending")
    pub.send(b"last")
    pub.close()
    take(sub)
    for _ in range(2):
        link.settle()
        with pytest.raises(rdmaq.EndOfStream):
            sub.poll(0)


def iterate_to_the_end(link: Link) -> None:
    """A for loop ends by itself."""
    pub, sub = link.publish("ending"), link.subscribe("ending")
    pub.send(b"last")
    pub.close()
    assert [batch.messages for batch in sub] == [[b"last"]]


def raise_a_gap(link: Link) -> None:
    """The exception that tells of a gap is dropped by its catcher."""
    pub, sub = link.publish("ending"), link.subscribe("ending", on_gap="raise")
    pub.send_gap(1, 2)
    link.settle()
    with pytest.raises(rdmaq.GapError):
        sub.poll(0)


def refuse_and_drop(link: Link) -> None:
    """A message that is too large, a claim given up, a poll of what is closed."""
    pub, sub = link.publish("ending"), link.subscribe("ending")
    with pytest.raises(rdmaq.MessageTooLarge):
        pub.send(bytes(link.transport.capacity_bytes))
    with pytest.raises(KeyError), pub.claim(8):
        raise KeyError
    sub.close()
    link.settle()
    with pytest.raises(rdmaq.ClosedError):
        sub.poll(0)


@pytest.mark.parametrize(
    "scene", [poll_to_the_end, iterate_to_the_end, raise_a_gap, refuse_and_drop]
)
def test_ring_goes_with_its_handles_and_needs_no_collector(
    scene: Callable[[Link], None], transport: Transport
) -> None:
    """A process that subscribes again and again must not gather rings: no handle is in a circle."""
    gc.collect()
    gc.disable()
    try:
        with Link(transport) as link:
            scene(link)
        del link
        eventually(lambda: segments_mapped() == 0, "the mappings to go")
    finally:
        gc.enable()
