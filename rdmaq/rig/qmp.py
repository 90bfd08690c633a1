"""Speaks QMP, QEMU's control protocol: JSON objects, one a line, over a UNIX socket.

Source: QEMU, docs/interop/qmp-spec.rst.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rdmaq.rig.errors import RigError


class Qmp:
    """One connection; QEMU takes one at a time, so open it, say what you want, and close it."""

    def __init__(self, path: Path, *, timeout: float = 30.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._lines = self._socket.makefile("rb")
        self._read()  # the greeting
        self.execute("qmp_capabilities")

    def __enter__(self) -> Qmp:
        """Return the connection itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Close the connection; the guest goes on."""
        self._lines.close()
        self._socket.close()

    def _read(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise RigError("QEMU closed its control connection: it ended; see `rdmaq rig log`")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def execute(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Run a command and return its answer; events that come in between are passed over.

        Raises:
            RigError: QEMU refused it, in QEMU's words.
        """
        request = {"execute": command, "arguments": dict(arguments or {})}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        while True:
            answer = self._read()
            if "error" in answer:
                raise RigError(f"QEMU refused {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def monitor(self, line: str) -> str:
        """Run a command of the human monitor; only for what QMP has no word of its own for."""
        return str(self.execute("human-monitor-command", {"command-line": line}))

    def await_migration(self, *, timeout: float) -> None:
        """Return when a migration, in or out, is completed.

        Raises:
            RigError: it failed, or did not end in `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            status = self.execute("query-migrate").get("status")
            if status == "completed":
                return
            if status in {"failed", "cancelled"}:
                raise RigError("QEMU could not move the machine's state; see `rdmaq rig log`")
            time.sleep(0.02)
        raise RigError(f"QEMU did not move the machine's state within {timeout:g} s")
