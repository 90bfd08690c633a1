"""Writes the guest's first file system: a cpio archive of the "newc" kind.

The format is of Linux, Documentation/driver-api/early-userspace/buffer-format.rst: 13 hexadecimal
fields, the name, the content, each padded to 4 bytes.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

_TRAILER = "TRAILER!!!"


class Archive:
    """Collects entries in memory; every parent folder must be added before its content."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._names: set[str] = set()

    def _add(self, name: str, mode: int, content: bytes, device: tuple[int, int] = (0, 0)) -> None:
        encoded = name.encode() + b"\0"
        number = len(self._names) + 1
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = (
            number, mode, 0, 0, links, 0, len(content), 0, 0, *device, len(encoded), 0,
        )  # fmt: skip
        header = b"070701" + b"".join(b"%08x" % field for field in fields)
        self._parts += [header + encoded, bytes(-(len(header) + len(encoded)) % 4)]
        self._parts += [content, bytes(-len(content) % 4)]
        self._names.add(name)

    def folder(self, name: str, mode: int = 0o755) -> None:
        """Add a folder and its parents, once."""
        parent = name.rpartition("/")[0]
        if parent:
            self.folder(parent)
        if name not in self._names:
            self._add(name, stat.S_IFDIR | mode, b"")

    def file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        """Add a regular file, owned by root."""
        self.folder(name.rpartition("/")[0]) if "/" in name else None
        self._add(name, stat.S_IFREG | mode, content)

    def character_device(self, name: str, major: int, minor: int) -> None:
        """Add a device node, which a directory on disk could not hold without root."""
        self.folder(name.rpartition("/")[0])
        self._add(name, stat.S_IFCHR | 0o600, b"", (major, minor))

    def tree(self, name: str, root: Path) -> None:
        """Add everything below a folder of the host under `name`, links as links."""
        self.folder(name)
        for path in sorted(root.rglob("*")):
            inner = f"{name}/{path.relative_to(root).as_posix()}"
            mode = stat.S_IMODE(path.lstat().st_mode)
            if path.is_symlink():
                self._add(inner, stat.S_IFLNK | 0o777, str(path.readlink()).encode())
            elif path.is_dir():
                self.folder(inner, mode)
            elif path.is_file():
                self.file(inner, path.read_bytes(), mode)

    def content(self) -> bytes:
        """Return the archive, closed by its trailer."""
        self._add(_TRAILER, 0, b"")
        data = b"".join(self._parts)
        return data + bytes(-len(data) % 512)


def guest_archive(agent: bytes, modules: Mapping[str, bytes], tools: Path) -> bytes:
    """Return the initramfs: agent as /init, modules in load order, fetched tools in /tools."""
    archive = Archive()
    archive.file("init", agent, 0o755)
    archive.character_device("dev/console", 5, 1)
    for folder in ("proc", "sys", "host", "new"):
        archive.folder(folder)
    for name, content in modules.items():
        archive.file(f"modules/{name}.ko", content)
    order = "".join(f"/modules/{name}.ko\n" for name in modules)
    archive.file("modules/order", order.encode())
    archive.tree("tools", tools)
    return archive.content()
