"""The processes at a benchmark's far end: they answer, they fail loudly, they never stay behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rdmaq.bench.children import BenchError, Child
from rdmaq.bench.quiet import Watch

START_AND_WAIT = """
import sys, time
from rdmaq.bench.children import Child
from rdmaq.bench.quiet import Watch
watch = Watch()
child = Child("rdmaq.bench.quiet", fds=(watch.fd,), words_fd=watch.fd)
if sys.argv[1] == "busy":
    child.start("answer_words", count=1 << 40, limit_ns=60 * 10**9)
print(child.pid, flush=True)
time.sleep(60)
"""


def is_running(pid: int) -> bool:
    """A zombie that waits for its new parent to collect it runs no more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_child_dies_with_a_killed_parent(state: str) -> None:
    """The parent gets SIGKILL, so it cannot clean up; the child ends all the same."""
    command = [sys.executable, "-c", START_AND_WAIT, state]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child_pid = int(parent.stdout.readline())
        assert is_running(child_pid)
        parent.send_signal(signal.SIGKILL)
    while is_running(child_pid):
        time.sleep(0.01)


def test_closed_child_is_gone() -> None:
    """Also when it is in the middle of something that would take a minute."""
    with Watch() as watch:
        with Child("rdmaq.bench.quiet", fds=(watch.fd,), words_fd=watch.fd) as child:
            child.start("answer_words", count=1 << 40, limit_ns=60_000_000_000)
        assert not is_running(child.pid)


def test_failure_in_the_child_is_raised_here() -> None:
    """An exception there ends the benchmark with its words."""
    with (
        Watch() as watch,
        Child("rdmaq.bench.quiet", fds=(watch.fd,), words_fd=watch.fd) as child,
        pytest.raises(BenchError, match="no_such_method"),
    ):
        child.call("no_such_method")


def test_death_of_the_child_is_raised_here() -> None:
    """Somebody kills it: the next call says that it is gone."""
    with Watch() as watch, Child("rdmaq.bench.quiet", fds=(watch.fd,), words_fd=watch.fd) as child:
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(BenchError, match="is gone"):
            child.call("answer_words", count=1, limit_ns=1)
