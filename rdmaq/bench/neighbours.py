"""How much of the CPUs went to others (programs, or the hypervisor) while we measured."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
#: Columns of /proc/stat's first line that are not idleness (proc(5)): user, nice, system, irq,
#: softirq, steal.
_BUSY_COLUMNS = (1, 2, 3, 6, 7, 8)


class Neighbours:
    """Counts from its making on; `share` tells how many CPUs others had on average.

    Args:
        pids: our own processes, all alive until `share` is asked.
    """

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = list(pids)
        self._began = time.monotonic()
        self._others_before = self._others_ticks()

    def share(self) -> float:
        """CPUs taken by others: 0 is a quiet machine; 10 ms is as fine as the kernel counts."""
        seconds = max(time.monotonic() - self._began, 1 / _TICKS_PER_SECOND)
        others_seconds = (self._others_ticks() - self._others_before) / _TICKS_PER_SECOND
        return max(0.0, others_seconds / seconds)

    def _others_ticks(self) -> int:
        return _busy_ticks() - sum(map(_process_ticks, self._pids))


def _busy_ticks() -> int:
    columns = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return sum(int(columns[i]) for i in _BUSY_COLUMNS)


def _process_ticks(pid: int) -> int:
    """Its utime and stime, fields 14 and 15 of proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
