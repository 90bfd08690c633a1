"""Made-up machines: a healthy one, file by file, and what a test changes of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rdmaq.doctor.checks import examine
from rdmaq.doctor.finding import Finding
from rdmaq.doctor.machine import Machine
from tests.verbs.sysfs import add_port

HEALTHY = {
    "proc/meminfo": "HugePages_Total:      16\nHugePages_Free:       12\nHugepagesize: 2048 kB\n",
    "proc/self/status": "CapEff:\t0000000000000000\n",
    "sys/kernel/mm/transparent_hugepage/shmem_enabled": "always within_size [advise] never",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc",
    "usr/lib/python3/dist-packages/pyverbs/__init__.py": "",
    "sys/module/ib_core/x": "",
    "sys/module/ib_uverbs/x": "",
    "sys/module/mlx5_ib/x": "",
    "sys/class/net/eth0/flags": "0x1003",
    "sys/class/net/eth0/mtu": "9000",
    "dev/infiniband/uverbs0": "",
}
GIDS = (("fe80::1", "RoCE v2", "eth0"), ("192.0.2.7", "RoCE v2", "eth0"))


def machine(
    tmp_path: Path,
    *,
    without: tuple[str, ...] = (),
    absent: tuple[str, ...] = (),
    memlock: tuple[int, int] = (-1, -1),
    gids: tuple[tuple[str, str, str], ...] = GIDS,
    state: str = "4: ACTIVE",
    link_layer: str = "Ethernet",
    answers: Mapping[str, str] | None = None,
    is_synchronised: bool = True,
    files: Mapping[str, str] | None = None,
) -> Machine:
    """The healthy one, less some files, with others in place of them."""
    has_port = not any("sys/class/infiniband".startswith(part) for part in without)
    if has_port:
        add_port(tmp_path / "sys/class", "mlx5_0", gids, state=state, link_layer=link_layer)
    for name, text in {**HEALTHY, **(files or {})}.items():
        if not name.startswith(without or ("(nothing)",)):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return Machine(tmp_path, memlock, frozenset(absent), answers or {}, is_synchronised)


def found(where: Machine, symptom: str) -> Finding:
    """The one finding of that symptom."""
    findings = examine(where)
    (one,) = [finding for finding in findings if finding.symptom == symptom]
    return one


def symptoms(where: Machine) -> set[str]:
    """All that ails a machine."""
    return {finding.symptom for finding in examine(where)} - {""}
