"""A link that is cut, a publisher that stands still, one that begins anew: nothing goes unsaid."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

import pytest

import rdmaq
from rdmaq._fast import lib
from rdmaq.rig.fixtures import RdmaWire
from rdmaq.sessions.links import links_of
from tests.conformance.child import Child
from tests.conformance.rig import Ledger, eventually, message_of, take
from tests.rdma.sessions import INSECURE, PATIENCE_SECONDS

pytestmark = [pytest.mark.rdma, pytest.mark.slow, pytest.mark.timeout(300)]

CAPACITY = 64 << 10


def cut(pub: rdmaq.Publisher) -> None:
    """Ends its link as a failure would: the subscriber is told, and asks for the next one."""
    (link,) = links_of(pub)._links.values()
    lib.rq_link_stop(link._handle)


def send_bytes(pub: rdmaq.Publisher, size: int) -> None:
    """So many bytes of the ring, and a frame more at most."""
    end = pub.stats.ring_bytes + size
    while pub.stats.ring_bytes < end:
        first = pub.next_sequence
        pub.send_many([message_of(n) for n in range(first, first + 5)])


def drained(sub: rdmaq.Subscription, ledger: Ledger, until: int) -> Ledger:
    """Reads until that sequence is due."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while ledger.next_sequence < until:
        assert time.monotonic() < deadline, (ledger.next_sequence, until, sub.events())
        batch = sub.poll(1.0)
        if batch is not None:
            ledger.take(batch)
    assert ledger.next_sequence == until
    return ledger


@pytest.mark.parametrize("on_gap", ["recover", "report"])
def test_what_was_missed_without_a_link_is_read_or_told_exactly(
    node: rdmaq.Node, peer: rdmaq.Peer, on_gap: Any
) -> None:
    """More than half the ring, so that no link could bring it; then more than the ring holds."""
    with (
        node.publish("s", capacity=CAPACITY) as pub,
        peer.subscribe("s", on_gap=on_gap) as sub,
    ):
        ledger = Ledger()
        send_bytes(pub, 4096)
        drained(sub, ledger, pub.next_sequence)
        missed = pub.next_sequence
        cut(pub)
        send_bytes(pub, 40 << 10)
        drained(sub, ledger, pub.next_sequence)
        gaps = [(gap.cause, gap.first, gap.last) for gap in ledger.gaps]
        assert gaps == ([] if on_gap == "recover" else [("overrun", missed, pub.next_sequence - 1)])
        eventually(lambda: sub.stats.links == 2, "the second link")
        # While nothing comes for a second, that is told, too.
        beside = ("silent", "heard")
        kinds = [event.kind for event in sub.events() if event.kind not in beside]
        between = ["replaying", "catching_up"] if on_gap == "recover" else []
        after = ["live"] if on_gap == "recover" else []
        assert kinds == ["connected", "link_down", *between, "linked", *after]
        missed = pub.next_sequence
        cut(pub)
        send_bytes(pub, 3 * CAPACITY)
        drained(sub, ledger, pub.next_sequence)
        assert ledger.gaps[-1].first == missed
        assert len(ledger.gaps) == len(gaps) + 1
        eventually(lambda: sub.stats.links == 3, "the third link")
        send_bytes(pub, 1024)
        drained(sub, ledger, pub.next_sequence)
        assert sub.stats.messages + sub.stats.lost_overrun == pub.next_sequence - 1


def test_publisher_that_is_stopped_is_read_and_one_that_begins_anew_is_followed(
    rdma_wire: RdmaWire,
) -> None:
    """Stopped behind Connect, killed later.

    What was published is read all the same, `silent` is told, and live goes on with SIGCONT. The
    next incarnation comes from its oldest message.
    """
    insecure = "credentials=rdmaq.Credentials(insecure=True)"
    first_and_end = "pub.next_sequence, pub.next_sequence + 50"
    send = f"pub.send_many([message_of(n) for n in range({first_and_end})])"
    with ExitStack() as stack:
        first = stack.enter_context(Child())
        first.run(f"node = rdmaq.Node('{rdma_wire.left.address}:0', {insecure})")
        address = first.run("node.address")
        first.run(f"pub = node.publish('s', capacity={CAPACITY})")
        first.run(send)
        peer = stack.enter_context(
            rdmaq.connect(
                address,
                credentials=INSECURE,
                transport="verbs",
                interface=rdma_wire.right.interface,
                timeout=PATIENCE_SECONDS,
            )
        )
        sub = stack.enter_context(peer.subscribe("s", start="oldest", on_restart="follow"))
        first.stop()
        drained(sub, Ledger(), 51)
        told: list[str] = []

        def has_told(kind: str) -> bool:
            sub.poll(0.2)
            told.extend(event.kind for event in sub.events())
            return kind in told

        eventually(lambda: has_told("silent"), "silence")
        assert sub.stats.backfilled == 50
        assert "live" not in told
        first.resume()
        eventually(lambda: has_told("live"), "the link")
        first.run(send)
        drained(sub, Ledger(51), 101)
        epoch = sub.epoch
        first.kill()
        second = stack.enter_context(Child())
        second.run(f"node = rdmaq.Node({address!r}, {insecure})")
        second.run(f"pub = node.publish('s', capacity={CAPACITY})")
        second.run(send)
        batch = take(sub)
        assert batch.epoch == sub.epoch > epoch
        ledger = Ledger()
        ledger.take(batch)
        drained(sub, ledger, 51)
        assert has_told("restarted")
        assert told.index("gone") < told.index("restarted")
        second.run("pub.close()")
        with pytest.raises(rdmaq.EndOfStream):
            sub.poll(PATIENCE_SECONDS)
