"""What `rdmaq info` tells, as plain values: versions, devices, limits, transports, settings.

docs/troubleshooting.md describes the form; `FORMAT` goes up when a field goes or changes its sense.
"""

from __future__ import annotations

import dataclasses
import os
import platform
from typing import Any

import rdmaq
from rdmaq import clock, config
from rdmaq.doctor import kernel, meeting, opened, ports, software
from rdmaq.doctor.finding import BAD, UNSEEN, Finding
from rdmaq.doctor.machine import PACKAGES, Machine
from rdmaq.verbs.devices import Port

FORMAT = 1


def gather(machine: Machine) -> dict[str, Any]:
    """Everything, as plain values."""
    soft, hard = machine.memlock_bytes()
    return {
        "format": FORMAT,
        "rdmaq": rdmaq.__version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpus": os.cpu_count() or 0,
        "clock": clock.kind(),
        "memlock_bytes": {"soft": soft, "hard": hard},
        "hugepages": {
            "total": machine.meminfo("HugePages_Total"),
            "free": machine.meminfo("HugePages_Free"),
            "page_bytes": machine.meminfo("Hugepagesize"),
        },
        "packages": {name: machine.package(name) or None for name in PACKAGES},
        "ports": [_port(machine, port) for port in machine.ports],
        "transports": transports(machine),
        "settings": [
            {
                "argument": found.setting.argument,
                "variable": found.setting.variable,
                "default": found.setting.default,
                "value": found.value,
                "source": found.source,
            }
            for found in config.effective()
        ],
    }


def _port(machine: Machine, port: Port) -> dict[str, Any]:
    seen = opened.look(machine, port, with_inline=True)
    limits = None
    if seen.limits is not None:
        limits = dataclasses.asdict(seen.limits)
        del limits["link_layer"], limits["lid"], limits["mtu_bytes"], limits["mtu_bytes_max"]
        limits["inline_bytes_max"] = seen.inline_bytes_max if port.is_active else None
    return {
        "device": port.device,
        "port": port.number,
        "state": port.state,
        "link_layer": port.link_layer,
        "firmware": machine.text(f"sys/class/infiniband/{port.device}/fw_ver") or None,
        "mtu_bytes": seen.limits.mtu_bytes if seen.limits else None,
        "mtu_bytes_max": seen.limits.mtu_bytes_max if seen.limits else None,
        "interfaces": [
            {
                "name": name,
                "is_up": machine.interface_is_up(name),
                "mtu_bytes": machine.interface_mtu_bytes(name) or None,
            }
            for name in port.interfaces
        ],
        "gids": [
            {
                "index": gid.index,
                "address": str(gid.address),
                "kind": gid.kind,
                "interface": gid.interface or None,
                "is_link_local": gid.is_link_local,
            }
            for gid in port.gids
        ],
        "limits": limits,
        "limits_unknown": seen.why_not or None,
    }


def transports(machine: Machine) -> dict[str, Any]:
    """Each transport: whether it can be used here, else why not."""
    verbs: list[Finding] = [
        *software.check_extension(machine),
        *software.check_pyverbs(machine),
        *kernel.check_devices(machine),
        *(opened.check_open(machine) if machine.is_real else ()),
    ]
    active = [port for port in machine.ports if port.is_active]
    if not active:
        verbs += ports.check_ports(machine)
    elif not any(port.gids for port in active):
        verbs += ports.check_gids(machine)
    return {"shm": _usable(list(meeting.check_shm(machine))), "verbs": _usable(verbs)}


def _usable(findings: list[Finding]) -> dict[str, Any]:
    reasons = [finding.what for finding in findings if finding.symptom]
    return {"usable": not reasons, "why_not": "; ".join(reasons) or None}


def is_healthy(findings: list[Finding]) -> bool:
    """Whether nothing that should work does not."""
    return all(finding.level != BAD for finding in findings)


def as_json(findings: list[Finding], peer: str | None) -> dict[str, Any]:
    """What `rdmaq doctor --json` prints."""
    return {
        "format": FORMAT,
        "peer": peer,
        "is_healthy": is_healthy(findings),
        "is_complete": all(finding.level != UNSEEN for finding in findings),
        "findings": [dataclasses.asdict(finding) for finding in findings],
    }
