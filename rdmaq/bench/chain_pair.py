"""A link's chain in a bare loop of C, between two queue pairs: what streams are held against."""

from __future__ import annotations

from typing import Any

import numpy as np

from rdmaq import verbs
from rdmaq._fast import error_text, ffi, lib
from rdmaq.bench.children import BenchError
from rdmaq.bench.verbs_pair import VerbsPair

_HEADER_BYTES = lib.RQ_FRAME_HEADER_BYTES
_ALIGN_BYTES = 32  # csrc/ring/layout.h: frames are padded to it
_TAIL_BYTES = 8
# The peer's tail comes in at the first word, its frames from the first page on; ours go out from
# the second half.
_RING_AT, _LEAVING_AT = 4096, 1 << 19
_FRAMES = 1024
_LIMIT_NS = 20_000_000_000


def frame_bytes(message_bytes: int) -> int:
    """What a message takes in a ring."""
    return _HEADER_BYTES + -(-message_bytes // _ALIGN_BYTES) * _ALIGN_BYTES


class ChainPair(VerbsPair):
    """One end: a frame's WRITE and an inline one of the tail, one doorbell, a spinning receiver."""

    def play(self, message_bytes: int, count: int, *, is_first: bool) -> Any:
        """Round trips in ns, of frames as a link would send them."""
        size = frame_bytes(message_bytes)
        requests = self.pair.requests(2, keep=self.memory)
        array = requests.array
        array["opcode"] = verbs.Requests.WRITE
        array["length_bytes"] = size, _TAIL_BYTES
        array["local_address"] = self.memory.address + np.array(
            [_LEAVING_AT + _RING_AT, _LEAVING_AT], np.uint64
        )
        array["local_key"] = self.memory.lkey
        array["remote_address"] = self.remote.address + np.array([_RING_AT, 0], np.uint64)
        array["remote_key"] = self.remote.rkey
        own = ffi.cast("uint8_t *", self.memory.address)
        chain = ffi.new("struct rq_bench_chain *")
        chain.ops = requests.pointer
        chain.ring = own + _RING_AT
        chain.arriving = ffi.cast("uint64_t *", own)
        chain.frame_bytes = size
        chain.ring_bytes = min(_FRAMES, (_LEAVING_AT - _RING_AT) // size) * size
        chain.first_tail = self._first_number * size
        chain.is_first = int(is_first)
        self._first_number += count
        times = np.zeros(count, np.uint64)
        done = lib.rq_bench_chain_ping(
            self._pair_handle,
            self._cq_handle,
            chain,
            count,
            _LIMIT_NS,
            ffi.from_buffer("uint64_t *", times),
        )
        if done < count:
            what = error_text(done) if done < 0 else f"{done} of {count} done in 20 s"
            raise BenchError(
                f"the loop in C that posts a link's chain ended with {what}: do the two devices "
                "reach each other? On a busy machine use fewer --count"
            )
        return times
