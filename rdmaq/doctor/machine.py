"""What doctor looks at: files of the kernel's, programs, limits, and what Python finds.

Tests give another root, other answers, other limits.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import resource
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from rdmaq.doctor import kernel_clock
from rdmaq.verbs import devices, library
from rdmaq.verbs.devices import Port

PACKAGES = ("numpy", "cffi", "grpcio", "grpcio-health-checking", "protobuf", "cryptography")
_CAP_IPC_LOCK = 1 << 14  # linux/capability.h
_PROGRAM_SECONDS_MAX = 10.0


@dataclass(frozen=True)
class Machine:
    """One machine; ports are looked at once, so take a new one for a new look.

    Attributes:
        root: below which /proc, /sys, /dev and /usr stand.
        memlock: soft and hard limit of locked memory in bytes; None: as this process has it. -1: no
            limit.
        absent: packages that count as not installed.
        answers: what programs print, by their name, for one that runs none; None: run them.
        is_synchronised: whether the clock is; None: ask the kernel.
    """

    root: Path = Path("/")
    memlock: tuple[int, int] | None = None
    absent: frozenset[str] = field(default_factory=frozenset)
    answers: Mapping[str, str] | None = None
    is_synchronised: bool | None = None

    @property
    def is_real(self) -> bool:
        """Whether it is the one that we run on: then devices can be opened."""
        return self.root == Path("/")

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

    def may_open(self, path: str) -> bool:
        """Whether this process may read and write a file."""
        return os.access(self.root / path, os.R_OK | os.W_OK)

    def may_read(self, path: str) -> bool:
        """Whether this process may read a file."""
        return os.access(self.root / path, os.R_OK)

    @cached_property
    def ports(self) -> list[Port]:
        """Its RDMA ports: a table of GIDs may have a thousand files."""
        return devices.ports(self.root / "sys/class")

    def interface_is_up(self, name: str) -> bool:
        """Whether a network interface was switched on (IFF_UP), whatever is at its other end."""
        flags = self.text(f"sys/class/net/{name}/flags")
        return bool(int(flags, 16) & 1) if flags else False

    def interface_mtu_bytes(self, name: str) -> int:
        """The largest packet of a network interface; 0: there is none of that name."""
        mtu = self.text(f"sys/class/net/{name}/mtu")
        return int(mtu) if mtu.isdecimal() else 0

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

    def may_lock_all(self) -> bool:
        """Whether the limit of locked memory does not bind this process (CAP_IPC_LOCK)."""
        for line in self.text("proc/self/status").splitlines():
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) & _CAP_IPC_LOCK)
        return False

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
            (self.root / folder.relative_to("/") / "pyverbs" / "__init__.py").is_file()
            for folder in library.FOLDERS
        )

    def modules(self) -> set[str]:
        """Kernel modules that are loaded or built in; of the latter few have a folder in /sys."""
        release = self.text("proc/sys/kernel/osrelease")
        built_in = self.text(f"lib/modules/{release}/modules.builtin").splitlines()
        names = {line.rpartition("/")[2].partition(".ko")[0].replace("-", "_") for line in built_in}
        return names | set(self.names("sys/module"))

    def clock_is_synchronised(self) -> bool:
        """Whether something keeps the clock to the time of day."""
        if self.is_synchronised is not None:
            return self.is_synchronised
        return kernel_clock.is_synchronised()

    def has_program(self, name: str) -> bool:
        """Whether a program is installed."""
        if self.answers is not None:
            return name in self.answers
        return _program(name) is not None

    def output(self, words: Sequence[str]) -> str | None:
        """What a program prints; None where it is absent, refuses, or does not end."""
        if self.answers is not None:
            return self.answers.get(words[0])
        program = _program(words[0])
        if program is None:
            return None
        try:
            answer = subprocess.run(  # noqa: S603 - words of ours, none of a user's
                [program, *words[1:]],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_PROGRAM_SECONDS_MAX,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return answer.stdout if answer.returncode == 0 else None


def _program(name: str) -> str | None:
    # An ordinary user's PATH has not the folders where such tools are.
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
