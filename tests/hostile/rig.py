"""Peers that do not keep to the protocol, and the count of what must not be left behind."""

from __future__ import annotations

import array
import gc
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rdmaq._fast import ffi, lib
from rdmaq.shm import segment as segments
from rdmaq.shm.runtime import make_folder, socket_path

#: What a fake node sends for a request: the packet's bytes and the descriptors beside it.
Script = Callable[[dict[str, Any]], tuple[bytes, list[int]]]


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@contextmanager
def no_descriptor_leaks() -> Iterator[None]:
    """Fails when the block leaves more descriptors open than it found."""
    gc.collect()  # or the collector takes what an earlier test left, in the midst of this one
    before = open_descriptors()
    yield
    assert open_descriptors() == before, "descriptors were left open"


def send_raw(sock: socket.socket, packet: bytes, descriptors: list[int]) -> None:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
    sock.sendmsg([packet], rights if descriptors else [], socket.MSG_NOSIGNAL)


def packet(message: dict[str, Any]) -> bytes:
    return json.dumps({"rdmaq": 1, **message}).encode()


class FakeNode:
    """Listens at `local:NAME` and answers every request as the script says."""

    def __init__(self, name: str, script: Script) -> None:
        make_folder()
        self._script = script
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._path = socket_path(name)
        self._socket.bind(os.fspath(self._path))
        self._socket.listen(16)
        self.connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            self.connections.append(sock)
            with suppress(OSError):
                request = json.loads(sock.recv(1 << 17) or b"{}")
                send_raw(sock, *self._script(request))

    def hang_up(self) -> None:
        for sock in self.connections:
            sock.close()
        self.connections.clear()

    def __enter__(self) -> FakeNode:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
        self._path.unlink()
        self.hang_up()


class Grant:
    """A good segment with its control page, from which a test makes a bad one.

    Attributes:
        descriptors: of the segment and of the control page.
        words: what the grant's message holds.
        live: the segment's live words, writable: number 0 is the tail.
        index: its index, as bytes.
    """

    def __init__(self, *, schema_text: str = "", record_bytes: int = 0) -> None:
        self._segment, segment_fd = segments.create(
            "s",
            schema_text,
            0,
            record_bytes,
            capacity_bytes=64 << 10,
            guard_bytes=0,
            is_reliable=False,
        )
        publisher = ffi.new("struct rq_publisher **")
        assert lib.rq_publisher_open(self._segment.pointer, 1, 0, 0, publisher) == 0
        self.publisher = ffi.gc(publisher[0], lib.rq_publisher_free)
        fd, position, sequence = ffi.new("int *"), ffi.new("uint64_t *"), ffi.new("uint64_t *")
        slot = lib.rq_publisher_admit(self.publisher, 0, 0, -1, fd, position, sequence)
        self.words: dict[str, Any] = {
            "slot": slot,
            "position": position[0],
            "sequence": sequence[0],
        }
        self.descriptors = [segment_fd, fd[0]]
        data = lib.rq_segment_data(self._segment.pointer)
        self.live = ffi.cast("uint64_t *", data - (2 << 20) + (64 << 10))
        self.index = ffi.buffer(data - (2 << 20) + (192 << 10), 64 * 32)

    def answer(self, request: dict[str, Any]) -> tuple[bytes, list[int]]:
        if request.get("want") == "streams":
            return packet({"streams": []}), []
        return packet(self.words), self.descriptors

    def close(self) -> None:
        for fd in self.descriptors:
            os.close(fd)
