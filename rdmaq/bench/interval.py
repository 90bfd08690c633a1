"""How sure a median is, without a word about distributions."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb


def median_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """The narrowest pair of values that holds the true median with that confidence at least.

    By order statistics: the k-th least and the k-th largest miss it only when fewer than k of n
    independent values fall on one side of it, which is a matter of coins. Of five values or fewer
    no such pair exists; then it is the least and the most.
    """
    ordered = sorted(values)
    count = len(ordered)
    rank, missed = 0, 0.0
    while rank < count // 2:
        missed += 2 * comb(count, rank) / 2**count
        if missed > 1 - confidence:
            break
        rank += 1
    rank = max(rank, 1)
    return ordered[rank - 1], ordered[-rank]
