"""The tutorial's programs, in processes of their own, as its reader starts them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.rig import eventually
from tests.docs import pages

Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a program that the tutorial says to save; what is left at the end is killed."""
    started: list[subprocess.Popen[str]] = []
    for block in pages.blocks("docs/tutorial.md"):
        if block.mark.startswith("file="):
            (tmp_path / block.mark.removeprefix("file=")).write_text(block.code, encoding="utf-8")

    def run(name: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", name],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def has_loaded_rdmaq(process: subprocess.Popen[str]) -> bool:
    return "/_ext." in Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8")


def lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    return iter(process.stdout.readline, "")


def test_two_programs_find_each_other_and_every_tick_arrives(start: Start) -> None:
    """The subscriber starts first; what was sent before it was there is not its own."""
    subscriber = start("subscriber.py")
    eventually(lambda: has_loaded_rdmaq(subscriber))  # it looks for the publisher from here on
    publisher = start("publisher.py")
    output, errors = subscriber.communicate(timeout=60)
    assert (publisher.wait(60), errors) == (0, "")
    *batches, last = output.splitlines()
    assert last == "the publisher closed the stream"
    expected = int(batches[0].split()[0])
    for line in batches:
        sequence, count, price = map(int, line.split())
        assert sequence == expected
        expected += count
        assert price == 10_000 + expected - 1
    assert expected == 201


def test_follower_goes_on_with_the_next_publisher(start: Start) -> None:
    follower = start("follower.py")
    eventually(lambda: has_loaded_rdmaq(follower))
    publisher = start("publisher.py")
    heard = lines(follower)
    before = [line.split() for line in (next(heard) for _ in range(6)) if line[0].isdigit()]
    publisher.kill()
    publisher.wait()
    assert start("publisher.py").wait(60) == 0
    output, errors = follower.communicate(timeout=60)
    assert (follower.returncode, errors) == (0, "")
    assert re.search(r"^gone ", output, re.MULTILINE)
    after = output.partition("restarted ")[2].splitlines()[1:]
    batches = [line.split() for line in after if line[0].isdigit()]
    epochs = {epoch for epoch, _ in batches}
    assert len(epochs) == 1
    assert epochs != {before[-1][0]}
    assert batches[0][1] == "1"
