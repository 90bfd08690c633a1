"""Links of one stream to many replicas: what they cost, and when each gets what was published."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np

import rdmaq
from rdmaq.bench.children import BenchError, Child
from rdmaq.bench.links import CONNECT_SECONDS, node_at
from rdmaq.bench.options import Place
from rdmaq.bench.perftest import Side
from rdmaq.bench.quiet import Unprobed
from rdmaq.bench.rounds import Contender, Sample
from rdmaq.bench.verbs import sides

#: What is held against what.
ONE, MANY = "one", "many"
_ARRIVAL_SECONDS = 10.0
_LOOK_SECONDS = 0.0002


class Near:
    """The process that publishes: a stream with one link, and one with many."""

    def __init__(
        self,
        stack: ExitStack,
        far: Side,
        near: Side,
        *,
        subscribers: int,
        message_bytes: int,
        capacity: str,
    ) -> None:
        self.watch = stack.enter_context(Unprobed())
        self._message = bytes(i % 251 for i in range(message_bytes))
        node = stack.enter_context(node_at(near))
        self._publishers = {which: node.publish(which, capacity=capacity) for which in (ONE, MANY)}
        self._counts = {ONE: 1, MANY: subscribers}
        self.child = stack.enter_context(Child("rdmaq.bench.skew_far", side=far))
        self.child.start("connect", node=node.address, counts=self._counts)
        self.child.finish(CONNECT_SECONDS)
        self.links: dict[str, list[rdmaq.LinkInfo]] = {}

    def contenders(self, count: int) -> list[Contender]:
        """One link and many."""
        return [
            Contender(key=ONE, title="send, 1 link", run=partial(self._round, ONE, count)),
            Contender(
                key=MANY,
                title=f"send, {self._counts[MANY]} links",
                run=partial(self._round, MANY, count),
            ),
        ]

    def _round(self, which: str, count: int) -> Sample:
        """Messages one by one, each when the last one has arrived everywhere."""
        publisher = self._publishers[which]
        self.child.start("arrivals", which=which, count=count)
        stamps = []
        for _ in range(count):
            began_ns = time.perf_counter_ns()
            publisher.send(self._message)
            stamps.append(time.perf_counter_ns() - began_ns)
            self._wait_for_arrival(publisher)
        ticks = np.frombuffer(self.child.finish(), np.int64).reshape(-1, count)
        after = publisher.stats
        self.links[which] = list(after.links)
        skews = ticks.max(axis=0) - ticks.min(axis=0)
        firsts = np.bincount(ticks.argmin(axis=0), minlength=len(ticks)) / count
        return {
            "send_p50_ns": float(np.median(stamps)),
            "posting_ns": after.link_skew_ns,
            "skew_p50_ns": float(np.median(skews)),
            "skew_p99_ns": float(np.percentile(skews, 99)),
            "first_share_max": float(firsts.max()),
        }

    def _wait_for_arrival(self, publisher: rdmaq.Publisher) -> None:
        deadline = time.monotonic() + _ARRIVAL_SECONDS
        while any(link.lag_bytes for link in publisher.links()):
            if time.monotonic() > deadline:
                raise BenchError(
                    f"a message did not arrive within {_ARRIVAL_SECONDS:.0f} s: do the devices "
                    "reach each other? On a busy machine use fewer --subscribers"
                )
            time.sleep(_LOOK_SECONDS)


def prepare(
    stack: ExitStack, _place: Place, *, devices: tuple[str, ...], count: int, **settings: Any
) -> tuple[Near, list[Contender]]:
    """Subscribes once, and many times.

    Raises:
        BenchError: there are no two devices.
    """
    near = Near(stack, *sides(devices), **settings)
    return near, near.contenders(count)
