"""A publisher and two readers against a model of ten lines, driven at random by hypothesis."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import rdmaq
from tests.conformance.rig import SHM, Ledger, Link, message_of

BYTES_MAX = 1801


class Reader:
    """One subscription with its bookkeeping; what upstream lost is checked against the model."""

    def __init__(self, subscription: rdmaq.Subscription, next_sequence: int) -> None:
        self.subscription = subscription
        self.ledger = Ledger(next_sequence, BYTES_MAX)

    def take(self, batch: rdmaq.Batch | None) -> None:
        if batch is not None:
            self.ledger.take(batch)


class Ring(RuleBasedStateMachine):
    """The model is the next sequence and the set of sequences that upstream lost.

    Everything else follows: a reader's batches and gaps must run on without a hole, carry
    `message_of` their sequences, and name as upstream only what is in the set.
    """

    def __init__(self) -> None:
        super().__init__()
        self.link = Link(SHM)
        self.pub = self.link.publish()
        self.next_sequence = 1
        self.lost_upstream: set[int] = set()
        self.readers = [Reader(self.link.subscribe(), 1), Reader(self.link.subscribe(), 1)]

    def teardown(self) -> None:
        with self.link:  # closed whatever fails, or the next example finds the address taken
            for reader in self.readers:
                reader.ledger.drain(reader.subscription)
                self.check(reader)
                assert reader.ledger.next_sequence == self.next_sequence

    def check(self, reader: Reader) -> None:
        for gap in reader.ledger.gaps:
            if gap.cause == "upstream":
                assert self.lost_upstream.issuperset(range(gap.first, gap.last + 1))
            else:
                assert gap.cause == "overrun"
                assert self.lost_upstream.isdisjoint(range(gap.first, gap.last + 1))
        reader.ledger.gaps.clear()

    def messages(self, count: int) -> list[bytes]:
        return [message_of(self.next_sequence + i, BYTES_MAX) for i in range(count)]

    @rule(count=st.integers(1, 12))
    def send_each(self, count: int) -> None:
        for message in self.messages(count):
            assert self.pub.send(message) == self.next_sequence
            self.next_sequence += 1

    @rule(count=st.integers(0, 60))
    def send_many(self, count: int) -> None:
        assert self.pub.send_many(self.messages(count)) == self.next_sequence
        self.next_sequence += count

    @rule(count=st.integers(1, 12))
    def send_blocks(self, count: int) -> None:
        blocks = b"".join(len(m).to_bytes(2, "big") + m for m in self.messages(count))
        self.pub.send_many(rdmaq.MessageBlocks(blocks, count), first_sequence=self.next_sequence)
        self.next_sequence += count

    @rule()
    def claim_and_fill(self) -> None:
        message = self.messages(1)[0]
        with self.pub.claim(len(message)) as area:
            area[:] = message
        self.next_sequence += 1

    @rule(count=st.integers(1, 50))
    def send_gap(self, count: int) -> None:
        self.pub.send_gap(self.next_sequence, self.next_sequence + count - 1)
        self.lost_upstream.update(range(self.next_sequence, self.next_sequence + count))
        self.next_sequence += count

    @rule()
    def heartbeat(self) -> None:
        assert self.pub.heartbeat() == self.next_sequence

    @rule(which=st.integers(0, 1), max_messages=st.integers(1, 40), times=st.integers(1, 5))
    def poll(self, which: int, max_messages: int, times: int) -> None:
        reader = self.readers[which]
        for _ in range(times):
            reader.take(reader.subscription.poll(0, max_messages=max_messages))

    @rule(which=st.integers(0, 1), max_messages=st.integers(1, 40))
    def view(self, which: int, max_messages: int) -> None:
        reader = self.readers[which]
        with reader.subscription.view(0, max_messages=max_messages) as batch:
            reader.take(batch)

    @rule(which=st.integers(0, 1), overrun=st.booleans())
    def view_that_fails(self, which: int, overrun: bool) -> None:
        """Its batch is delivered again, or (overrun) declared lost."""
        reader = self.readers[which]
        view = reader.subscription.view(0)
        batch = view.__enter__()
        if overrun and batch is not None and batch.gap is None:
            self.send_many(60)
        if batch is not None and batch.gap is not None:
            reader.take(batch)
        view.__exit__(KeyError, None, None)

    @rule(which=st.integers(0, 1))
    def drain(self, which: int) -> None:
        self.readers[which].ledger.drain(self.readers[which].subscription)

    @precondition(lambda self: self.next_sequence > 1)
    @rule(which=st.integers(0, 1), data=st.data())
    def join_anew(self, which: int, data: st.DataObject) -> None:
        """In place of an old reader: at a sequence that is past, there, or to come, or live."""
        self.readers[which].subscription.close()
        start = data.draw(st.none() | st.integers(1, self.next_sequence))
        subscription = self.link.subscribe(start="live" if start is None else start)
        self.readers[which] = Reader(subscription, start or self.next_sequence)

    @invariant()
    def the_law_holds(self) -> None:
        assert self.pub.next_sequence == self.next_sequence
        for reader in self.readers:
            self.check(reader)
            assert reader.ledger.next_sequence <= self.next_sequence
            if reader.subscription.position:
                assert reader.subscription.position == reader.ledger.next_sequence
            stats = reader.subscription.stats
            assert stats.messages == reader.ledger.received
            assert stats.lost_upstream == reader.ledger.lost["upstream"]
            assert stats.lost_overrun == reader.ledger.lost["overrun"]


TestRing = Ring.TestCase
TestRing.settings = settings(max_examples=40, stateful_step_count=40)


@pytest.mark.slow
@pytest.mark.timeout(
    900
)  # no claim about pace: on a machine that others use it takes ten times as long
def test_ring_keeps_to_the_model_for_long() -> None:
    """The same, some 10 seconds of it; `scripts/stress model` walks on for as long as you like."""
    run_state_machine_as_test(Ring, settings=settings(max_examples=400, stateful_step_count=60))
