"""What this machine is and has left, as the rig sees it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
KVM_DEVICE = Path("/dev/kvm")
_CGROUPS = Path("/sys/fs/cgroup")


def host_is_debian() -> bool:
    """Whether packages can be fetched here as on Debian or Ubuntu."""
    try:
        text = Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return False
    words = [
        word
        for line in text.splitlines()
        if line.startswith(("ID=", "ID_LIKE="))
        for word in line.partition("=")[2].strip("\"'").split()
    ]
    return bool({"debian", "ubuntu"} & set(words))


def _cgroups() -> Iterator[Path]:
    """Yield our control group (version 2) and those above it."""
    try:
        text = Path("/proc/self/cgroup").read_text(encoding="utf-8")
    except OSError:
        return
    for line in text.splitlines():
        if line.startswith("0::"):
            folder = _CGROUPS / line.removeprefix("0::").strip().lstrip("/")
            yield from (f for f in (folder, *folder.parents) if f.is_relative_to(_CGROUPS))


def _room_in_cgroup(folder: Path) -> int | None:
    """Return how many bytes a control group may still use, or None: no limit, or none known."""
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = int((folder / "memory.current").read_text(encoding="ascii"))
        text = (folder / "memory.stat").read_text(encoding="ascii")
    except OSError:
        return None
    if limit == "max":
        return None
    # Files that were read count as used, and are given up when there is need.
    cached = sum(
        int(line.split()[1]) for line in text.splitlines() if line.startswith("inactive_f")
    )
    return max(0, int(limit) - used + cached)


def memory_available_mib() -> int:
    """Return how much memory can be had here, within the limits of control groups (containers)."""
    available = 0
    for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
    rooms = [room for room in map(_room_in_cgroup, _cgroups()) if room is not None]
    return min([available, *rooms]) >> 20


def disk_free_mib(path: Path) -> int:
    """Return the space left where `path` is, or would be."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free >> 20


def kvm_may_work(refused: Path) -> bool:
    """Whether KVM is worth a trial: the processor has it, we may open it, and no trial failed.

    Args:
        refused: where `note_kvm_refused` notes that a trial failed; it counts until the next boot.
    """
    text = CPU_INFO.read_text(encoding="utf-8")
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "").split()
    if not {"vmx", "svm"} & set(flags) or not os.access(KVM_DEVICE, os.R_OK | os.W_OK):
        return False
    try:
        return refused.read_text(encoding="ascii") != _boot_id()
    except OSError:
        return True


def note_kvm_refused(refused: Path) -> None:
    """Note that KVM is offered but boots no guest, so that no later rig waits for that again."""
    with contextlib.suppress(OSError):
        refused.write_text(_boot_id(), encoding="ascii")


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
