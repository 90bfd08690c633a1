"""Which packages are asked for, and which folders are shown; nothing is downloaded here."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from rdmaq.rig import hosts, image, needs
from rdmaq.rig.errors import RigError
from rdmaq.rig.packages import Apt
from rdmaq.rig.shadows import shadows_of


class Sources(Apt):
    """Package sources with what `packages` holds: names, and what each depends on."""

    def __init__(self, packages: dict[str, list[str]]) -> None:
        self.packages = packages

    def knows(self, package: str) -> bool:
        return package in self.packages

    def depends(self, packages: Sequence[str]) -> list[str]:
        return [name for package in packages for name in self.packages.get(package, [])]

    def matching(self, pattern: str) -> list[str]:  # noqa: ARG002  (the real one's)
        return [f"{name} - a kernel" for name in self.packages if name.startswith("linux-image")]


DEBIAN = {
    "linux-image-6.1.0-47-amd64": [],
    "linux-image-6.1.0-56-amd64": [],
    "linux-image-6.1.0-56-rt-amd64": [],
    "linux-image-6.12.117+deb12-amd64": [],
    "linux-image-6.12-amd64": ["linux-image-6.12.117+deb12-amd64", "kmod"],
}
UBUNTU = {
    "linux-image-generic": [
        "linux-image-6.8.0-31-generic", "linux-modules-extra-6.8.0-31-generic", "linux-firmware",
    ],
    "linux-modules-6.8.0-31-generic": [],
    "linux-modules-extra-6.8.0-31-generic": [],
}  # fmt: skip


def test_version_is_not_the_beginning_of_a_longer_one() -> None:
    assert image._kernel_packages(Sources(DEBIAN), "6.1") == ["linux-image-6.1.0-56-amd64"]
    assert image._kernel_packages(Sources(DEBIAN), "6.12") == ["linux-image-6.12.117+deb12-amd64"]
    with pytest.raises(RigError, match="no kernel 9; see"):
        image._kernel_packages(Sources(DEBIAN), "9")


def test_default_kernel_comes_with_its_modules_and_without_firmware() -> None:
    assert image._kernel_packages(Sources(DEBIAN), None) == ["linux-image-6.12.117+deb12-amd64"]
    assert image._kernel_packages(Sources(UBUNTU), None) == [
        "linux-image-6.8.0-31-generic",
        "linux-modules-extra-6.8.0-31-generic",
        "linux-modules-6.8.0-31-generic",
    ]


def test_installed_libraries_of_the_family_are_fetched_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ubuntu's names end in t64; what is left out stays out; what is installed is not fetched."""
    sources = Sources({"perftest": ["librdmacm1t64", "libc6", "libnl-3-200", "libpci3"]})
    installed = {"librdmacm1t64", "libpci3", "libc6"}
    monkeypatch.setattr("rdmaq.rig.packages.installed_packages", lambda: installed)
    assert sources.with_missing_dependencies(["perftest"]) == [
        "libnl-3-200", "librdmacm1t64", "perftest",
    ]  # fmt: skip


def test_what_the_guests_own_folders_would_hide_is_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`tmp_path` lies in /tmp, of which a guest has its own."""
    checkout, elsewhere = tmp_path / "checkout", tmp_path / "environment"
    (checkout / ".venv").mkdir(parents=True)
    (checkout / ".venv" / "pyvenv.cfg").touch()
    (elsewhere / "lib" / "deep").mkdir(parents=True)
    monkeypatch.setattr("rdmaq.rig.shadows._COVERED", (tmp_path,))
    monkeypatch.setattr(sys, "prefix", str(elsewhere))
    monkeypatch.setattr(sys, "path", [str(elsewhere / "lib" / "deep"), str(checkout), "/usr/lib"])
    assert shadows_of(checkout) == [elsewhere, checkout / ".venv"]


def test_memory_is_what_the_control_group_leaves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mib = 1 << 20
    for name, text in (
        ("memory.max", f"{512 * mib}\n"),
        ("memory.current", f"{300 * mib}\n"),
        ("memory.stat", f"anon 5\ninactive_file {100 * mib}\n"),
    ):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(hosts, "_cgroups", lambda: iter([tmp_path, tmp_path / "none"]))
    assert hosts.memory_available_mib() == 312
    (tmp_path / "memory.max").write_text("max\n")
    assert hosts.memory_available_mib() > 312


def test_old_qemu_is_told_where_several_nodes_need_a_newer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("shutil.which", lambda name, **_: f"/usr/bin/{name}")
    monkeypatch.setattr(needs, "qemu_version", lambda: "QEMU emulator version 6.2.0 (Debian)")

    def missing(node_count: int) -> str:
        found = needs.missing(
            cache=tmp_path, runtime=tmp_path, node_count=node_count, must_prepare=False,
            must_save=False, kernel=None,
        )  # fmt: skip
        return "; ".join(found)

    assert "older than 7.2, which several nodes need; use one node" in missing(2)
    assert "older" not in missing(1)


def test_other_hosts_need_a_kernel_file_and_the_tools(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(needs, "host_is_debian", lambda: False)
    monkeypatch.setattr(
        "shutil.which", lambda name, **_: None if name == "rdma" else f"/bin/{name}"
    )
    kernel = tmp_path / "vmlinuz"

    def missing(kernel: str | None) -> str:
        found = needs.missing(
            cache=tmp_path, runtime=tmp_path, node_count=0, must_prepare=True, must_save=False,
            kernel=kernel,
        )  # fmt: skip
        return "; ".join(found)

    assert "kernels are fetched on Debian and Ubuntu only" in missing(None)
    assert f"there is no kernel {kernel}" in missing(str(kernel))
    kernel.touch()
    assert missing(str(kernel)) == "rdma is missing; install iproute2 with its rdma tool"
