"""What the pages show runs; what they name exists."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from rdmaq_services.market_data.cli import cli as rdmaq_md

import rdmaq
from rdmaq.cli import cli as rdmaq_command
from tests.docs import pages

PAGES = pages.names()
# `fragment`: compiled and looked at, not run. `file=NAME`: run by test_tutorial.py, and by
# tests/rdma/ (test_verbs_tutorial.py, test_two_hosts.py) where there are RDMA devices.
MARKS = re.compile(r"|fragment|file=\w+\.py")
LANGUAGES = {"python", "console", "json", "yaml", "c", "java", "text", ""}
COMMANDS: dict[str, click.Command] = {"rdmaq": rdmaq_command, "rdmaq-md": rdmaq_md}
PATHS = re.compile(r"`((?:rdmaq|csrc|tests|scripts|ci|docs|services|examples)/[\w./*-]+)`")


def sessions() -> list[str]:
    return [n for n in PAGES if any(b.language == "python" and not b.mark for b in pages.blocks(n))]


@pytest.mark.parametrize("name", PAGES)
def test_blocks_run_or_are_marked(name: str) -> None:
    for block in pages.blocks(name):
        assert block.language in LANGUAGES, f"{block.place}: language {block.language!r}"
        if block.language == "python":
            assert MARKS.fullmatch(block.mark), f"{block.place}: mark {block.mark!r}"
            if block.mark.startswith("file="):
                runs = ("docs/tutorial.md", "docs/verbs.md", "docs/two-hosts.md")
                assert name in runs, f"{block.place}: nobody runs it"


@pytest.mark.parametrize("name", sessions())
def test_python_of_a_page_runs_from_top_to_bottom(name: str, tmp_path: Path) -> None:
    """One process a page: a block may use what stands above it. Warnings are errors."""
    program = "\n".join(
        "\n" * 2 + f"# {block.place}\n{block.code}"
        for block in pages.blocks(name)
        if block.language == "python" and not block.mark
    )
    path = tmp_path / "page.py"
    path.write_text(program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-W", "ignore::ResourceWarning", path],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = re.findall(r"# -> (.*)", program)
    printed = iter(done.stdout.splitlines())
    for line in shown:  # what a page says is printed, is, in that order
        assert any(line == other for other in printed), f"{line!r} not in:\n{done.stdout}"


@pytest.mark.parametrize("name", PAGES)
def test_fragments_compile_and_name_what_exists(name: str) -> None:
    for block in pages.blocks(name):
        if block.language != "python":
            continue
        for node in ast.walk(ast.parse(block.code)):
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "rdmaq":
                assert hasattr(rdmaq, node.attr), f"{block.place}: rdmaq.{node.attr}"


@pytest.mark.parametrize("name", PAGES)
def test_internal_links_lead_somewhere(name: str) -> None:
    for path, anchor in pages.links(name):
        assert (pages.ROOT / path).exists(), f"{name}: {path}"
        assert not anchor or anchor in pages.anchors(path), f"{name}: {path}#{anchor}"


@pytest.mark.parametrize("name", [n for n in PAGES if n != "CHANGELOG.md"])
def test_paths_in_prose_exist(name: str) -> None:
    for path in PATHS.findall(pages.prose(name)):
        found = list(pages.ROOT.glob(path.rstrip("/")))
        found += pages.ROOT.glob(f"{path}.py")
        assert found, f"{name}: {path}"


@pytest.mark.parametrize("name", PAGES)
def test_command_lines_have_commands_and_options_that_exist(name: str) -> None:
    for words in pages.commands(name):
        if words[0].startswith("scripts/"):
            assert os.access(pages.ROOT / words[0], os.X_OK), f"{name}: {words[0]}"
        command = COMMANDS.get(words[0])
        for word in words[1:] if command else ():
            assert command is not None
            if word == "--":
                break
            if isinstance(command, click.Group) and word in command.commands:
                command = command.commands[word]
            elif word.startswith("--") and word != "--help":
                known = {option for item in command.params for option in item.opts}
                assert word.partition("=")[0] in known, f"{name}: {' '.join(words)}: {word}"


def test_every_page_is_reached_from_the_readme() -> None:
    reached, todo = set(), ["README.md"]
    while todo:
        name = todo.pop()
        reached.add(name)
        todo += [path for path, _ in pages.links(name) if path in PAGES and path not in reached]
    assert set(PAGES) <= reached


def test_readme_is_short_and_begins_with_the_two_commands() -> None:
    first = list(pages.commands("README.md"))[:2]
    assert [words[0] for words in first] == ["scripts/demo", "scripts/test"]
    assert len(pages.text("README.md").splitlines()) <= 100


def test_readmes_first_example_prints_what_it_sent(tmp_path: Path) -> None:
    block = next(block for block in pages.blocks("README.md") if block.language == "python")
    assert block.mark == ""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block.code],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("[1012500 1012600] 1 ["), done.stderr
