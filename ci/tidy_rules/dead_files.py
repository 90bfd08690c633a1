"""Rules about files that nothing reaches."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import PurePosixPath

from ci.tidy_rules.imports import imports_of, module_name
from ci.tidy_rules.tree import Finding, Tree

_GLOB = re.compile(r"\$\{CMAKE_CURRENT_SOURCE_DIR\}/(\S+\.c)\b")
_INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^">]+)[">]', re.MULTILINE)


def python_modules_are_imported(tree: Tree) -> Iterator[Finding]:
    """A module of rdmaq/ or services/ is imported by another, run by name, or a command.

    Tests do not count: what only a test imports is dead.
    """
    modules = {module_name(path): path for path in tree.select("rdmaq/**/*.py", "services/**/*.py")}
    known = set(modules)
    project = tree.text("pyproject.toml") if "pyproject.toml" in tree.paths else ""
    # A command's entry is "module:function", a pytest plugin's is "module".
    alive = {name for name in known if f'"{name}:' in project or f'"{name}"' in project}
    for path in tree.select("rdmaq/**/*.py", "services/**/*.py", "examples/**/*.py"):
        own = module_name(path)
        for item in imports_of(tree, path):
            alive.update(target for target in item.targets(known) if target != own)
        for node in ast.walk(tree.syntax(path)):
            # A process started by `python -m NAME`, or a lazy import by name.
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                alive.update({node.value} & (known - {own}))
    for name, path in modules.items():
        if name not in alive and not path.endswith(("__init__.py", "__main__.py")):
            cure = "no module imports it and no command starts it: use it or delete it"
            yield Finding(path, 1, "dead-module", cure)


def c_sources_are_built(tree: Tree) -> Iterator[Finding]:
    """Every C source below csrc/ and tests/c/ matches a pattern of its CMakeLists.txt."""
    for folder in ("csrc/", "tests/c/"):
        build = f"{folder}CMakeLists.txt"
        patterns = _GLOB.findall(tree.text(build)) if build in tree.paths else []
        for path in tree.select(f"{folder}**/*.c"):
            inside = path.removeprefix(folder)
            same_depth = [p for p in patterns if p.count("/") == inside.count("/")]
            if not any(fnmatch(inside, pattern) for pattern in same_depth):
                cure = f"{build} does not build it: move it, add it there, or delete it"
                yield Finding(path, 1, "dead-source", cure)


def c_headers_are_included(tree: Tree) -> Iterator[Finding]:
    """Every header is included by some other file."""
    sources = list(tree.select("csrc/**/*.c", "csrc/**/*.h", "tests/**/*.c", "tests/**/*.h"))
    included = {
        (name, source) for source in sources for name in _INCLUDE.findall(tree.text(source))
    }
    for path in sources:
        if path.endswith(".h") and not any(
            f"/{path}".endswith(f"/{name.lstrip('./')}")
            for name, source in included
            if source != path
        ):
            yield Finding(path, 1, "dead-header", "nothing includes it: include it or delete it")


def scripts_are_named(tree: Tree) -> Iterator[Finding]:
    """Every file of ci/ and scripts/ is called, imported or documented somewhere else."""
    for path in tree.select("ci/**/*", "scripts/**/*"):
        name = PurePosixPath(path)
        if name.name == "__init__.py":
            continue
        word = re.compile(rf"(?<![\w-]){re.escape(name.stem)}(?![\w-])")
        if not any(word.search(tree.text(other)) for other in tree.paths if other != path):
            cure = "nothing names it: call it, document it, or delete it"
            yield Finding(path, 1, "dead-script", cure)
