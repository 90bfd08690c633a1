"""The rules about who imports whom can fail, and only where they should."""

from __future__ import annotations

import pytest

from ci.tidy_rules import planes
from tests.ci.conftest import TreeOf


@pytest.mark.parametrize(
    "line",
    [
        "import rdmaq._ext",
        "from rdmaq import _ext",
        "from rdmaq._ext import lib",
        "from . import _ext",
    ],
)
def test_extension_imported_outside_fast_is_found(tree_of: TreeOf, line: str) -> None:
    tree = tree_of({"rdmaq/node.py": line + "\n", "rdmaq/_fast.py": line + "\n"})
    assert [f.path for f in planes.only_fast_imports_the_extension(tree)] == ["rdmaq/node.py"]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("rdmaq/_fast.py", "from rdmaq.shm import segment"),
        ("rdmaq/shm/segment.py", "from ..stream import publisher"),
        ("rdmaq/stream/publisher.py", "def f():\n    from rdmaq import node"),
        ("rdmaq/node.py", "import rdmaq.cli"),
        ("rdmaq/errors.py", "from . import _fast"),
        ("rdmaq/stream/reader.py", "import rdmaq.bootstrap.wire"),
        ("rdmaq/cli.py", "from rdmaq.bootstrap import wire"),
        ("rdmaq/stream/reader.py", "import rdmaq"),
        ("rdmaq/novelty.py", ""),
    ],
)
def test_import_against_the_arrows_is_found(tree_of: TreeOf, path: str, line: str) -> None:
    assert len(list(planes.imports_point_down(tree_of({path: line + "\n"})))) == 1


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("rdmaq/__init__.py", "from rdmaq.node import Node"),
        ("rdmaq/cli.py", "import rdmaq"),
        ("rdmaq/node.py", "from rdmaq.bootstrap import wire"),
        ("rdmaq/stream/publisher.py", "from rdmaq.shm.segment import Segment"),
        ("rdmaq/shm/segment.py", "from .. import _fast, errors"),
        ("rdmaq/_fast.py", "from rdmaq import _ext"),
        ("rdmaq/errors.py", "if TYPE_CHECKING:\n    from rdmaq.stream.batch import Gap"),
    ],
)
def test_import_along_the_arrows_is_no_finding(tree_of: TreeOf, path: str, line: str) -> None:
    assert not list(planes.imports_point_down(tree_of({path: line + "\n"})))


@pytest.mark.parametrize(
    "line",
    [
        "import rdmaq.node",
        "from rdmaq.stream import publisher",
        "from rdmaq import _fast",
        "from rdmaq import clock",
        "import rdmaq\nx = rdmaq._fast",
        "import rdmaq\nx = rdmaq.shm.segment",
    ],
)
def test_service_that_reaches_inside_is_found(tree_of: TreeOf, line: str) -> None:
    tree = tree_of({"services/md/cli.py": line + "\n"})
    assert len(list(planes.services_use_the_public_api(tree))) == 1


def test_service_on_the_public_api_is_no_finding(tree_of: TreeOf) -> None:
    text = (
        "import rdmaq\nfrom rdmaq import Node\nfrom rdmaq.errors import GapError\nrdmaq.connect\n"
        "from rdmaq.command_line import error_line\n"
    )
    tree = tree_of({"services/md/cli.py": text + "from .decode import d\nrdmaq.__version__\n"})
    assert not list(planes.services_use_the_public_api(tree))
