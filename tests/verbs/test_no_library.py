"""The extension posts and polls without linking to libibverbs, so it loads where there is none."""

from __future__ import annotations

import subprocess

from rdmaq._ext import __file__ as EXTENSION  # noqa: N812 - the path of the compiled file
from rdmaq._fast import lib


def readelf(option: str) -> str:
    return subprocess.run(
        ["readelf", "--wide", option, EXTENSION], check=True, capture_output=True, text=True
    ).stdout


def test_verbs_are_built_in() -> None:
    """scripts/setup installs the headers, so a checkout without them is a broken one."""
    assert lib.rq_verbs_built() == 1


def test_no_symbol_of_libibverbs_is_undefined() -> None:
    symbols = readelf("--dyn-syms")
    undefined = [line.partition(" UND ")[2] for line in symbols.splitlines() if " UND " in line]
    assert any(name.startswith("memcpy") for name in undefined), "readelf shows no imports at all"
    assert not [name for name in undefined if name.startswith(("ibv_", "rdma_", "mlx"))]


def test_no_library_of_rdma_is_needed() -> None:
    needed = [line for line in readelf("--dynamic").splitlines() if "(NEEDED)" in line]
    assert needed
    assert not [line for line in needed if "ibverbs" in line or "rdmacm" in line]
