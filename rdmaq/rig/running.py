"""Runs commands in a rig's guests: captured, streamed to our own streams, or on a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
import tty
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rdmaq.rig import frames
from rdmaq.rig.errors import CommandNotRun, NoRig
from rdmaq.rig.session import TIMED_OUT, Session
from rdmaq.rig.state import State

# What says where a program runs, not how: the guest has its own.
_OWN_SETTINGS = ("RDMAQ_RIG_RUNTIME", "SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS", "DISPLAY")
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@dataclass(frozen=True, slots=True)
class Completed:
    """What a captured command gave; `status` as a shell shows it (128 + signal, 124 = time out)."""

    status: int
    stdout: bytes
    stderr: bytes


def open_session(
    rig: State,
    arguments: Sequence[str],
    *,
    node: int = 0,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    as_root: bool = False,
    terminal: tuple[int, int] | None = None,
) -> Session:
    """Start a command in a guest; the caller iterates `events()` and closes the session.

    Args:
        rig: a rig that is up.
        arguments: the command and its arguments; it is looked for in PATH.
        node: the guest's number, from 0.
        terminal: rows and columns of a terminal for it, or None for three pipes.
        folder: the working directory; the caller's own by default.
        environment: all settings; the caller's own by default.
        as_root: run as root instead of as the caller. The host's files stay as they are guarded.

    Raises:
        NoRig: that node does not run.
        GuestDied: it does not answer.
    """
    if not 0 <= node < len(rig.nodes):
        raise NoRig(f"rig {rig.name!r} has {len(rig.nodes)} node(s), there is no node {node}")
    if not rig.nodes[node].process.is_alive:
        raise NoRig(
            f"node {node} of rig {rig.name!r} is dead (idle for long, killed, or crashed: "
            "`rdmaq rig log` tells); start it again: rdmaq rig up"
        )
    settings = dict(os.environ if environment is None else environment)
    for name in _OWN_SETTINGS:
        settings.pop(name, None)
    if "XDG_RUNTIME_DIR" in settings:
        settings["XDG_RUNTIME_DIR"] = f"/run/user/{0 if as_root else os.getuid()}"
    settings |= {
        "RDMAQ_RIG": rig.name,
        "RDMAQ_RIG_NODE": str(node),
        "RDMAQ_RIG_ID": str(rig.rig_id),
    }
    request = frames.Request(
        arguments=arguments,
        folder=str(folder or Path.cwd()),
        environment=settings,
        user=0 if as_root else os.getuid(),
        group=0 if as_root else os.getgid(),
        groups=(0,) if as_root else os.getgroups(),
        terminal=terminal,
    )
    return Session(rig.nodes[node].port, rig.token, request)


def run(
    rig: State,
    arguments: Sequence[str],
    *,
    node: int = 0,
    input: bytes = b"",  # noqa: A002  (subprocess.run's own name for it)
    timeout: float | None = None,
    as_root: bool = False,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Completed:
    """Run a command in a guest to its end and return what it gave.

    Raises:
        CommandNotRun: it could not be started.
        GuestDied: the guest went away.
    """
    session = open_session(
        rig, arguments, node=node, as_root=as_root, folder=folder, environment=environment
    )
    outputs = {frames.OUTPUT: bytearray(), frames.ERROR: bytearray()}
    try:
        if input:
            session.send_input(input)
        session.send_input(b"")
        for kind, data in session.events(timeout=timeout):
            outputs[kind] += data
    finally:
        session.close()
    assert session.status is not None, "events() ends with a status or an exception"
    return Completed(session.status, bytes(outputs[frames.OUTPUT]), bytes(outputs[frames.ERROR]))


def forget_host_files(rig: State, *, node: int = 0) -> None:
    """Have a guest read the host's files anew: beyond the checkout it believes its cache."""
    words = ["sh", "-c", "echo 3 > /proc/sys/vm/drop_caches"]
    run(rig, words, node=node, as_root=True, folder=Path("/"))


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


@contextlib.contextmanager
def _signals_forwarded(session: Session) -> Iterator[int]:
    """Send our signals to the command instead of dying of them; yields the descriptor to watch."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    interrupts = 0

    def forward(number: int, _frame: FrameType | None) -> None:
        nonlocal interrupts
        interrupts += number == signal.SIGINT
        # Whoever presses Ctrl-C a third time wants it gone.
        session.send_signal(signal.SIGKILL if interrupts > 2 else number)

    def resize(_number: int, _frame: FrameType | None) -> None:
        session.send_window(*terminal_size())

    previous = {number: signal.signal(number, forward) for number in _FORWARDED}
    previous[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, resize)
    previous_wake = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(previous_wake)
        for number, handler in previous.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


def terminal_size() -> tuple[int, int]:
    """Return rows and columns of our terminal, or 24 by 80."""
    for descriptor in (0, 1, 2):
        with contextlib.suppress(OSError):
            answer = fcntl.ioctl(descriptor, termios.TIOCGWINSZ, bytes(8))
            rows, columns = struct.unpack("HHHH", answer)[:2]
            if rows and columns:
                return rows, columns
    return 24, 80


def stream(session: Session, *, stdin: bool = True, timeout: float | None = None) -> int:
    """Connect a session with our own streams and signals; returns the status to exit with.

    Raises:
        CommandNotRun: it could not be started.
        GuestDied: the guest went away.
    """
    sys.stdout.flush()
    descriptor = {frames.OUTPUT: 1, frames.ERROR: 2}
    try:
        if not stdin:
            session.send_input(b"")
        with _signals_forwarded(session) as wake:
            for kind, data in session.events(
                stdin=0 if stdin else None, timeout=timeout, wake=wake
            ):
                _write_all(descriptor[kind], data)
    except BrokenPipeError:
        return 128 + signal.SIGPIPE  # as the command itself would have died of it
    finally:
        session.close()
    assert session.status is not None, "events() ends with a status or an exception"
    return session.status


def run_here(
    arguments: Sequence[str], *, timeout: float | None = None, folder: Path | None = None
) -> int:
    """Run a command on this machine, as a native rig does; returns a shell's status."""
    try:
        return subprocess.run(list(arguments), timeout=timeout, cwd=folder).returncode % 256
    except subprocess.TimeoutExpired:
        return TIMED_OUT
    except FileNotFoundError as error:
        raise CommandNotRun(f"{arguments[0]}: {error.strerror}", status=127) from error
    except PermissionError as error:
        raise CommandNotRun(f"{arguments[0]}: {error.strerror}", status=126) from error


def stream_terminal(session: Session) -> int:
    """As `stream`, with our terminal in raw mode meanwhile; the session must have a terminal."""
    before = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        return stream(session)
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
