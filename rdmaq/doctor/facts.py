"""What `rdmaq info` tells: versions, devices, limits, transports, settings."""

from __future__ import annotations

import os
import platform
from typing import Any

import rdmaq
from rdmaq import clock, config
from rdmaq.doctor.findings import OK, check_modules, check_packages, check_shm
from rdmaq.doctor.machine import PACKAGES, Machine
from rdmaq.verbs import devices


def gather(machine: Machine) -> dict[str, Any]:
    """Everything, as plain values."""
    soft, hard = machine.memlock_bytes()
    return {
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
        "ports": [_port(port) for port in devices.ports(machine.root / "sys/class")],
        "transports": transports(machine),
        "settings": [
            {
                "argument": found.setting.argument,
                "variable": found.setting.variable,
                "value": found.value,
                "source": found.source,
            }
            for found in config.effective()
        ],
    }


def _port(port: devices.Port) -> dict[str, Any]:
    return {
        "device": port.device,
        "port": port.number,
        "state": port.state,
        "link_layer": port.link_layer,
        "interfaces": list(port.interfaces),
        "gids": [str(gid) for gid in port.gids],
    }


def transports(machine: Machine) -> dict[str, str]:
    """Each transport, and "usable" or why it is not."""
    verbs = [
        finding.what
        for check in (check_packages, check_modules)
        for finding in check(machine)
        if finding.level != OK and finding.check != "packages"
    ]
    shm = [finding.what for finding in check_shm(machine) if finding.level != OK]
    return {"shm": "; ".join(shm) or "usable", "verbs": "; ".join(verbs) or "usable"}
