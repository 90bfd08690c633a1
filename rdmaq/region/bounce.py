"""The registered buffer that a region's bytes pass through, and the chains that it is used by.

The user's arrays are not registered: it costs more than a copy (20 ms per MiB on SoftRoCE), and
what is not registered cannot be lent to the NIC longer than a call takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rdmaq._fast import ffi, lib
from rdmaq.region.grant import TABLE, RegionInfo
from rdmaq.region.selection import address_of

if TYPE_CHECKING:
    from rdmaq.region.session import Session
    from rdmaq.verbs import Requests

_ALIGN_BYTES = lib.RQ_CHAIN_ALIGN_BYTES
_BUFFER_BYTES_MIN, _BUFFER_BYTES_MAX = 16 << 10, 512 << 10
_COPIES = 3  # of a window of rows
_COPY_BYTES_MAX = 128 << 10  # beyond one row


@dataclass(slots=True)
class Part:
    """Room for one chain: requests, and a piece of the buffer.

    Attributes:
        c: struct rq_chain_part.
        requests: as many as a chain may have.
    """

    c: Any
    requests: Requests


class Bounce:
    """A channel's buffer, its requests, and where the region is.

    Args:
        session: whose domain registers the buffer.
        info: the region.
        access: RQ_ACCESS_* of this side.

    Attributes:
        chain: struct rq_chain.
        whole: all of it, for what goes as one chain.
        halves: two of them, for what takes longer: one is filled while the other is in flight.
        fetch: struct rq_fetch, of a table.
        window_rows: rows that are fetched together, of a table.
    """

    def __init__(self, session: Session, info: RegionInfo, access: int) -> None:
        key, pair = session.key(), session.pair
        depth = pair.settings.send_depth
        self.window_rows = 0
        if info.kind == TABLE:
            row_bytes = int(lib.rq_fetch_row_bytes(info.dtype.itemsize))
            together = max(row_bytes, min(info.data_bytes, _COPY_BYTES_MAX))
            per_row = int(lib.rq_fetch_row_requests(info.dtype.itemsize))
            self.window_rows = min(together // row_bytes, depth // per_row)
            size_bytes = _COPIES * self.window_rows * row_bytes
        else:
            size_bytes = min(max(2 * info.data_bytes, _BUFFER_BYTES_MIN), _BUFFER_BYTES_MAX)
            size_bytes -= size_bytes % (2 * _ALIGN_BYTES)
        # Kept beside the registration: who copies out of it when another thread closes goes on.
        self._raw = raw = np.zeros(size_bytes + _ALIGN_BYTES, np.uint8)
        skip = -address_of(raw) % _ALIGN_BYTES
        self.memory = session.domain.register(raw[skip : skip + size_bytes])
        address = self.memory.address
        self.chain = ffi.new(
            "struct rq_chain *",
            {
                "remote_address": key.address,
                "remote_bytes": key.length,
                "remote_key": key.rkey,
                "local_key": self.memory.lkey,
                "access": access,
                "inline_bytes_max": pair.attributes.inline_bytes,
            },
        )
        half_bytes, half_depth = size_bytes // 2, max(depth // 2, 1)
        self.whole = self._part(session, address, size_bytes, depth)
        self.halves: tuple[Part, ...] = ()
        if info.kind != TABLE:
            self.halves = tuple(
                self._part(session, address + half * half_bytes, half_bytes, half_depth)
                for half in range(2)
            )
        self.fetch = ffi.new(
            "struct rq_fetch *",
            {
                "copy_address": address,
                "copy_bytes": size_bytes // _COPIES,
                "request_count_max": depth,
            },
        )
        self.pending = np.zeros(self.window_rows, np.uint32)
        self.needs = ffi.new("struct rq_chain_needs *")

    def _part(self, session: Session, address: int, size_bytes: int, depth: int) -> Part:
        c = ffi.new(
            "struct rq_chain_part *",
            {"buffer_address": address, "buffer_bytes": size_bytes, "request_count_max": depth},
        )
        return Part(c, session.pair.requests(depth, keep=self.memory))

    @property
    def is_one_chain(self) -> bool:
        """Whether what was checked last goes as one chain."""
        c, needs = self.whole.c, self.needs
        return bool(
            needs.buffer_bytes <= c.buffer_bytes and needs.request_count <= c.request_count_max
        )

    def close(self) -> None:
        """Deregisters it; nothing may be in flight."""
        self.memory.close()
