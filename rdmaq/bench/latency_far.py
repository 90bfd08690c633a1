"""The answering process of `rdmaq bench latency`."""

from __future__ import annotations

from itertools import repeat
from typing import Any

import rdmaq
from rdmaq._fast import lib, parse_bytes
from rdmaq.bench import exchange, pipes, quiet, zmq_pair
from rdmaq.bench.in_c import check, reader_of
from rdmaq.bench.plain import PlainRing
from rdmaq.stream.subscription import Wait

#: How each Python contender waits: one pair of streams for each.
WAIT_MODES: tuple[Wait, ...] = ("auto", "spin", "sleep")
#: When the loops in C give up.
LIMIT_NS = 10_000_000_000


def pong(publisher: Any, subscription: Any, count: int) -> None:
    """Sends back what comes, `count` times."""
    send, poll = publisher.send, subscription.poll
    for _ in repeat(None, count):
        send(poll().messages[0])


class Far(quiet.Far):
    """The process that answers."""

    def __init__(
        self,
        *,
        name: str,
        capacity: str,
        message_bytes: int,
        plain_fds: list[int],
        pipe_fd: int,
        zmq_path: str,
        words_fd: int,
    ) -> None:
        super().__init__(words_fd=words_fd)
        self._node = rdmaq.Node(f"local:{name}-far")
        self._peer = rdmaq.connect(f"local:{name}-near")
        self._pairs = {
            wait: (
                self._node.publish(f"pong-{wait}", capacity=capacity),
                self._peer.subscribe(f"ping-{wait}", wait=wait),
            )
            for wait in WAIT_MODES
        }
        self._plain = [
            PlainRing(fd, capacity_bytes=parse_bytes(capacity), message_bytes=message_bytes)
            for fd in plain_fds
        ]
        self._pipe = pipes.open_end(pipe_fd)
        self._zmq = zmq_pair.open_end(zmq_path, is_near=False) if zmq_path else None

    def rdmaq(self, wait: Wait, count: int) -> None:
        """Answers through the public API."""
        pong(*self._pairs[wait], count)

    def c_ring(self, count: int) -> None:
        """Answers in C, on the rings of the spinning pair."""
        publisher, subscription = self._pairs["spin"]
        check(lib.rq_bench_pong(publisher.handle, reader_of(subscription), count, LIMIT_NS))

    def plain_c(self, count: int) -> None:
        """Answers in C, on the plainest rings there are."""
        self._plain[0].pong(self._plain[1], count)

    def pipe(self, count: int) -> None:
        """Answers through multiprocessing.Pipe."""
        exchange.pong(self._pipe.send_bytes, self._pipe.recv_bytes, count)

    def zmq(self, count: int) -> None:
        """Answers through pyzmq."""
        assert self._zmq is not None  # the other side asks only when it has it, too
        exchange.pong(self._zmq.send, self._zmq.recv, count)

    def close(self) -> None:
        """Ends streams and node."""
        for _, subscription in self._pairs.values():
            subscription.close()
        for ring in self._plain:
            ring.close()
        self._pipe.close()
        if self._zmq is not None:
            zmq_pair.close(self._zmq)
        self._node.close()
        super().close()
