"""The line that says where a figure comes from."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from rdmaq import __version__
from rdmaq._fast import lib

_CLOCKS = {1: "TSC", 2: "CLOCK_MONOTONIC_RAW"}


def describe() -> dict[str, Any]:
    """CPU, cores, kernel, Python and rdmaq of this run."""
    return {
        "cpu": _cpu_model(),
        "cpus": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "rdmaq": __version__,
        "clock": _CLOCKS.get(lib.rq_clock_kind(), "unknown"),
    }


def line(machine: dict[str, Any]) -> str:
    """The same for people."""
    return (
        f"{machine['cpu']}, {machine['cpus']} CPUs, Linux {machine['kernel']}, "
        f"{machine['python']}, rdmaq {machine['rdmaq']}, ticks from {machine['clock']}"
    )


def _cpu_model() -> str:
    """As the kernel names it; Arm's kernels name none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for text in lines:
        key, _, value = text.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()
