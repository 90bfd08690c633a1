"""The rules about text, and the runner that prints what they find."""

from __future__ import annotations

from pathlib import Path

import pytest

from ci import tidy
from ci.tidy_rules import c_code, dead_files, planes, skips, text
from tests.ci.conftest import TreeOf

# Put together at run time: written out, they would be findings in this file.
MACHINE_PATH = "/" + "work/main/x"
PACKAGE_HOST = "pypi" + ".org"


def test_long_file_is_found_and_a_longish_one_noted(tree_of: TreeOf) -> None:
    tree = tree_of(
        {
            "a.py": "x = 1\n" * (text.LINES_MAX + 1),
            "b.c": "int x;\n" * (text.LINES_NOTED + 1),
            "c.h": "int x;\n" * text.LINES_NOTED,
        }
    )
    found = list(text.files_are_short(tree))
    assert [(f.path, f.is_note) for f in found] == [("a.py", False), ("b.c", True)]


def test_column_101_is_found_in_c_and_python(tree_of: TreeOf) -> None:
    exact, over = "x" * text.COLUMNS_MAX + "\n", "x" * (text.COLUMNS_MAX + 1) + "\n"
    tree = tree_of({"a.c": exact + over, "b.py": over, "c.md": over})
    assert [(f.path, f.line) for f in text.lines_are_short(tree)] == [("a.c", 2), ("b.py", 1)]


@pytest.mark.parametrize("line", [MACHINE_PATH, f"--x=https://{PACKAGE_HOST}/simple"])
def test_name_of_one_machine_or_host_is_found_anywhere(tree_of: TreeOf, line: str) -> None:
    tree = tree_of({"scripts/x": f"fine\n{line}\n", "y.md": "network / workers/ and rework/x\n"})
    assert [(f.path, f.line) for f in text.no_hosts_or_machine_paths(tree)] == [("scripts/x", 2)]


def test_only_tests_may_look_outside_the_checkout(tree_of: TreeOf) -> None:
    line = "../shared/data\n"
    tree = tree_of({"tests/t.py": line, "services/s.py": line})
    assert [f.path for f in text.no_hosts_or_machine_paths(tree)] == ["services/s.py"]


def test_runner_prints_place_rule_and_cure_and_fails(
    tree_of: TreeOf, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = tree_of({"csrc/ring/x_hot.c": "void f(void) { malloc(1); }\n"})
    assert tidy.main(tree.root) == 1
    assert "csrc/ring/x_hot.c:1: hot-file: malloc() allocates: move it" in capsys.readouterr().out


def test_note_alone_does_not_fail(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n" * (text.LINES_NOTED + 1))
    assert tidy.main(tmp_path) == 0


def test_every_rule_is_run() -> None:
    """A rule that is written but not in the list would never fail anything."""
    modules = [c_code, dead_files, planes, skips, text]
    rules = {
        function
        for module in modules
        for name, function in vars(module).items()
        if getattr(function, "__annotations__", {}).get("return") == "Iterator[Finding]"
        and not name.startswith("_")
    }
    assert rules == set(tidy.RULES)
