"""Random numbers that are the same on every machine, for ever.

numpy may change the streams of its generators between versions, and floating-point functions
differ between machines. This is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom
number generators", OOPSLA 2014) over a counter, in 64-bit integers only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E37_79B9_7F4A_7C15)
_MIX_1 = np.uint64(0xBF58_476D_1CE4_E5B9)
_MIX_2 = np.uint64(0x94D0_49BB_1331_11EB)
BOUND_MAX = 1 << 32


class Dice:
    """A stream of random integers, given by its seed and its name.

    Args:
        seed: Any integer; its lowest 64 bits count.
        name: Streams of different names have nothing in common.
    """

    def __init__(self, seed: int, name: str) -> None:
        start = seed & 0xFFFF_FFFF_FFFF_FFFF
        for byte in name.encode():
            start = int(_mixed(np.array([start ^ byte], np.uint64))[0])
        self._next = np.uint64(start)

    def draw(self, count: int) -> NDArray[np.uint64]:
        """Draws `count` numbers of 64 random bits each."""
        with np.errstate(over="ignore"):
            steps = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN + self._next
            self._next = self._next + np.uint64(count) * _GOLDEN
        return _mixed(steps)

    def below(self, bound: int, count: int) -> NDArray[np.int64]:
        """Draws `count` integers from 0 to `bound` - 1; bound at most 2**32."""
        assert 1 <= bound <= BOUND_MAX, "a bound has 32 bits"
        high = self.draw(count) >> np.uint64(32)
        return ((high * np.uint64(bound)) >> np.uint64(32)).astype(np.int64)

    def pick(self, weights: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """Draws `count` indices, each as often as its integer weight says."""
        ends = np.cumsum(weights)
        return np.searchsorted(ends, self.below(int(ends[-1]), count), side="right")


def _mixed(steps: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mixed = (steps ^ (steps >> np.uint64(30))) * _MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
    return mixed ^ (mixed >> np.uint64(31))
