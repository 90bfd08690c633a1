"""The publisher is another process: killed, stopped, started anew."""

from __future__ import annotations

import pytest

import rdmaq
from tests.conformance.child import Child
from tests.conformance.rig import (
    PATIENCE_SECONDS,
    Ledger,
    Transport,
    eventually,
    take,
    take_messages,
)

SEND_FIVE = "pub.send_many([message_of(pub.next_sequence + i) for i in range(5)])"
PUBLISH = "pub = node.publish('s', capacity={})"


#: What a link that a NIC writes tells besides: it was lost, it is had again, what it READs.
OF_LINKS = ("link_down", "linked", "replaying", "catching_up", "live")


def kinds(sub: rdmaq.Subscription) -> list[str]:
    """The new events of the stream itself."""
    return [event.kind for event in sub.events() if event.kind not in OF_LINKS]


def test_killed_publisher_is_gone_after_everything_it_published(
    publisher: Child, transport: Transport
) -> None:
    """Kill -9 with messages in the ring: they come first, then PublisherGone, again and again."""
    with transport.connect(publisher.address).subscribe("s") as sub:
        for _ in range(3):
            publisher.run(SEND_FIVE)
        ledger = Ledger()
        ledger.take(take(sub, max_messages=2))
        publisher.kill()
        while ledger.received < 15:
            ledger.take(take(sub, max_messages=4))
        for _ in range(2):
            with pytest.raises(rdmaq.PublisherGone, match=r"ended without|had again"):
                sub.poll(PATIENCE_SECONDS)
        assert sub.ended
        assert ledger.gaps == []
        told = [kind for kind in kinds(sub) if kind != "silent"]  # a NIC tells no death at once
        assert told == ["connected", "gone"]


def test_killed_publisher_ends_iteration_with_its_exception(
    publisher: Child, transport: Transport
) -> None:
    """`for` must not end as if the stream had been closed: the publisher never said so."""
    with transport.connect(publisher.address).subscribe("s") as sub:
        publisher.run(SEND_FIVE)
        publisher.kill()
        seen: list[list[bytes]] = []

        def iterate() -> None:
            seen.extend(batch.messages for batch in sub)

        with pytest.raises(rdmaq.PublisherGone):
            iterate()
    with pytest.raises(rdmaq.PeerNotFound, match=r"nobody listens|no node at"):
        transport.connect(publisher.address, 0.0)


def test_new_incarnation_is_another_epoch_and_the_old_one_drains_first(
    publisher: Child, transport: Transport
) -> None:
    """Close and publish again under the same name: the old reader ends, a new one begins at 1."""
    peer = transport.connect(publisher.address)
    with peer.subscribe("s") as old:
        publisher.run(SEND_FIVE)
        publisher.run("pub.close()")
        publisher.run(PUBLISH.format(transport.capacity_bytes))
        publisher.run("pub.send(b'new')")
        with peer.subscribe("s", start="oldest") as new:
            assert len(take_messages(old, 5)) == 5
            with pytest.raises(rdmaq.EndOfStream):
                old.poll(PATIENCE_SECONDS)
            batch = take(new)
            assert batch.messages == [b"new"]
            assert batch.epoch == new.epoch > old.epoch
            assert kinds(old) == ["connected", "ended"]


def test_follower_loses_nothing_of_either_epoch(publisher: Child, transport: Transport) -> None:
    """Kill -9 with messages unread, start anew: old ones, then new ones from the oldest, in order.

    Nothing stale: every batch of an epoch carries that epoch's messages only.
    """
    with transport.connect(publisher.address).subscribe("s", on_restart="follow") as sub:
        first_epoch = sub.epoch
        publisher.run(SEND_FIVE)
        publisher.kill()
        assert [b.epoch for b in (take(sub, max_messages=3), take(sub))] == [first_epoch] * 2
        assert sub.poll(0.2) is None, "nobody is there: no batch, no exception"
        assert sub.position == 6
        told: list[str] = []

        def has_gone() -> bool:
            assert sub.poll(0.05) is None
            told.extend(kinds(sub))
            return "gone" in told

        eventually(has_gone, "its end")
        for _ in range(5):
            assert sub.poll(0.06) is None
            told += kinds(sub)
        assert told.count("gone") == 1, "once, also to who takes the events as they come"
        with Child() as second:
            second.offer(transport, publisher.address)
            second.run(PUBLISH.format(transport.capacity_bytes))
            second.run(SEND_FIVE)
            batch = take(sub)
            assert batch.epoch == sub.epoch > first_epoch
            ledger = Ledger()
            ledger.take(batch)
            second.run(SEND_FIVE)
            ledger.take(take(sub))
            assert ledger.received == 10
            assert sub.stats.messages == 15, "counts go on over epochs"
            told += kinds(sub)
            besides = {"silent", "heard", "link_down", "linked", "replaying", "catching_up", "live"}
            assert transport.host or besides.isdisjoint(told), "a NIC has more to tell"
            told = [kind for kind in told if kind not in besides]
            assert told == ["connected", "gone", "restarted"]
            second.run("pub.close()")
            with pytest.raises(rdmaq.EndOfStream):
                sub.poll(PATIENCE_SECONDS)


def test_follower_outlives_its_peer(publisher: Child, transport: Transport) -> None:
    """Closed before the restart: a peer ends nothing but itself."""
    with transport.connect(publisher.address) as peer:
        following = peer.subscribe("s", on_restart="follow")
    with following as sub:
        publisher.kill()
        with Child() as second:
            second.offer(transport, publisher.address)
            second.run(PUBLISH.format(transport.capacity_bytes))
            second.run(SEND_FIVE)
            assert len(take_messages(sub, 5)) == 5


def test_stopped_publisher_is_silent_and_then_heard_again(
    publisher: Child, transport: Transport
) -> None:
    """SIGSTOP for longer than a second: told, nothing torn down; SIGCONT: told, messages come."""
    with transport.connect(publisher.address).subscribe("s") as sub:
        assert kinds(sub) == ["connected"]
        assert sub.poll(0.3) is None
        assert kinds(sub) == [], "a publisher that beats is not silent, though it sends nothing"
        publisher.stop()
        seen: list[str] = []

        def look() -> bool:
            assert sub.poll(0.06) is None
            new = kinds(sub)
            seen.extend(new)
            return bool(new)

        eventually(look, "silence")
        assert seen == ["silent"]
        assert not sub.ended
        publisher.resume()
        eventually(look, "a beat")
        assert seen == ["silent", "heard"]
        publisher.run(SEND_FIVE)
        assert len(take_messages(sub, 5)) == 5


def test_subscriber_may_come_before_its_publisher(child: Child, transport: Transport) -> None:
    """Connect and subscribe wait for node and stream; without a timeout they say who is missing."""
    address = transport.free_address("rig")
    with pytest.raises(rdmaq.PeerNotFound, match="start the node first"):
        transport.connect(address, 0.0)
    child.begin(
        f"peer = {transport!r}.connect({address!r}, {PATIENCE_SECONDS}); "
        f"sub = peer.subscribe('late', timeout={PATIENCE_SECONDS})"
    )
    with transport.node_at(address) as node:
        node.publish("early", capacity=transport.capacity_bytes)
        with pytest.raises(rdmaq.StreamNotFound, match="it offers 'early'") as caught:
            transport.connect(address).subscribe("late")
        assert caught.value.available == ("early",)
        pub = node.publish("late", capacity=transport.capacity_bytes)
        assert child.answer() is None
        eventually(lambda: pub.reader_count == 1)
        pub.send(b"first")
        assert child.run("take(sub).messages[0].decode()") == "first"
