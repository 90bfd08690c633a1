"""The subscribing process of `rdmaq bench fanout --transport verbs`."""

from __future__ import annotations

import numpy as np

import rdmaq
from rdmaq._fast import ffi, lib
from rdmaq.bench.children import BenchError
from rdmaq.bench.in_c import check, reader_of
from rdmaq.bench.links import peer_of
from rdmaq.bench.perftest import Side

_LIMIT_NS = 50_000_000_000


class Far:
    """All subscriptions in one process, so that one thread sees when each gets a message."""

    def __init__(self, *, side: Side) -> None:
        self._side = side
        self._peer: rdmaq.Peer | None = None
        self._subscriptions: dict[str, list[rdmaq.Subscription]] = {}

    def connect(self, node: str, counts: dict[str, int]) -> None:
        """Subscribes to each stream so many times."""
        self._peer = peer_of(node, self._side)
        for which, count in counts.items():
            self._subscriptions[which] = [
                self._peer.subscribe(which, wait="spin") for _ in range(count)
            ]

    def arrivals(self, which: str, count: int) -> bytes:
        """When each of the next messages came to each subscription: int64, ns, one row each."""
        subscriptions = self._subscriptions[which]
        readers = ffi.new("struct rq_reader *[]", [reader_of(one) for one in subscriptions])
        ticks = np.zeros((len(subscriptions), count), np.uint64)
        done = check(
            lib.rq_bench_arrivals(
                readers, len(subscriptions), count, _LIMIT_NS, ffi.from_buffer("uint64_t *", ticks)
            )
        )
        if done < count:
            raise BenchError(
                f"{done} of {count} messages arrived everywhere within {_LIMIT_NS / 1e9:.0f} s: "
                "the machine is too busy; wait, or use fewer --count"
            )
        since = (ticks - ticks.min()).ravel()
        ns = [lib.rq_clock_ticks_to_ns(int(one)) for one in since]
        return np.array(ns, np.int64).tobytes()

    def close(self) -> None:
        """Ends the subscriptions."""
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                subscription.close()
        if self._peer is not None:
            self._peer.close()
