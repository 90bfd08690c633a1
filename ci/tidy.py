"""The project's own style test: what no general linter knows about this tree.

Usage: python -m ci.tidy [ROOT]    (scripts/lint runs it)

Prints `path:line: rule: what to do` for each finding and exits 1 when there is one. Notes (a file
that grows long) are printed and fail nothing. Each rule is a function from a `Tree` to findings,
and has a test in tests/ci/ that shows that it can fail.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from ci.tidy_rules import c_code, dead_files, planes, skips, text
from ci.tidy_rules.tree import Finding, Tree

RULES: tuple[Callable[[Tree], Iterator[Finding]], ...] = (
    c_code.hot_files_stay_hot,
    c_code.assembly_stands_in_arch,
    text.files_are_short,
    text.lines_are_short,
    text.no_hosts_or_machine_paths,
    dead_files.python_modules_are_imported,
    dead_files.c_sources_are_built,
    dead_files.c_headers_are_included,
    dead_files.scripts_are_named,
    planes.only_fast_imports_the_extension,
    planes.imports_point_down,
    planes.services_use_the_public_api,
    skips.skip_reasons_are_listed,
    skips.listed_reasons_are_used,
)


def main(root: Path) -> int:
    """Print the findings of every rule in the tree at `root`; return the exit status."""
    tree = Tree(root)
    findings = sorted(finding for rule in RULES for finding in rule(tree))
    for finding in findings:
        print(finding)
    return int(any(not finding.is_note for finding in findings))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
