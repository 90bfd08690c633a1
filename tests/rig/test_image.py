"""What a guest boots from: archives, kernels, modules, made of small pieces here."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest

from rdmaq.rig import kernel
from rdmaq.rig.errors import RigError
from rdmaq.rig.initramfs import Archive
from rdmaq.rig.kernel import Modules, decompress, elf_kernel

ELF = b"\x7fELF" + bytes(range(200))


def entries(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Read a newc archive back: mode and content by name."""
    found: dict[str, tuple[int, bytes]] = {}
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name = data[at + 110 : at + 110 + fields[11] - 1].decode()
        start = (at + 110 + fields[11] + 3) // 4 * 4
        if name == "TRAILER!!!":
            return found
        found[name] = (fields[1], data[start : start + fields[6]])
        at = (start + fields[6] + 3) // 4 * 4


def test_archive_holds_folders_before_files_and_links_as_links(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tool").write_bytes(b"odd")
    (tmp_path / "bin" / "tool").chmod(0o755)
    (tmp_path / "bin" / "alias").symlink_to("tool")
    archive = Archive()
    archive.tree("tools", tmp_path)
    archive.character_device("dev/console", 5, 1)
    found = entries(archive.content())
    assert list(found) == ["tools", "tools/bin", "tools/bin/alias", "tools/bin/tool", "dev",
                           "dev/console"]  # fmt: skip
    assert found["tools/bin/tool"] == (0o100755, b"odd")
    assert found["tools/bin/alias"] == (0o120777, b"tool")
    assert found["dev/console"][0] == 0o020600


def bz_image(payload: bytes) -> bytes:
    """The parts of a bzImage that are looked at: the header, and one sector of set-up code."""
    header = bytearray(1024)
    header[0x1F1] = 1
    header[0x202:0x206] = b"HdrS"
    header[0x248:0x24C] = (16).to_bytes(4, "little")
    header[0x24C:0x250] = (len(payload) + 4).to_bytes(4, "little")
    return bytes(header) + bytes(16) + payload + len(ELF).to_bytes(4, "little")


@pytest.mark.parametrize("pack", [lzma.compress, gzip.compress])
def test_elf_kernel_is_found_in_a_bzimage(pack: object) -> None:
    assert callable(pack)
    assert elf_kernel(bz_image(pack(ELF))) == ELF
    assert elf_kernel(ELF) == ELF


def test_what_is_no_kernel_is_refused() -> None:
    with pytest.raises(RigError, match="no x86 kernel"):
        elf_kernel(bytes(2048))
    with pytest.raises(RigError, match="packing is not known"):
        elf_kernel(bz_image(b"LZ4?" * 10))


def module(depends: str) -> bytes:
    return ELF + b"\0name=x\0depends=" + depends.encode() + b"\0"


def test_modules_come_after_what_they_depend_on(tmp_path: Path) -> None:
    for name, depends in {"a-b": "c", "c": "d,e", "d": "", "e": "d"}.items():
        (tmp_path / f"{name}.ko.xz").write_bytes(lzma.compress(module(depends)))
    order = list(Modules(tmp_path).load_order(["a_b", "not_there"]))
    assert order == ["d", "e", "c", "a_b"]
    assert decompress(lzma.compress(ELF)) == ELF


def test_kernel_without_rxe_is_refused(tmp_path: Path) -> None:
    assert "rdma_rxe" in kernel.REQUIRED
    with pytest.raises(RigError, match="no module rdma_rxe; choose another by --kernel"):
        Modules(tmp_path).load_order(["rdma_rxe"])
