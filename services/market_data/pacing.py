"""Publishing at the pace of the capture, or a multiple of it, without burning a processor."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from .errors import OptionError

# What is due within this time goes out now: a system call for each would cost more than it gains.
GRAIN_NS = 100_000
# Waking from a sleep takes some tens of microseconds; the end of a wait is spun.
SPIN_NS = 20_000
SPEED_MIN, SPEED_MAX = 1e-6, 1e9
# Long pauses are slept in slices, and `idle` is called between them.
SLICE_NS = 250_000_000


class Pacer:
    """Waits until the moment at which something captured is due.

    Args:
        speed: 1 is the capture's own pace, 2 twice as fast; None never waits.
        idle: Called about four times a second during long waits.
        clock_ns: Monotonic time, ns.
        sleep: Sleeps for so many seconds.
    """

    def __init__(
        self,
        speed: float | None,
        idle: Callable[[], None] = lambda: None,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._speed = speed
        self._idle = idle
        self._clock_ns = clock_ns
        self._sleep = sleep
        self._origin: tuple[int, int] | None = None

    def restarted(self) -> Pacer:
        """Gives a pacer of the same speed whose first call sets the pace anew."""
        return Pacer(self._speed, self._idle, clock_ns=self._clock_ns, sleep=self._sleep)

    def wait_until(self, capture_ns: int) -> None:
        """Returns when the moment `capture_ns` of the capture has come, at most 0.1 ms early.

        The first call sets the pace: it returns at once.
        """
        if self._speed is None:
            return
        if self._origin is None:
            self._origin = (capture_ns, self._clock_ns())
        first_ns, started_ns = self._origin
        due_ns = started_ns + int((capture_ns - first_ns) / self._speed)
        if due_ns - self._clock_ns() <= GRAIN_NS:
            return
        while (left_ns := due_ns - self._clock_ns()) > SPIN_NS:
            self._sleep(min(left_ns - SPIN_NS, SLICE_NS) / 1e9)
            if left_ns > SLICE_NS:
                self._idle()
        while self._clock_ns() < due_ns:
            pass


def parse_speed(text: str) -> float | None:
    """Reads `--speed`: "max" gives None, a number itself.

    Raises:
        OptionError: It is neither.
    """
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not SPEED_MIN <= speed <= SPEED_MAX:  # nan fails, too
        raise OptionError(
            f"--speed {text}",
            f"a speed is max, or a number from {SPEED_MIN:f} to {SPEED_MAX:,.0f}",
            "give --speed max, or for instance --speed 1 for the capture's own pace",
        )
    return speed
