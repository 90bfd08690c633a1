"""The lives of synthetic orders: born, executed, reduced, replaced, deleted; references valid.

Every order follows one of a few life stories. Each of its steps comes a random number of places
after the one before it, and all steps of all orders are sorted by place. So a reference is never
used before it exists or after it is gone, whatever the sort does with strangers.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .dice import Dice

ORDERS_PER_BATCH = 8192
# How often, in 256, an order has this life; the mix comes near to a real day's.
LIVES: dict[str, int] = {
    "AD": 78,
    "A": 26,
    "AUD": 36,
    "AUUD": 14,
    "AUUU": 10,
    "AE": 26,
    "AED": 14,
    "AEE": 8,
    "AUE": 12,
    "AEUE": 6,
    "AXD": 10,
    "AXE": 6,
    "AXUD": 4,
    "AC": 3,
    "P": 3,  # a trade with an order that was never shown
}
STEPS_MAX = 4
# References of one order: its own, and one for each time it is replaced.
REFS_PER_ORDER = 4
ATTRIBUTED_OF_16 = 1
PLACES_PER_ORDER = 2
# (weight, most places) between two steps of a life: most follow soon, some much later.
LAGS = ((8, 32), (6, 2_048), (2, 65_536))
PRICE_TICK = 100  # one cent
PRICE_MIN, PRICE_MAX = 1_0000, 2_000_0000
SPREAD_TICKS_MAX = 16

# One step of one order, as the encoder needs it. Prices and shares are ITCH's integers.
STEP_DTYPE = np.dtype(
    [
        ("place", np.int64),
        ("kind", np.uint8),
        ("symbol", np.int32),
        ("side", np.uint8),
        ("ref", np.uint64),
        ("new_ref", np.uint64),
        ("shares", np.int64),
        ("price", np.int64),
        ("mpid", np.uint8),
    ]
)

_KINDS = np.array([list(life.encode().ljust(STEPS_MAX, b"\0")) for life in LIVES], np.uint8)
_WEIGHTS = np.array(list(LIVES.values()), np.int64)
assert _WEIGHTS.sum() == 256, "weights are given in 256ths"
assert max(map(len, LIVES)) <= STEPS_MAX, "a life is longer than its table"


class OrderFlow:
    """Yields batches of order steps, sorted by place, for ever.

    Args:
        seed: The same seed gives the same steps on every machine.
        symbol_count: Symbols traded; the first are by far the busiest.
    """

    def __init__(self, seed: int, symbol_count: int) -> None:
        self._dice = Dice(seed, "orders")
        popularity = 1_000_000 // (np.arange(symbol_count, dtype=np.int64) + 3)
        self._popularity = np.maximum(popularity, 1)
        self._mid_price = (10 + self._dice.below(490, symbol_count)) * 1_0000
        self._order_count = 0
        self._waiting = np.zeros(0, STEP_DTYPE)

    def __iter__(self) -> Iterator[NDArray[np.void]]:
        while True:
            steps = np.concatenate([self._waiting, self._born()])
            # Nothing born later comes before this place.
            is_due = steps["place"] < self._order_count * PLACES_PER_ORDER
            self._waiting = steps[~is_due]
            due = steps[is_due]
            yield due[np.argsort(due["place"], kind="stable")]

    def _born(self) -> NDArray[np.void]:
        """Makes a batch of orders and gives all steps of their lives, each life in order."""
        count = ORDERS_PER_BATCH
        dice = self._dice
        order = np.arange(self._order_count, self._order_count + count, dtype=np.int64)
        self._order_count += count
        steps = np.zeros((count, STEPS_MAX), STEP_DTYPE)
        kinds = _KINDS[dice.pick(_WEIGHTS, count)]
        symbol = dice.pick(self._popularity, count)
        side = dice.below(2, count)
        mid_price = self._walk(symbol)
        lots = 1 + dice.below(10, count)
        remaining = lots * 100
        ref = (order * REFS_PER_ORDER + 1).astype(np.uint64)
        place = order * PLACES_PER_ORDER
        steps["symbol"] = symbol[:, None]
        steps["side"] = side[:, None]
        steps["mpid"] = dice.below(16, count)[:, None]
        for index in range(STEPS_MAX):
            step, kind = steps[:, index], kinds[:, index]
            is_last = index + 1 == STEPS_MAX or kinds[:, index + 1] == 0
            away = (1 + dice.below(SPREAD_TICKS_MAX, count)) * PRICE_TICK
            price = np.clip(np.where(side == 0, mid_price - away, mid_price + away), 1, None)
            # A whole execution ends a life; every other one, and every cancel, takes half.
            part = np.where(is_last & (kind != ord("X")), remaining, (remaining + 1) // 2)
            is_reduced = (kind == ord("E")) | (kind == ord("C")) | (kind == ord("X"))
            is_replaced = kind == ord("U")
            fresh = (1 + dice.below(10, count)) * 100
            remaining = np.where(is_replaced, fresh, remaining)
            step["kind"] = kind
            step["place"] = place
            step["ref"] = ref
            step["new_ref"] = ref + np.uint64(1)
            step["shares"] = np.where(is_reduced, part, remaining)
            step["price"] = price
            remaining = np.where(is_reduced, remaining - part, remaining)
            ref = np.where(is_replaced, ref + np.uint64(1), ref)
            place = place + self._lags(count)
        is_attributed = (kinds[:, 0] == ord("A")) & (steps["mpid"][:, 0] < ATTRIBUTED_OF_16)
        steps["kind"][:, 0] = np.where(is_attributed, ord("F"), kinds[:, 0])
        flat: NDArray[np.void] = steps.reshape(-1)
        lived: NDArray[np.void] = flat[flat["kind"] != 0]
        return lived

    def _lags(self, count: int) -> NDArray[np.int64]:
        weights = np.array([weight for weight, _ in LAGS], np.int64)
        places_max = np.array([places for _, places in LAGS], np.int64)
        reach = places_max[self._dice.pick(weights, count)]
        return 1 + (self._dice.below(1 << 16, count) * reach >> 16)

    def _walk(self, symbol: NDArray[np.int64]) -> NDArray[np.int64]:
        """Lets the price of each order's symbol take a step, order by order, and gives it."""
        move = (self._dice.below(3, len(symbol)) - 1) * PRICE_TICK
        by_symbol = np.argsort(symbol, kind="stable")
        sorted_symbol = symbol[by_symbol]
        total = np.cumsum(move[by_symbol])
        is_first = np.ones(len(symbol), bool)
        is_first[1:] = sorted_symbol[1:] != sorted_symbol[:-1]
        firsts = np.flatnonzero(is_first)
        before = total[firsts] - move[by_symbol][firsts]
        walked = total - np.repeat(before, np.diff(np.append(firsts, len(symbol))))
        price = np.empty(len(symbol), np.int64)
        price[by_symbol] = np.clip(self._mid_price[sorted_symbol] + walked, PRICE_MIN, PRICE_MAX)
        lasts = np.append(firsts[1:], len(symbol)) - 1
        self._mid_price[sorted_symbol[firsts]] = price[by_symbol[lasts]]
        return price
