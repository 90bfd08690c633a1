"""Round trips between two processes: rdmaq from Python, beside C and what Python users have."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

import rdmaq
from rdmaq._fast import ffi, lib, parse_bytes
from rdmaq.bench import exchange, pipes, ucx, zmq_pair
from rdmaq.bench.children import BenchError, Child
from rdmaq.bench.in_c import check, reader_of
from rdmaq.bench.latency_far import LIMIT_NS, WAIT_MODES
from rdmaq.bench.options import Place
from rdmaq.bench.plain import PlainRing, make_area
from rdmaq.bench.quiet import Watch
from rdmaq.bench.rounds import Contender, Sample
from rdmaq.stream.subscription import Wait

#: What the table is about, and what is held against it.
HEADLINE, BARE_C, CROSSING, CLOCK = "rdmaq_auto", "c_ring", "crossing", "clock"
UCX = "ucx"
_SLOW_DIVISOR = 10  # what takes tens of us a round trip makes fewer of them


def ping(publisher: Any, subscription: Any, message: bytes, count: int) -> list[int]:
    """`count` round trips through the public API; the clock's readings between them."""
    clock, send, poll = time.perf_counter_ns, publisher.send, subscription.poll
    stamps = [clock()]
    note = stamps.append
    for _ in repeat(None, count):
        send(message)
        poll().messages[0]
        note(clock())
    return stamps


class Near:
    """The process that asks, and measures."""

    def __init__(
        self, stack: ExitStack, *, name: str, capacity: str, message_bytes: int, folder: Path
    ) -> None:
        node = stack.enter_context(rdmaq.Node(f"local:{name}-near"))
        publishers = {w: node.publish(f"ping-{w}", capacity=capacity) for w in WAIT_MODES}
        self._pipe, far_pipe = pipes.make()
        stack.callback(self._pipe.close)
        stack.callback(far_pipe.close)
        zmq_path = str(folder / "zmq") if zmq_pair.is_there() else ""
        self._zmq = zmq_pair.open_end(zmq_path, is_near=True) if zmq_path else None
        if self._zmq is not None:
            stack.callback(zmq_pair.close, self._zmq)
        capacity_bytes = parse_bytes(capacity)
        areas = [make_area(stack, capacity_bytes) for _ in range(2)]
        self._plain = [
            PlainRing(fd, capacity_bytes=capacity_bytes, message_bytes=message_bytes)
            for fd in areas
        ]
        for ring in self._plain:
            stack.callback(ring.close)
        self.watch = stack.enter_context(Watch())
        self.child = stack.enter_context(
            Child(
                "rdmaq.bench.latency_far",
                fds=(self.watch.fd, far_pipe.fileno(), *areas),
                name=name,
                capacity=capacity,
                message_bytes=message_bytes,
                plain_fds=areas,
                pipe_fd=far_pipe.fileno(),
                zmq_path=zmq_path,
                words_fd=self.watch.fd,
            )
        )
        far_pipe.close()  # or its other end would never see the child go
        self.watch.attach(self.child)
        peer = rdmaq.connect(f"local:{name}-far", timeout=5.0)
        self._pairs = {
            wait: (
                publisher,
                stack.enter_context(peer.subscribe(f"pong-{wait}", wait=wait)),
            )
            for wait, publisher in publishers.items()
        }

    def contenders(self, message: bytes, count: int) -> list[Contender]:
        """Who takes part, each with `count` round trips a round (the slow ones a tenth)."""
        slow_count = max(1, count // _SLOW_DIVISOR)
        own: list[tuple[str, str, Wait, int]] = [
            (HEADLINE, "rdmaq, Python, wait=auto (default)", "auto", count),
            ("rdmaq_spin", "rdmaq, Python, wait=spin", "spin", count),
            ("rdmaq_sleep", "rdmaq, Python, wait=sleep", "sleep", slow_count),
        ]
        found = [
            Contender(key=key, title=title, run=partial(self._rdmaq, wait, message, n))
            for key, title, wait, n in own
        ]
        found += [
            Contender(key=BARE_C, title="the same rings in C", run=lambda: self._c(message, count)),
            Contender(
                key="plain_c",
                title="plain slots in C, nothing else",
                run=lambda: self._plain_c(message, count),
            ),
        ]
        if self._zmq is not None:
            zmq = partial(self._other, "zmq", self._zmq.send, self._zmq.recv, message)
            found.append(
                Contender(key="pyzmq", title="pyzmq, ipc PAIR", run=partial(zmq, slow_count))
            )
        if (program := ucx.find()) is not None:
            found.append(
                Contender(
                    key=UCX,
                    title="UCX tag_lat in C, shared memory",
                    run=partial(ucx.round_trips, program, len(message), count),
                )
            )
        ends = self._pipe.send_bytes, self._pipe.recv_bytes
        pipe = partial(self._other, "pipe", *ends, message)
        found += [
            Contender(key="pipe", title="multiprocessing.Pipe", run=partial(pipe, slow_count)),
            Contender(
                key=CROSSING,
                title="empty crossing into C",
                run=partial(_call_cost, lib.rq_bench_empty, count),
            ),
            Contender(
                key=CLOCK,
                title="one reading of the clock",
                run=partial(_call_cost, time.perf_counter_ns, count),
            ),
        ]
        return found

    def _rdmaq(self, wait: Wait, message: bytes, count: int) -> Sample:
        self.child.start("rdmaq", wait=wait, count=count + 1)
        publisher, subscription = self._pairs[wait]
        ping(publisher, subscription, message, 1)  # until the other is there
        stamps = ping(publisher, subscription, message, count)
        self.child.finish()
        return summary(np.diff(stamps))

    def _c(self, message: bytes, count: int) -> Sample:
        self.child.start("c_ring", count=count + 1)
        times_ns = np.zeros(count + 1, dtype=np.uint64)
        publisher, subscription = self._pairs["spin"]
        done = check(
            lib.rq_bench_ping(
                publisher.handle,
                reader_of(subscription),
                message,
                len(message),
                count + 1,
                LIMIT_NS,
                ffi.from_buffer("uint64_t *", times_ns),
            )
        )
        self.child.finish()
        if done < 2:
            raise BenchError("the loop in C got no answer in 10 s: the machine is too busy; wait")
        return summary(times_ns[1:done])

    def _plain_c(self, message: bytes, count: int) -> Sample:
        self.child.start("plain_c", count=count + 1)
        times_ns = np.zeros(count + 1, dtype=np.uint64)
        self._plain[0].ping(self._plain[1], message, times_ns)
        self.child.finish()
        return summary(times_ns[1:])

    def _other(
        self,
        method: str,
        send: Callable[[bytes], Any],
        receive: Callable[[], Any],
        message: bytes,
        count: int,
    ) -> Sample:
        self.child.start(method, count=count + 1)
        exchange.ping(send, receive, message, 1)  # until the other is there
        stamps = exchange.ping(send, receive, message, count)
        self.child.finish()
        return summary(np.diff(stamps))


def summary(times_ns: Any) -> Sample:
    """Median and 99th percentile of one round."""
    p50, p99 = np.percentile(times_ns, [50, 99]).tolist()
    return {"p50_ns": p50, "p99_ns": p99}


def _call_cost(call: Callable[[], Any], count: int) -> Sample:
    """Cost of a call in a loop, the loop included."""
    began_ns = time.perf_counter_ns()
    for _ in repeat(None, count):
        call()
    return {"p50_ns": (time.perf_counter_ns() - began_ns) / count}


def prepare(
    stack: ExitStack, place: Place, *, message_bytes: int, count: int, capacity: str
) -> tuple[Near, list[Contender]]:
    """Other libraries have their sockets in the place's folder."""
    near = Near(
        stack,
        name=place.name,
        capacity=capacity,
        message_bytes=message_bytes,
        folder=place.folder,
    )
    message = bytes(i % 251 for i in range(message_bytes))
    return near, near.contenders(message, count)
