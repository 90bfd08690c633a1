"""What a process holds, and what a machine still has when everybody is dead."""

from __future__ import annotations

import gc
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """Descriptors by kind, and mappings of memfds, of this process.

    Attributes:
        descriptors: open ones.
        memfds: those of them that are memory of rdmaq's.
        mappings: of such memory.
        children: processes.
    """

    descriptors: int
    memfds: int
    mappings: int
    children: int

    @classmethod
    def of_self(cls) -> Holdings:
        """At this moment, garbage collected."""
        gc.collect()
        links = Counter(_link(path) for path in Path("/proc/self/fd").iterdir())
        maps = Path("/proc/self/maps").read_text()
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        return cls(
            descriptors=links.total() - 1,  # the one that lists them
            memfds=sum(count for link, count in links.items() if link.startswith("/memfd:rdmaq")),
            mappings=maps.count("/memfd:rdmaq"),
            children=len(children),
        )

    def check(self, who: str) -> None:
        """Raises AssertionError unless this process holds the same now."""
        now = Holdings.of_self()
        assert now == self, f"{who} holds {now}, and should hold {self}"


def _link(path: Path) -> str:
    try:
        return os.fspath(path.readlink())
    except FileNotFoundError:
        return ""


def sockets_below(folder: Path) -> list[str]:
    """UNIX sockets of the whole machine that are bound, or connected to, below the folder."""
    lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    return [line.split()[-1] for line in lines if os.fspath(folder) in line]


def machine_shared_kib() -> int:
    """Shared memory of the whole machine; others use it, too: told, not judged."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("Shmem:"):
            return int(line.split()[1])
    return 0
