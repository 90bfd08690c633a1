"""Runs commands in a rig's guests: captured, streamed to our own streams, or on a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import stat
import struct
import sys
import termios
import tty
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rdmaq.rig import frames
from rdmaq.rig.errors import NoRig
from rdmaq.rig.session import Session
from rdmaq.rig.state import State

# What says where a program runs, not how: the guest has its own.
_OWN_SETTINGS = (
    "RDMAQ_RIG_RUNTIME", "RDMAQ_RUNTIME_DIR", "TMPDIR", "TMP", "TEMP", "SSH_AUTH_SOCK",
    "DBUS_SESSION_BUS_ADDRESS", "DISPLAY",
)  # fmt: skip
_SYSTEM_TOOLS = ("/usr/sbin", "/sbin")  # `ip`, `tc` and `rdma`, which a user has the right to use
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
        environment: all settings, the caller's own by default; those that name things of the host
            alone (TMPDIR, sockets) are left out, and the system's tools are added to PATH.
        as_root: run as root instead of as the caller. The host's files stay as they are guarded.

    Raises:
        NoRig: that node does not run.
        GuestDied: it does not answer.
        CommandNotRun: arguments and environment are more than a command may have.
    """
    if not 0 <= node < len(rig.nodes):
        raise NoRig(f"rig {rig.name!r} has {len(rig.nodes)} node(s), there is no node {node}")
    if not rig.nodes[node].process.is_alive:
        raise NoRig(
            f"node {node} of rig {rig.name!r} is dead (idle for long, killed, or crashed: "
            "`rdmaq rig log` tells); start it again: rdmaq rig up"
        )
    if rig.is_paused(node):
        raise NoRig(
            f"node {node} of rig {rig.name!r} is paused and would not answer; let it go on: "
            "rdmaq rig heal"
        )
    user = 0 if as_root else os.getuid()
    settings = _in_guest(os.environ if environment is None else environment, user) | {
        "RDMAQ_RIG": rig.name,
        "RDMAQ_RIG_NODE": str(node),
        "RDMAQ_RIG_ID": str(rig.rig_id),
    }
    request = frames.Request(
        arguments=arguments,
        folder=str(Path.cwd() / (folder or "")),
        environment=settings,
        user=user,
        group=0 if as_root else os.getgid(),
        groups=(0,) if as_root else os.getgroups(),
        terminal=terminal,
    )
    return Session(rig.nodes[node].port, rig.token, request)


def _in_guest(settings: Mapping[str, str], user: int) -> dict[str, str]:
    """Return an environment as it makes sense in a guest, which has a /tmp of its own."""
    kept = {name: value for name, value in settings.items() if name not in _OWN_SETTINGS}
    if "XDG_RUNTIME_DIR" in kept:
        kept["XDG_RUNTIME_DIR"] = f"/run/user/{user}"
    path = kept.get("PATH", "/usr/bin:/bin").split(":")
    kept["PATH"] = ":".join([*path, *(place for place in _SYSTEM_TOOLS if place not in path)])
    return kept


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


def _write_all(descriptor: int, data: bytes, session: Session, wake: int) -> None:
    """Write to a stream of ours; whoever does not read it holds up neither signals nor time."""
    view = memoryview(data)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        while view:
            view = view[os.write(descriptor, view) :]
        return
    poller = select.poll()
    poller.register(descriptor, select.POLLOUT)
    poller.register(wake, select.POLLIN)
    while view and session.status is None:
        left = session.seconds_left()
        for ready, _ in poller.poll(None if left is None else left * 1000):
            if ready == wake:
                os.read(wake, 512)
            else:  # a pipe that is ready takes this much without waiting
                view = view[os.write(descriptor, view[: select.PIPE_BUF]) :]
        session.attend()


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
        if interrupts > 2:
            session.abandon()
        session.send_signal(number)

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
    if sys.stdout is not None:  # its descriptor was closed when we began
        sys.stdout.flush()
    descriptor = {frames.OUTPUT: 1, frames.ERROR: 2}
    try:
        if not stdin:
            session.send_input(b"")
        with _signals_forwarded(session) as wake:
            for kind, data in session.events(
                stdin=0 if stdin else None, timeout=timeout, wake=wake
            ):
                _write_all(descriptor[kind], data, session, wake)
    except BrokenPipeError:
        return 128 + signal.SIGPIPE  # as the command itself would have died of it
    finally:
        session.close()
    assert session.status is not None, "events() ends with a status or an exception"
    return session.status


def stream_terminal(session: Session) -> int:
    """As `stream`, with our terminal in raw mode meanwhile; the session must have a terminal."""
    before = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        return stream(session)
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
