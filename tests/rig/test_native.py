"""A native rig: this machine's devices, without a guest. Its devices here are files of the test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rdmaq.rig import devices, lifecycle, native, running, state
from rdmaq.rig.errors import MissingPrerequisite, RigError
from rdmaq.rig.state import State
from tests.rig.support import ROOT

RUN = "import sys; from rdmaq.rig import native; sys.exit(native.run(sys.argv[2:], timeout={}))"


@pytest.fixture
def sysfs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine of the test's own: its devices, and `rdma` that makes and deletes them."""
    folder = tmp_path / "infiniband"
    folder.mkdir()
    for module in (devices, native, state):
        monkeypatch.setattr(module, "SYSFS", folder)
    monkeypatch.setenv("RDMAQ_RIG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RDMAQ_RIG_RUNTIME", str(tmp_path / "run"))
    tool = tmp_path / "bin" / "rdma"
    tool.parent.mkdir()
    tool.write_text(
        f'#!/bin/sh\ncase $2 in add) mkdir "{folder}/$3";; delete) rmdir "{folder}/$3";; esac\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    return folder


def device(sysfs: Path, name: str) -> None:
    port = sysfs / name / "ports" / "1"
    (port / "gids").mkdir(parents=True)
    (port / "state").write_text("4: ACTIVE\n")


def test_machine_without_a_device_is_refused_with_the_cure(sysfs: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingPrerequisite, match="--native --interface NAME; or leave --native"):
        native.up("n", tmp_path, None)
    assert state.read("n") is None


def test_device_that_was_there_is_used_and_stays(sysfs: Path, tmp_path: Path) -> None:
    device(sysfs, "mlx5_0")
    assert native.up("n", tmp_path, None).native == "mlx5_0"
    assert lifecycle.down("n")
    assert (sysfs / "mlx5_0").exists()


def test_device_that_was_made_is_taken_away_and_has_a_name_of_its_own(
    sysfs: Path, tmp_path: Path
) -> None:
    names = [native.up(name, tmp_path, "lo").native for name in ("one", "two")]
    assert names == ["rdmaq0", "rdmaq1"]
    lifecycle.down("one")
    assert [path.name for path in sysfs.iterdir()] == ["rdmaq1"]
    lifecycle.down("two")
    assert not list(sysfs.iterdir())


def test_device_that_vanished_is_no_rig_and_does_not_hinder_down(
    sysfs: Path, tmp_path: Path
) -> None:
    native.up("n", tmp_path, "lo")
    (sysfs / "rdmaq0").rmdir()
    found = state.read("n")
    assert found is not None
    assert not found.is_whole
    assert lifecycle.down("n")
    assert state.read("n") is None


def test_native_rig_is_not_taken_for_one_with_guests(sysfs: Path, tmp_path: Path) -> None:
    device(sysfs, "mlx5_0")
    native.up("n", tmp_path, None)
    with pytest.raises(RigError, match="is up already, native, with device mlx5_0"):
        lifecycle.up(lifecycle.Wish(name="n", checkout=tmp_path))
    with pytest.raises(RigError, match=r"is up \(native, device mlx5_0\)"):
        native.up("n", tmp_path, "lo")


def test_interface_that_is_not_there_is_refused(sysfs: Path, tmp_path: Path) -> None:
    with pytest.raises(RigError, match="no network interface 'nope0'"):
        native.up("n", tmp_path, "nope0")


def run(script: str, timeout: str) -> int:
    command = [sys.executable, "-c", RUN.format(timeout), "--", "sh", "-c", script]
    return subprocess.run(command, stderr=subprocess.DEVNULL).returncode


@pytest.mark.parametrize(
    ("script", "timeout", "status"),
    [
        ("exit 7", "None", 7),
        ("exit 7", "60", 7),
        ("kill -TERM $$", "None", -15),  # it *is* the command
        ("kill -TERM $$", "60", 143),
        ("sleep 60", "0.2", 124),
        ("trap '' TERM; sleep 61", "0.2", 124),
    ],
)
def test_status_is_that_of_a_shell(script: str, timeout: str, status: int) -> None:
    assert run(script, timeout) == status


# One process: under emulation each import of the package takes seconds.
IN_GUEST = """
import os, pathlib, subprocess
os.environ |= dict(HOME="/tmp", RDMAQ_RIG_CACHE="/tmp/cache", RDMAQ_RIG_RUNTIME="/tmp/runtime")
from rdmaq.rig import devices, errors, lifecycle, native
here = pathlib.Path("/")
names = lambda: print(sorted(device.name for device in devices.local_devices()))
print(native.up("there", here, None).native)
lifecycle.down("there"); names()
for words in ("add spare0 type veth peer name spare1", "set spare0 up", "set spare1 up"):
    subprocess.run(["ip", "link", *words.split()], check=True)
made = native.up("made", here, "spare0").native
print(made, *("ACTIVE" for d in devices.local_devices() if d.name == made and d.is_active))
lifecycle.down("made"); names()
try:
    native.up("made", here, "wire0")
except errors.RigError as error:
    print(error)
subprocess.run(["ip", "link", "delete", "spare0"], check=True)
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_native_rig_of_a_machine_with_rdma(rig: State) -> None:
    """The machine is a guest: it has devices, and its kernel makes one on another interface."""
    done = running.run(rig, [sys.executable, "-c", IN_GUEST], as_root=True, folder=ROOT)
    assert done.stdout.decode().splitlines() == [
        "rxe0", "['rxe0', 'rxe1']",
        "rdmaq0 ACTIVE", "['rxe0', 'rxe1']",
        "wire0 has an rxe device already: leave --interface out to use it",
    ], done.stderr.decode()  # fmt: skip
