"""A publisher in a process of its own, which tests may stop, kill, and start again.

    python -m tests.rdma.publishing ADDRESS INTERFACE CAPACITY PORT

Told by a line, it publishes stream "s" of records, and answers with its address. Then each line is
how many more, and is answered with the next sequence; an empty one closes the stream.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import rdmaq
from rdmaq.rig.fixtures import RdmaWire
from rdmaq.verbs.library import load
from tests.conformance.rig import TICK, ticks_of
from tests.rdma.sessions import INSECURE


class Publishing:
    """The process, as its tests hold it.

    Attributes:
        address: of its node, once it was told to begin.
    """

    address = ""

    def __init__(self, wire: RdmaWire, capacity_bytes: int, port: int = 0) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", __name__, wire.left.address, wire.left.interface,
                str(capacity_bytes), str(port),
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def begin(self) -> str:
        """Makes the node and its stream; returns the node's address."""
        self.address = self._ask("begin")
        return self.address

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the publisher ended with {self._process.wait()}"
        return line.strip()

    def send(self, count: int) -> int:
        """Publishes so many more; returns the next sequence."""
        return int(self._ask(f"{count}"))

    def stop(self) -> None:
        """SIGSTOP; returns when it stands still."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def go_on(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL; returns when it is dead. Idempotent."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Publishing:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for file in (self._process.stdin, self._process.stdout):
            assert file is not None
            file.close()


def _serve(address: str, interface: str, capacity: str, port: str) -> None:
    load()  # all that takes long, before it is asked for
    sys.stdin.readline()
    with (
        rdmaq.Node(f"{address}:{port}", credentials=INSECURE, interface=interface) as node,
        node.publish("s", TICK, capacity=int(capacity)) as pub,
    ):
        print(node.address, flush=True)
        for line in sys.stdin:
            if line == "\n":
                return
            records: Any = ticks_of(pub.next_sequence, int(line))
            pub.send_batch(records)
            print(pub.next_sequence, flush=True)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
