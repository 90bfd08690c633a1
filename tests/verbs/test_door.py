"""How a device that was removed, or made again under its old name, is told from the old one."""

from __future__ import annotations

from pathlib import Path

from rdmaq.verbs.devices import Door


def make(sysfs: Path, entry: str, device: str) -> Path:
    folder = sysfs / "infiniband_verbs" / entry
    folder.mkdir(parents=True)
    (folder / "ibdev").write_text(device + "\n")
    return folder


def test_door_is_there_until_its_device_is_removed(tmp_path: Path) -> None:
    """Another device's going does not matter."""
    other, own = make(tmp_path, "uverbs0", "mlx5_0"), make(tmp_path, "uverbs1", "rxe0")
    door = Door.of("rxe0", tmp_path)
    assert door is not None
    for folder in (other, own):
        assert door.is_there
        (folder / "ibdev").unlink()
        folder.rmdir()
    assert not door.is_there


def test_device_made_again_has_another_door(tmp_path: Path) -> None:
    """Also where the new one's name and place are the old one's."""
    folder = make(tmp_path, "uverbs0", "rxe0")
    door = Door.of("rxe0", tmp_path)
    assert door is not None
    folder.rename(tmp_path / "kept, so that its inode is not given again")
    make(tmp_path, "uverbs0", "rxe0")
    assert not door.is_there
    again = Door.of("rxe0", tmp_path)
    assert again is not None
    assert again.is_there


def test_device_without_a_door_has_none(tmp_path: Path) -> None:
    assert Door.of("rxe0", tmp_path) is None
    make(tmp_path, "uverbs0", "mlx5_0")
    assert Door.of("rxe0", tmp_path) is None
