"""Up, down, and what is recovered when something is killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rdmaq.rig import breaking, lifecycle, running, state
from rdmaq.rig.errors import RigError
from rdmaq.rig.lifecycle import Wish
from rdmaq.rig.machine import Process
from rdmaq.rig.state import State
from tests.rig.support import COMMAND, ROOT, need_qemu, wish_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

UP_DOWN_ROUNDS = 5


@pytest.fixture
def wish() -> Iterator[Wish]:
    need_qemu()
    wish = wish_for("life")
    yield wish
    lifecycle.down(wish.name)


def qemus_of(name: str) -> list[int]:
    """The processes whose command line names the rig's folder."""
    needle = os.fsencode(state.folder_of(name)) + b"/"
    return [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if needle in read_bytes(path) and Process.of(int(path.parent.name))
    ]


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_up_and_down_leave_nothing(wish: Wish) -> None:
    for _round in range(UP_DOWN_ROUNDS):
        rig = lifecycle.up(wish)
        assert running.run(rig, ["true"]).status == 0
        assert lifecycle.down(wish.name)
        assert qemus_of(wish.name) == []
        assert not state.folder_of(wish.name).exists()
    assert not lifecycle.down(wish.name)


def test_cold_boot_needs_no_snapshot(wish: Wish) -> None:
    rig = lifecycle.up(wish_for("life", cold=True))
    assert not rig.nodes[0].resumed
    assert b"PORT_ACTIVE" in running.run(rig, ["ibv_devinfo", "-d", "rxe0"]).stdout


def test_killed_up_leaves_a_guest_that_the_next_up_replaces(wish: Wish) -> None:
    command = [*COMMAND, "up", "--cold", "--name", wish.name]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as starter:
        deadline = time.monotonic() + 60
        while not (state.folder_of(wish.name) / "node-0" / "pid").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        starter.kill()
    orphans = qemus_of(wish.name)
    assert len(orphans) == 1
    rig = lifecycle.up(wish)
    assert qemus_of(wish.name) == [rig.nodes[0].process.pid] != orphans


def test_two_rigs_of_one_user_do_not_meet(wish: Wish, rig: State) -> None:
    other = lifecycle.up(wish)
    for one, word in ((rig, "one"), (other, "other")):
        assert running.run(one, ["sh", "-c", f"echo {word} > /tmp/mine"]).status == 0
    assert running.run(rig, ["cat", "/tmp/mine"]).stdout == b"one\n"
    guids = [
        running.run(one, ["cat", "/sys/class/infiniband/rxe0/node_guid"]).stdout
        for one in (rig, other)
    ]
    assert guids[0] != guids[1]
    lifecycle.down(wish.name)
    assert running.run(rig, ["true"]).status == 0


def test_snapshots_do_not_repeat_their_randomness(wish: Wish) -> None:
    """Both guests resume from one snapshot; 64 bits that agree would be the kernel's pool."""
    words = ["head", "-c", "8", "/dev/urandom"]
    first = running.run(lifecycle.up(wish), words).stdout
    lifecycle.down(wish.name)
    assert running.run(lifecycle.up(wish), words).stdout != first


def test_rig_that_differs_is_refused(wish: Wish) -> None:
    lifecycle.up(wish)
    with pytest.raises(RigError, match="is up already, with nodes 1 instead of 2"):
        lifecycle.up(wish_for("life", node_count=2))


def test_paused_guest_goes_on_with_the_right_time(wish: Wish) -> None:
    rig = lifecycle.up(wish)
    breaking.break_node(rig, 0, "pause")
    time.sleep(1.0)
    breaking.heal(rig, 0)
    behind = time.time() - float(running.run(rig, ["date", "+%s.%N"]).stdout)
    assert abs(behind) < 0.9, "its clock stood still with it"


def test_signal_of_a_dead_rig_is_told(wish: Wish) -> None:
    rig = lifecycle.up(wish)
    os.kill(rig.nodes[0].process.pid, signal.SIGKILL)
    assert lifecycle.wait_until_dead(rig, 0, seconds=10)
    with pytest.raises(RigError, match="is dead"):
        running.run(rig, ["true"])
