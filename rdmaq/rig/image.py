"""Prepares what a guest boots from, once per kernel and release of the rig, in the cache.

CACHE/lock                 held while anything is prepared
CACHE/use.lock             shared while a rig starts; see cache.py
CACHE/image-KEY/           kernel, initramfs, and `kernel-version`; complete or absent
CACHE/snapshot-KEY/        see snapshot.py
CACHE/apt/                 package lists of our own, where the system has none
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from rdmaq.rig.errors import RigError
from rdmaq.rig.hosts import host_is_debian
from rdmaq.rig.initramfs import guest_archive
from rdmaq.rig.kernel import MODULES, Modules, elf_kernel
from rdmaq.rig.packages import TOOLS, Apt, unpack
from rdmaq.rig.paths import cache_folder, locked, note_use, private_folder

GUEST_SOURCES = Path(__file__).parent / "guest"
_SELF = ("image.py", "initramfs.py", "kernel.py", "packages.py")

# In this order; a kernel of 6.12 is the one whose rxe the tests know (docs/rig.md).
_DEFAULT_KERNELS = ("linux-image-6.12-amd64", "linux-image-amd64", "linux-image-generic")
_UNWANTED = ("usr/share/man", "usr/share/lintian", "usr/share/bash-completion", "usr/include")

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A kernel (ELF) and an initramfs, ready to boot; `key` names their content."""

    kernel: Path
    initramfs: Path
    kernel_version: str
    key: str


def compile_agent(folder: Path) -> Path:
    """Compile the guest's process 1, statically: it runs before there are any libraries."""
    agent = folder / "agent"
    sources = sorted(str(path) for path in GUEST_SOURCES.glob("*.c"))
    command = ["cc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-static", "-o", str(agent), *sources]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        raise RigError(
            f"the guest's agent does not compile: {answer.stderr.strip()[-600:]}; "
            "install a C compiler with a static libc (apt-get install gcc libc6-dev)"
        )
    return agent


def _newest(names: list[str]) -> str:
    """Return the name with the highest version in it."""
    return max(names, key=lambda name: [int(n) for n in re.findall(r"\d+", name)])


def _kernel_packages(apt: Apt, version: str | None) -> list[str]:
    if version is None:
        meta = next((name for name in _DEFAULT_KERNELS if apt.knows(name)), None)
        if meta is None:
            raise RigError(
                f"none of {', '.join(_DEFAULT_KERNELS)} is in your package sources; "
                "name a kernel by --kernel VERSION or --kernel FILE"
            )
        packages = [p for p in apt.depends([meta]) if re.match("linux-(image|modules)-", p)]
    else:
        apt.knows("linux-image-amd64")  # makes sure that there are lists
        wanted = re.compile(rf"linux-image-{re.escape(version)}(?!\d)[^ ]*-(amd64|generic)")
        names = (line.split()[0] for line in apt.matching("^linux-image-") if line)
        found = [n for n in names if wanted.fullmatch(n) and not re.search("-(cloud|rt|dbg)-", n)]
        found = [name for name in found if re.search(r"\d+\.\d+\.\d+", name)]
        if not found:
            raise RigError(
                f"your package sources have no kernel {version}; "
                "see `apt-cache search linux-image`, or name a file: --kernel FILE"
            )
        packages = [_newest(found)]
    # Ubuntu keeps modules, and rdma_rxe among the extra ones, in packages of their own.
    release = packages[0].removeprefix("linux-image-")
    extra = [f"linux-modules-{release}", f"linux-modules-extra-{release}"]
    extra = [name for name in extra if apt.knows(name)] if "generic" in release else []
    return list(dict.fromkeys(packages + extra))


def _fetch_tools(apt: Apt, work: Path, tools: Path, progress: Progress) -> None:
    apt.knows(TOOLS[0])
    progress(f"fetching {' '.join(TOOLS)} (not installed, only unpacked)")
    unpack(apt.download(apt.with_missing_dependencies(TOOLS), work / "packages"), tools)
    for name in _UNWANTED:
        shutil.rmtree(tools / name, ignore_errors=True)


def _zstd(apt: Apt, work: Path) -> str:
    """Return the program that unpacks what is packed by zstd; fetched where it is not installed."""
    if shutil.which("zstd") is None and host_is_debian():
        unpack(apt.download(["zstd"], work / "zstd-package"), work / "zstd")
        return str(work / "zstd" / "usr" / "bin" / "zstd")
    return "zstd"


def _fetch_kernel(apt: Apt, packages: list[str], work: Path, progress: Progress) -> Path:
    progress(f"fetching {' '.join(packages)} (some 110 MB, once)")
    unpack(apt.download(packages, work / "kernel-packages"), work / "kernel")
    return next((work / "kernel" / "boot").glob("vmlinuz-*"))


def _modules_of(kernel: Path, release: str) -> Path:
    bases = (kernel.parent.parent / "usr/lib", kernel.parent.parent / "lib", Path("/lib"))
    for base in bases:
        if (base / "modules" / release).is_dir():
            return base / "modules" / release
    raise RigError(
        f"no modules for kernel {release}: looked for lib/modules/{release} beside {kernel} and "
        "on this machine; unpack the kernel's whole package and name the vmlinuz in it"
    )


def _release_of(image: bytes, path: Path) -> str:
    """Return the version text of a bzImage (its header's kernel_version, at 0x20E)."""
    if image[0x202:0x206] != b"HdrS":
        return path.name.partition("-")[2]
    start = int.from_bytes(image[0x20E:0x210], "little") + 0x200
    return image[start : start + 256].split(b"\0")[0].decode().split(" ")[0]


def image_key(kernel: str | None) -> str:
    """Return the cache key of an image: its kernel, the rig's own sources, the host's release."""
    digest = hashlib.sha256()
    for path in [*sorted(GUEST_SOURCES.iterdir()), *(GUEST_SOURCES.parent / n for n in _SELF)]:
        if path.is_file():
            digest.update(path.read_bytes())
    for path in (Path("/etc/os-release"), *([Path(kernel)] if is_file(kernel) else [])):
        with contextlib.suppress(OSError):  # what is missing is told by needs.py
            digest.update(str(path.stat().st_mtime_ns).encode())
    digest.update((kernel or "").encode())
    return digest.hexdigest()[:12]


def is_file(kernel: str | None) -> TypeGuard[str]:
    """Whether a kernel was named by its file, and not by its version."""
    return kernel is not None and os.sep in kernel


def cached_image(kernel: str | None) -> Image | None:
    """Return the image for a kernel, or None if it has to be prepared."""
    key = image_key(kernel)
    folder = cache_folder() / f"image-{key}"
    if not folder.is_dir():
        return None
    note_use(folder)
    return Image(
        kernel=folder / "vmlinux",
        initramfs=folder / "initramfs",
        kernel_version=(folder / "kernel-version").read_text(encoding="utf-8"),
        key=key,
    )


def prepare_image(kernel: str | None, progress: Progress) -> Image:
    """Return the image for a kernel, made first if it is not in the cache.

    Args:
        kernel: a version ("6.1"), a file (any text with a slash), or None for the default.
        progress: is told, in words for a person, what takes long.

    Raises:
        RigError: something could not be fetched, compiled or found.
    """
    if (found := cached_image(kernel)) is not None:
        return found
    cache = private_folder(cache_folder())
    with locked(cache / "lock"):
        if cached_image(kernel) is None:
            try:
                _make(cache, kernel, cache / f"image-{image_key(kernel)}", progress)
            except OSError as error:
                raise RigError(
                    f"the image cannot be made in {cache}: {error}; free some space, or name "
                    "another folder by RDMAQ_RIG_CACHE"
                ) from error
    made = cached_image(kernel)
    if made is None:
        raise RigError(f"the image in {cache} was removed at once; try again")
    return made


def _make(cache: Path, kernel: str | None, folder: Path, progress: Progress) -> None:
    # What an earlier attempt that was killed has left.
    for stale in cache.glob("making-*"):
        shutil.rmtree(stale, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix="making-", dir=cache))
    try:
        agent = compile_agent(work).read_bytes()  # first: it fails at once, before any download
        apt = Apt(cache)
        packages = [] if is_file(kernel) else _kernel_packages(apt, kernel)
        tools = work / "tools"
        tools.mkdir()
        if host_is_debian():  # elsewhere the guest uses the host's own
            _fetch_tools(apt, work, tools, progress)
        if is_file(kernel):
            path = Path(kernel).resolve()
        else:
            path = _fetch_kernel(apt, packages, work, progress)
        progress("preparing kernel and initramfs")
        data = path.read_bytes()
        release = _release_of(data, path)
        zstd = _zstd(apt, work)
        modules = Modules(_modules_of(path, release), zstd).load_order(MODULES)
        ready = work / "ready"
        ready.mkdir()
        (ready / "vmlinux").write_bytes(elf_kernel(data, zstd))
        (ready / "initramfs").write_bytes(guest_archive(agent, modules, tools))
        (ready / "kernel-version").write_text(release, encoding="utf-8")
        ready.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
