"""A rig without a guest: this machine's own RDMA devices, or an rxe device made for the while.

Faults are not offered here: they would break the network of the machine itself.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from rdmaq.rig import state
from rdmaq.rig.devices import SYSFS, local_devices
from rdmaq.rig.errors import CommandNotRun, MissingPrerequisite, RigError
from rdmaq.rig.paths import private_folder, rig_locked, runtime_folder
from rdmaq.rig.session import GRACE_SECONDS, TIMED_OUT
from rdmaq.rig.state import State

MADE_PREFIX = "rdmaq"


def _rdma(*words: str) -> None:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    program = shutil.which("rdma", path=path)
    if program is None:
        raise MissingPrerequisite("the tool `rdma` is missing; apt-get install iproute2")
    answer = subprocess.run([program, *words], capture_output=True, text=True)
    if "exists" in answer.stderr:
        raise RigError(f"{words[-1]} has an rxe device already: leave --interface out to use it")
    if answer.returncode:
        raise RigError(
            f"rdma {' '.join(words)}: {answer.stderr.strip()}; does this kernel have rdma_rxe? "
            "(modprobe rdma_rxe); a rig without --native brings a kernel of its own"
        )


def up(name: str, checkout: Path, interface: str | None) -> State:
    """Use this machine's active devices, or make one on an interface (root only).

    Raises:
        MissingPrerequisite: there is no device and none could be made.
        RigError: a rig of that name is up, or the device could not be made.
    """
    with rig_locked(name):
        found = state.read(name)
        if found is not None and found.is_whole:
            if found.native and interface in (None, found.native_interface):
                return found
            what = f"native, device {found.native}" if found.native else "with guests"
            raise RigError(f"rig {name!r} is up ({what}); run `rdmaq rig down` first")
        if found is not None or state.folder_of(name).exists():
            state.sweep(name)
        private_folder(runtime_folder())
        rig = State(
            name=name,
            checkout=str(checkout),
            node_count=0,
            native=_device(interface),
            native_interface=interface or "",
        )
        try:
            rig.write()
        except BaseException:
            take_away(rig)
            raise
        return rig


def _device(interface: str | None) -> str:
    if interface is None:
        active = [device.name for device in local_devices() if device.is_active]
        if not active:
            raise MissingPrerequisite(
                "this machine has no active RDMA device; make one on a network interface (as "
                "root): rdmaq rig up --native --interface NAME; or leave --native out"
            )
        return active[0]
    if os.geteuid() != 0:
        raise MissingPrerequisite(
            "making an rxe device takes root; use sudo, or leave --native out: a rig needs no root"
        )
    if not Path("/sys/class/net", interface).exists() or "/" in interface:
        raise RigError(f"there is no network interface {interface!r}; see: ip link")
    taken = {path.name for path in SYSFS.glob("*")}
    made = next(
        f"{MADE_PREFIX}{n}" for n in range(len(taken) + 1) if f"{MADE_PREFIX}{n}" not in taken
    )
    _rdma("link", "add", made, "type", "rxe", "netdev", interface)
    return made


def take_away(rig: State) -> None:
    """Undo what `up` made; devices that were there stay, and one that is gone is no error."""
    if rig.native_interface and (SYSFS / rig.native).exists():
        _rdma("link", "delete", rig.native)


def run(
    arguments: Sequence[str], *, timeout: float | None = None, folder: Path | None = None
) -> int:
    """Run a command on this machine; without a time to end it this process becomes the command.

    Returns:
        A shell's status, 124 when its time was over.

    Raises:
        CommandNotRun: it could not be started.
    """
    try:
        if folder is not None:
            os.chdir(folder)
    except OSError as error:
        raise CommandNotRun(f"{folder}: {error.strerror}", status=125) from error
    try:
        if timeout is None:
            os.execvp(arguments[0], list(arguments))  # noqa: S606  (the user's own command)
        child = subprocess.Popen(list(arguments), process_group=0)
    except OSError as error:
        status = 127 if isinstance(error, FileNotFoundError) else 126
        raise CommandNotRun(f"{arguments[0]}: {error.strerror}", status=status) from error
    return _await(child, timeout)


def _await(child: subprocess.Popen[bytes], timeout: float) -> int:
    def forward(number: int, _frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)

    forwarded = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    previous = {number: signal.signal(number, forward) for number in forwarded}
    try:
        status = child.wait(timeout)
    except subprocess.TimeoutExpired:
        forward(signal.SIGTERM, None)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_SECONDS)
        forward(signal.SIGKILL, None)
        child.wait()
        return TIMED_OUT
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return status if status >= 0 else 128 - status
