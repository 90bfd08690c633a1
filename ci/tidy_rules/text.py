"""Rules about any text: lengths, and names that belong to one machine."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ci.tidy_rules.tree import Finding, Tree

LINES_MAX = 400
LINES_NOTED = 200
COLUMNS_MAX = 100

_SOURCES = ("**/*.py", "**/*.c", "**/*.h")
_MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|farm|root|home/\w+)/")
# Written so that this file does not match itself.
_HOSTS = re.compile(
    r"\b(?:pypi|pythonhosted|deb\.debian|security\.debian|archive\.ubuntu|npmjs|crates)"
    r"\.(?:org|com|io)\b|--(?:extra-)?index[-]url|--trusted[-]host"
)
_SHARED = re.compile(r"\.\./shared\b")


def files_are_short(tree: Tree) -> Iterator[Finding]:
    """One idea a file: at 400 lines look for the seam."""
    for path in tree.select(*_SOURCES):
        line_count = len(tree.text(path).splitlines())
        if line_count > LINES_MAX:
            cure = f"{line_count} lines, the limit is {LINES_MAX}: split it where the idea changes"
            yield Finding(path, line_count, "file-length", cure)
        elif line_count > LINES_NOTED:
            cure = f"{line_count} lines; aim for at most {LINES_NOTED}"
            yield Finding(path, line_count, "file-length", cure, is_note=True)


def lines_are_short(tree: Tree) -> Iterator[Finding]:
    """At most 100 columns in C and Python."""
    for path in tree.select(*_SOURCES):
        for number, line in enumerate(tree.text(path).splitlines(), start=1):
            if len(line) > COLUMNS_MAX:
                cure = f"{len(line)} columns, the limit is {COLUMNS_MAX}: break the line"
                yield Finding(path, number, "line-length", cure)


def no_hosts_or_machine_paths(tree: Tree) -> Iterator[Finding]:
    """The tree works anywhere: no package host, no path of one machine, no data from outside."""
    for path in tree.paths:
        may_name_shared = path.startswith(("tests/", "ci/"))
        for number, line in enumerate(tree.text(path).splitlines(), start=1):
            if found := _MACHINE_PATH.search(line):
                cure = f"{found.group()} is a path of one machine: derive it from the checkout"
                yield Finding(path, number, "machine-path", cure)
            if found := _HOSTS.search(line):
                cure = f"'{found.group()}' decides for the user: leave that to pip and apt"
                yield Finding(path, number, "package-host", cure)
            if not may_name_shared and _SHARED.search(line):
                cure = "only a test that skips with a reason may look outside the checkout"
                yield Finding(path, number, "outside-data", cure)
