"""Memory: how much may be locked, and how large its pages are."""

from __future__ import annotations

from collections.abc import Iterator

from rdmaq.doctor.finding import BAD, NOTE, Finding, Symptom, fine
from rdmaq.doctor.machine import Machine

_MEMLOCK_BYTES_MIN = 64 << 20  # a ring of 16 MiB, tables and queues beside it

_ONLY = "locked memory: {shown}: only so much can be registered with an RDMA device"
MEMLOCK_SOFT = Symptom(
    name="memlock-soft",
    check="memlock",
    level=NOTE,
    words=_ONLY,
    cure="raise the soft limit: ulimit -l unlimited",
)
MEMLOCK_HARD = Symptom(
    name="memlock-hard",
    check="memlock",
    level=NOTE,
    words=_ONLY,
    cure="put '* - memlock unlimited' into /etc/security/limits.d/rdma.conf and log in again (for "
    "a service: LimitMEMLOCK=infinity; in a container: --ulimit memlock=-1)",
)
HUGEPAGES_NONE = Symptom(
    name="hugepages-none",
    check="hugepages",
    level=NOTE,
    words="{pages}: rings have 4 KiB pages",
    cure="echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled (as root)",
)
SYMPTOMS = (MEMLOCK_SOFT, MEMLOCK_HARD, HUGEPAGES_NONE)


def limit_text(size_bytes: int) -> str:
    """A limit for people."""
    return "no limit" if size_bytes < 0 else f"{size_bytes >> 10:,} KiB"


def check_memlock(machine: Machine) -> Iterator[Finding]:
    """Registered memory is locked, and counts; where there is a device, too little of it is bad."""
    soft, hard = machine.memlock_bytes()
    shown = limit_text(soft)
    if soft < 0 or soft >= _MEMLOCK_BYTES_MIN:
        yield fine("memlock", f"locked memory: {shown}")
    elif machine.may_lock_all():
        yield fine("memlock", f"locked memory: {shown}, which does not bind this user")
    else:
        symptom = MEMLOCK_HARD if 0 <= hard < _MEMLOCK_BYTES_MIN else MEMLOCK_SOFT
        level = BAD if machine.names("sys/class/infiniband") else NOTE
        yield symptom.found(level=level, shown=shown)


def check_hugepages(machine: Machine) -> Iterator[Finding]:
    """Large pages for rings: reserved ones, or transparent ones of shared memory."""
    total, free = machine.meminfo("HugePages_Total"), machine.meminfo("HugePages_Free")
    shmem = machine.text("sys/kernel/mm/transparent_hugepage/shmem_enabled")
    chosen = shmem.partition("[")[2].partition("]")[0] or "not built in"
    pages = f"2 MiB pages: {free} of {total} reserved ones free; transparent for shared memory: "
    pages += chosen
    if chosen in ("deny", "not built in") and total == 0:
        yield HUGEPAGES_NONE.found(pages=pages)
    else:
        yield fine("hugepages", pages)
