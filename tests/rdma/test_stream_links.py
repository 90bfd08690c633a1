"""What both ends of a link are told of it, and that the settings of both count."""

from __future__ import annotations

import pytest

import rdmaq
from rdmaq import verbs
from rdmaq.rig.fixtures import FaultInjector, RdmaWire
from tests.conformance.rig import eventually, take

pytestmark = [pytest.mark.rdma, pytest.mark.slow, pytest.mark.timeout(300)]

CAPACITY = 64 << 10


def has_arrived(publisher: rdmaq.Publisher) -> bool:
    links = publisher.links()
    return all(link.lag_bytes == 0 and link.state == "live" for link in links)


def test_publisher_tells_of_each_link_and_of_none_that_ended(
    rdma_wire: RdmaWire, node: rdmaq.Node, peer: rdmaq.Peer
) -> None:
    """Two subscriptions: their peers, pairs and counts; then the skew between the two."""
    with node.publish("s", capacity=CAPACITY) as publisher:
        assert publisher.links() == []
        with peer.subscribe("s") as one:
            with peer.subscribe("s") as other:
                for number in range(20):
                    publisher.send(b"%d" % number)
                    eventually(lambda: has_arrived(publisher), "its arrival")
                links = publisher.links()
                told = {sub.negotiated()["queue_pair"]: sub.negotiated() for sub in (one, other)}
                assert {link.peer_queue_pair for link in links} == set(told)
                for link in links:
                    agreed = told[link.peer_queue_pair]
                    assert link.peer == rdma_wire.right.address
                    assert agreed["peer_queue_pair"] == link.queue_pair
                    assert (agreed["tail"], agreed["depth"]) == (link.tail, link.depth)
                    assert (link.state, link.cause, link.generation) == ("live", "", 1)
                    assert link.chains == 20
                    assert link.writes >= 40
                    assert link.bytes == 20 * 64  # a header and its message, padded
                    assert link.credits is None if link.tail == "write" else link.credits
                    assert link.stalls == 0
                stats = publisher.stats
                assert len(stats.links) == 2
                assert 0 < stats.link_skew_ns <= stats.link_skew_ns_max
                assert take(one).messages[0] == take(other).messages[0] == b"0"
            eventually(lambda: len(publisher.links()) == 1, "the closed one's end")


def test_lesser_of_both_sides_settings_holds_and_both_are_told(
    node: rdmaq.Node, peer: rdmaq.Peer
) -> None:
    """The publisher insists on completions and on few chains; what is sent arrives all the same."""
    own = verbs.LinkSettings(tail="imm", credits=16, depth=4)
    asked = verbs.LinkSettings(tail="write", credits=8, depth=32)
    with (
        node.publish("s", capacity=CAPACITY, link_settings=own) as publisher,
        peer.subscribe("s", link_settings=asked) as sub,
    ):
        for number in range(50):
            publisher.send(b"%d" % number)
        got: list[bytes] = []
        while len(got) < 50:
            got += take(sub).messages
        assert got == [b"%d" % number for number in range(50)]
        agreed = sub.negotiated()
        assert (agreed["tail"], agreed["credits"], agreed["depth"]) == ("imm", 8, 4)
        (link,) = publisher.links()
        assert (link.tail, link.depth) == ("imm", 4)
        assert link.credits is not None
        assert 0 <= link.credits <= 8
        said = next(event.detail for event in sub.events() if event.kind == "linked")
        assert "imm instead of write" in said
        assert "4 chains in flight instead of 32" in said


def test_link_that_lags_says_so_until_its_subscriber_asks_for_the_next(
    node: rdmaq.Node, peer: rdmaq.Peer, rdma_fault: FaultInjector
) -> None:
    """Three laps while nothing passes; the cause is caught in the act, or the next link carries.

    What the first one did not bring is told.
    """
    with node.publish("s", capacity=CAPACITY) as publisher, peer.subscribe("s") as sub:
        message = bytes(4000)
        with rdma_fault("loss", "100%"):
            while publisher.stats.ring_bytes < 3 * CAPACITY:
                publisher.send(message)
            (link,) = publisher.links()
            assert link.generation > 1 or "half the capacity" in link.cause
        eventually(
            lambda: [link.generation > 1 for link in publisher.links()] == [True], "the next link"
        )
        while sub.position < publisher.next_sequence:
            take(sub)
        assert sub.stats.messages + sub.stats.lost_overrun == publisher.next_sequence - 1
        assert sub.stats.lost_overrun
