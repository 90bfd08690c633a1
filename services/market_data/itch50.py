"""Nasdaq TotalView-ITCH 5.0: lengths of the messages, and records of those the synthetic feed has.

Source: NQTVITCHSpecification (Nasdaq, 2023-04-28). Retail interest (N) and direct listing (O)
came after 2018 and more will: a message of an unknown type is passed on by its length, and
counted under its own letter.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

# Message length in bytes, the type byte included, by type.
MESSAGE_BYTES: Mapping[str, int] = {
    "S": 12,  # system event
    "R": 39,  # stock directory
    "H": 25,  # stock trading action
    "Y": 20,  # Reg SHO restriction
    "L": 26,  # market participant position
    "V": 35,  # market-wide circuit breaker: decline levels
    "W": 12,  # market-wide circuit breaker: status
    "K": 28,  # quoting period update
    "J": 35,  # auction collar
    "h": 21,  # operational halt
    "A": 36,  # add order
    "F": 40,  # add order with attribution
    "E": 31,  # order executed
    "C": 36,  # order executed with price
    "X": 23,  # order cancelled in part
    "D": 19,  # order deleted
    "U": 35,  # order replaced
    "P": 44,  # trade with a hidden order
    "Q": 40,  # cross trade
    "B": 19,  # broken trade
    "I": 50,  # net order imbalance
    "N": 20,  # retail interest
    "O": 48,  # direct listing with capital raise
}
# Counted under this name where a type would stand: a legal message without a single byte.
EMPTY_MESSAGE = "empty"
# Price fields are integers in units of 1/10,000 dollar.
PRICE_UNITS_PER_DOLLAR = 10_000

_HEAD = [("length", ">u2"), ("type", "S1"), ("locate", ">u2"), ("tracking", ">u2")]
_TIME = [("time_high", ">u2"), ("time_low", ">u4")]  # 48 bits of ns since midnight
_ADD = [("ref", ">u8"), ("side", "S1"), ("shares", ">u4"), ("stock", "S8"), ("price", ">u4")]
_BODIES: Mapping[str, list[tuple[str, str]]] = {
    "S": [("event", "S1")],
    "R": [
        ("stock", "S8"),
        ("market_category", "S1"),
        ("financial_status", "S1"),
        ("lot_shares", ">u4"),
        ("lots_only", "S1"),
        ("classification", "S1"),
        ("subtype", "S2"),
        ("authentic", "S1"),
        ("short_sale_threshold", "S1"),
        ("ipo", "S1"),
        ("luld_tier", "S1"),
        ("etp", "S1"),
        ("etp_leverage", ">u4"),
        ("inverse", "S1"),
    ],
    "H": [("stock", "S8"), ("state", "S1"), ("reserved", "S1"), ("reason", "S4")],
    "A": _ADD,
    "F": [*_ADD, ("mpid", "S4")],
    "E": [("ref", ">u8"), ("shares", ">u4"), ("match", ">u8")],
    "C": [
        ("ref", ">u8"),
        ("shares", ">u4"),
        ("match", ">u8"),
        ("printable", "S1"),
        ("price", ">u4"),
    ],
    "X": [("ref", ">u8"), ("shares", ">u4")],
    "D": [("ref", ">u8")],
    "U": [("ref", ">u8"), ("new_ref", ">u8"), ("shares", ">u4"), ("price", ">u4")],
    "P": [*_ADD, ("match", ">u8")],
}

# A MoldUDP64 message block of each type: its length prefix, then the message.
BLOCK_DTYPES: Mapping[str, np.dtype[np.void]] = {
    kind: np.dtype([*_HEAD, *_TIME, *body]) for kind, body in _BODIES.items()
}


def count_by_type(
    data: NDArray[np.uint8], offsets: NDArray[np.integer], counts: NDArray[np.int64]
) -> int:
    """Adds messages to a count by their first byte, without a Python step per message.

    Args:
        data: The messages, one after the other.
        offsets: Where each begins in `data`, and where the last one ends: one more than messages.
        counts: 256 counts, by type byte; increased in place.

    Returns:
        How many messages have no byte and thus no type.
    """
    filled = offsets[:-1][np.diff(offsets) > 0]
    counts += np.bincount(data[filled], minlength=256)
    return len(offsets) - 1 - len(filled)


def named_counts(counts: NDArray[np.int64], empty: int) -> dict[str, int]:
    """Turns counts by type byte into counts by letter; bytes that are no letter appear as hex."""
    named = {
        chr(kind) if 0x21 <= kind < 0x7F else f"0x{kind:02x}": int(counts[kind])
        for kind in np.flatnonzero(counts)
    }
    if empty:
        named[EMPTY_MESSAGE] = empty
    return named
