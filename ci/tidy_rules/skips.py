"""Rules about skipped tests: each reason stands in ci/allowed_skips.txt, with a why."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ci.tidy_rules.tree import Finding, Tree

ALLOWED = "ci/allowed_skips.txt"


@dataclass(frozen=True, slots=True)
class Skip:
    """A reason in the source; a value filled in at run time reads as `…`."""

    path: str
    line: int
    reason: str


def allowed_patterns(text: str) -> Iterator[tuple[int, re.Pattern[str]]]:
    """Yield line number and pattern of each reason; blank lines and `#` lines are for people.

    A "! " before a reason is tests/conftest.py's matter: it is allowed, but not in CI.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            yield number, re.compile(line.strip().removeprefix("! "))


def _reason_text(node: ast.expr | None) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values)
    return "" if node is None else "…"


def skips_in(tree: Tree) -> Iterator[Skip]:
    """Yield each `pytest.skip(...)`, `mark.skip(...)`, `mark.skipif(...)`, `importorskip(...)`."""
    for path in [*tree.select("tests/**/*.py"), *tree.select("rdmaq/**/*.py")]:  # a plugin, too
        for node in ast.walk(tree.syntax(path)):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr not in {"skip", "skipif", "importorskip"}:
                continue
            # A test of this very rule holds skips in strings; only pytest's own are calls here.
            if not ast.unparse(node.func).startswith("pytest."):
                continue
            named = [word.value for word in node.keywords if word.arg == "reason"]
            first = node.args[0] if node.args and node.func.attr == "skip" else None
            yield Skip(path, node.lineno, _reason_text(named[0] if named else first))


def _allowed(tree: Tree) -> list[tuple[int, re.Pattern[str]]]:
    return list(allowed_patterns(tree.text(ALLOWED))) if ALLOWED in tree.paths else []


def skip_reasons_are_listed(tree: Tree) -> Iterator[Finding]:
    """A test is skipped for a reason that somebody has thought about, or not at all."""
    patterns = [pattern for _, pattern in _allowed(tree)]
    for skip in skips_in(tree):
        if not any(pattern.fullmatch(skip.reason) for pattern in patterns):
            cure = f"the skip reason '{skip.reason}' is not in {ALLOWED}: list it there with a why"
            yield Finding(skip.path, skip.line, "skip-reason", cure)


def listed_reasons_are_used(tree: Tree) -> Iterator[Finding]:
    """A listed reason that no test gives would let a stranger through."""
    reasons = [skip.reason for skip in skips_in(tree)]
    for number, pattern in _allowed(tree):
        if not any(pattern.fullmatch(reason) for reason in reasons):
            yield Finding(ALLOWED, number, "skip-reason", "no test gives this reason: delete it")
