"""How many messages a second streams carry between two devices, beside perftest's WRITEs."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import repeat

import numpy as np

import rdmaq
from rdmaq.bench import perftest
from rdmaq.bench.children import BenchError, Child
from rdmaq.bench.links import CONNECT_SECONDS, node_at
from rdmaq.bench.options import Place
from rdmaq.bench.perftest import Side
from rdmaq.bench.quiet import Unprobed
from rdmaq.bench.rounds import Contender, Sample
from rdmaq.bench.verbs import sides

#: What the table is about, and what is held against it.
PERFTEST, MANY, BATCH, SINGLE = "write_perftest", "many", "batch", "single"
#: Messages of one `send_many`.
MANY_COUNT = 64
_DEPTH = 128  # perftest's own default
_STALL_SECONDS = 20.0


class Near:
    """The process that publishes; perftest runs between the same two devices."""

    def __init__(
        self,
        stack: ExitStack,
        far: Side,
        near: Side,
        *,
        message_bytes: int,
        batch: int,
        capacity: str,
    ) -> None:
        self.watch = stack.enter_context(Unprobed())
        self._far_side, self._near_side = far, near
        self._message = bytes(i % 251 for i in range(message_bytes))
        self._records = np.full(batch, self._message, f"V{message_bytes}")
        node = stack.enter_context(node_at(near))
        flow = rdmaq.reliable(timeout=_STALL_SECONDS)
        self._untyped = node.publish("messages", capacity=capacity, flow=flow)
        self._typed = node.publish("records", self._records.dtype, capacity=capacity, flow=flow)
        self.child = stack.enter_context(Child("rdmaq.bench.rate_verbs_far", side=far))
        self.child.start("connect", node=node.address)
        self.child.finish(CONNECT_SECONDS)
        self.links: dict[str, list[rdmaq.LinkInfo]] = {}

    def contenders(self, count: int, write_count: int) -> list[Contender]:
        """Who takes part: `count` messages each, and perftest's WRITEs of the same size."""
        size = len(self._message)
        rows: list[tuple[str, str, Callable[[], Sample]]] = [
            (PERFTEST, f"WRITE of {size} B, ib_write_bw", partial(self._bw, write_count)),
            (MANY, f"send_many, lists of {MANY_COUNT}", partial(self._many, count)),
            (BATCH, f"send_batch of {len(self._records)}", partial(self._batches, count)),
            (SINGLE, "send, one bytes object", partial(self._single, count)),
        ]
        return [Contender(key=key, title=title, run=run) for key, title, run in rows]

    def _bw(self, count: int) -> Sample:
        return perftest.bandwidth(
            self._far_side,
            self._near_side,
            size=len(self._message),
            iterations=count,
            depth=_DEPTH,
            chain=1,
        )

    def _many(self, count: int) -> Sample:
        send, messages = self._untyped.send_many, [self._message] * MANY_COUNT
        return self._round(self._untyped, partial(send, messages), count // MANY_COUNT, MANY_COUNT)

    def _batches(self, count: int) -> Sample:
        size = len(self._records)
        send = partial(self._typed.send_batch, self._records)
        return self._round(self._typed, send, max(1, count // size), size)

    def _single(self, count: int) -> Sample:
        return self._round(self._untyped, partial(self._untyped.send, self._message), count, 1)

    def _round(
        self, publisher: rdmaq.Publisher, send: Callable[[], int], calls: int, each: int
    ) -> Sample:
        """From the first send to the last message's arrival."""
        messages = calls * each
        before = publisher.stats.links
        self.child.start("drain", stream=publisher.name, message_count=messages)
        began_ns = time.perf_counter_ns()
        for _ in repeat(None, calls):
            send()
        sent_ns = time.perf_counter_ns()
        ended_ns = self.child.finish()
        rate = messages / (ended_ns - began_ns) * 1e9
        after = publisher.stats.links
        self.links[publisher.name] = list(after)
        chains = sum(link.chains for link in after) - sum(link.chains for link in before)
        return {
            "messages_per_s": rate,
            "bytes_per_s": rate * len(self._message),
            "publisher_ns": (sent_ns - began_ns) / messages,
            "messages_per_chain": messages / max(1, chains),
        }


def prepare(
    stack: ExitStack,
    _place: Place,
    *,
    devices: tuple[str, ...],
    count: int,
    write_count: int,
    **settings: int | str,
) -> tuple[Near, list[Contender]]:
    """Publishes here, subscribes there.

    Raises:
        BenchError: no perftest, or no two devices.
    """
    if missing := perftest.missing():
        raise BenchError(
            f"perftest is not complete here: {', '.join(missing)} are missing; apt-get install "
            "perftest, or run in the rig: rdmaq rig exec -- rdmaq bench rate --transport verbs"
        )
    near = Near(stack, *sides(devices), **settings)  # type: ignore[arg-type]
    return near, near.contenders(count, write_count)
