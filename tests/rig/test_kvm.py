"""KVM is used where the processor shows it and a trial boot works; nothing here starts a guest."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rdmaq.rig import hosts, lifecycle, snapshot
from rdmaq.rig.errors import GuestFailed
from rdmaq.rig.image import Image
from rdmaq.rig.machine import Process
from rdmaq.rig.qemu import Guest, command_line
from rdmaq.rig.state import Node, State

NODE = Node(process=Process(1, 1), port=1, resumed=False)


@pytest.fixture(autouse=True)
def own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RDMAQ_RIG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RDMAQ_RIG_RUNTIME", str(tmp_path / "run"))
    (tmp_path / "cache").mkdir()


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine whose processor has KVM, and whose device may be opened; returns the device."""
    device, info = tmp_path / "kvm", tmp_path / "cpuinfo"
    device.touch()
    info.write_text("processor : 0\nflags : fpu vmx sse\n")
    monkeypatch.setattr(hosts, "KVM_DEVICE", device)
    monkeypatch.setattr(hosts, "CPU_INFO", info)
    return device


@dataclass
class Boots:
    """Stands for the starts of guests; notes how each was asked for."""

    kvm_works: bool
    cold: list[bool] = field(default_factory=list)
    resumed: int = 0

    def start_cold(self, _rig: State, guest: Guest, _node: int, **_: object) -> Node:
        self.cold.append(guest.use_kvm)
        if guest.use_kvm and not self.kvm_works:
            raise GuestFailed("the trial boot failed")
        return NODE

    def start_resumed(self, _rig: State, guest: Guest, _node: int) -> Node:
        assert not guest.use_kvm
        self.resumed += 1
        return NODE


def start(monkeypatch: pytest.MonkeyPatch, boots: Boots) -> tuple[State, list[str]]:
    """Start the two nodes of a rig on a machine that offers KVM, as far as `hosts` tells."""
    monkeypatch.setattr(lifecycle, "_start_cold", boots.start_cold)
    monkeypatch.setattr(lifecycle, "_start_from_snapshot", boots.start_resumed)
    monkeypatch.setattr(snapshot, "folder_of", lambda _guest: Path("/"))
    image = Image(kernel=Path("/k"), initramfs=Path("/i"), kernel_version="6.12", key="k")
    rig = State(
        name="kvm",
        checkout="/",
        node_count=2,
        token="0" * 32,
        use_kvm=hosts.kvm_may_work(lifecycle.kvm_refused()),
    )
    told: list[str] = []
    for node in range(2):
        lifecycle.start_node(rig, image, node, told.append)
    return rig, told


def test_kvm_is_worth_a_trial_only_with_flag_and_device(offered: Path, tmp_path: Path) -> None:
    assert hosts.kvm_may_work(tmp_path / "none")
    offered.unlink()
    assert not hosts.kvm_may_work(tmp_path / "none")
    offered.touch()
    hosts.CPU_INFO.write_text("flags : fpu hypervisor\n")
    assert not hosts.kvm_may_work(tmp_path / "none")


def test_working_kvm_boots_every_node(monkeypatch: pytest.MonkeyPatch, offered: Path) -> None:
    boots = Boots(kvm_works=True)
    rig, told = start(monkeypatch, boots)
    assert (boots.cold, boots.resumed, rig.use_kvm, told) == ([True, True], 0, True, [])


def test_refused_kvm_is_tried_once_and_emulated_until_the_machine_reboots(
    monkeypatch: pytest.MonkeyPatch, offered: Path
) -> None:
    boots = Boots(kvm_works=False)
    rig, told = start(monkeypatch, boots)
    assert (boots.cold, boots.resumed, rig.use_kvm) == ([True], 2, False)
    assert "emulating" in told[0]
    start(monkeypatch, boots)
    assert boots.cold == [True], "the next rig waited for the same failure again"
    lifecycle.kvm_refused().write_text("another boot's id")
    start(monkeypatch, boots)
    assert boots.cold == [True, True]


def test_accelerator_is_what_was_chosen(tmp_path: Path) -> None:
    image = Image(kernel=Path("/k"), initramfs=Path("/i"), kernel_version="6.12", key="k")
    for use_kvm, words in ((True, ["kvm", "host"]), (False, ["tcg,thread=multi,tb-size=512"])):
        guest = Guest(
            image=image, folder=tmp_path, node=0, node_count=1, use_kvm=use_kvm, checkout=tmp_path
        )
        line = command_line(guest)
        assert line[line.index("-accel") + 1] == words[0]
        assert set(words) <= set(line)
