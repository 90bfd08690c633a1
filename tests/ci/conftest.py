"""Small trees for the rules to judge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ci.tidy_rules.tree import Tree

TreeOf = Callable[[dict[str, str]], Tree]


@pytest.fixture
def tree_of(tmp_path: Path) -> TreeOf:
    """Return a function that writes {path: text} to a folder and reads it as a `Tree`."""

    def write(files: dict[str, str]) -> Tree:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return Tree(tmp_path)

    return write
