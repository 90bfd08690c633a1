"""The receiving process of `rdmaq bench rate --transport verbs`."""

from __future__ import annotations

import time

import rdmaq
from rdmaq.bench.children import BenchError
from rdmaq.bench.links import peer_of
from rdmaq.bench.perftest import Side

_MESSAGES_PER_POLL = 16_384
_SILENCE_SECONDS = 20.0


class Far:
    """Reads until it has as many messages as were announced."""

    def __init__(self, *, side: Side) -> None:
        self._side = side
        self._peer: rdmaq.Peer | None = None
        self._subscriptions: dict[str, rdmaq.Subscription] = {}

    def connect(self, node: str) -> None:
        """Subscribes to both streams."""
        self._peer = peer_of(node, self._side)
        for stream in ("messages", "records"):
            self._subscriptions[stream] = self._peer.subscribe(stream)

    def drain(self, stream: str, message_count: int) -> int:
        """`time.perf_counter_ns()` when the last one had come."""
        poll = self._subscriptions[stream].poll
        received = 0
        while received < message_count:
            batch = poll(_SILENCE_SECONDS, max_messages=_MESSAGES_PER_POLL)
            if batch is None or batch.gap is not None:
                raise BenchError(
                    f"{received:,} of {message_count:,} messages came over the reliable stream "
                    f"{stream!r}, then {'nothing' if batch is None else 'a gap'}: the machine is "
                    "too busy; wait, or use a smaller --count"
                )
            received += len(batch)
        return time.perf_counter_ns()

    def close(self) -> None:
        """Ends the subscriptions."""
        for subscription in self._subscriptions.values():
            subscription.close()
        if self._peer is not None:
            self._peer.close()
