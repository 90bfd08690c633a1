"""Takes from a kernel package what a direct boot needs: the ELF kernel and a few modules.

QEMU boots an uncompressed ELF kernel through its PVH entry, without firmware and decompression:
that alone saves some seconds under emulation.
"""

from __future__ import annotations

import gzip
import lzma
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from rdmaq.rig.errors import RigError

# What the guest needs, beyond what is built in. rdma_rxe asks for crc32 by name at run time and
# does not declare it: without crc32_generic `rdma link add` says "No such file or directory".
MODULES = (
    "virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay", "virtio_net", "veth",
    "crc32_generic", "rdma_rxe", "ib_uverbs", "rdma_ucm", "ib_umad", "sch_netem",
    # To break more: firewalls (nft's and iptables' rules), a path with less room, a VLAN.
    # libcrc32c, below nf_tables, asks for crc32c as rdma_rxe does for crc32.
    "crc32c_generic", "nf_tables", "nft_ct", "nft_compat", "xt_tcpudp", "iptable_filter",
    "sch_tbf", "8021q",
)  # fmt: skip
# Others may be built in or absent; without these there is nothing to test.
REQUIRED = {"rdma_rxe", "ib_uverbs", "veth"}

_ELF = b"\x7fELF"
_XZ, _GZIP, _ZSTD = b"\xfd7zXZ\0", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


def decompress(data: bytes, zstd: str = "zstd") -> bytes:
    """Undo xz, gzip or zstd, told by its first bytes; anything else is returned as it is.

    Args:
        data: what may be compressed.
        zstd: the program of that name, or where it is.

    Raises:
        RigError: zstd data, and no zstd program to read it.
    """
    if data.startswith(_XZ):
        return lzma.decompress(data)
    if data.startswith(_GZIP):
        return gzip.decompress(data)
    if data.startswith(_ZSTD):
        program = shutil.which(zstd)
        if program is None:
            raise RigError("the kernel is packed with zstd: install it (apt-get install zstd)")
        # Trailing bytes (the length that the kernel's build appends) make it warn, not fail.
        return subprocess.run([program, "-dcq"], input=data, capture_output=True).stdout
    return data


def elf_kernel(image: bytes, zstd: str = "zstd") -> bytes:
    """Return the ELF kernel inside a bzImage (Linux, Documentation/arch/x86/boot.rst).

    Raises:
        RigError: it is no x86 kernel, or its packing is not known here.
    """
    if image.startswith(_ELF):
        return image
    if image[0x202:0x206] != b"HdrS":
        raise RigError("this is no x86 kernel (bzImage or ELF); name a vmlinuz file")
    setup_bytes = (image[0x1F1] or 4) * 512 + 512
    offset = int.from_bytes(image[0x248:0x24C], "little")
    length = int.from_bytes(image[0x24C:0x250], "little")
    kernel = decompress(image[setup_bytes + offset : setup_bytes + offset + length - 4], zstd)
    if not kernel.startswith(_ELF):
        raise RigError("the kernel's packing is not known here; name an uncompressed vmlinux")
    return kernel


def modinfo(module: bytes, field: str) -> Iterator[str]:
    """Yield the values of one field of a module's .modinfo section (`name=value`, NUL-ended)."""
    for match in re.finditer(rb"(?<=\0)" + field.encode() + rb"=([^\0]*)\0", module):
        yield match[1].decode()


class Modules:
    """The modules below a package's lib/modules/VERSION, found by name, `-` and `_` being one."""

    def __init__(self, folder: Path, zstd: str = "zstd") -> None:
        self._zstd = zstd
        self._paths = {
            path.name.split(".")[0].replace("-", "_"): path for path in folder.rglob("*.ko*")
        }

    def load_order(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return names and contents, dependencies first.

        Raises:
            RigError: one that is required is not in the package.
        """
        order: dict[str, bytes] = {}

        def add(name: str) -> None:
            name = name.replace("-", "_")
            path = self._paths.get(name)
            if name in order or (path is None and name not in REQUIRED):
                return
            if path is None:
                raise RigError(f"this kernel has no module {name}; choose another by --kernel")
            content = decompress(path.read_bytes(), self._zstd)
            for depends in modinfo(content, "depends"):
                for other in filter(None, depends.split(",")):
                    add(other)
            order[name] = content

        for name in names:
            add(name)
        return order
