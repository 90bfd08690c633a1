"""The node's end of the hand-over: accepts, checks who asks, answers, and notices hang-ups.

One thread per node. It sleeps in `select` and never runs while messages flow: the data plane does
not pass here.
"""

from __future__ import annotations

import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from rdmaq.errors import HandoverError
from rdmaq.shm import wire
from rdmaq.shm.runtime import NameLock, make_folder

_log = logging.getLogger("rdmaq")

_BACKLOG = 128
_PEERS_MAX = 1024
_REQUEST_SECONDS_MAX = 5.0


@dataclass(slots=True, kw_only=True)
class Reply:
    """The answer to a request.

    Attributes:
        message: goes to the peer.
        descriptors: go with it; closed afterwards.
        on_gone: called when the peer hangs up or dies; None: the connection ends with the answer.
    """

    message: dict[str, Any]
    descriptors: list[int] = field(default_factory=list)
    on_gone: Callable[[], None] | None = None


@dataclass(slots=True, eq=False)
class _Connection:
    sock: socket.socket
    pid: int
    deadline: float | None
    on_gone: Callable[[], None] | None = None
    pidfd: int | None = None


Handler = Callable[[dict[str, Any], socket.socket], Reply]


class Listener:
    """Listens at a local name until `close`.

    Args:
        name: the NAME of `local:NAME`.
        handler: answers one request; runs on the listener's thread.
        allow_uids: users who may connect besides this process's own.

    Raises:
        AddressInUse: another living process has the name.
    """

    def __init__(self, name: str, handler: Handler, *, allow_uids: Collection[int]) -> None:
        make_folder()
        self._handler = handler
        self._allowed = {os.geteuid(), *allow_uids}
        self._lock = NameLock(name)
        self._connections: set[_Connection] = set()
        with ExitStack() as undo:  # whatever fails, the name is free again
            undo.callback(self._lock.release)
            self._listen(is_shared=bool(allow_uids))
            undo.callback(self._socket.close)
            self._selector = selectors.DefaultSelector()
            undo.callback(self._selector.close)
            self._stop_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            undo.callback(os.close, self._stop_fd)
            self._selector.register(self._socket, selectors.EVENT_READ, None)
            self._selector.register(self._stop_fd, selectors.EVENT_READ, None)
            self._thread = threading.Thread(target=self._serve, name=f"rdmaq-{name}", daemon=True)
            self._thread.start()
            undo.pop_all()

    def _listen(self, *, is_shared: bool) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        path = self._lock.socket_path
        try:
            with suppress(FileNotFoundError):
                path.unlink()  # a dead node's: the lock is ours
            self._socket.bind(os.fspath(path))
            path.chmod(0o666 if is_shared else 0o600)
            self._socket.listen(_BACKLOG)
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Stops listening and hangs up on everybody. Must not be called by the handler."""
        os.eventfd_write(self._stop_fd, 1)
        self._thread.join()
        for connection in list(self._connections):
            self._drop(connection)
        self._selector.close()
        self._socket.close()
        os.close(self._stop_fd)
        self._lock.release()

    def forget(self) -> None:
        """In a forked child: closes the copies of the parent's descriptors, touches no file."""
        self._selector.close()
        self._socket.close()
        os.close(self._stop_fd)
        for connection in self._connections:
            connection.sock.close()
            if connection.pidfd is not None:
                os.close(connection.pidfd)
        self._lock.forget()

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select(self._patience()):
                if key.fd == self._stop_fd:
                    return
                if key.data is None:
                    self._accept()
                elif key.data in self._connections:
                    self._look_at(key.data, is_pidfd=key.fileobj is not key.data.sock)
            self._drop_silent()

    def _patience(self) -> float | None:
        deadlines = [c.deadline for c in self._connections if c.deadline is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _drop_silent(self) -> None:
        now = time.monotonic()
        for connection in list(self._connections):
            if connection.deadline is not None and connection.deadline <= now:
                self._drop(connection)

    def _accept(self) -> None:
        try:
            sock, _ = self._socket.accept()
        except OSError as error:  # EMFILE and its like: the backlog keeps the peer waiting
            _log.warning("a connection could not be accepted: %s", error)
            time.sleep(0.01)
            return
        sock.setblocking(False)
        pid, uid = wire.peer_credentials(sock)
        refusal = ""
        if uid not in self._allowed:
            refusal = (
                f"user {uid} may not use this node: it admits users "
                f"{', '.join(map(str, sorted(self._allowed)))}; start it with allow_uids=[{uid}]"
            )
        elif len(self._connections) >= _PEERS_MAX:
            refusal = f"the node has {_PEERS_MAX} connections: close some, or start another node"
        if refusal:
            kind = "AccessDenied" if uid not in self._allowed else "TooManyReaders"
            with sock, suppress(OSError):
                wire.send_packet(sock, {"error": kind, "text": refusal}, [])
            return
        connection = _Connection(sock, pid, time.monotonic() + _REQUEST_SECONDS_MAX)
        self._connections.add(connection)
        self._selector.register(sock, selectors.EVENT_READ, connection)

    def _look_at(self, connection: _Connection, *, is_pidfd: bool) -> None:
        if is_pidfd:
            self._drop(connection)
        elif connection.deadline is not None:
            self._answer(connection)
        else:
            # A subscriber has nothing more to say: it hung up, or it is no subscriber of ours.
            self._drop(connection)

    def _answer(self, connection: _Connection) -> None:
        try:
            request, unwanted = wire.receive_packet(connection.sock)
        except (HandoverError, OSError):
            self._drop(connection)
            return
        wire.close_all(unwanted)
        try:
            reply = self._handler(request, connection.sock)
        except Exception:  # a bug of ours, or of the system: it costs this peer, not the others
            _log.exception("a request of process %d could not be answered", connection.pid)
            self._drop(connection)
            return
        connection.on_gone = reply.on_gone
        connection.deadline = None
        try:
            wire.send_packet(connection.sock, reply.message, reply.descriptors)
        except OSError:
            self._drop(connection)
            return
        finally:
            wire.close_all(reply.descriptors)
        if reply.on_gone is None:
            self._drop(connection)
            return
        # The hang-up may never come if a forked child of the peer keeps the socket.
        connection.pidfd = wire.open_pidfd(connection.pid)
        if connection.pidfd is not None:
            self._selector.register(connection.pidfd, selectors.EVENT_READ, connection)

    def _drop(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        self._selector.unregister(connection.sock)
        connection.sock.close()
        if connection.pidfd is not None:
            self._selector.unregister(connection.pidfd)
            os.close(connection.pidfd)
        # Forgotten at once: the serving loop's own variables may hold the connection for long, and
        # this holds a publisher with its ring.
        on_gone, connection.on_gone = connection.on_gone, None
        if on_gone is not None:
            on_gone()
