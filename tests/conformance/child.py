"""Another process that does what a test tells it: publisher or subscriber, to be stopped or killed.

As a program it reads one Python expression or statement a line (as JSON), runs it among the names
of `rdmaq` and of the rig, and answers with a line of JSON: its value, or the exception's name.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import rdmaq
from tests.conformance import rig

ROOT = Path(__file__).parents[2]


class ChildError(Exception):
    """The child's own exception: `name` is its class."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


class Child:
    """Started at once, killed at the end of the block if it lives then.

    Attributes:
        pid: its process.
        address: of its node, when it is one.
    """

    address = ""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.conformance.child"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def offer(self, transport: rig.Transport, address: str = "") -> str:
        """Makes it a node, `node`, where another one was or anywhere; returns its address."""
        address = address or transport.address("rig")
        self.run(f"node = {transport!r}.node_at({address!r})")
        self.address = str(self.run("node.address"))
        return self.address

    def begin(self, line: str) -> None:
        """Tells it to run `line`, and does not wait."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """The value of what was begun. Raises `ChildError` when that raised."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], rig.PATIENCE_SECONDS)
        assert ready, "the child does not answer"
        line = self._process.stdout.readline()
        assert line, f"the child ended with {self._process.wait()}"
        answer = json.loads(line)
        if "error" in answer:
            raise ChildError(answer["error"], answer["text"])
        return answer["value"]

    def run(self, line: str) -> Any:
        """Runs `line` there and returns its value."""
        self.begin(line)
        return self.answer()

    def stop(self) -> None:
        """SIGSTOP; returns when the kernel has stopped it."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL; returns when it is dead."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


def serve() -> None:
    """The program: answers until its standard input ends."""
    names = {"rdmaq": rdmaq, "rig": rig, **vars(rig)}
    for line in sys.stdin:
        source = json.loads(line)
        try:
            try:
                answer = {"value": eval(compile(source, "<test>", "eval"), names)}
            except SyntaxError:
                exec(compile(source, "<test>", "exec"), names)
                answer = {"value": None}
        except Exception as error:
            answer = {"error": type(error).__name__, "text": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
