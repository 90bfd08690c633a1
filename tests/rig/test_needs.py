"""What is missing is named with its cure before anything starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rdmaq.rig import lifecycle, needs, state
from rdmaq.rig.errors import MissingPrerequisite, RigError
from rdmaq.rig.faults import Fault, moved
from rdmaq.rig.frames import Reader, Request, pack
from rdmaq.rig.lifecycle import Wish
from rdmaq.rig.paths import private_folder, rig_name


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No program is in PATH, and cache and runtime folders are empty."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("RDMAQ_RIG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RDMAQ_RIG_RUNTIME", str(tmp_path / "run"))
    return tmp_path


def test_up_names_all_that_is_missing_and_starts_nothing(bare_machine: Path) -> None:
    with pytest.raises(MissingPrerequisite) as caught:
        lifecycle.up(Wish(name="bare", checkout=bare_machine))
    assert "apt-get install qemu-system-x86" in str(caught.value)
    assert "cc is missing; " in str(caught.value)
    assert not state.folder_of("bare").exists()


def test_memory_and_disk_are_asked_for_in_mib(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(needs, "memory_available_mib", lambda: 100)
    monkeypatch.setattr(needs, "disk_free_mib", lambda _path: 5)
    found = needs.missing(
        cache=tmp_path,
        runtime=tmp_path,
        node_count=2,
        must_prepare=False,
        must_save=True,
        kernel=None,
    )
    text = " and ".join(found)
    assert "100 MiB of memory are available, 1536 are needed for 2 node(s)" in text
    assert "name another folder by RDMAQ_RIG_CACHE" in text


def test_folder_of_others_is_refused(tmp_path: Path) -> None:
    folder = private_folder(tmp_path / "mine")
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(RigError, match="others may write to it"):
        private_folder(folder)


def test_names_are_the_checkouts_own_unless_given(tmp_path: Path) -> None:
    assert rig_name(tmp_path / "a b") != rig_name(tmp_path / "c" / "a b")
    assert rig_name(tmp_path, "mine") == "mine"
    with pytest.raises(RigError, match="cannot name a rig"):
        rig_name(tmp_path, "../elsewhere")


@pytest.mark.parametrize("amount", ["", "a lot", "5ms; reboot", "-3%"])
def test_amount_that_netem_would_not_take_is_refused(amount: str) -> None:
    with pytest.raises(RigError, match="no amount of delay"):
        Fault("delay", amount)
    Fault("delay", "5ms 1.5ms")


def test_fault_moved_only_if_one_of_its_own_counters_did() -> None:
    before = {"hw.sent_pkts": 1}
    assert moved("loss", before, {"hw.sent_pkts": 900, "qdisc.drops": 0}) == {}
    assert moved("loss", before, {"qdisc.drops": 3}) == {"qdisc.drops": 3}


def test_frames_are_cut_wherever_the_stream_was_split() -> None:
    stream = pack(b"O", b"abc") + pack(b"E") + pack(b"X", bytes(4))
    for size in range(1, len(stream) + 1):
        reader = Reader()
        parts = [stream[at : at + size] for at in range(0, len(stream), size)]
        found = [frame for part in parts for frame in reader.feed(part)]
        assert found == [(b"O", b"abc"), (b"E", b""), (b"X", bytes(4))]


def test_nul_in_an_argument_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        Request(arguments=["a\0b"], folder="/").pack(0)


def test_dead_rig_of_an_older_release_is_not_believed(bare_machine: Path) -> None:
    folder = state.folder_of("old")
    folder.mkdir(parents=True)
    (folder / "state.json").write_text('{"format": 0, "name": "old"}')
    assert state.read("old") is None
    state.sweep("old")
    assert not folder.exists()
    assert os.environ["PATH"] == str(bare_machine)
