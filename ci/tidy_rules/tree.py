"""The tree that the rules look at, read once, and what they say about it."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath


@dataclass(frozen=True, order=True, slots=True)
class Finding:
    """One thing to mend; `line` counts from 1."""

    path: str
    line: int
    rule: str
    cure: str
    is_note: bool = False

    def __str__(self) -> str:
        """Return the form that editors and people jump to."""
        note = " (note)" if self.is_note else ""
        return f"{self.path}:{self.line}: {self.rule}{note}: {self.cure}"


class Tree:
    """The text files below a root, as POSIX paths relative to it.

    Git's ignored files are left out where there is git, hidden folders and caches where not.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._text: dict[str, str] = {}
        self._syntax: dict[str, ast.Module] = {}

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """All text files, sorted."""
        names = self._paths_of_git() if (self.root / ".git").exists() else self._paths_of_folder()
        return tuple(sorted(name for name in names if self._is_text(name)))

    def _paths_of_git(self) -> list[str]:
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listing = subprocess.run(command, cwd=self.root, check=True, capture_output=True, text=True)
        return [name for name in listing.stdout.split("\0") if (self.root / name).is_file()]

    def _paths_of_folder(self) -> list[str]:
        below = (p.relative_to(self.root) for p in self.root.rglob("*") if p.is_file())
        return [
            p.as_posix()
            for p in below
            if not any(part == "__pycache__" or part.startswith(".") for part in p.parts[:-1])
        ]

    def _is_text(self, path: str) -> bool:
        try:
            self._text[path] = (self.root / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return False
        return True

    def select(self, *patterns: str) -> Iterator[str]:
        """Yield the paths that match a pattern; `**` spans folders, also none."""
        for path in self.paths:
            if any(_matches(path, pattern) for pattern in patterns):
                yield path

    def text(self, path: str) -> str:
        """Return the content of one of `paths`."""
        self.paths  # noqa: B018  (reading the list reads the files)
        return self._text[path]

    def syntax(self, path: str) -> ast.Module:
        """Return the syntax tree of a Python file, parsed once."""
        if path not in self._syntax:
            self._syntax[path] = ast.parse(self.text(path), filename=path)
        return self._syntax[path]


def _matches(path: str, pattern: str) -> bool:
    folder, separator, name = pattern.partition("**/")
    if not separator:
        return PurePosixPath(path).match(pattern) and path.count("/") == pattern.count("/")
    return path.startswith(folder) and PurePosixPath(path).match(name)
