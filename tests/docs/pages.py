"""The project's Markdown, taken apart: code blocks with what their first lines say, and links."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """One fenced block: ```LANGUAGE MARK."""

    page: str
    line: int
    language: str
    mark: str
    code: str

    @property
    def place(self) -> str:
        """Where a person finds it."""
        return f"{self.page}:{self.line}"


def names() -> list[str]:
    """Every Markdown file that belongs to the project."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return [name for name in listing.stdout.split() if (ROOT / name).is_file()]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str) -> Iterator[Block]:
    page = text(name)
    for found in _FENCE.finditer(page):
        language, _, mark = found[1].partition(" ")
        yield Block(name, page.count("\n", 0, found.start()) + 1, language, mark, found[2])


def prose(name: str) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", text(name))


def links(name: str) -> list[tuple[str, str]]:
    """The links to places of the project: (path from its root, anchor or nothing)."""
    found = []
    for link in _LINK.findall(prose(name)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent.joinpath(path).resolve() if path else ROOT / name
        found.append((str(target.relative_to(ROOT)), anchor))
    return found


def anchors(name: str) -> set[str]:
    """What its headings are called in links, as GitHub makes it."""
    headings = re.findall(r"^#+ (.*)$", prose(name), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


def commands(name: str) -> Iterator[list[str]]:
    """The words of each command line that a page shows: console blocks and indented lines."""
    shown = [block.code for block in blocks(name) if block.language in ("console", "")]
    shown += re.findall(r"^ {4}(\S.*)$", prose(name), re.MULTILINE)
    for line in "\n".join(shown).splitlines():
        words = line.removeprefix("$ ").partition(" #")[0].split()
        while words and words[0] in ("sudo", "time"):
            words = words[1:]
        if words:
            yield words
