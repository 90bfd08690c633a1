"""The answering process of `rdmaq bench latency --transport verbs`."""

from __future__ import annotations

import rdmaq
from rdmaq._fast import lib
from rdmaq.bench.chain_pair import ChainPair
from rdmaq.bench.in_c import check, reader_of
from rdmaq.bench.latency_far import pong
from rdmaq.bench.links import node_at, peer_of
from rdmaq.bench.perftest import Side
from rdmaq.stream.subscription import Wait

#: How the Python contenders wait: one pair of streams for each.
WAIT_MODES: tuple[Wait, ...] = ("spin", "auto")
#: When the loops in C give up.
LIMIT_NS = 60_000_000_000


class Far:
    """Answers by streams, and by the bare chain."""

    def __init__(self, *, side: Side, capacity: str) -> None:
        self._side = side
        self._chain = ChainPair(side.device, side.gid_index)
        self._node = node_at(side)
        self._publishers = {
            wait: self._node.publish(f"pong-{wait}", capacity=capacity) for wait in WAIT_MODES
        }
        self._peer: rdmaq.Peer | None = None
        self._subscriptions: dict[Wait, rdmaq.Subscription] = {}

    def introduce(self) -> tuple[str, bytes, bytes]:
        """Where the node is, and what the bare chain must know."""
        return (self._node.address, *self._chain.introduce())

    def connect(self, node: str, address: bytes, memory: bytes) -> None:
        """Subscribes to what the other side asks."""
        self._chain.connect(address, memory)
        self._peer = peer_of(node, self._side)
        for wait in WAIT_MODES:
            self._subscriptions[wait] = self._peer.subscribe(f"ping-{wait}", wait=wait)

    def rdmaq(self, wait: Wait, count: int) -> None:
        """Answers through the public API."""
        pong(self._publishers[wait], self._subscriptions[wait], count)

    def streams_in_c(self, count: int) -> None:
        """Answers in C, by the streams of the spinning pair."""
        publisher, subscription = self._publishers["spin"], self._subscriptions["spin"]
        check(lib.rq_bench_pong(publisher.handle, reader_of(subscription), count, LIMIT_NS))

    def chain(self, message_bytes: int, count: int) -> None:
        """Answers by the bare chain."""
        self._chain.play(message_bytes, count, is_first=False)

    def close(self) -> None:
        """Ends subscriptions, node and pair."""
        for subscription in self._subscriptions.values():
            subscription.close()
        if self._peer is not None:
            self._peer.close()
        self._node.close()
        self._chain.close()
