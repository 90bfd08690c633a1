"""Importing rdmaq where it cannot run is refused with the reason, before anything is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging import rig

ROOT = Path(__file__).parents[2]

IN_A_SUBINTERPRETER = """
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
CODE = '''
import sys
sys.path.insert(0, {root!r})
try:
    import rdmaq
except ImportError as error:
    print(error)
print(sorted({{name.split(".")[0] for name in sys.modules}} & {{"numpy", "cffi", "_cffi_backend"}}))
'''
interpreters.run_string(interpreters.create({argument}), CODE)
sys.stdout.flush()
"""


def run(python: str | Path, program: str) -> str:
    done = subprocess.run([python, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("argument", ["", "isolated=False"])
def test_subinterpreter_is_refused_before_anything_is_loaded(argument: str) -> None:
    """ImportError with the cure, whatever else that interpreter may do; numpy was not asked."""
    if argument and sys.version_info >= (3, 13):
        argument = "'legacy'"
    said = run(sys.executable, IN_A_SUBINTERPRETER.format(root=str(ROOT), argument=argument))
    refusal, loaded = said.splitlines()
    assert refusal.startswith("rdmaq cannot be used in a subinterpreter: ")
    assert "use a process" in refusal
    assert loaded == "[]"


@pytest.mark.parametrize("version", sorted(rig.pythons()))
def test_subinterpreter_is_refused_in_every_python_here(version: str) -> None:
    """The module that tells has other names and answers in later versions.

    Nothing need be built: the refusal comes first, and in the main interpreter there is none.
    """
    python = rig.pythons()[version]
    said = run(python, IN_A_SUBINTERPRETER.format(root=str(ROOT), argument=""))
    assert said.startswith("rdmaq cannot be used in a subinterpreter: ")
    program = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
try:
    import rdmaq._interpreter
except ImportError as error:
    print(error)
"""
    assert "subinterpreter" not in run(python, program)


def test_free_threaded_python_is_refused() -> None:
    """No such build is at hand here, so its flag is put into this one's `sys`."""
    program = """
import sys
sys.abiflags = "t"
try:
    import rdmaq
except ImportError as error:
    print(error)
"""
    said = run(sys.executable, program)
    assert said.startswith("rdmaq cannot be used in a free-threaded Python: ")
    assert "use the usual build" in said


def test_main_interpreter_is_not_refused() -> None:
    """The control."""
    assert run(sys.executable, "import rdmaq; print('in')") == "in\n"
