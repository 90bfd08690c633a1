"""What doctor looks at: files of the kernel's and what Python finds. Tests give another root."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import resource
from dataclasses import dataclass, field
from pathlib import Path

PACKAGES = ("numpy", "cffi", "grpcio", "grpcio-health-checking", "protobuf", "cryptography")
_VERBS_FOLDERS = (
    "usr/lib/python3/dist-packages/pyverbs",
    "usr/lib64/python3/site-packages/pyverbs",
)


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine.

    Attributes:
        root: below which /proc, /sys and /usr stand.
        memlock: soft and hard limit of locked memory in bytes; None: as this process has it. -1: no
            limit.
        absent: packages that count as not installed.
    """

    root: Path = Path("/")
    memlock: tuple[int, int] | None = None
    absent: frozenset[str] = field(default_factory=frozenset)

    def text(self, path: str) -> str:
        """A file's content, without the blanks around it; "" when it cannot be read."""
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return ""

    def names(self, path: str) -> list[str]:
        """What stands in a folder; nothing when it cannot be read."""
        try:
            return sorted(entry.name for entry in (self.root / path).iterdir())
        except OSError:
            return []

    def meminfo(self, name: str) -> int:
        """A number of /proc/meminfo: bytes where it has a unit; 0 when it is not there."""
        for line in self.text("proc/meminfo").splitlines():
            key, _, rest = line.partition(":")
            if key == name:
                number, *unit = rest.split()
                return int(number) * (1024 if unit else 1)
        return 0

    def memlock_bytes(self) -> tuple[int, int]:
        """Soft and hard limit of locked memory; -1: no limit."""
        if self.memlock is not None:
            return self.memlock
        soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        return soft, hard

    def package(self, name: str) -> str:
        """An installed package's version, or "" when it is not."""
        if name in self.absent:
            return ""
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return ""

    def has_pyverbs(self) -> bool:
        """Whether rdma-core's Python package is here, Python's own or the distribution's."""
        if "pyverbs" in self.absent:
            return False
        return importlib.util.find_spec("pyverbs") is not None or any(
            (self.root / folder).is_dir() for folder in _VERBS_FOLDERS
        )

    def modules(self) -> set[str]:
        """Kernel modules that are loaded or built in, by their folder in /sys."""
        return set(self.names("sys/module"))
