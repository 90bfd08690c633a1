"""Fetches Debian and Ubuntu packages and unpacks them, without root and without installing.

apt-get verifies what it downloads, as for an installation; dpkg-deb unpacks it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from rdmaq.rig.errors import RigError
from rdmaq.rig.paths import private_folder

# One source package: all of one version, so fetched even where some are installed already. Ubuntu
# ends some of the names with "t64".
_FAMILY = re.compile(r"libibverbs\d.*|ibverbs-providers|librdmacm\d.*|libib(u?)mad\d.*")
# rdma-core holds the tests of pyverbs; what it depends on is left out.
TOOLS = (
    "ibverbs-utils", "rdmacm-utils", "perftest", "python3-pyverbs", "rdma-core", "iproute2",
    "ibverbs-providers", "nftables", "iptables",
)  # fmt: skip

# Never a part of the guest, whatever depends on them: the host has its own, or needs none.
_LEFT_OUT = re.compile(
    r"udev|systemd.*|libsystemd.*|init-system-helpers|debconf|dpkg|python3(\.\d+)?|python3:any"
    r"|rdma-core|linux-base|pci\.ids|libc6|perl.*|initramfs-tools|install-info"
)
_ONLY_DEPENDS = (
    "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces",
    "--no-enhances",
)  # fmt: skip
_MERGED = ("bin", "sbin", "lib", "lib64")


class Apt:
    """apt-get and apt-cache, on the system's package lists or on lists of the rig's own.

    A fresh container has no lists, and an ordinary user cannot update them: then private ones are
    fetched into the cache, from the sources that the system is configured for.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._options = ["-o", "APT::Sandbox::User=", "-q"]
        self._is_private = False

    def _run(self, program: str, *arguments: str, folder: Path | None = None) -> str:
        answer = subprocess.run(
            [program, *self._options, *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            env={**os.environ, "LC_ALL": "C"},
        )
        if answer.returncode:
            raise RigError(
                f"{program} {' '.join(arguments[:6])} failed: {answer.stderr.strip()[-600:]}; "
                "check the network and apt's configuration (apt-get update)"
            )
        return answer.stdout

    def _use_private_lists(self) -> None:
        folder = private_folder(self._cache / "apt")
        for name in ("lists/partial", "archives/partial"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._options += ["-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::Cache={folder}"]
        self._is_private = True
        self._run("apt-get", "update")

    def knows(self, package: str) -> bool:
        """Whether a package can be downloaded; fetches lists of our own if the system's lack it."""
        try:
            found = "Package: " in self._run("apt-cache", "show", "--no-all-versions", package)
        except RigError:
            found = False
        if found or self._is_private:
            return found
        self._use_private_lists()
        return self.knows(package)

    def depends(self, packages: Sequence[str]) -> list[str]:
        """Return what some packages depend on directly; of alternatives the first."""
        text = self._run("apt-cache", "depends", *_ONLY_DEPENDS, *packages)
        found, is_alternative = [], False
        for line in map(str.strip, text.splitlines()):
            kind, _, name = line.lstrip("|").partition(": ")
            if kind in {"Depends", "PreDepends"} and not is_alternative and "<" not in name:
                found.append(name)
            is_alternative = line.startswith("|")
        return found

    def matching(self, pattern: str) -> list[str]:
        """Return the names of the packages that match a regular expression."""
        return self._run("apt-cache", "search", "--names-only", pattern).split("\n")

    def with_missing_dependencies(self, wanted: Iterable[str]) -> list[str]:
        """Return `wanted` and all that they need which this machine has not installed."""
        # The family is fetched even where it is installed: all of it is of one version.
        installed = {name for name in installed_packages() if not _FAMILY.fullmatch(name)}
        todo, chosen = set(wanted), set[str]()
        while todo:
            chosen |= todo
            found = set(self.depends(sorted(todo))) - chosen
            todo = {n for n in found - installed if not _LEFT_OUT.fullmatch(n)}
        return sorted(chosen)

    def download(self, packages: Sequence[str], folder: Path) -> list[Path]:
        """Download packages into a folder; returns the files."""
        folder.mkdir(parents=True, exist_ok=True)
        self._run("apt-get", "download", *packages, folder=folder)
        return sorted(folder.glob("*.deb"))


def installed_packages() -> set[str]:
    """Return the names that dpkg counts as installed here."""
    answer = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n"],
        capture_output=True,
        text=True,
        check=True,
    )
    pairs = (line.split() for line in answer.stdout.splitlines())
    return {name for status, name in pairs if status == "installed"}


def unpack(files: Iterable[Path], root: Path) -> None:
    """Unpack packages below `root`, in the layout where /bin and its like are links into /usr.

    A folder /bin laid above the host's link /bin would hide all that the host has there.
    """
    root.mkdir(parents=True, exist_ok=True)
    for file in files:
        subprocess.run(["dpkg-deb", "-x", str(file), str(root)], check=True)
    for name in _MERGED:
        folder = root / name
        if folder.is_dir() and not folder.is_symlink():
            shutil.copytree(folder, root / "usr" / name, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(folder)
