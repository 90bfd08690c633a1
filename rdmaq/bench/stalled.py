"""What subscribers that stand still cost each `send`: their process is stopped by a signal."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from functools import partial

import numpy as np

import rdmaq
from rdmaq.bench.children import Child
from rdmaq.bench.options import Place
from rdmaq.bench.quiet import Watch
from rdmaq.bench.rounds import Contender, Sample

#: What is held against what.
NONE, STALLED = "no_subscriber", "stalled"


class Near:
    """The process that publishes: one stream without subscribers, one whose all stand still."""

    def __init__(
        self, stack: ExitStack, *, name: str, subscribers: int, capacity: str, message_bytes: int
    ) -> None:
        node = stack.enter_context(rdmaq.Node(f"local:{name}"))
        self._publishers = {key: node.publish(key, capacity=capacity) for key in (NONE, STALLED)}
        self._message = bytes(i % 251 for i in range(message_bytes))
        self.watch = stack.enter_context(Watch())
        probe, self._stopped = (
            stack.enter_context(
                Child(
                    "rdmaq.bench.stalled_far",
                    fds=(self.watch.fd,),
                    words_fd=self.watch.fd,
                    name=name,
                    stream=STALLED,
                    subscribers=count,
                )
            )
            for count in (0, subscribers)
        )
        self.watch.attach(probe, self._stopped)

    def contenders(self, subscribers: int, count: int) -> list[Contender]:
        """The same sends, to nobody and to all who stand still."""
        titles = {NONE: "send, no subscriber", STALLED: f"send, {subscribers} that stand still"}
        return [
            Contender(key=key, title=title, run=partial(self._round, key, count))
            for key, title in titles.items()
        ]

    def _round(self, key: str, count: int) -> Sample:
        """Each send is timed; one reading of the clock is part of it."""
        os.kill(self._stopped.pid, signal.SIGSTOP)
        try:
            times_ns = np.diff(timed_sends(self._publishers[key], self._message, count))
        finally:
            os.kill(self._stopped.pid, signal.SIGCONT)
        p50, p99, p999 = np.percentile(times_ns, [50, 99, 99.9]).tolist()
        return {"p50_ns": p50, "p99_ns": p99, "p999_ns": p999}


def timed_sends(publisher: rdmaq.Publisher, message: bytes, count: int) -> list[int]:
    """The clock's readings between `count` sends."""
    clock, send = time.perf_counter_ns, publisher.send
    stamps = [0] * (count + 1)
    stamps[0] = clock()
    for i in range(1, count + 1):
        send(message)
        stamps[i] = clock()
    return stamps


def prepare(
    stack: ExitStack,
    place: Place,
    *,
    subscribers: int,
    message_bytes: int,
    count: int,
    capacity: str,
) -> tuple[Near, list[Contender]]:
    """Lossy streams, whose publisher waits for nobody."""
    near = Near(
        stack,
        name=place.name,
        subscribers=subscribers,
        capacity=capacity,
        message_bytes=message_bytes,
    )
    return near, near.contenders(subscribers, count)
