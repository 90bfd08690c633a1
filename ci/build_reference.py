"""Runs pdoc (`scripts/docs`) with numpy's unions under the names that people know them by.

`npt.ArrayLike` alone would take ten lines of a signature.

Usage: python -m ci.build_reference PDOC-ARGUMENTS
"""

from __future__ import annotations

import typing

import numpy.typing as npt
import pdoc.__main__

ArrayLike = typing.NewType("ArrayLike", object)
DTypeLike = typing.NewType("DTypeLike", object)


def name_unions() -> None:
    """Put a named type where numpy has a union; annotations are evaluated later than this."""
    for alias in (ArrayLike, DTypeLike):
        alias.__module__ = npt.__name__
        setattr(npt, alias.__name__, alias)


if __name__ == "__main__":
    name_unions()
    pdoc.__main__.cli()
