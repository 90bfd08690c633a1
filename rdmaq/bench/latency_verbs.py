"""Round trips of streams over verbs, from Python, beside a loop in C that posts the same chain."""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial
from typing import Any

import numpy as np

from rdmaq._fast import ffi, lib
from rdmaq.bench.chain_pair import ChainPair
from rdmaq.bench.children import BenchError, Child
from rdmaq.bench.in_c import check, reader_of
from rdmaq.bench.latency import ping
from rdmaq.bench.latency_verbs_far import LIMIT_NS, WAIT_MODES
from rdmaq.bench.links import CONNECT_SECONDS, node_at, peer_of
from rdmaq.bench.options import Place
from rdmaq.bench.perftest import Side
from rdmaq.bench.quiet import Unprobed
from rdmaq.bench.rounds import Contender, Sample
from rdmaq.bench.verbs import sides
from rdmaq.stream.subscription import Wait

#: What the table is about, and what is held against it.
HEADLINE, CHAIN, STREAMS_C, AUTO = "stream_spin", "chain_c", "streams_c", "stream_auto"


class Near:
    """The process that asks, and measures."""

    def __init__(
        self, stack: ExitStack, far: Side, near: Side, *, message_bytes: int, capacity: str
    ) -> None:
        self.watch = stack.enter_context(Unprobed())
        self._message = bytes(i % 251 for i in range(message_bytes))
        self.child = stack.enter_context(
            Child("rdmaq.bench.latency_verbs_far", side=far, capacity=capacity)
        )
        self._chain = stack.enter_context(closing(ChainPair(near.device, near.gid_index)))
        node = stack.enter_context(node_at(near))
        publishers = {w: node.publish(f"ping-{w}", capacity=capacity) for w in WAIT_MODES}
        there, address, memory = self.child.call("introduce")
        own_address, own_memory = self._chain.introduce()
        self.child.start("connect", node=node.address, address=own_address, memory=own_memory)
        self._chain.connect(address, memory)
        peer = stack.enter_context(peer_of(there, near))
        self._pairs = {
            wait: (
                publisher,
                stack.enter_context(peer.subscribe(f"pong-{wait}", wait=wait)),
            )
            for wait, publisher in publishers.items()
        }
        self.child.finish(CONNECT_SECONDS)

    def contenders(self, count: int) -> list[Contender]:
        """Who takes part, each with `count` round trips a round."""
        spin: Wait = "spin"
        auto: Wait = "auto"
        rows = [
            (CHAIN, "the same chain, loop in C", partial(self._bare, count)),
            (HEADLINE, "stream, Python, wait=spin", partial(self._stream, spin, count)),
            (STREAMS_C, "the same streams, loop in C", partial(self._in_c, count)),
            (AUTO, "stream, Python, wait=auto (default)", partial(self._stream, auto, count)),
        ]
        return [Contender(key=key, title=title, run=run) for key, title, run in rows]

    def _bare(self, count: int) -> Sample:
        size = len(self._message)
        self.child.start("chain", message_bytes=size, count=count + 1)
        times_ns = self._chain.play(size, count + 1, is_first=True)
        self.child.finish()
        return half(times_ns[1:])

    def _stream(self, wait: Wait, count: int) -> Sample:
        self.child.start("rdmaq", wait=wait, count=count + 1)
        publisher, subscription = self._pairs[wait]
        ping(publisher, subscription, self._message, 1)  # until the other is there
        stamps = ping(publisher, subscription, self._message, count)
        self.child.finish()
        return half(np.diff(stamps))

    def _in_c(self, count: int) -> Sample:
        self.child.start("streams_in_c", count=count + 1)
        times_ns = np.zeros(count + 1, dtype=np.uint64)
        publisher, subscription = self._pairs["spin"]
        done = check(
            lib.rq_bench_ping(
                publisher.handle,
                reader_of(subscription),
                self._message,
                len(self._message),
                count + 1,
                LIMIT_NS,
                ffi.from_buffer("uint64_t *", times_ns),
            )
        )
        if done <= count:  # what is on its way still would be the next round's answer
            raise BenchError(
                f"the loop in C made {done} of {count + 1} round trips in {LIMIT_NS / 1e9:.0f} s: "
                "the machine is too busy; wait, or use fewer --count"
            )
        self.child.finish()
        return half(times_ns[1:])


def half(times_ns: Any) -> Sample:
    """Median and 99th percentile of one way, as perftest tells them: half of the round trip."""
    p50, p99 = (np.percentile(times_ns, [50, 99]) / 2).tolist()
    return {"p50_ns": p50, "p99_ns": p99}


def prepare(
    stack: ExitStack,
    _place: Place,
    *,
    message_bytes: int,
    count: int,
    capacity: str,
    devices: tuple[str, ...],
) -> tuple[Near, list[Contender]]:
    """Connects two processes by two devices, and streams each way.

    Raises:
        BenchError: there are no two devices.
    """
    near = Near(stack, *sides(devices), message_bytes=message_bytes, capacity=capacity)
    return near, near.contenders(count)
