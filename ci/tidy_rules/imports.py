"""What each Python file of the tree imports, by full module name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from ci.tidy_rules.tree import Tree


@dataclass(frozen=True, slots=True)
class Import:
    """`import module` (names empty) or `from module import names`, relative forms resolved."""

    module: str
    names: tuple[str, ...]
    line: int
    is_for_types: bool = False

    def targets(self, known: set[str]) -> Iterator[str]:
        """Yield the modules of `known` that this import loads: `from a import b` may mean a.b."""
        submodules = [f"{self.module}.{name}" for name in self.names]
        loaded = [name for name in submodules if name in known]
        if self.module in known and (not self.names or len(loaded) < len(self.names)):
            loaded.append(self.module)
        yield from loaded


def module_name(path: str) -> str:
    """Return the import name of a file; services/ is installed as rdmaq_services."""
    parts = list(PurePosixPath(path).with_suffix("").parts)
    if parts[0] == "services":
        parts[0] = "rdmaq_services"
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


def imports_of(tree: Tree, path: str) -> Iterator[Import]:
    """Yield every import of a file, also those inside functions and type-checking blocks."""
    package = module_name(path).split(".")
    if not path.endswith("__init__.py"):
        package.pop()
    syntax = tree.syntax(path)
    for_types = {
        inner
        for node in ast.walk(syntax)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(syntax):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, (), node.lineno, node in for_types)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            names = tuple(alias.name for alias in node.names)
            yield Import(module, names, node.lineno, node in for_types)
