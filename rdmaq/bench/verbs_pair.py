"""One end of the verbs benchmark: device, memory, queue pair, and its loops in C and in Python."""

from __future__ import annotations

import time
from contextlib import ExitStack
from itertools import repeat
from typing import Any

import numpy as np

from rdmaq import verbs
from rdmaq._fast import error_text, ffi, lib
from rdmaq.bench.children import BenchError

LIMIT_NS = 60_000_000_000
DEPTH = 128
CHAIN = 64
BULK_BYTES = 65_536
BULK_DEPTH = 16
_MEMORY_BYTES = 1 << 20
_WORD_BYTES = 8
# A page's first word is what the peer writes into; ours goes out from the next page on.
_LEAVING_AT = 4096


class VerbsPair:
    """A connected queue pair that spins, as perftest does, and memory at both ends.

    Args:
        device: by name.
        gid_index: which GID.
    """

    def __init__(self, device: str, gid_index: int) -> None:
        self._stack = ExitStack()
        try:
            opened = self._stack.enter_context(verbs.open(device, gid_index=gid_index))
            domain = self._stack.enter_context(opened.domain())
            self.buffer = np.zeros(_MEMORY_BYTES, np.uint8)
            access = verbs.Access.REMOTE_READ | verbs.Access.REMOTE_WRITE
            self.memory = domain.register(self.buffer, access)
            settings = verbs.PairSettings(
                send_depth=DEPTH, receive_depth=0, inline_bytes=64, wait="spin"
            )
            self.pair = domain.pair(settings)
        except BaseException:
            self._stack.close()
            raise
        self._words = self.buffer.view(np.uint64)
        self._first_number = 1

    def introduce(self) -> tuple[bytes, bytes]:
        """What the peer must know."""
        return self.pair.address.to_bytes(), self.memory.remote.to_bytes()

    def connect(self, address: bytes, memory: bytes) -> None:
        """Connects to what the peer's `introduce` said."""
        self.remote = verbs.RemoteMemory.from_bytes(memory)
        self.pair.connect(verbs.PairAddress.from_bytes(address))
        posted = self.pair._posted
        assert posted is not None
        self._pair_handle, self._cq_handle = posted._handle, posted._queue.handle

    def _request(self, opcode: int, size: int, count: int = 1) -> verbs.Requests:
        requests = self.pair.requests(count, keep=self.memory)
        array = requests.array
        array["opcode"] = opcode
        array["length_bytes"] = size
        array["local_address"] = self.memory.address + _LEAVING_AT
        array["local_key"] = self.memory.lkey
        array["remote_address"] = self.remote.address
        array["remote_key"] = self.remote.rkey
        return requests

    # ---- WRITE, 8 bytes to and fro ----

    def ping_in_c(self, count: int, *, is_first: bool) -> Any:
        """Round trips in ns, by the C loop."""
        words = ffi.new("struct rq_bench_words *")
        words.op = self._request(verbs.Requests.WRITE, _WORD_BYTES).pointer[0]
        words.leaving = ffi.cast("uint64_t *", self.memory.address + _LEAVING_AT)
        words.arriving = ffi.cast("uint64_t *", self.memory.address)
        words.first_number, words.is_first = self._first_number, int(is_first)
        self._first_number += count
        times = np.zeros(count, np.uint64)
        done = lib.rq_bench_verbs_ping(
            self._pair_handle, self._cq_handle, words, count, LIMIT_NS, _pointer(times)
        )
        return times[: _whole(done, count)]

    def ping_in_python(self, count: int, *, is_first: bool) -> Any:
        """The same, each WRITE by itself from Python; the request is made once, as in perftest."""
        clock, run, words = time.perf_counter_ns, self.pair.run, memoryview(self._words)
        request, at = self._request(verbs.Requests.WRITE, _WORD_BYTES), _LEAVING_AT // _WORD_BYTES
        deadline = time.monotonic() + LIMIT_NS / 1e9
        stamps = [clock()]
        for number in range(self._first_number, self._first_number + count):
            if not is_first:
                _wait_for(words, number, deadline)
            words[at] = number
            run(request)
            if is_first:
                _wait_for(words, number, deadline)
            stamps.append(clock())
        self._first_number += count
        return np.diff(stamps)

    # ---- READ, 8 bytes ----

    def reads_in_c(self, count: int) -> Any:
        """What each READ took, in ns, by the C loop."""
        times = np.zeros(count, np.uint64)
        request = self._request(verbs.Requests.READ, _WORD_BYTES)
        done = lib.rq_bench_verbs_each(
            self._pair_handle, self._cq_handle, request.pointer, count, LIMIT_NS, _pointer(times)
        )
        return times[: _whole(done, count)]

    def reads_in_python(self, count: int) -> Any:
        """The same, each by itself from Python."""
        clock, run = time.perf_counter_ns, self.pair.run
        request = self._request(verbs.Requests.READ, _WORD_BYTES)
        stamps = [clock()]
        for _ in repeat(None, count):
            run(request)
            stamps.append(clock())
        return np.diff(stamps)

    # ---- WRITEs in a stream ----

    def stream_in_c(self, *, size: int, chain: int, depth: int, count: int) -> int:
        """How long `count` WRITEs took, in ns, by the C loop."""
        requests = self._request(verbs.Requests.WRITE, size, chain)
        began_ns = time.perf_counter_ns()
        done = lib.rq_bench_verbs_stream(
            self._pair_handle, self._cq_handle, requests.pointer, chain, depth, count, LIMIT_NS
        )
        elapsed_ns = time.perf_counter_ns() - began_ns
        _whole(done, count)
        return elapsed_ns

    def stream_in_python(self, *, size: int, chain: int, depth: int, count: int) -> int:
        """The same from Python: chain after chain, waiting for the oldest when `depth` is full."""
        requests, post = self._request(verbs.Requests.WRITE, size, chain), self.pair.post
        chains = depth // chain
        began_ns = time.perf_counter_ns()
        in_flight = [post(requests) for _ in range(min(chains, count // chain))]
        for number in range(count // chain - len(in_flight)):
            at = number % chains
            in_flight[at].wait()
            in_flight[at] = post(requests)
        for operation in in_flight:
            operation.wait()
        return time.perf_counter_ns() - began_ns

    def close(self) -> None:
        """Pair, memory, domain and device, in that order."""
        self._stack.close()


def _pointer(times: Any) -> Any:
    return ffi.from_buffer("uint64_t *", times)


def _whole(done: int, count: int) -> int:
    if done < 0:
        raise BenchError(
            f"a loop in C ended in {error_text(done)}: do the two devices reach each other?"
        )
    if done < count:
        raise BenchError(
            f"a loop in C got {done} of {count} done in {LIMIT_NS / 1e9:.0f} s: the machine is too "
            "busy; wait, or use fewer --count"
        )
    return count


def _wait_for(words: memoryview, number: int, deadline: float) -> None:
    while words[0] != number:
        if time.monotonic() > deadline:
            raise BenchError(
                f"the peer's WRITE did not arrive in {LIMIT_NS / 1e9:.0f} s: the machine is too "
                "busy; wait, or use fewer --count"
            )
