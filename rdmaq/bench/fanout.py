"""What many subscribers cost a publisher, and whether each of them gets everything."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np

import rdmaq
from rdmaq.bench.children import BenchError, Child
from rdmaq.bench.options import Place
from rdmaq.bench.quiet import Watch
from rdmaq.bench.rate import RECORD
from rdmaq.bench.rounds import Contender, Sample

#: What is held against what.
MANY_SINGLE, ONE_SINGLE, MANY_BATCH, ONE_BATCH = "many_send", "one_send", "many_batch", "one_batch"
#: A burst is timed in chunks: the first one wakes whoever sleeps, the others meet them awake.
CHUNKS, CHUNK_MESSAGES = 32, 32
_PAUSE_SECONDS_PER_READER = 0.0001


class Near:
    """The process that publishes: two streams, one with a single subscriber, one with all."""

    def __init__(
        self, stack: ExitStack, *, name: str, subscribers: int, capacity: str, message_bytes: int
    ) -> None:
        node = stack.enter_context(rdmaq.Node(f"local:{name}"))
        self._typed = {w: node.publish(f"records-{w}", RECORD, capacity=capacity) for w in "1N"}
        self._untyped = {w: node.publish(f"messages-{w}", capacity=capacity) for w in "1N"}
        self._message = bytes(i % 251 for i in range(message_bytes))
        self._pauses = {
            "1": _PAUSE_SECONDS_PER_READER,
            "N": _PAUSE_SECONDS_PER_READER * subscribers,
        }
        self.watch = stack.enter_context(Watch())
        self.children = [
            stack.enter_context(
                Child(
                    "rdmaq.bench.fanout_far",
                    fds=(self.watch.fd,),
                    name=name,
                    words_fd=self.watch.fd,
                    is_single=number == 0,
                )
            )
            for number in range(subscribers)
        ]
        self.watch.attach(*self.children)
        self.losses: dict[str, list[dict[str, int]]] = {}

    def contenders(self, burst_count: int, batch: int) -> list[Contender]:
        """Single messages and batches, to one subscriber and to all."""
        records = np.zeros(batch, dtype=RECORD)
        count = len(self.children)
        found = []
        for key, which, title in (
            (ONE_SINGLE, "1", "send, 1 subscriber"),
            (MANY_SINGLE, "N", f"send, {count} subscribers"),
        ):
            publisher = self._untyped[which]
            send: Callable[[], Any] = partial(send_singly, publisher, self._message)
            found.append(self._contender(key, title, publisher, send, CHUNK_MESSAGES, burst_count))
        for key, which, title in (
            (ONE_BATCH, "1", f"send_batch of {batch:,}, 1 subscriber"),
            (MANY_BATCH, "N", f"send_batch of {batch:,}, {count} subscribers"),
        ):
            publisher = self._typed[which]
            send = partial(publisher.send_batch, records)
            found.append(self._contender(key, title, publisher, send, batch, burst_count))
        return found

    def _contender(
        self,
        key: str,
        title: str,
        publisher: rdmaq.Publisher,
        send: Callable[[], Any],
        messages: int,
        burst_count: int,
    ) -> Contender:
        run = partial(self._round, key, publisher, send, messages, burst_count)
        return Contender(key=key, title=title, run=run)

    def _round(
        self,
        key: str,
        publisher: rdmaq.Publisher,
        send: Callable[[], Any],
        messages: int,
        burst_count: int,
    ) -> Sample:
        """Bursts with pauses, as feeds have them; each chunk is timed, the pauses are not."""
        which = publisher.name[-1]
        children = self.children[:1] if which == "1" else self.children
        published = burst_count * CHUNKS * messages
        for child in children:
            child.start("drain", stream=publisher.name, message_count=published)
        stamps = np.empty((burst_count, CHUNKS + 1), dtype=np.int64)
        clock, pause_seconds = time.perf_counter_ns, self._pauses[which]
        for burst in stamps:
            burst[0] = clock()
            for chunk in range(1, CHUNKS + 1):
                send()
                burst[chunk] = clock()
            time.sleep(pause_seconds)
        counts = [child.finish() for child in children]
        self._note_losses(key, counts, published)
        times_ns = np.diff(stamps)
        p50, p99 = (np.percentile(times_ns[:, 1:], [50, 99]) / messages).tolist()
        return {
            "publisher_p50_ns": p50,
            "publisher_p99_ns": p99,
            "first_chunk_ns": float(np.median(times_ns[:, 0])),
            "received_share": min(c["received"] for c in counts) / published,
        }

    def _note_losses(self, key: str, counts: list[dict[str, int]], published: int) -> None:
        totals = self.losses.setdefault(
            key, [{"published": 0, "received": 0, "lost": 0} for _ in counts]
        )
        for total, count in zip(totals, counts, strict=True):
            if count["received"] + count["lost"] != published:
                raise BenchError(
                    f"a subscriber received {count['received']:,} and was told of "
                    f"{count['lost']:,} lost, of {published:,}: messages went missing undeclared; "
                    "report this as a bug"
                )
            total["published"] += published
            total["received"] += count["received"]
            total["lost"] += count["lost"]


def send_singly(publisher: rdmaq.Publisher, message: bytes) -> None:
    """One chunk of single messages."""
    send = publisher.send
    for _ in repeat(None, CHUNK_MESSAGES):
        send(message)


def prepare(
    stack: ExitStack,
    place: Place,
    *,
    subscribers: int,
    batch: int,
    message_bytes: int,
    bursts: int,
    capacity: str,
) -> tuple[Near, list[Contender]]:
    """What each subscriber of each contender got and lost stands in `Near.losses` at the end."""
    near = Near(
        stack,
        name=place.name,
        subscribers=subscribers,
        capacity=capacity,
        message_bytes=message_bytes,
    )
    return near, near.contenders(bursts, batch)
