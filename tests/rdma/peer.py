"""A peer in a process of its own: forked before any device is open, so it costs no start-up."""

from __future__ import annotations

import os
import signal
import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rdmaq import verbs
from rdmaq.rig.devices import RdmaDevice
from tests.rdma.ends import ALL, opened

_MESSAGE_BYTES_MAX = 256


@dataclass
class Peer:
    """The other process: what it told of itself, and how to reach it.

    Attributes:
        address: of its queue pair.
        memory: open to all access.
    """

    pid: int
    link: socket.socket
    address: verbs.PairAddress
    memory: verbs.RemoteMemory

    def connect(self, pair: verbs.Pair) -> None:
        """Connect our pair to the peer's, and the peer's to ours."""
        self.link.send(pair.address.to_bytes())
        pair.connect(self.address)
        assert self.link.recv(_MESSAGE_BYTES_MAX) == b"connected"

    def kill(self) -> None:
        """End it as a crash would: nothing of it runs any more."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.pid = 0


def _serve(link: socket.socket, port: RdmaDevice, settings: verbs.PairSettings, size: int) -> None:
    with opened(port) as device, device.domain() as domain, domain.pair(settings) as pair:
        memory = domain.register(bytearray(size), ALL)
        link.send(pair.address.to_bytes())
        link.send(memory.remote.to_bytes())
        pair.connect(verbs.PairAddress.from_bytes(link.recv(_MESSAGE_BYTES_MAX)))
        link.send(b"connected")
        link.recv(_MESSAGE_BYTES_MAX)  # until the other side is done


@contextmanager
def peer(
    port: RdmaDevice, settings: verbs.PairSettings, size_bytes: int = 1 << 16
) -> Iterator[Peer]:
    """Another process with a pair and memory at one end of the wire."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        here.close()
        try:
            _serve(there, port, settings, size_bytes)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    there.close()
    with here:
        found = Peer(
            pid,
            here,
            verbs.PairAddress.from_bytes(here.recv(_MESSAGE_BYTES_MAX)),
            verbs.RemoteMemory.from_bytes(here.recv(_MESSAGE_BYTES_MAX)),
        )
        try:
            yield found
        finally:
            if found.pid:
                found.kill()
