"""What hostile readers cost their publisher's `send`, measured against readers that do nothing.

    scripts/stress hostile [--samples 60] [--readers 1 --readers 16]

One process of hostile readers for each kind; all but the measured one are stopped, in turns,
so that a noisy machine disturbs all kinds alike. Printed: ns per send of a 32-byte record from C,
median and quartiles, and wakes a second. A wake is a system call of the publisher's; each reader
may cause one per 3 us (csrc/ring/wake.h), and beyond that nothing.
"""

from __future__ import annotations

import argparse
import mmap
import os
import signal
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # who forks has one thread

import numpy as np

import rdmaq
from rdmaq import _fast
from rdmaq.shm import dial
from tests.stress._board import ffi, lib

_NAME = "hostile"
_RECORD = np.dtype((np.void, 32))
_SENDS = 200_000
_COLOURS, _COLOUR_BYTES, _WAITING_BYTES = 8, 512, 128  # csrc/ring/layout.h
_KINDS = ("do nothing", "ask for the futex", "ask for a byte", "store beside it", "punch holes")
_SETTLE_SECONDS = 0.002


@dataclass
class Suspect:
    """A process of hostile readers of one kind."""

    kind: str
    pid: int
    send_ns: list[float] = field(default_factory=list)
    wakes_per_second: list[float] = field(default_factory=list)


def _join(reader_count: int) -> tuple[list[Any], list[int], list[Any]]:
    """Subscribes as a reader does; returns `waiting` words, control pages and their mappings."""
    with rdmaq.connect(f"local:{_NAME}", timeout=60) as peer:
        peer.subscribe("s", timeout=60).close()  # it is on offer now
    words, fds, pages = [], [], []
    request = {"want": "subscribe", "stream": "s", "start": 0, "start_value": 0}
    for _ in range(reader_count):
        sock = dial.dial(_NAME, timeout=60, allow_uids=())
        answer, (_, control_fd) = dial.ask(sock, request)
        page = ffi.from_buffer("uint32_t[]", mmap.mmap(control_fd, mmap.PAGESIZE))
        offset = answer["slot"] % _COLOURS * _COLOUR_BYTES + _WAITING_BYTES
        words.append(page + offset // 4)
        pages.append(page)
        fds.append(control_fd)
        sock.detach()
    return words, fds, pages


def _pester(kind: str, reader_count: int, ready_fd: int) -> None:
    """In a child: joins, and does what its kind does until it is killed."""
    lib.board_die_with_parent()
    words, fds, _pages = _join(reader_count)
    os.write(ready_fd, b".")
    array = ffi.new("uint32_t *[]", words)
    if kind == "ask for the futex":
        lib.pester_ask(array, reader_count, 1)
    elif kind == "ask for a byte":
        lib.pester_ask(array, reader_count, 2)
    elif kind == "store beside it":
        lib.pester_store(array, reader_count)
    elif kind == "punch holes":
        lib.pester_punch(ffi.new("int[]", fds), reader_count)
    signal.pause()


def _start(kind: str, reader_count: int) -> tuple[Suspect, int]:
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _pester(kind, reader_count, write_fd)
        finally:
            os._exit(1)
    os.close(write_fd)
    return Suspect(kind, pid), read_fd


def _sample(pub: rdmaq.Publisher, suspect: Suspect, record: Any) -> None:
    os.kill(suspect.pid, signal.SIGCONT)
    time.sleep(_SETTLE_SECONDS)
    wakes, began = pub.stats.wakes, time.perf_counter()
    _fast.lib.rq_bench_publish(pub.handle, record, 1, _RECORD.itemsize, _SENDS)
    seconds = time.perf_counter() - began
    suspect.send_ns.append(seconds / _SENDS * 1e9)
    suspect.wakes_per_second.append((pub.stats.wakes - wakes) / seconds)
    os.kill(suspect.pid, signal.SIGSTOP)
    assert os.waitpid(suspect.pid, os.WUNTRACED)[1] & 0xFF == 0x7F, f"{suspect.kind}: it died"


def measure(reader_count: int, samples: int) -> list[Suspect]:
    """All kinds against one publisher, in turns."""
    started = [_start(kind, reader_count) for kind in _KINDS]
    suspects = [suspect for suspect, _ in started]
    record = _fast.ffi.new("uint8_t[]", _RECORD.itemsize)
    try:
        with rdmaq.Node(f"local:{_NAME}") as node:
            pub = node.publish("s", _RECORD, capacity="1MiB")
            for suspect, fd in started:
                assert os.read(fd, 1) == b".", f"who should {suspect.kind} failed"
                os.kill(suspect.pid, signal.SIGSTOP)
            for _ in range(samples):
                for suspect in suspects:
                    _sample(pub, suspect, record)
    finally:
        for suspect, fd in started:
            os.close(fd)
            os.kill(suspect.pid, signal.SIGKILL)
            os.waitpid(suspect.pid, 0)
    return suspects


def main() -> None:
    """Prints a table for each number of readers."""
    parser = argparse.ArgumentParser(
        prog="scripts/stress hostile",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--samples", type=int, default=60)
    parser.add_argument("--readers", type=int, action="append", help="of each kind")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rq-") as folder:
        os.environ["RDMAQ_RUNTIME_DIR"] = folder
        for reader_count in options.readers or [1, 16]:
            print(f"{reader_count} readers that ...: ns per send, quartiles; wakes per second")
            for suspect in measure(reader_count, options.samples):
                low, middle, high = statistics.quantiles(suspect.send_ns)
                wakes = statistics.median(suspect.wakes_per_second)
                print(
                    f"  {suspect.kind:<18} {middle:8.0f} ({low:.0f} to {high:.0f}); {wakes:10,.0f}"
                )


if __name__ == "__main__":
    main()
