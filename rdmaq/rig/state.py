"""What is known of a running rig, kept in its runtime folder as state.json (mode 0600)."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rdmaq.rig.devices import SYSFS
from rdmaq.rig.errors import NoRig
from rdmaq.rig.machine import Process
from rdmaq.rig.paths import runtime_folder

FORMAT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One guest: its QEMU process and the port on 127.0.0.1 that leads to its agent."""

    process: Process
    port: int
    resumed: bool


@dataclass(slots=True, kw_only=True)
class State:
    """A rig as it was started; `nodes` is empty in native mode.

    Attributes:
        rig_id: 16 bits, part of the MAC addresses.
        shadows: folders that the guests show as the host has them, cached and read-only.
        native: the device that a native rig uses.
        native_interface: what the rig made that device on; empty when it was there before.
    """

    name: str
    checkout: str
    kernel: str | None = None
    node_count: int = 1
    cold: bool = False
    use_kvm: bool = False
    idle_seconds: int = 0
    rig_id: int = 0
    token: str = ""
    shadows: list[str] = field(default_factory=list)
    native: str = ""
    native_interface: str = ""
    nodes: list[Node] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """The rig's runtime folder."""
        return folder_of(self.name)

    def node_folder(self, node: int) -> Path:
        """The runtime folder of one node."""
        return self.folder / f"node-{node}"

    def pause_mark(self, node: int) -> Path:
        """The file that says that a node was paused by us."""
        return self.node_folder(node) / "paused"

    def is_paused(self, node: int) -> bool:
        """Whether a node was paused by us, and so answers nobody."""
        return self.pause_mark(node).exists()

    @property
    def is_whole(self) -> bool:
        """Whether every node's process still runs, or a native rig's device is still there."""
        if self.native:
            return (SYSFS / self.native).exists()
        return len(self.nodes) == self.node_count and all(n.process.is_alive for n in self.nodes)

    def write(self) -> None:
        """Replace state.json as a whole."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        content: dict[str, Any] = {"format": FORMAT, **asdict(self)}
        fresh = self.folder / "state.json.new"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
        fresh.rename(self.folder / "state.json")


def folder_of(name: str) -> Path:
    """Return the runtime folder of a rig."""
    return runtime_folder() / name


def read(name: str) -> State | None:
    """Return what is known of a rig, or None: it is not up, or was started by another release."""
    try:
        content = json.loads((folder_of(name) / "state.json").read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            return None
        nodes = [
            Node(process=Process(**n["process"]), port=n["port"], resumed=n["resumed"])
            for n in content.pop("nodes")
        ]
        return State(nodes=nodes, **content)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_running(name: str) -> State:
    """Return what is known of a rig that is up.

    Raises:
        NoRig: it is not up.
    """
    state = read(name)
    if state is None:
        raise NoRig(f"no rig {name!r} is up; start it: rdmaq rig up")
    return state


def names() -> list[str]:
    """Return the names of all rigs of this user that have a runtime folder."""
    folder = runtime_folder()
    return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []


def sweep(name: str) -> None:
    """End every process of a rig that still runs, known or not, and remove its runtime folder.

    A QEMU that nobody recorded (its `up` was killed) is found by the pid file that it writes
    itself; it is believed only if its command line names this folder.
    """
    folder = folder_of(name)
    for pid_file in folder.glob("node-*/**/pid"):
        try:
            pid = int(pid_file.read_text(encoding="utf-8"))
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            continue
        process = Process.of(pid)
        if process is not None and os.fsencode(pid_file) in words:
            process.end()
    shutil.rmtree(folder, ignore_errors=True)
