"""Starts, watches and ends one QEMU process."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rdmaq.rig.errors import GuestFailed, RigError
from rdmaq.rig.qemu import Guest, command_line
from rdmaq.rig.qmp import Qmp

BOOT_SECONDS_MAX = 90.0
CONFIGURE_SECONDS_MAX = 60.0
_READY = b"rdmaq-rig: ready"
_FORWARD = re.compile(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)")


@dataclass(frozen=True, slots=True)
class Process:
    """A process that is told from a later one of the same number by its start time."""

    pid: int
    started_ticks: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """Return the running process of that number, or None (a zombie does not run)."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2]
        except OSError:
            return None
        state, *rest = fields.split()
        return None if state in "ZX" else cls(pid, int(rest[18]))

    @property
    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        return Process.of(self.pid) == self

    def end(self, *, patience: float = 5.0) -> None:
        """SIGTERM, and SIGKILL after `patience` seconds; returns when it is gone."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + patience
            if self.is_alive:
                os.kill(self.pid, signal.SIGCONT)
                os.kill(self.pid, number)
            while self.is_alive and time.monotonic() < deadline:
                time.sleep(0.01)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)


def start(guest: Guest) -> Process:
    """Start QEMU in a session of its own; its words go to qemu.log in the guest's folder."""
    guest.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    words = command_line(guest)
    longest = max(len(str(guest.folder / name)) for name in ("control", "qmp", "wire"))
    if longest > 107:
        raise RigError(
            f"{guest.folder} is too long for a UNIX socket's path; name a shorter folder by "
            "RDMAQ_RIG_RUNTIME"
        )
    # An earlier attempt's "ready" must not be taken for this one's.
    (guest.folder / "console.log").unlink(missing_ok=True)
    with (guest.folder / "qemu.log").open("ab") as log:
        child = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )
    child.returncode = 0  # it outlives us; Process.end() reaps it where it is our child still
    process = Process.of(child.pid)
    if process is None:
        raise failed(guest, "QEMU ended at once")
    return process


def failed(guest: Guest, what: str) -> GuestFailed:
    """Return an error that carries the last words of QEMU and of the guest's console."""
    words = []
    for name in ("qemu.log", "console.log"):
        try:
            text = (guest.folder / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        words += text.strip().splitlines()[-6:]
    said = " | ".join(words) or "neither QEMU nor the guest said anything"
    return GuestFailed(f"{what}: {said}; try `rdmaq rig up --cold`, and `rdmaq rig clean` after it")


def await_ready(guest: Guest, process: Process, *, seconds: float = BOOT_SECONDS_MAX) -> None:
    """Return when the agent stands and waits for its configuration (cold boots only).

    Raises:
        GuestFailed: QEMU ended, or the guest did not come up in time.
    """
    deadline = time.monotonic() + seconds
    console = guest.folder / "console.log"
    while time.monotonic() < deadline:
        if console.exists() and _READY in console.read_bytes():
            return
        if not process.is_alive:
            raise failed(guest, "QEMU ended while the guest booted")
        time.sleep(0.02)
    raise failed(guest, f"the guest did not boot within {seconds:g} s")


def control(guest: Guest, process: Process) -> Qmp:
    """Connect to QMP, which QEMU opens a moment after its start."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return Qmp(guest.folder / "qmp")
        except (FileNotFoundError, ConnectionRefusedError):
            if not process.is_alive:
                raise failed(guest, "QEMU ended at its start") from None
            if time.monotonic() > deadline:
                raise failed(guest, "QEMU does not open its control socket") from None
            time.sleep(0.01)


def configure(guest: Guest, lines: Sequence[str]) -> None:
    """Tell the agent who it is (guest/configure.c), and return when it has done all of it.

    Raises:
        GuestFailed: it could not; the guest has ended.
    """
    entropy = f"entropy {secrets.token_hex(64)}"
    text = "\n".join([entropy, f"clock {time.time_ns()}", *lines, "go", ""])
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(CONFIGURE_SECONDS_MAX)
        channel.connect(str(guest.folder / "control"))
        channel.sendall(text.encode())
        answer = b""
        try:
            while not answer.endswith(b"\n"):
                part = channel.recv(4096)
                if not part:
                    raise failed(guest, "the guest ended while it was configured")
                answer += part
        except TimeoutError:
            raise failed(guest, "the guest did not take its configuration") from None
    if answer != b"ok\n":
        raise failed(guest, f"the guest refused its configuration: {answer.decode().strip()}")


def command_port(qmp: Qmp) -> int:
    """Return the port on 127.0.0.1 that leads to the agent."""
    found = _FORWARD.search(qmp.monitor("info usernet"))
    if found is None:
        raise RigError("QEMU forwards no port; it is not the QEMU that the rig expects")
    return int(found[1])
