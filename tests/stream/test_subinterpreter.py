"""In a subinterpreter rdmaq refuses to be imported, and says why."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
import sys, warnings
warnings.simplefilter("ignore")
code = '''
try:
    import rdmaq
except ImportError as error:
    print(error, flush=True)
'''
interpreters.run_string(interpreters.create(), code)
import rdmaq
print("main:", rdmaq.Publisher.__name__)
"""


def test_import_in_a_subinterpreter_is_refused_with_a_reason() -> None:
    """And goes on to work in the main one of the same process."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    refusal, main = done.stdout.splitlines()
    assert refusal.startswith("rdmaq cannot be used in a subinterpreter: ")
    assert "; use a process" in refusal
    assert main == "main: Publisher"
