"""Subscriptions over verbs that begin in the past: it is READ, then the link carries on."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

import rdmaq
from rdmaq.bootstrap.messages import LinkGrant
from rdmaq.sessions.calling import CallingSession
from rdmaq.sessions.remote import Remote
from rdmaq.sessions.replay import Replay
from rdmaq.verbs.constants import Status
from rdmaq.verbs.link_settings import LinkSettings
from rdmaq.verbs.memory import RemoteMemory
from tests.conformance.rig import (
    Ledger,
    eventually,
    message_of,
    take,
    take_messages,
)
from tests.rdma.ends import census
from tests.rdma.sessions import link_of, opened

pytestmark = [pytest.mark.rdma, pytest.mark.slow, pytest.mark.timeout(300)]

CAPACITY = 64 << 10


def kinds(sub: rdmaq.Subscription) -> list[str]:
    """Of what was told; a test that fails shows the words, too."""
    events = sub.events()
    print(*(f"{event.kind}: {event.detail}" for event in events), sep="\n")
    return [event.kind for event in events]


def drained(sub: rdmaq.Subscription, first: int, until: int) -> Ledger:
    """Reads until that sequence is due; the ledger checks each batch and gap."""
    ledger = Ledger(first)
    ledger.drain_to(sub, until)
    return ledger


@pytest.mark.parametrize("tail", ["write", "imm"])
@pytest.mark.parametrize("flow", [rdmaq.lossy(), rdmaq.reliable(timeout=60)], ids=str)
def test_what_was_published_before_comes_first_and_then_what_is_published(
    node: rdmaq.Node, peer: rdmaq.Peer, tail: str, flow: Any
) -> None:
    """By READs, byte for byte, and the link goes on behind it: no hole, no repetition."""
    link_of(peer)._link_settings = LinkSettings(tail=tail)
    with node.publish("s", capacity=CAPACITY, flow=flow) as pub:
        pub.send_many([message_of(n) for n in range(1, 101)])
        pub.send_gap(101, 105)
        with peer.subscribe("s", start="oldest") as sub:
            for sequence in range(106, 131):
                pub.send(message_of(sequence))
            ledger = drained(sub, 1, 131)
            assert [(gap.cause, gap.first, gap.last) for gap in ledger.gaps] == [
                ("upstream", 101, 105)
            ]
            eventually(lambda: sub.stats.links == 1, "a link that carries")
            pub.send(message_of(131))
            assert take(sub).messages == [message_of(131)]
            assert kinds(sub) == ["connected", "replaying", "catching_up", "live"]
            stats = sub.stats
            assert stats.replays == 1
            assert stats.reads > 0
            assert 100 <= stats.backfilled < 131
            pub.close()
            with pytest.raises(rdmaq.EndOfStream):
                sub.poll(30)


def test_joiner_at_a_sequence_gets_exactly_from_there_and_is_told_what_is_gone(
    node: rdmaq.Node, peer: rdmaq.Peer
) -> None:
    """Inside a frame; below what the ring holds; yet to come."""
    with node.publish("s", capacity=CAPACITY, first_sequence=5) as pub:
        while pub.stats.ring_bytes < 2 * CAPACITY:
            first = pub.next_sequence
            pub.send_many([message_of(n) for n in range(first, first + 10)])
        end = pub.next_sequence
        for start in (end - 15, 7, 1):
            with peer.subscribe("s", start=start) as sub:
                begin = max(start, 5)
                assert sub.position == begin
                ledger = drained(sub, begin, end)
                if start == end - 15:
                    assert ledger.gaps == []
                else:
                    assert [(gap.cause, gap.first) for gap in ledger.gaps] == [("overrun", begin)]
        with peer.subscribe("s", start=end + 3) as sub:
            eventually(lambda: sub.stats.links == 1, "a link that carries")
            pub.send_many([message_of(n) for n in range(end, end + 6)])
            batch = take(sub)
            assert (batch.sequence, len(batch)) == (end + 3, 3)


def test_joiner_at_a_time_gets_what_was_published_then_or_later(
    node: rdmaq.Node, peer: rdmaq.Peer
) -> None:
    """Its clock table comes by the link; what is early is left out by the publisher."""
    with node.publish("s", capacity=CAPACITY) as pub, peer.subscribe("s") as early:
        pub.send_many([message_of(n) for n in range(1, 6)])
        first_ns = take(early).time_ns
        time.sleep(0.05)
        pub.send_many([message_of(n) for n in range(6, 10)])
        second_ns = take(early).time_ns
        middle = np.datetime64((first_ns + second_ns) // 2000, "us")
        with peer.subscribe("s", start=middle) as sub:
            assert take_messages(sub, 4) == [message_of(n) for n in range(6, 10)]
            assert sub.stats.messages == 4
        with peer.subscribe("s", start=np.datetime64("2001-01-01")) as sub:
            assert take_messages(sub, 9) == [message_of(n) for n in range(1, 10)]
            assert sub.stats.lost_overrun == 0


def test_who_was_outrun_while_he_connected_reads_what_he_missed_or_is_told(
    node: rdmaq.Node, peer: rdmaq.Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A live subscription to a fast publisher: its link lags by half the ring before it begins."""
    granted, laps = Remote.granted, iter([True])
    with node.publish("s", capacity=CAPACITY) as pub:

        def outrun(self: Remote, grant: LinkGrant) -> None:
            granted(self, grant)
            if next(laps, False):
                begin = pub.stats.ring_bytes
                while pub.stats.ring_bytes - begin < 3 * CAPACITY:
                    pub.send(message_of(pub.next_sequence))

        monkeypatch.setattr(Remote, "granted", outrun)
        with peer.subscribe("s") as sub:
            ledger = drained(sub, 1, pub.next_sequence)
            assert ledger.gaps
            eventually(lambda: sub.stats.links == 1, "a link that carries")
            pub.send(message_of(pub.next_sequence))
            ledger.drain_to(sub, pub.next_sequence)
            told = kinds(sub)
            assert told == ["connected", "link_down", "replaying", "catching_up", "live"]


def test_nothing_is_left_when_a_subscription_ends_while_it_replays(
    node: rdmaq.Node, peer: rdmaq.Peer
) -> None:
    """Closed at once, and again and again: queue pairs and memory are gone, the next one works."""
    with node.publish("s", capacity=CAPACITY) as pub:
        pub.send_many([message_of(n) for n in range(1, 101)])
        peer.subscribe("s").close()
        before = census().objects
        for _ in range(3):
            peer.subscribe("s", start="oldest").close()
            eventually(lambda: census().objects == before, "its end")
        with peer.subscribe("s", start="oldest") as sub:
            assert take_messages(sub, 100)[-1] == message_of(100)


def test_ring_is_open_to_reads_of_one_pair_alone_and_only_while_it_is_read(
    node: rdmaq.Node, peer: rdmaq.Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys open nothing to another session, nor to WRITEs, nor when the link has begun.

    Who tries a WRITE loses his queue pair by it; the subscription is connected anew, and whole.
    """
    gate, rings = threading.Event(), []
    run, granted = Replay.run, Remote.granted

    def waits(replay: Replay) -> None:
        gate.wait(60)
        run(replay)

    def keeps(remote: Remote, grant: LinkGrant) -> None:
        rings.append(grant.ring)
        granted(remote, grant)

    monkeypatch.setattr(Replay, "run", waits)
    monkeypatch.setattr(Remote, "granted", keeps)
    with node.publish("s", capacity=CAPACITY) as pub, opened(peer) as other:
        pub.send_many([message_of(n) for n in range(1, 101)])
        with peer.subscribe("s", start="oldest") as sub:
            remote = sub._cursor.remote  # type: ignore[attr-defined]
            refused(other, rings[-1], "read")
            eventually(lambda: remote._replay is not None, "the backfill")
            session = remote._session
            before = bytes(pub.segment.view[:64])
            with session.domain.register(bytearray(64)) as own:
                session.pair.read(own, data_of(rings[-1])[0:64]).wait(30)
                assert bytes(own.buffer) == before
            refused(session, rings[-1], "write")
            assert bytes(pub.segment.view[:64]) == before
            gate.set()
            drained(sub, 1, 101)
            eventually(lambda: sub.stats.links == 1, "a link that carries")
            assert len(rings) == 2
            refused(remote._session, rings[-1], "read")


def data_of(ring: Any) -> RemoteMemory:
    return RemoteMemory(address=ring.data_address, length=CAPACITY, rkey=ring.data_key)


def refused(session: CallingSession, ring: Any, verb: str) -> None:
    """The node's NIC refuses that to this session's pair."""
    with session.domain.register(bytearray(64)) as own:
        with pytest.raises(rdmaq.OperationFailed) as caught:
            getattr(session.pair, verb)(own, data_of(ring)[0:64]).wait(30)
        assert caught.value.status == Status.REM_ACCESS_ERR
