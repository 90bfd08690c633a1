"""Where local nodes are found: a socket per name in the user's runtime folder, a lock beside it.

A path, not an abstract name: containers can share the folder, and file modes guard it. The lock
tells a living node's socket from a dead one's, which is replaced. Both files go with the node, or
with the interpreter that forgot to close it; only a killed process leaves them.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from rdmaq.errors import AccessDenied, AddressError, AddressInUse

_SOCKET_PATH_BYTES_MAX = 107  # sockaddr_un.sun_path of linux/un.h, less the final zero


def runtime_folder() -> Path:
    """$RDMAQ_RUNTIME_DIR, else $XDG_RUNTIME_DIR/rdmaq, else /tmp/rdmaq-UID."""
    if explicit := os.environ.get("RDMAQ_RUNTIME_DIR"):
        return Path(explicit)
    if session := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(session) / "rdmaq"
    return Path(f"/tmp/rdmaq-{os.geteuid()}")  # noqa: S108 - made 0700, and its owner is checked


def socket_path(name: str) -> Path:
    """The socket of the node called `name`.

    Raises:
        AddressError: the path is longer than a UNIX socket's can be.
    """
    path = runtime_folder() / f"{name}.sock"
    if len(os.fsencode(path)) > _SOCKET_PATH_BYTES_MAX:
        raise AddressError(
            f"socket path {path} is longer than {_SOCKET_PATH_BYTES_MAX} bytes: "
            "set RDMAQ_RUNTIME_DIR to a shorter folder, or use a shorter name"
        )
    return path


def make_folder() -> Path:
    """Makes the runtime folder, for this user alone.

    Raises:
        AccessDenied: it exists and another user could put sockets of his own there.
    """
    folder = runtime_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        raise AccessDenied(
            f"the runtime folder {folder} cannot be made: {error.strerror}; "
            "set RDMAQ_RUNTIME_DIR to a folder of yours"
        ) from error
    if "RDMAQ_RUNTIME_DIR" not in os.environ and (
        status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o022
    ):
        raise AccessDenied(
            f"the runtime folder {folder} belongs to user {status.st_uid} or others may write to "
            "it; remove it, or set RDMAQ_RUNTIME_DIR to a folder of yours"
        )
    return folder


def _takes_no_files(folder: Path, error: OSError) -> AccessDenied:
    return AccessDenied(
        f"the runtime folder {folder} takes no files: {error.strerror}; set RDMAQ_RUNTIME_DIR to a "
        "folder of yours"
    )


def try_folder(folder: Path) -> None:
    """Makes a socket's like in the runtime folder, and takes it away.

    Raises:
        AccessDenied: no node could listen there.
    """
    try:
        fd, path = tempfile.mkstemp(prefix=".try-", dir=folder)
    except OSError as error:
        raise _takes_no_files(folder, error) from error
    os.close(fd)
    Path(path).unlink()


class NameLock:
    """Holds a node's name for as long as this process lives or until `release`.

    Attributes:
        socket_path: where the node may listen. The file goes with the lock's own.
    """

    def __init__(self, name: str) -> None:
        """Takes the lock.

        Raises:
            AddressInUse: a living process has it.
            AccessDenied: the lock's file is another user's, or the folder takes none.
        """
        self.socket_path = socket_path(name)
        self._path = self.socket_path.with_suffix(".lock")
        while True:
            try:
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                if not self._path.exists():
                    raise _takes_no_files(self._path.parent, error) from error
                raise AccessDenied(
                    f"the lock {self._path} cannot be opened: {error.strerror}; if another user's "
                    "node left it behind, remove it, or choose another name"
                ) from error
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip()
                os.close(self._fd)
                raise AddressInUse(
                    f"'local:{name}' is taken: process {holder or 'unknown'} is a node of that "
                    "name; end it, or choose another name"
                ) from None
            if self._is_current():
                break
            os.close(self._fd)  # its holder removed the file while we waited: try the new one
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        self._owner_pid = os.getpid()
        atexit.register(self._remove_files)

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._fd), self._path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Removes socket and lock and lets go."""
        atexit.unregister(self._remove_files)
        self._remove_files()
        os.close(self._fd)

    def _remove_files(self) -> None:
        """Once only: afterwards they may be another node's. Never those of a parent process."""
        if os.getpid() != self._owner_pid:
            return
        self._owner_pid = -1
        for path in (self.socket_path, self._path):
            with suppress(OSError):  # the folder is gone, or takes nothing any more
                path.unlink()

    def forget(self) -> None:
        """In a forked child: closes the copy, so that the parent's death frees the name."""
        atexit.unregister(self._remove_files)
        os.close(self._fd)
