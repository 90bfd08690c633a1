"""Checks what a rig needs of this machine, all of it before anything starts."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from rdmaq.rig.errors import MissingPrerequisite
from rdmaq.rig.qemu import MEMORY_MIB, QEMU

# While an image is made: packages (110 MB), unpacked (120), kernel and initramfs (90); a snapshot
# holds what the guest has touched of its memory (some 300).
DISK_MIB_TO_PREPARE = 900
DISK_MIB_TO_RUN = 100
# What a guest is seen to use; its 1 GiB is an upper bound that few reach.
MEMORY_MIB_PER_NODE = MEMORY_MIB * 3 // 4

_PROGRAMS_TO_PREPARE = {
    "apt-get": "this works on Debian and Ubuntu; elsewhere name a kernel by --kernel FILE",
    "apt-cache": "apt-get install apt",
    "dpkg-deb": "apt-get install dpkg",
    "dpkg-query": "apt-get install dpkg",
    "cc": "apt-get install gcc libc6-dev",
}
_PROGRAMS_ON_OTHER_HOSTS = {
    "cc": "install a C compiler and a static C library",
    "ip": "install iproute2",
    "rdma": "install iproute2 with its rdma tool",
    "ibv_devinfo": "install rdma-core's tools",
}


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


def _memory_available_mib() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return 0


def _disk_free_mib(path: Path) -> int:
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free >> 20


def missing(
    *, cache: Path, runtime: Path, node_count: int, must_prepare: bool, kernel: str | None
) -> list[str]:
    """Return what this machine lacks for a rig, each with its cure; empty when nothing."""
    found = []
    if platform.machine() != "x86_64":
        found.append(f"the rig runs on x86-64, this is {platform.machine()}; use such a machine")
    if shutil.which(QEMU) is None:
        found.append(f"{QEMU} is missing; apt-get install qemu-system-x86")
    on_debian = host_is_debian()
    if must_prepare:
        if not on_debian and (kernel is None or os.sep not in kernel):
            found.append(
                "kernels are fetched on Debian and Ubuntu only; name one with its modules beside "
                "it: --kernel FILE"
            )
        programs = _PROGRAMS_TO_PREPARE if on_debian else _PROGRAMS_ON_OTHER_HOSTS
        found += [f"{p} is missing; {cure}" for p, cure in programs.items() if not shutil.which(p)]
        if kernel is not None and os.sep in kernel and not Path(kernel).is_file():
            found.append(f"there is no kernel {kernel}; name a vmlinuz file")
    needed = DISK_MIB_TO_PREPARE if must_prepare else DISK_MIB_TO_RUN
    for name, path, mib in (("RDMAQ_RIG_CACHE", cache, needed), ("RDMAQ_RIG_RUNTIME", runtime, 16)):
        if (free := _disk_free_mib(path)) < mib:
            found.append(
                f"{path} has {free} MiB left, {mib} are needed; free some, or name another folder "
                f"by {name}"
            )
    wanted = node_count * MEMORY_MIB_PER_NODE
    if (available := _memory_available_mib()) < wanted:
        found.append(
            f"{available} MiB of memory are available, {wanted} are needed for {node_count} "
            "node(s); end something, or use fewer nodes"
        )
    return found


def check(
    *, cache: Path, runtime: Path, node_count: int, must_prepare: bool, kernel: str | None
) -> None:
    """Return when nothing is missing.

    Raises:
        MissingPrerequisite: with all that is missing, and the cure of each.
    """
    found = missing(
        cache=cache,
        runtime=runtime,
        node_count=node_count,
        must_prepare=must_prepare,
        kernel=kernel,
    )
    if found:
        raise MissingPrerequisite("no rig on this machine yet: " + "; and ".join(found))


def cpu_has_virtualisation() -> bool:
    """Whether KVM is worth a trial: the processor says so, and we may open its device."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "").split()
    return bool({"vmx", "svm"} & set(flags)) and os.access("/dev/kvm", os.R_OK | os.W_OK)
