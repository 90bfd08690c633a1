"""A rig without a guest: this machine's own RDMA devices, or an rxe device made for the while.

Faults are not offered here: they would break the network of the machine itself.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from rdmaq.rig import state
from rdmaq.rig.devices import local_devices
from rdmaq.rig.errors import MissingPrerequisite, RigError
from rdmaq.rig.lifecycle import lock_of
from rdmaq.rig.paths import locked, private_folder, runtime_folder
from rdmaq.rig.state import State

MADE_DEVICE = "rdmaq0"


def _rdma(*words: str) -> None:
    try:
        answer = subprocess.run(["rdma", *words], capture_output=True, text=True)
    except FileNotFoundError:
        raise MissingPrerequisite("the tool `rdma` is missing; apt-get install iproute2") from None
    if answer.returncode:
        raise RigError(
            f"rdma {' '.join(words)}: {answer.stderr.strip()}; does this kernel have rdma_rxe? "
            "(modprobe rdma_rxe); a rig without --native brings a kernel of its own"
        )


def up(name: str, checkout: Path, interface: str | None) -> State:
    """Use this machine's active devices, or make one on an interface (root only).

    Raises:
        MissingPrerequisite: there is no device and none could be made.
        RigError: a rig of that name is up.
    """
    with locked(lock_of(name)):
        found = state.read(name)
        if found is not None and found.is_whole:
            if found.native:
                return found
            raise RigError(f"rig {name!r} is up with guests; run `rdmaq rig down` first")
        device, made = _device(interface)
        private_folder(runtime_folder())
        rig = State(
            name=name, checkout=str(checkout), node_count=0, native=device, native_made=made
        )
        rig.write()
        return rig


def _device(interface: str | None) -> tuple[str, bool]:
    if interface is None:
        active = [device.name for device in local_devices() if device.is_active]
        if not active:
            raise MissingPrerequisite(
                "this machine has no active RDMA device; make one on a network interface (as "
                "root): rdmaq rig up --native --interface NAME; or leave --native out"
            )
        return active[0], False
    if os.geteuid() != 0:
        raise MissingPrerequisite(
            "making an rxe device takes root; use sudo, or leave --native out: a rig needs no root"
        )
    _rdma("link", "add", MADE_DEVICE, "type", "rxe", "netdev", interface)
    return MADE_DEVICE, True


def take_away(rig: State) -> None:
    """Undo what `up` made; devices that were there stay."""
    if rig.native_made:
        _rdma("link", "delete", rig.native)
