"""Message blocks of ITCH 5.0 out of order steps, a batch at a time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .itch50 import BLOCK_DTYPES

# Digits of a symbol's name: AAAA, AAAB, ... as many as there are symbols.
SYMBOL_LETTERS = 4
_KIND_OF_ADD = frozenset("AFP")
_SIDES = np.array([b"B", b"S"])


class Blocks(NamedTuple):
    """Message blocks, one after the other.

    Attributes:
        data: The bytes: u16 length and message, each.
        starts: Where each block begins; one more than messages, so the last is the total.
        times_ns: Of each message, ns since midnight.
        kinds: Type byte of each message.
    """

    data: NDArray[np.uint8]
    starts: NDArray[np.int64]
    times_ns: NDArray[np.int64]
    kinds: NDArray[np.uint8]


def symbol_names(count: int) -> NDArray[np.bytes_]:
    """Makes the 8-byte names of symbols 0 to `count` - 1, space padded as ITCH wants them."""
    assert count <= 26**SYMBOL_LETTERS, "the names run out"
    names = []
    for symbol in range(count):
        letters, rest = b"", symbol
        for _ in range(SYMBOL_LETTERS):
            rest, letter = divmod(rest, 26)
            letters = bytes([ord("A") + letter]) + letters
        names.append(letters.ljust(8))
    return np.array(names, "S8")


def encode_steps(
    steps: NDArray[np.void], times_ns: NDArray[np.int64], names: NDArray[np.bytes_], match: int
) -> Blocks:
    """Encodes order steps as message blocks, in their order.

    Args:
        steps: Of `order_flow.STEP_DTYPE`.
        times_ns: One per step, ns since midnight.
        names: Of the symbols.
        match: The first match number to use, counting up by place in the batch.
    """
    kinds = steps["kind"]
    records: list[tuple[NDArray[np.int64], NDArray[np.void]]] = []
    matches = np.arange(match, match + len(steps), dtype=np.uint64)
    for kind, dtype in BLOCK_DTYPES.items():
        where = np.flatnonzero(kinds == ord(kind))
        if not len(where):
            continue
        step = steps[where]
        record = blank(kind, times_ns[where], step["symbol"] + 1)
        fields = dtype.names or ()
        record["ref"] = 0 if kind == "P" else step["ref"]
        for field in ("new_ref", "shares", "price"):
            if field in fields:
                record[field] = step[field]
        if kind in _KIND_OF_ADD:
            # A trade with a hidden order always says 'B', whatever its side was.
            record["side"] = b"B" if kind == "P" else _SIDES[step["side"]]
            record["stock"] = names[step["symbol"]]
        if "mpid" in fields:
            record["mpid"] = b"RDMQ"
        if "match" in fields:
            record["match"] = matches[where]
        if "printable" in fields:
            record["printable"] = b"Y"
        records.append((where, record))
    return assemble(records, times_ns, kinds)


def blank(
    kind: str, times_ns: NDArray[np.int64], locate: NDArray[np.integer] | int
) -> NDArray[np.void]:
    """Makes message blocks of one type with everything set that all types have."""
    record = np.zeros(len(times_ns), BLOCK_DTYPES[kind])
    record["length"] = record.dtype.itemsize - 2
    record["type"] = kind.encode()
    record["locate"] = locate
    record["time_high"] = times_ns >> 32
    record["time_low"] = times_ns & 0xFFFF_FFFF
    return record


def assemble(
    records: list[tuple[NDArray[np.int64], NDArray[np.void]]],
    times_ns: NDArray[np.int64],
    kinds: NDArray[np.uint8],
) -> Blocks:
    """Puts records of several types, each with its places, into one run of bytes."""
    sizes = np.zeros(len(times_ns), np.int64)
    for where, record in records:
        sizes[where] = record.dtype.itemsize
    starts = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=starts[1:])
    data = np.empty(int(starts[-1]), np.uint8)
    for where, record in records:
        size = record.dtype.itemsize
        data[starts[where][:, None] + np.arange(size)] = record.view(np.uint8).reshape(-1, size)
    return Blocks(data, starts, times_ns, kinds)
