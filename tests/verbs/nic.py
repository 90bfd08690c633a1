"""A NIC of the tests' own under rdmaq's C data path: nothing happens but what a test says."""

from __future__ import annotations

import ctypes
import functools
import itertools
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdmaq._fast import lib
from rdmaq.errors import OperationFailed
from rdmaq.verbs.fast import PostedPair, Queue

ROOT = Path(__file__).parents[2]
SENDS = 16
RECEIVES = 8
ALL = 1 << 20
SUCCESS = 0
FLUSHED = 5
REMOTE_ACCESS = 10

_numbers = itertools.count(1)


@functools.cache
def library() -> ctypes.CDLL:
    """The NIC as a shared object, built when a source is newer."""
    folder = ROOT / ".build"
    folder.mkdir(exist_ok=True)
    target = folder / "fake_nic.so"
    sources = [ROOT / "tests/verbs/nic.c", ROOT / "tests/verbs/carry.c"]
    sources.append(ROOT / "tests/c/verbs/fake_nic.c")
    inputs = [*sources, ROOT / "tests/c/verbs/fake_nic.h"]
    newest = max(path.stat().st_mtime for path in inputs)
    if not target.exists() or target.stat().st_mtime < newest:
        part = folder / f"fake_nic.{next(_numbers)}.part"
        words = ["cc", "-shared", "-fPIC", "-g", "-O1", "-Wall", "-Werror", "-o", str(part)]
        subprocess.run([*words, "-I", str(ROOT / "tests/c"), *map(str, sources)], check=True)
        part.rename(target)
    made = ctypes.CDLL(str(target))
    for name in ("nic_open_cq", "nic_open_qp"):
        getattr(made, name).restype = ctypes.c_void_p
    counts = ("nic_arms", "nic_doorbells", "nic_posted", "nic_fences", "nic_inlines", "nic_bytes")
    for name in counts:
        getattr(made, name).restype = ctypes.c_uint64
    return made


@dataclass(frozen=True)
class Place:
    """Memory that nobody touches: address and keys are all that a request has of it."""

    address: int
    length: int
    lkey: int = 1
    rkey: int = 2
    domain: object = None

    def __getitem__(self, part: slice) -> Place:
        start, length = self.address + part.start, part.stop - part.start
        return Place(start, length, self.lkey, self.rkey, self.domain)


def explain(**facts: Any) -> OperationFailed:
    return OperationFailed(
        f"{facts['opcode']} failed with {facts['status']}, unknown {facts['is_unknown']}",
        status=facts["status"],
        vendor_error=facts["vendor_error"],
        opcode=facts["opcode"],
        token=facts["token"],
    )


class End:
    """One queue pair of the NIC with rdmaq's pair on it."""

    def __init__(self, *, sends: int = SENDS, request_bytes_max: int = 1 << 20) -> None:
        nic = library()
        entry_count = sends + RECEIVES
        self.cq = ctypes.c_void_p(nic.nic_open_cq(entry_count))
        number = next(_numbers)
        self.qp = ctypes.c_void_p(nic.nic_open_qp(self.cq, number, sends, RECEIVES))
        address = {
            name: ctypes.cast(getattr(nic, name), ctypes.c_void_p).value or 0
            for name in ("fake_get_event", "fake_ack_events")
        }
        self.queue = Queue(
            cq=self.cq.value or 0,
            channel_fd=nic.nic_channel_fd(self.cq),
            get_event=address["fake_get_event"],
            ack_events=address["fake_ack_events"],
            entry_count=entry_count,
        )
        self.pair = PostedPair(
            self.queue,
            qp=self.qp.value or 0,
            send_count_max=sends,
            receive_count_max=RECEIVES,
            inline_bytes_max=64,
            request_bytes_max=request_bytes_max,
            explain=explain,
            wait_mode=lib.RQ_WAIT_SLEEP,
        )
        self.is_closed = False

    def run(self, count: int = ALL, status: int = SUCCESS) -> int:
        """The NIC carries out so many requests, the last with that status."""
        return int(library().nic_run(self.qp, count, status))

    def be_quick(self, status: int = SUCCESS) -> None:
        """From now on the NIC carries out what waits and each chain as it is posted, so ending."""
        library().nic_be_quick(self.qp, status)

    def be_slow(self) -> None:
        """From now on it does nothing by itself again."""
        library().nic_be_slow(self.qp)

    @property
    def doorbells(self) -> int:
        return int(library().nic_doorbells(self.qp))

    @property
    def posted(self) -> int:
        return int(library().nic_posted(self.qp))

    @property
    def arms(self) -> int:
        return int(library().nic_arms(self.cq))

    def post_send(self, request: Any) -> None:
        """Of pyverbs' queue pair, with a `request.wr_id`."""
        assert library().nic_post(self.qp, ctypes.c_uint64(request.wr_id)) == 0

    def refuse(self, after: int, error: int) -> None:
        library().nic_refuse(self.qp, after, error)

    def close(self) -> None:
        """In the order that a pair is closed in."""
        if self.is_closed:
            return
        self.is_closed = True
        self.pair.close()
        library().nic_fail(self.qp)
        self.run()
        assert self.pair.drain(5) == 0
        self.pair.abandon()
        library().nic_close_qp(self.qp)
        library().nic_close_cq(self.cq)

    def __enter__(self) -> End:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(one: End, other: End) -> None:
    """Their WRITE_WITH_IMM consume each other's receives."""
    library().nic_connect(one.qp, other.qp)
