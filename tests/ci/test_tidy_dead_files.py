"""The rules about files that nothing reaches can fail, and only where they should."""

from __future__ import annotations

from ci.tidy_rules import dead_files
from tests.ci.conftest import TreeOf

CMAKE = "file(GLOB s CONFIGURE_DEPENDS\n  ${CMAKE_CURRENT_SOURCE_DIR}/ring/*.c)\n"


def test_module_that_only_a_test_imports_is_dead(tree_of: TreeOf) -> None:
    tree = tree_of(
        {
            "rdmaq/__init__.py": "from rdmaq.used import x\n",
            "rdmaq/used.py": "from . import helper\nx = helper\n",
            "rdmaq/helper.py": "",
            "rdmaq/dead.py": "",
            "tests/test_dead.py": "import rdmaq.dead\n",
        }
    )
    found = [f.path for f in dead_files.python_modules_are_imported(tree)]
    assert found == ["rdmaq/dead.py"]


def test_commands_and_modules_run_by_name_are_alive(tree_of: TreeOf) -> None:
    tree = tree_of(
        {
            "pyproject.toml": '[project.scripts]\nx = "rdmaq_services.md.cli:main"\n',
            "services/md/cli.py": 'command = ["-m", "rdmaq_services.md.worker"]\n',
            "services/md/worker.py": "from .part import y\n",
            "services/md/part.py": "y = 1\n",
        }
    )
    assert not list(dead_files.python_modules_are_imported(tree))


def test_module_that_imports_itself_is_dead(tree_of: TreeOf) -> None:
    tree = tree_of({"rdmaq/narcissus.py": 'import rdmaq.narcissus\nname = "rdmaq.narcissus"\n'})
    assert len(list(dead_files.python_modules_are_imported(tree))) == 1


def test_c_source_outside_the_build_is_dead(tree_of: TreeOf) -> None:
    tree = tree_of(
        {
            "csrc/CMakeLists.txt": CMAKE,
            "csrc/ring/a.c": "",
            "csrc/ring/deeper/b.c": "",
            "csrc/lost/c.c": "",
        }
    )
    found = [f.path for f in dead_files.c_sources_are_built(tree)]
    assert found == ["csrc/lost/c.c", "csrc/ring/deeper/b.c"]


def test_header_that_only_itself_includes_is_dead(tree_of: TreeOf) -> None:
    tree = tree_of(
        {
            "csrc/ring/a.c": '#include "ring/used.h"\n',
            "csrc/ring/used.h": "",
            "csrc/ring/dead.h": '#include "dead.h"\n',
        }
    )
    assert [f.path for f in dead_files.c_headers_are_included(tree)] == ["csrc/ring/dead.h"]


def test_script_that_nothing_names_is_dead(tree_of: TreeOf) -> None:
    tree = tree_of(
        {
            "README.md": "Run scripts/demo.\n",
            "scripts/demo": "echo demo\n",
            "scripts/forgotten": "echo forgotten\n",
            "ci/run.sh": "bash ci/part.sh\n",
            "ci/part.sh": "bash ci/run.sh\n",
        }
    )
    assert [f.path for f in dead_files.scripts_are_named(tree)] == ["scripts/forgotten"]
