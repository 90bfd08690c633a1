"""Rules about who may import whom: arrows point down (ARCHITECTURE.md, planes).

An import under `if TYPE_CHECKING:` loads nothing, so an error may name the type that it carries.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ci.tidy_rules.imports import Import, imports_of, module_name
from ci.tidy_rules.tree import Finding, Tree

# The height of each module or package directly below rdmaq/. A new one takes its place here.
HEIGHT = {
    "cli": 6,
    "command_line": 6,
    "__main__": 6,
    "doctor": 6,
    "bench": 6,
    "rig": 6,
    "certs": 6,
    "config": 6,
    "node": 5,
    "peer": 5,
    "node_network": 5,
    "node_verbs": 5,
    "peer_network": 5,
    "peer_local": 5,
    "peer_verbs": 5,
    "sessions": 5,
    "stream": 4,
    "region": 4,
    "verbs": 3,
    "shm": 3,
    "bootstrap": 3,
    "_handle": 2,
    "arguments": 2,
    "address": 2,
    "clock": 2,
    "_fast": 1,
    "_interpreter": 0,
    "errors": 0,
    "limits": 0,
}
MAY_KNOW_BOOTSTRAP = {
    "node",
    "node_network",
    "node_verbs",
    "peer",
    "peer_network",
    "peer_verbs",
    "sessions",
    "bootstrap",
}


def _loaded(item: Import) -> Iterator[str]:
    """Yield the parts directly below rdmaq/ that an import names."""
    package, _, rest = item.module.partition(".")
    if package != "rdmaq":
        return
    if rest:
        yield rest.split(".")[0]
    else:
        yield from (name for name in item.names if name in HEIGHT or name == "_ext")


def only_fast_imports_the_extension(tree: Tree) -> Iterator[Finding]:
    """One module stands between Python and C."""
    for path in tree.select("**/*.py"):
        if path == "rdmaq/_fast.py" or path.startswith("tests/"):
            continue
        for item in imports_of(tree, path):
            if "_ext" in _loaded(item):
                cure = "only rdmaq/_fast.py imports the extension: go through it"
                yield Finding(path, item.line, "extension", cure)


def imports_point_down(tree: Tree) -> Iterator[Finding]:
    """services, cli -> node, peer -> stream, region -> verbs, shm -> _fast; bootstrap is apart."""
    for path in tree.select("rdmaq/**/*.py"):
        own = [*module_name(path).split("."), ""][1]
        if not own:
            continue  # rdmaq/__init__.py only gathers the public names
        if own not in HEIGHT:
            cure = f"'{own}' has no place among the planes: give it one in ci/tidy_rules/planes.py"
            yield Finding(path, 1, "plane", cure)
            continue
        for item in imports_of(tree, path):
            if item.is_for_types:
                continue
            yield from _judge(path, own, item)


def _judge(path: str, own: str, item: Import) -> Iterator[Finding]:
    if item.module == "rdmaq" and not set(item.names) & {*HEIGHT, "_ext"}:
        if HEIGHT[own] < HEIGHT["cli"]:
            cure = "below the command line, import the module that defines it, not all of rdmaq"
            yield Finding(path, item.line, "plane", cure)
        return
    for other in _loaded(item):
        if other == own or other == "_ext":
            continue
        if HEIGHT.get(other, 0) > HEIGHT[own]:
            cure = f"{own} imports {other}, which is above it: pass in what it needs instead"
            yield Finding(path, item.line, "plane", cure)
        if other == "bootstrap" and own not in MAY_KNOW_BOOTSTRAP:
            cure = f"{own} imports bootstrap: only node and peer know it"
            yield Finding(path, item.line, "plane", cure)


def services_use_the_public_api(tree: Tree) -> Iterator[Finding]:
    """A service is a program that a user could have written: `import rdmaq` and hardly more."""
    open_modules = {"errors", "command_line"}
    inner = set(HEIGHT) - open_modules
    for path in tree.select("services/**/*.py", "examples/**/*.py"):
        for item in imports_of(tree, path):
            private = item.module == "rdmaq" and any(
                name in inner or (name.startswith("_") and name != "__version__")
                for name in item.names
            )
            below = item.module.startswith("rdmaq.") and item.module[6:] not in open_modules
            if private or below:
                yield _not_public(path, item.line, item.module)
        for node in ast.walk(tree.syntax(path)):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "rdmaq"
                and (node.attr in inner or node.attr.startswith("_"))
                and node.attr != "__version__"
            ):
                yield _not_public(path, node.lineno, f"rdmaq.{node.attr}")


def _not_public(path: str, line: int, name: str) -> Finding:
    cure = f"{name} is not public: use what `import rdmaq` offers, or make that offer more"
    return Finding(path, line, "public-api", cure)
