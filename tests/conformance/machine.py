"""A publisher and two readers against a model of ten lines: rules for hypothesis to drive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

import rdmaq
from rdmaq._fast import lib
from tests.conformance.rig import SHM, TICK, Ledger, Link, message_of, ticks_of

BYTES_MAX = 1801


class TypedLedger(Ledger):
    """Of a stream of TICK records, each of which follows from its sequence."""

    def check(self, batch: rdmaq.Batch) -> None:
        assert batch.data.dtype == TICK
        assert np.array_equal(batch.data, ticks_of(batch.sequence, len(batch)))


class Reader:
    """One subscription with its bookkeeping; what upstream lost is checked against the model."""

    def __init__(self, subscription: rdmaq.Subscription, ledger: Ledger) -> None:
        self.subscription = subscription
        self.ledger = ledger

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
        self.pub = self.publish(1)
        self.first_sequence = self.next_sequence = 1
        self.lost_upstream: set[int] = set()
        self.readers = [self.join("live", 1), self.join("live", 1)]

    def publish(self, first_sequence: int) -> rdmaq.Publisher:
        return self.link.publish(first_sequence=first_sequence)

    def join(self, start: Any, next_sequence: int) -> Reader:
        subscription = self.link.subscribe(start=start)
        return Reader(subscription, Ledger(next_sequence, BYTES_MAX))

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
        """In place of an old reader: at a sequence before all, past, there, or to come, or live."""
        self.readers[which].subscription.close()
        start = data.draw(st.none() | st.integers(1, self.next_sequence))
        begin = self.next_sequence if start is None else max(start, self.first_sequence)
        self.readers[which] = self.join("live" if start is None else start, begin)

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


class TypedRing(Ring):
    """The same laws for records: every way to publish them, and views of arrays."""

    def publish(self, first_sequence: int) -> rdmaq.Publisher:
        return self.link.publish(schema=TICK, first_sequence=first_sequence)

    def join(self, start: Any, next_sequence: int) -> Reader:
        return Reader(self.link.subscribe(start=start), TypedLedger(next_sequence))

    @rule(count=st.integers(1, 12))
    def send_each(self, count: int) -> None:
        for record in ticks_of(self.next_sequence, count):
            assert self.pub.send(record.item()) == self.next_sequence
            self.next_sequence += 1

    @rule(count=st.integers(0, 1200))
    def send_many(self, count: int) -> None:
        """More than a frame takes, now and then."""
        assert self.pub.send_batch(ticks_of(self.next_sequence, count)) == self.next_sequence
        self.next_sequence += count

    @rule(count=st.integers(1, 60))
    def send_blocks(self, count: int) -> None:
        """Records with others between them, and as a list."""
        strided = np.repeat(ticks_of(self.next_sequence, count), 2)[::2]
        assert self.pub.send_batch(strided) == self.next_sequence
        self.next_sequence += count
        records = [record.item() for record in ticks_of(self.next_sequence, 3)]
        assert self.pub.send_batch(np.array(records, dtype=TICK).tolist()) == self.next_sequence
        self.next_sequence += 3

    @rule(count=st.integers(1, 60))
    def claim_some(self, count: int) -> None:
        with self.pub.claim(count) as area:
            area[:] = ticks_of(self.next_sequence, count)
        self.next_sequence += count

    @rule()
    def claim_and_fill(self) -> None:
        self.claim_some(1)


class RestartingRing(Ring):
    """Publishers come and go: by closing, and by vanishing without an end."""

    def join(self, start: Any, next_sequence: int) -> Reader:
        subscription = self.link.subscribe(start=start, on_restart="follow")
        return Reader(subscription, Ledger(next_sequence, BYTES_MAX))

    def begin_again(self, first_sequence: int) -> None:
        self.pub = self.publish(first_sequence)
        self.first_sequence = self.next_sequence = first_sequence
        self.lost_upstream.clear()

    @rule(first_sequence=st.integers(1, 1 << 40))
    def close_and_publish_again(self, first_sequence: int) -> None:
        """Readers get all that is left, then the end; they join the next stream of the name."""
        self.pub.close()
        for reader in self.readers:
            with pytest.raises(rdmaq.EndOfStream):
                reader.ledger.drain(reader.subscription)
            assert reader.ledger.next_sequence == self.next_sequence
            self.check(reader)
            reader.subscription.close()
        self.begin_again(first_sequence)
        self.readers = [self.join("oldest", first_sequence) for _ in self.readers]

    @rule(first_sequence=st.integers(1, 1 << 40))
    def vanish_and_come_back(self, first_sequence: int) -> None:
        """Readers get all that is left, and follow to the next incarnation without a word lost."""
        last, epoch = self.next_sequence, self.pub.epoch
        with vanished(self.link):
            self.begin_again(first_sequence)
            assert self.pub.epoch > epoch
            for reader in self.readers:
                while reader.subscription.epoch == epoch:
                    reader.take(reader.subscription.poll(0.01))
                assert reader.ledger.next_sequence == last
                gaps, reader.ledger.gaps = reader.ledger.gaps, []
                assert all(gap.epoch == epoch for gap in gaps)
                reader.ledger.next_sequence = first_sequence


@contextmanager
def vanished(link: Link) -> Iterator[None]:
    """Hangs up as a killed process does, without an end; in the block another node is there."""
    old = link.node
    old._listener.close()
    old._is_closed = True
    link.node = link.keep(link.transport.node_at(link.address))
    try:
        yield
    finally:
        for publisher in list(old._offer.streams.values()):
            publisher.close()
        lib.rq_keeper_stop(old._keeper)
