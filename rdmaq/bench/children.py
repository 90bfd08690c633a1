"""Processes at the far end of a benchmark: started, told what to do, and gone with the parent."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection
from multiprocessing.connection import Pipe
from typing import Any

from rdmaq.errors import RdmaqError

_END_SECONDS = 0.5
ANSWER_SECONDS = 60.0


class BenchError(RdmaqError):
    """A benchmark cannot be run to its end; what was measured so far is void."""


class Child:
    """One process that does what it is told: `start` a method there, `finish` to get its answer.

    Args:
        role: a module whose class `Far` serves.
        fds: descriptors that it inherits under their own numbers.
        arguments: of `Far(...)`; pickled.
    """

    def __init__(self, role: str, *, fds: Collection[int] = (), **arguments: Any) -> None:
        self._here, there = Pipe()
        with there:
            command = [sys.executable, "-P", "-m", "rdmaq.bench.worker", role, str(there.fileno())]
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [*command, str(os.getpid())],
                pass_fds=[there.fileno(), *fds],
                process_group=0,  # Ctrl-C is ours to handle
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        self.pid = self._process.pid
        try:
            self._here.send(arguments)
            self.finish()
        except BaseException:
            self.close()
            raise

    def start(self, method: str, **arguments: Any) -> None:
        """Tells it to run `Far.method(**arguments)`, and does not wait."""
        try:
            self._here.send((method, arguments))
        except OSError as error:
            raise self._gone() from error

    def finish(self, seconds: float = ANSWER_SECONDS) -> Any:
        """Waits for the end of what it does, and returns what that returned.

        Args:
            seconds: to wait for it.

        Raises:
            BenchError: it failed, ended, or says nothing for so long.
        """
        try:
            if not self._here.poll(seconds):
                raise BenchError(
                    f"the benchmark's second process does not answer: process {self.pid} has been "
                    f"busy for {seconds:.0f} s; run again on a quieter machine"
                )
            is_done, answer = self._here.recv()
        except (EOFError, OSError) as error:
            raise self._gone() from error
        if not is_done:
            raise BenchError(f"the benchmark's second process failed: {answer}")
        return answer

    def call(self, method: str, **arguments: Any) -> Any:
        """`start` and `finish` in one."""
        self.start(method, **arguments)
        return self.finish()

    def _gone(self) -> BenchError:
        return BenchError(
            f"the benchmark's second process is gone: process {self.pid} ended by itself or was "
            "killed; its own words, if it had any, stand above. Run again"
        )

    def close(self) -> None:
        """Ends it; idempotent."""
        self._here.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
