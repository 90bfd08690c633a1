"""Checks what a rig needs of this machine, all of it before anything starts."""

from __future__ import annotations

import os
import platform
import re
import shutil
from pathlib import Path

from rdmaq.rig.errors import MissingPrerequisite
from rdmaq.rig.hosts import disk_free_mib, host_is_debian, memory_available_mib
from rdmaq.rig.image import is_file
from rdmaq.rig.qemu import MEMORY_MIB, QEMU, qemu_version

# While an image is made: packages (115 MB), unpacked (650), kernel and initramfs (90). A snapshot
# holds what the guest has touched of its memory (some 130).
DISK_MIB_TO_PREPARE = 1000
DISK_MIB_TO_SAVE = 250
DISK_MIB_TO_RUN = 16
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


def _too_old(node_count: int) -> bool:
    """Whether this QEMU lacks `-netdev dgram`, the wire between nodes (since 7.2)."""
    found = re.search(r"version (\d+)\.(\d+)", qemu_version())
    return node_count > 1 and found is not None and (int(found[1]), int(found[2])) < (7, 2)


def _missing_programs() -> list[str]:
    programs = _PROGRAMS_TO_PREPARE if host_is_debian() else _PROGRAMS_ON_OTHER_HOSTS
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return [
        f"{name} is missing; {cure}"
        for name, cure in programs.items()
        if not shutil.which(name, path=path)
    ]


def missing(
    *,
    cache: Path,
    runtime: Path,
    node_count: int,
    must_prepare: bool,
    must_save: bool,
    kernel: str | None,
) -> list[str]:
    """Return what this machine lacks for a rig, each with its cure; empty when nothing."""
    found = []
    if platform.machine() != "x86_64":
        found.append(f"the rig runs on x86-64, this is {platform.machine()}; use such a machine")
    if shutil.which(QEMU) is None:
        found.append(f"{QEMU} is missing; apt-get install qemu-system-x86")
    elif _too_old(node_count):
        found.append(f"{QEMU} is older than 7.2, which several nodes need; use one node")
    if must_prepare:
        if not host_is_debian() and not is_file(kernel):
            found.append(
                "kernels are fetched on Debian and Ubuntu only; name one with its modules beside "
                "it: --kernel FILE"
            )
        found += _missing_programs()
        if is_file(kernel) and not Path(kernel).is_file():
            found.append(f"there is no kernel {kernel}; name a vmlinuz file")
    needed = DISK_MIB_TO_PREPARE * must_prepare + DISK_MIB_TO_SAVE * must_save
    for name, path, mib in (
        ("RDMAQ_RIG_CACHE", cache, needed or DISK_MIB_TO_RUN),
        ("RDMAQ_RIG_RUNTIME", runtime, DISK_MIB_TO_RUN),
    ):
        if (free := disk_free_mib(path)) < mib:
            found.append(
                f"{path} has {free} MiB left, {mib} are needed; free some, or name another folder "
                f"by {name}"
            )
    wanted = node_count * MEMORY_MIB_PER_NODE
    if (available := memory_available_mib()) < wanted:
        found.append(
            f"{available} MiB of memory are available, {wanted} are needed for {node_count} "
            "node(s); end something, or use fewer nodes"
        )
    return found


def check(
    *,
    cache: Path,
    runtime: Path,
    node_count: int,
    must_prepare: bool,
    must_save: bool,
    kernel: str | None,
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
        must_save=must_save,
        kernel=kernel,
    )
    if found:
        raise MissingPrerequisite("no rig on this machine yet: " + "; and ".join(found))
