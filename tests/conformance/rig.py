"""What the conformance suite needs of a transport, and the words that its tests are written in."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import rdmaq
from rdmaq.sessions.remote_cursor import RemoteCursor

if TYPE_CHECKING:
    from rdmaq.rig.fixtures import RdmaWire

#: Waiting is for conditions; this only bounds how long a broken build can hang a test. An emulated
#: machine beside others takes long to start a process.
PATIENCE_SECONDS = 120.0 if "RDMAQ_RIG" in os.environ else 30.0
#: A link that was lost is had again well within that.
ARRIVAL_SECONDS = min(PATIENCE_SECONDS, 40.0)

TICK = np.dtype([("ts", "<u8"), ("symbol", "<u4"), ("price", "<i8"), ("size", "<u4")])


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """One way for bytes to travel, and the sizes that its tests should use.

    Attributes:
        name: what `Subscription.transport` says.
        capacity_bytes: the smallest ring.
        guard_bytes: that ring's guard by default.
        readers_many: subscribers that a stream must bear.
        readers_max: subscribers that it refuses to exceed.
        examples: random ones that a test tries.
        atomics_each: how often each thread of a test counts.
        kept_messages_min: that come all the same when a live reader was lapped twice.
        flushes_waited_for_max: a lossy publisher's, when it runs away from a reader: the NIC may
            still read what it is to write over.
        has_one_clock: publisher and readers have the same, so that latencies can be told.
        host: where nodes listen; "": at a local name.
        interface: by which peers reach them; "": the one that the way there says.
        far: another machine's address, where the nodes are; "": they are in this process.
    """

    name: str
    capacity_bytes: int
    guard_bytes: int
    readers_many: int
    readers_max: int
    examples: int = 150
    atomics_each: int = 500
    kept_messages_min: int = 10
    flushes_waited_for_max: int = 0
    has_one_clock: bool = True
    host: str = ""
    interface: str = ""
    far: str = ""

    @property
    def message_bytes_max(self) -> int:
        return self.guard_bytes - 32  # less the frame's header

    @property
    def room_bytes(self) -> int:
        return self.capacity_bytes - self.guard_bytes

    def address(self, name: str) -> str:
        return f"{self.host}:0" if self.host else f"local:{name}"

    def free_address(self, name: str) -> str:
        """Where nobody listens now."""
        if not self.host:
            return self.address(name)
        with socket.create_server((self.host, 0)) as probe:
            return f"{self.host}:{probe.getsockname()[1]}"

    def over(self, wire: RdmaWire) -> Transport:
        """Nodes at the left end, peers at the right."""
        return replace(self, host=wire.left.address, interface=wire.right.interface)

    @property
    def credentials(self) -> rdmaq.Credentials | None:
        return rdmaq.Credentials(insecure=True) if self.host else None

    def node(self, name: str) -> rdmaq.Node:
        return self.node_at(self.address(name))

    def node_at(self, address: str) -> rdmaq.Node:
        """A node where another one listened, say."""
        return rdmaq.Node(address, credentials=self.credentials)

    def connect(self, address: str, timeout: float | None = None) -> rdmaq.Peer:
        """A peer of the node whose `address` that is; a node of another host is waited for."""
        if not self.host:
            return rdmaq.connect(address, timeout=timeout or 0.0)
        return rdmaq.connect(
            address,
            credentials=self.credentials,
            transport="verbs",
            interface=self.interface or None,
            timeout=PATIENCE_SECONDS if timeout is None else timeout,
        )


SHM = Transport(
    name="shm", capacity_bytes=64 << 10, guard_bytes=8 << 10, readers_many=64, readers_max=128
)

VERBS = Transport(
    name="verbs",
    capacity_bytes=64 << 10,
    guard_bytes=8 << 10,
    readers_many=4,
    readers_max=256,
    examples=15,
    atomics_each=100,
    kept_messages_min=0,  # unless it asks for them by on_gap="recover"
    flushes_waited_for_max=1,
    has_one_clock=False,
)


class Link:
    """A node and a peer that found it; publishes and subscribes, and closes all of it at the end.

    Streams have the smallest ring that the transport can make, unless a test says otherwise.
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._made = ExitStack()  # by a test; goes before what follows
        self._publishers: list[rdmaq.Publisher] = []
        self._subscriptions: list[rdmaq.Subscription] = []
        with ExitStack() as stack:
            self.node = self._begin(stack)
            self.address = self.node.address
            self.peer = stack.enter_context(transport.connect(self.address))
            self._stack = stack.pop_all()

    def _begin(self, stack: ExitStack) -> rdmaq.Node:
        return stack.enter_context(self.transport.node("rig"))

    def publish(
        self, name: str = "s", schema: npt.DTypeLike | None = None, **options: Any
    ) -> rdmaq.Publisher:
        options.setdefault("capacity", self.transport.capacity_bytes)
        publisher = self._made.enter_context(self.node.publish(name, schema, **options))
        self._publishers.append(publisher)
        return publisher

    def subscribe(
        self, name: str = "s", schema: npt.DTypeLike | None = None, **options: Any
    ) -> rdmaq.Subscription:
        subscription = self._made.enter_context(self.peer.subscribe(name, schema, **options))
        assert subscription.transport == self.transport.name
        self._subscriptions.append(subscription)
        return subscription

    def settle(self) -> None:
        """Returns when all that is published has arrived: at once where readers map the ring."""
        for subscription in self._subscriptions:
            for publisher in self._publishers:
                arrives = partial(has_arrived, publisher, subscription)
                eventually(arrives, "arrival", ARRIVAL_SECONDS)

    def keep(self, node: rdmaq.Node) -> rdmaq.Node:
        """Closes another node with the rest."""
        return self._made.enter_context(node)

    def clear(self) -> None:
        """Ends the streams, the last made first."""
        self._publishers.clear()
        self._subscriptions.clear()
        self._made.close()

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack:
            self.clear()


def has_arrived(publisher: rdmaq.Publisher, subscription: rdmaq.Subscription) -> bool:
    """Whether all that is published lies where the subscription reads; True if it is another's."""
    cursor = subscription._cursor
    if subscription.closed or subscription.ended or cursor.epoch != publisher.epoch:
        return True
    if isinstance(cursor, RemoteCursor) and cursor.remote._is_lost:
        return True  # nothing comes any more
    tail_bytes = publisher.capacity_bytes + publisher.stats.ring_bytes
    return bool(cursor.counts().tail_bytes >= tail_bytes)


def message_of(sequence: int, bytes_max: int = 700) -> bytes:
    """Message number `sequence` of every test: its length and its bytes follow from that."""
    size_bytes = sequence * 37 % bytes_max
    return (sequence.to_bytes(8, "little") * (size_bytes // 8 + 1))[:size_bytes]


def ticks_of(first: int, count: int) -> npt.NDArray[Any]:
    """Records whose every field follows from their sequence."""
    sequences = np.arange(first, first + count)
    records = np.empty(count, dtype=TICK)
    records["ts"], records["symbol"] = sequences, sequences % 977
    records["price"], records["size"] = -sequences * 3, sequences % 31
    return records


def claim(pub: rdmaq.Publisher, message: bytes) -> None:
    """Publishes one message of an untyped stream through a claim."""
    with pub.claim(len(message)) as area:
        area[:] = message


def eventually(
    condition: Callable[[], object],
    what: str = "the condition",
    seconds: float = PATIENCE_SECONDS,
) -> None:
    """Returns as soon as `condition()` is true; fails when patience ends."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what} in vain"
        time.sleep(0.002)


def take(subscription: rdmaq.Subscription, **options: Any) -> rdmaq.Batch:
    """The next batch; fails when none comes."""
    batch = subscription.poll(PATIENCE_SECONDS, **options)
    assert batch is not None, "nothing came"
    return batch


def take_gap(subscription: rdmaq.Subscription) -> rdmaq.Gap:
    """The next batch, which must be a gap without messages."""
    batch = take(subscription)
    assert batch.gap is not None, f"expected a gap, got {batch!r}"
    assert len(batch) == 0
    assert batch.messages == []
    return batch.gap


def take_messages(subscription: rdmaq.Subscription, count: int, **options: Any) -> list[Any]:
    """The next `count` messages, in as many batches as it takes; no gap may come between."""
    messages: list[Any] = []
    while len(messages) < count:
        batch = take(subscription, **options)
        assert batch.gap is None, f"unexpected {batch.gap}"
        messages += list(batch)
    assert len(messages) == count
    return messages


class Ledger:
    """The law's bookkeeping: received + declared = published, in order, nothing twice.

    Feed it each batch of an untyped stream that carries `message_of` its sequences.
    """

    def __init__(self, next_sequence: int = 1, bytes_max: int = 700) -> None:
        self.next_sequence = next_sequence
        self.bytes_max = bytes_max
        self.received = 0
        self.lost = {"upstream": 0, "overrun": 0}
        self.gaps: list[rdmaq.Gap] = []

    def take(self, batch: rdmaq.Batch) -> None:
        if batch.gap is not None:
            assert batch.gap.first == self.next_sequence, "a gap must begin where messages ended"
            assert batch.gap.last >= batch.gap.first
            self.gaps.append(batch.gap)
            self.lost[batch.gap.cause] += batch.gap.count
            self.next_sequence = batch.gap.last + 1
            return
        assert batch.sequence == self.next_sequence, "messages must follow without holes"
        self.check(batch)
        assert len(batch) > 0
        self.received += len(batch)
        self.next_sequence += len(batch)

    def check(self, batch: rdmaq.Batch) -> None:
        """What was received is what was sent."""
        for sequence, message in enumerate(batch.messages, start=batch.sequence):
            assert message == message_of(sequence, self.bytes_max), f"message {sequence} is torn"

    def drain(self, subscription: rdmaq.Subscription, **options: Any) -> None:
        """Takes everything that is there now."""
        while (batch := subscription.poll(0, **options)) is not None:
            self.take(batch)

    def drain_to(
        self, subscription: rdmaq.Subscription, next_sequence: int, **options: Any
    ) -> None:
        """Takes everything before that sequence, as it comes.

        A reader of a replica that was lapped is told where it goes on by a heartbeat at the latest.
        """
        while self.next_sequence < next_sequence:
            self.take(take(subscription, **options))
        assert self.next_sequence == next_sequence, "more came than was due"

    @property
    def accounted(self) -> int:
        return self.received + self.lost["upstream"] + self.lost["overrun"]
