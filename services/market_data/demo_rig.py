"""RDMA devices for a demonstration: `rdmaq rig`, by the commands that a person would type."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from .errors import RigError

# A rig that a killed demonstration left behind ends by itself.
IDLE_SECONDS = 600
COMMAND_SECONDS_MAX = 300


class DemoRig:
    """Virtual machines of our own, and a folder that they see; use it in a `with` statement.

    Args:
        node_count: Machines.
        say: Takes each command before it is run.

    Attributes:
        folder: For files that host and machines share; gone afterwards, as the machines are.
    """

    def __init__(self, node_count: int, say: Callable[[str], None]) -> None:
        self._node_count = node_count
        self._say = say
        self._started: list[subprocess.Popen[str]] = []
        # The commands stand beside the interpreter, also when no environment is active.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        self._environment = {
            **os.environ, "PATH": path, "RDMAQ_RIG_NAME": f"demo-{os.getpid()}"
        }  # fmt: skip
        self.folder = Path()

    def __enter__(self) -> DemoRig:
        # Below the folder we stand in, since that is what the machines see anew at each look.
        parent = Path(".build") if Path(".build").is_dir() else Path()
        self.folder = Path(tempfile.mkdtemp(prefix="demo-", dir=parent))
        try:
            words = ["rdmaq", "rig", "up", "--nodes", str(self._node_count)]
            self.run([*words, "--idle", str(IDLE_SECONDS)])
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        for process in self._started:
            process.kill()
            process.communicate()
        try:
            self.run(["rdmaq", "rig", "down"])
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, words: Sequence[str], *, is_shown: bool = False) -> None:
        """Runs a command to its end; its errors are seen.

        Args:
            words: The command and its arguments.
            is_shown: What it prints is shown, too.

        Raises:
            RigError: It failed.
        """
        self._say(f"$ {shlex.join(words)}")
        output = None if is_shown else subprocess.DEVNULL
        sys.stdout.flush()
        done = subprocess.run(  # noqa: S603 - our own commands
            words, env=self._environment, stdin=subprocess.DEVNULL, stdout=output, check=False
        )
        if done.returncode != 0:
            raise RigError(
                shlex.join(words),
                f"it ended with status {done.returncode}, and its own words stand above",
                "do what they say; docs/rig.md tells what the rig needs",
            )

    def start(self, node: int, words: Sequence[str]) -> subprocess.Popen[str]:
        """Starts a command in a machine; its output is kept for `output`, its errors are seen."""
        where = f"machine {node}" if self._node_count > 1 else "the machine"
        self._say(f"in {where} $ {shlex.join(words)}")
        command = ["rdmaq", "rig", "exec", "--node", str(node), "--no-stdin", "--fresh"]
        limit = ["--timeout", str(COMMAND_SECONDS_MAX)]
        process = subprocess.Popen(  # noqa: S603 - our own commands
            [*command, *limit, "--", *words],
            env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._started.append(process)
        return process

    def output(self, process: subprocess.Popen[str]) -> str:
        """Waits for what was started, and gives what it printed.

        Raises:
            RigError: It printed nothing.
        """
        said, _ = process.communicate()
        self._started.remove(process)
        if not said.strip():
            raise RigError(
                "a command in a virtual machine",
                f"it ended with status {process.returncode} and no report; its words stand above",
                "do what they say, or look for the load of this machine, and run again",
            )
        return said
