"""What the stress run publishes: records whose every word follows from their sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

RECORD = np.dtype([("sequence", "<u8"), ("words", "<u8", (7,))])

# Odd multipliers: a word of another record, or of this one at another place, never fits.
_FACTORS = np.arange(1, 8, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) | np.uint64(1)


def make(first: int, count: int) -> npt.NDArray[Any]:
    """Records number `first` and following."""
    records = np.empty(count, dtype=RECORD)
    sequences = np.arange(first, first + count, dtype=np.uint64)
    records["sequence"] = sequences
    records["words"] = sequences[:, None] * _FACTORS
    return records


def torn_count(records: npt.NDArray[Any], first: int) -> int:
    """How many of the records are not what was published as number `first` and following."""
    expected = make(first, len(records))
    is_right = (records["sequence"] == expected["sequence"]) & (
        records["words"] == expected["words"]
    ).all(axis=1)
    return int(len(records) - np.count_nonzero(is_right))
