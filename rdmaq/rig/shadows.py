"""Which of the host's folders a guest must be shown beside the host's root and the checkout."""

from __future__ import annotations

import sys
from pathlib import Path

import rdmaq

# The guest has its own of these.
_COVERED = tuple(map(Path, ("/tmp", "/var/tmp", "/run", "/dev")))  # noqa: S108  (not used as such)


def _is_covered(path: Path) -> bool:
    return any(path.is_relative_to(folder) and path != folder for folder in _COVERED)


def shadows_of(checkout: Path) -> list[Path]:
    """Return the folders that guests should see as the host has them, read-only and cached.

    These are virtual environments in the checkout, which is mounted without a cache, so that each
    import would ask the host anew; and what Python and this package need and what the guest's own
    folders would hide.
    """
    inside = {path.parent for path in checkout.glob("*/pyvenv.cfg")}
    if Path(sys.prefix).is_relative_to(checkout):
        inside.add(Path(sys.prefix))
    package = str(Path(rdmaq.__file__).parents[1])
    hidden = {
        path
        for path in map(Path, (sys.prefix, sys.base_prefix, package, *filter(None, sys.path)))
        if path.is_dir() and _is_covered(path) and not path.is_relative_to(checkout)
    }
    # What lies inside of another comes with it, and what holds the checkout is mounted before it.
    outermost = {path for path in hidden if not any(other in path.parents for other in hidden)}
    return sorted(outermost) + sorted(inside)
