"""Runs one command in a guest: the client of the agent's serve.c."""

from __future__ import annotations

import errno
import os
import selectors
import signal
import socket
import struct
import time
from collections.abc import Iterator
from typing import Final

from rdmaq.rig import frames
from rdmaq.rig.errors import CommandNotRun, GuestDied

TIMED_OUT: Final = 124  # as timeout(1) of GNU coreutils exits
GRACE_SECONDS: Final = 2.0  # between SIGTERM and SIGKILL of a command whose time is over
_CHUNK_BYTES: Final = 1 << 16
_UNSENT_BYTES_MAX: Final = 1 << 18  # no more is read from the user than the guest takes


class Session:
    """One connection to a guest's agent. Iterate `events()`; `close()` ends the command."""

    def __init__(self, port: int, token: str, request: frames.Request) -> None:
        self.status: int | None = None
        self.timed_out = False
        hello = frames.pack(frames.TOKEN, token.encode())
        try:
            hello += frames.pack(frames.REQUEST, request.pack(time.time_ns()))
        except ValueError as error:
            raise CommandNotRun(f"{request.arguments[0][:100]}: {error}", status=126) from error
        self._queued = bytearray(hello)
        try:
            self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        except OSError as error:
            raise GuestDied(
                f"the guest does not answer: {error}; look at `rdmaq rig log`, then `rdmaq rig up`"
            ) from error
        self._name = request.arguments[0]
        self._folder = request.folder
        self._reader = frames.Reader()
        self._input = bytearray()  # not sent: beyond what the agent has room for
        self._input_at_agent_bytes = 0
        self._input_is_watched = False
        self._input_ended = False
        self._end_is_sent = False
        self._deadline: float | None = None
        self._late_steps = [signal.SIGTERM, signal.SIGKILL]
        self._selector = selectors.PollSelector()
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)

    def close(self) -> None:
        """Close the connection: what still runs of the command is ended by the agent."""
        self._selector.close()
        self._socket.close()

    def _send(self, kind: bytes, payload: bytes = b"") -> None:
        self._queued += frames.pack(kind, payload)

    def send_input(self, data: bytes) -> None:
        """Queue bytes for the command's standard input; empty ones end it."""
        self._input += data
        self._input_ended = self._input_ended or not data
        self._send_what_fits()

    def _send_what_fits(self) -> None:
        """Keep to the window: a signal must not wait behind input that nobody reads."""
        while self._input and self._input_at_agent_bytes < frames.INPUT_WINDOW_BYTES:
            room = frames.INPUT_WINDOW_BYTES - self._input_at_agent_bytes
            part = bytes(self._input[: min(_CHUNK_BYTES, room)])
            del self._input[: len(part)]
            self._input_at_agent_bytes += len(part)
            self._send(frames.INPUT, part)
        if self._input_ended and not self._input and not self._end_is_sent:
            self._end_is_sent = True
            self._send(frames.INPUT)

    def send_signal(self, number: int) -> None:
        """Queue a signal for the command's process group."""
        self._send(frames.SIGNAL, bytes([number]))

    def send_window(self, rows: int, columns: int) -> None:
        """Queue a new size of the command's terminal."""
        self._send(frames.WINDOW, struct.pack(">HH", rows, columns))

    def events(
        self, *, stdin: int | None = None, timeout: float | None = None, wake: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (frames.OUTPUT or frames.ERROR, bytes) until the command has ended.

        Args:
            stdin: a descriptor to read its standard input from.
            timeout: seconds; then the command gets SIGTERM, and SIGKILL two seconds later; a guest
                that does not tell of its end in two more is not waited for.
            wake: a descriptor that, when readable, only makes the loop look at its queue; what is
                read from it is thrown away (signal.set_wakeup_fd).

        Raises:
            CommandNotRun: it could not be started.
            GuestDied: the connection ended before the command did.
        """
        self._selector.register(self._socket, selectors.EVENT_READ, "socket")
        if wake is not None:
            self._selector.register(wake, selectors.EVENT_READ, "wake")
        self._deadline = None if timeout is None else time.monotonic() + timeout
        while self.status is None:
            self._watch(stdin)
            for key, ready in self._selector.select(self.seconds_left()):
                if key.data == "wake":
                    os.read(key.fd, 512)
                elif key.data == "stdin":
                    self._read_input(key.fd)
                else:
                    if ready & selectors.EVENT_WRITE:
                        self._flush()
                    if ready & selectors.EVENT_READ:
                        yield from self._receive()
            self.attend()

    def seconds_left(self) -> float | None:
        """Return the time until `attend()` has something to do; None: no such time."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def attend(self) -> None:
        """End a command whose time is over, and send what is queued; never waits.

        Whoever takes long between two events (its output is not read) calls it meanwhile. When the
        command was killed and nobody told of its end, `status` is set and the events end.
        """
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self.timed_out = True
            self._deadline = time.monotonic() + GRACE_SECONDS
            if self._late_steps:
                self.send_signal(self._late_steps.pop(0))
            else:
                self.status = TIMED_OUT
        if self._queued:
            self._flush()

    def abandon(self) -> None:
        """Do not wait for the command's end any more; `close()` ends it."""
        self.status = 128 + signal.SIGKILL

    def _watch(self, stdin: int | None) -> None:
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._queued else 0)
        self._selector.modify(self._socket, wanted, "socket")
        if stdin is not None and not self._input_ended:
            is_full = len(self._input) >= _UNSENT_BYTES_MAX
            if is_full and self._input_is_watched:
                self._selector.unregister(stdin)
            elif not is_full and not self._input_is_watched:
                self._selector.register(stdin, selectors.EVENT_READ, "stdin")
            self._input_is_watched = not is_full

    def _read_input(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.send_input(data)
        if not data:
            self._selector.unregister(descriptor)

    def _flush(self) -> None:
        try:
            sent = self._socket.send(memoryview(self._queued)[: 1 << 18])
        except BlockingIOError:
            return
        except OSError as error:
            raise self._died() from error
        del self._queued[:sent]

    def _receive(self) -> Iterator[tuple[bytes, bytes]]:
        try:
            data = self._socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError as error:
            raise self._died() from error
        if not data:
            raise self._died()
        for kind, payload in self._reader.feed(data):
            if kind == frames.EXIT:
                code = struct.unpack(">i", payload)[0]
                self.status = TIMED_OUT if self.timed_out else code if code >= 0 else 128 - code
            elif kind == frames.TAKEN:
                self._input_at_agent_bytes -= struct.unpack(">I", payload)[0]
                self._send_what_fits()
            elif kind == frames.FAILED:
                raise self._not_run(payload.decode())
            else:
                yield kind, payload

    def _died(self) -> GuestDied:
        return GuestDied(
            f"the guest went away while {self._name} ran: QEMU ended or the guest crashed; "
            "look at `rdmaq rig log`, then run `rdmaq rig up`"
        )

    def _not_run(self, why: str) -> CommandNotRun:
        step, _, code = why.partition(" ")
        number = int(code)
        words = os.strerror(number)
        if step == "command":
            status = 127 if number == errno.ENOENT else 126
            cure = "it must be on the host's disk, in PATH, and executable there"
            return CommandNotRun(f"{self._name}: {words}; {cure}", status=status)
        if step == "folder":
            return CommandNotRun(
                f"{self._folder}: {words}; the guest sees the host's disk, but has a /tmp, /run "
                "and /dev of its own: name another by --folder",
                status=125,
            )
        return CommandNotRun(f"{self._name} was not started: {step}: {words}", status=125)
