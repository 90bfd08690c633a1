"""Finds pyverbs, and says what to install where it is not.

pyverbs cannot be had from a package index in a working state: it belongs to the libibverbs of its
distribution. A virtual environment does not see the distribution's packages, so its folder is
looked for here, and only that one package is taken from there.
"""

from __future__ import annotations

import importlib
import sys
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from rdmaq._fast import lib
from rdmaq.errors import VerbsUnavailable

# Where distributions keep their own packages: Debian and Ubuntu; Fedora and SUSE.
FOLDERS = (
    Path("/usr/lib/python3/dist-packages"),
    Path(f"/usr/lib64/python3.{sys.version_info.minor}/site-packages"),
)
_MODULES = ("addr", "cq", "device", "mr", "pd", "pyverbs_error", "qp", "wr", "base")
_INSTALL = (
    "install your distribution's: apt-get install python3-pyverbs ibverbs-providers (Debian, "
    "Ubuntu) or dnf install python3-pyverbs (Fedora), and run the distribution's own Python"
)


class Pyverbs:
    """The modules of pyverbs that rdmaq uses, as attributes."""

    def __init__(self) -> None:
        for name in _MODULES:
            setattr(self, name, importlib.import_module(f"pyverbs.{name}"))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


@cache
def load() -> Pyverbs:
    """Imports pyverbs, once.

    Raises:
        VerbsUnavailable: it is not there, does not load, or rdmaq was built without verbs.
    """
    check_built()
    if "pyverbs" not in sys.modules and importlib.util.find_spec("pyverbs") is None:
        _take_from(FOLDERS)
    try:
        return Pyverbs()
    except ImportError as error:
        raise VerbsUnavailable(
            f"RDMA verbs cannot be used: pyverbs does not load ({error}); {_INSTALL}"
        ) from error


def check_built() -> None:
    """Raises VerbsUnavailable where the extension was built without the headers of verbs."""
    if not lib.rq_verbs_built():
        raise VerbsUnavailable(
            "RDMA verbs cannot be used: there were no libibverbs headers when rdmaq was built; "
            "apt-get install libibverbs-dev, and install rdmaq again from its source"
        )


def _take_from(folders: tuple[Path, ...]) -> None:
    """Make `import pyverbs` find a package outside the path, and nothing else of its folder."""
    others = ""
    for folder in folders:
        package = folder / "pyverbs"
        if not (package / "__init__.py").is_file():
            continue
        if not any((package / f"device{suffix}").is_file() for suffix in EXTENSION_SUFFIXES):
            others = (
                f" ({package} is for another Python than {sys.version_info.major}."
                f"{sys.version_info.minor})"
            )
            continue
        spec = spec_from_file_location(
            "pyverbs", package / "__init__.py", submodule_search_locations=[str(package)]
        )
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        sys.modules["pyverbs"] = module
        spec.loader.exec_module(module)
        return
    raise VerbsUnavailable(
        f"RDMA verbs cannot be used: Python finds no pyverbs{others}; {_INSTALL}"
    )
