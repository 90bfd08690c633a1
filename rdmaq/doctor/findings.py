"""The checks: each looks at one thing and tells what it is and, if it ails, the cure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rdmaq.clock import kind as clock_kind
from rdmaq.doctor.machine import PACKAGES, Machine
from rdmaq.errors import RdmaqError
from rdmaq.shm.runtime import make_folder
from rdmaq.verbs import library

OK, NOTE, BAD = "ok", "note", "bad"
_NET_PACKAGES = PACKAGES[2:]
_MEMLOCK_BYTES_MIN = 64 << 20  # a ring of 16 MiB, tables and queues beside it
_MODULES = {"ib_core", "ib_uverbs"}
_DRIVERS = {"mlx5_ib", "mlx4_ib", "bnxt_re", "irdma", "qedr", "hns_roce_hw_v2", "erdma", "rdma_rxe"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found.

    Attributes:
        check: its name.
        level: "ok"; "note": something cannot be done here that others can; "bad": what should work
            does not.
        what: in words.
        cure: what to do; "" when nothing is to be done.
    """

    check: str
    level: str
    what: str
    cure: str = ""


def check_memlock(machine: Machine) -> Iterator[Finding]:
    """Registered memory is locked, and counts."""
    soft, hard = machine.memlock_bytes()
    shown = "no limit" if soft < 0 else f"{soft >> 10:,} KiB"
    if soft < 0 or soft >= _MEMLOCK_BYTES_MIN:
        yield Finding(check="memlock", level=OK, what=f"locked memory: {shown}")
        return
    raise_it = "raise the soft limit: ulimit -l unlimited"
    if 0 <= hard < _MEMLOCK_BYTES_MIN:
        raise_it = (
            "put '* - memlock unlimited' into /etc/security/limits.d/rdma.conf and log in again "
            "(for a service: LimitMEMLOCK=infinity; in a container: --ulimit memlock=-1)"
        )
    yield Finding(
        check="memlock",
        level=NOTE,
        what=f"locked memory: {shown}: only so much can be registered with an RDMA device",
        cure=raise_it,
    )


def check_hugepages(machine: Machine) -> Iterator[Finding]:
    """Large pages for rings: reserved ones, or transparent ones of shared memory."""
    total, free = machine.meminfo("HugePages_Total"), machine.meminfo("HugePages_Free")
    shmem = machine.text("sys/kernel/mm/transparent_hugepage/shmem_enabled")
    chosen = shmem.partition("[")[2].partition("]")[0] or "not built in"
    what = f"2 MiB pages: {free} of {total} reserved ones free; transparent for shared memory: "
    what += chosen
    if chosen in ("deny", "not built in") and total == 0:
        cure = "echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled (as root)"
        yield Finding(
            check="hugepages", level=NOTE, what=f"{what}: rings have 4 KiB pages", cure=cure
        )
        return
    yield Finding(check="hugepages", level=OK, what=what)


def check_packages(machine: Machine) -> Iterator[Finding]:
    """Python packages: what the network needs, and what verbs need."""
    missing = [name for name in _NET_PACKAGES if not machine.package(name)]
    if missing:
        yield Finding(
            check="packages",
            level=NOTE,
            what=f"not installed: {', '.join(missing)}: no addresses with a host and port",
            cure="pip install 'rdmaq[net]'",
        )
    else:
        yield Finding(check="packages", level=OK, what="the extra rdmaq[net] is installed")
    if not machine.has_pyverbs():
        yield Finding(
            check="pyverbs",
            level=NOTE,
            what="not installed: pyverbs: RDMA devices cannot be opened",
            cure="apt install python3-pyverbs (Debian, Ubuntu), or your distribution's own",
        )
    else:
        yield Finding(check="pyverbs", level=OK, what="pyverbs is installed")
    try:
        library.check_built()
    except RdmaqError as error:
        what, _, cure = str(error).partition("; ")
        yield Finding(check="extension", level=NOTE, what=what, cure=cure)
    else:
        yield Finding(check="extension", level=OK, what="the extension was built with verbs")


def check_modules(machine: Machine) -> Iterator[Finding]:
    """The kernel's part: core, user access, and a driver for some device."""
    loaded = machine.modules()
    devices = machine.names("sys/class/infiniband")
    if devices:
        what = f"RDMA devices: {', '.join(devices)}"
        if "ib_uverbs" in loaded or machine.names("dev/infiniband"):
            yield Finding(check="devices", level=OK, what=what)
            return
        yield Finding(
            check="devices",
            level=BAD,
            what=f"{what}, and programs cannot open them: ib_uverbs is not loaded",
            cure="modprobe ib_uverbs (as root)",
        )
        return
    missing = sorted(_MODULES - loaded)
    drivers = sorted(_DRIVERS & loaded)
    what = "no RDMA device"
    if missing:
        what += f": kernel modules {', '.join(missing)} are not loaded"
    elif drivers:
        what += f": {', '.join(drivers)} found none"
    else:
        what += ": no driver of one is loaded"
    yield Finding(
        check="devices",
        level=NOTE,
        what=what,
        cure="with an adapter: modprobe its driver (mlx5_ib, ...); without: modprobe rdma_rxe and "
        "rdma link add rxe0 type rxe netdev INTERFACE, or `rdmaq rig up` for devices in a virtual "
        "machine",
    )


def check_clock(machine: Machine) -> Iterator[Finding]:
    """Latencies across processes need one counter; across hosts, synchronised clocks."""
    source = machine.text("sys/devices/system/clocksource/clocksource0/current_clocksource")
    what = f"ticks: {clock_kind()}; the kernel's clock source: {source or 'unknown'}"
    if clock_kind() == "tsc" and source not in ("tsc", "kvm-clock", "hyperv_clocksource_tsc_page"):
        yield Finding(
            check="clock",
            level=NOTE,
            what=f"{what}: the kernel did not trust the counter that rdmaq stamps with",
            cure="look at `dmesg | grep -i tsc`; if it says unstable, compare no ticks",
        )
        return
    yield Finding(check="clock", level=OK, what=what)


def check_shm(_: Machine) -> Iterator[Finding]:
    """The runtime folder, where processes of one host meet."""
    try:
        folder = make_folder()
    except RdmaqError as error:
        what, cure = str(error).split("; ", 1)
        yield Finding(check="shm", level=BAD, what=what, cure=cure)
        return
    yield Finding(check="shm", level=OK, what=f"shared memory: processes meet in {folder}")


CHECKS: tuple[Callable[[Machine], Iterator[Finding]], ...] = (
    check_shm,
    check_memlock,
    check_hugepages,
    check_packages,
    check_modules,
    check_clock,
)


def examine(machine: Machine) -> list[Finding]:
    """Every check's findings, in order."""
    return [finding for check in CHECKS for finding in check(machine)]
