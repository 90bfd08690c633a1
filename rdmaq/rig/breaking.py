"""Breaks and heals a rig from outside: its wires, and its nodes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from rdmaq.rig import faults, lifecycle, running, wires
from rdmaq.rig.errors import RigError
from rdmaq.rig.faults import Fault, Runner
from rdmaq.rig.image import prepare_image
from rdmaq.rig.paths import cache_lock, locked, rig_locked
from rdmaq.rig.qmp import Qmp
from rdmaq.rig.state import State

# Beside those of the wires (faults.KINDS): what only the outside can do.
NODE_KINDS = ("unplug", "pause", "kill")
NO_COUNTER = "no counter: it met no packet"


def runner(rig: State, node: int) -> Runner:
    """Return what runs a command as root in a guest."""

    def run(words: Sequence[str], text: str) -> str:
        answer = running.run(
            rig, words, node=node, input=text.encode(), as_root=True, folder=Path("/"),
            environment={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, timeout=30,
        )  # fmt: skip
        if answer.status and "-force" not in words:
            raise RigError(f"in node {node}: {' '.join(words)}: {answer.stderr.decode().strip()}")
        return answer.stdout.decode()

    return run


def interfaces_of(rig: State, node: int) -> list[str]:
    """Return the interfaces of a node's wires."""
    return [device.interface for device in wires.devices_of(node, rig.node_count)]


def _qmp(rig: State, node: int) -> Qmp:
    if not rig.nodes[node].process.is_alive:
        raise RigError(f"node {node} is dead; bring it back: rdmaq rig heal")
    return Qmp(rig.node_folder(node) / "qmp")


def break_node(rig: State, node: int, kind: str) -> None:
    """Pull a node's plug out of the wire between nodes, pause it, or kill it.

    Raises:
        RigError: there is no such wire, or the node is dead already.
    """
    if kind == "unplug":
        if rig.node_count == 1:
            raise RigError("one node has no wire to unplug; use `fault down`, or `up --nodes 2`")
        with _qmp(rig, node) as qmp:
            qmp.execute("set_link", {"name": "wire-nic", "up": False})
    elif kind == "pause":
        with _qmp(rig, node) as qmp:
            rig.pause_mark(node).touch()
            qmp.execute("stop")
    else:
        if not rig.nodes[node].process.is_alive:
            raise RigError(f"node {node} is dead already; bring it back: rdmaq rig heal")
        os.kill(rig.nodes[node].process.pid, signal.SIGKILL)
        lifecycle.wait_until_dead(rig, node, seconds=10)


def break_wires(rig: State, node: int, fault: Fault) -> None:
    """Put a fault on a node's ends of its wires; the counters of before are noted for `heal`."""
    before = faults.before(interfaces_of(rig, node), runner(rig, node))
    faults.apply(fault, runner(rig, node))
    _note(rig, node).write_text(json.dumps([fault.kind, before]), encoding="utf-8")


def _note(rig: State, node: int) -> Path:
    return rig.node_folder(node) / "fault.json"


def effect(rig: State, node: int) -> tuple[str, dict[str, int]] | None:
    """Return the kind of the fault that is on a node's wires, and the counters that it moved.

    None when there is no fault. A fault that moved no counter met no packet: it tested nothing.
    """
    try:
        kind, before = json.loads(_note(rig, node).read_text(encoding="utf-8"))
    except OSError:
        return None
    return kind, faults.moved(kind, before, counters(rig, node))


def heal(rig: State, node: int) -> list[str]:
    """Undo every fault of a node; returns what was done, in words."""
    done: list[str] = []
    if not rig.nodes[node].process.is_alive:
        with rig_locked(rig.name), locked(cache_lock(), shared=True):
            lifecycle.remove_node_folder(rig, node)
            image = prepare_image(rig.kernel, done.append)
            rig.nodes[node] = lifecycle.start_node(rig, image, node, done.append)
            rig.write()
        return [*done, f"node {node} started again"]
    with _qmp(rig, node) as qmp:
        if qmp.execute("query-status")["status"] == "paused":
            qmp.execute("cont")
            rig.pause_mark(node).unlink(missing_ok=True)
            done.append(f"node {node} goes on")
        if rig.node_count > 1:
            qmp.execute("set_link", {"name": "wire-nic", "up": True})
    found = effect(rig, node)
    faults.heal(runner(rig, node), wires.repair(node, rig.rig_id), interfaces_of(rig, node))
    _note(rig, node).unlink(missing_ok=True)
    if found is not None:
        kind, by = found
        what = ", ".join(f"{name} by {count}" for name, count in by.items()) or NO_COUNTER
        done.append(f"node {node}: {kind} moved {what}")
    return [*done, f"node {node}: wires are whole"]


def counters(rig: State, node: int) -> dict[str, int]:
    """Return the counters of a node's wires, by which a fault is seen to do something."""
    return faults.counters(interfaces_of(rig, node), runner(rig, node))
