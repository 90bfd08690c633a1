"""Two machines with a wire between them; what they must know of each other goes over a TCP socket.

    python -m tests.rdma.two_nodes serve ADDRESS
    python -m tests.rdma.two_nodes walk ADDRESS OPERATIONS SEED

The server's memory is the walk's target; the server answers questions about it: a digest of its
bytes, and which WRITE_WITH_IMM came.
"""

from __future__ import annotations

import hashlib
import json
import socket
import sys
import time
from contextlib import ExitStack
from typing import Any

from rdmaq import verbs
from tests.rdma.ends import ALL, PATIENT, End
from tests.rdma.walk import TARGET_BYTES, WAIT_SECONDS, Arrivals, Near, Walk

PORT = 18515
_CONNECT_SECONDS_MAX = 90.0


class Lines:
    """JSON values, one a line, both ways."""

    def __init__(self, link: socket.socket) -> None:
        self._file = link.makefile("rw", encoding="ascii")

    def send(self, value: Any) -> None:
        """One line."""
        print(json.dumps(value), file=self._file, flush=True)

    def receive(self) -> Any:
        """The next; None at the end."""
        line = self._file.readline()
        return json.loads(line) if line else None


class Far:
    """A target in another machine."""

    def __init__(self, lines: Lines, remote: verbs.RemoteMemory) -> None:
        self._lines = lines
        self.remote = remote

    def holds(self, model: bytes | bytearray) -> bool:
        """Compares digests."""
        self._lines.send("digest")
        return bool(self._lines.receive() == hashlib.sha256(model).hexdigest())

    def arrivals(self, count: int) -> Arrivals:
        """Asks for them."""
        self._lines.send(count)
        return [(imm, length) for imm, length in self._lines.receive()]


def _end(stack: ExitStack, towards: str) -> End:
    device = stack.enter_context(verbs.open(reach=towards))
    domain = stack.enter_context(device.domain())
    return End(device, domain, stack.enter_context(domain.pair(PATIENT)))


def serve(address: str) -> None:
    """Serves one walk at an address of ours."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((address, PORT)))
        link, (peer, _) = listener.accept()
        lines = Lines(stack.enter_context(link))
        end = _end(stack, peer)
        target = Near(end)
        lines.send([end.pair.address.to_bytes().hex(), target.remote.to_bytes().hex()])
        end.pair.connect(verbs.PairAddress.from_bytes(bytes.fromhex(lines.receive())))
        lines.send("connected")
        while (question := lines.receive()) is not None:
            if question == "digest":
                lines.send(hashlib.sha256(target.memory.buffer).hexdigest())
            else:
                lines.send(target.arrivals(question))


def walk(address: str, operation_count: int, seed: int) -> dict[str, Any]:
    """Walks over the memory of a server; returns what was done."""
    with ExitStack() as stack:
        lines = Lines(stack.enter_context(_dial(address)))
        end = _end(stack, address)
        pair_address, memory = (bytes.fromhex(text) for text in lines.receive())
        lines.send(end.pair.address.to_bytes().hex())
        assert lines.receive() == "connected"
        end.pair.connect(verbs.PairAddress.from_bytes(pair_address))
        remote = verbs.RemoteMemory.from_bytes(memory)
        assert remote.length == TARGET_BYTES
        one = Walk(end, Far(lines, remote), seed)
        one.run(operation_count)
        large = end.domain.register(bytearray(TARGET_BYTES), ALL)
        end.pair.read(large, remote).wait(WAIT_SECONDS)
        assert large.buffer == one.model
        return {"counts": one.counts, "device": str(end.device), "peer": str(end.pair.facts)}


def _dial(address: str) -> socket.socket:
    deadline = time.monotonic() + _CONNECT_SECONDS_MAX
    while True:
        try:
            return socket.create_connection((address, PORT))
        except OSError:  # it does not listen yet
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        print(json.dumps(walk(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
