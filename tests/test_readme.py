"""The README's first example is what a newcomer types: it runs as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def test_first_example_of_the_readme_runs_and_prints_what_was_sent(tmp_path: Path) -> None:
    """Runs the first Python block in a fresh process, away from the checkout."""
    block = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert block is not None
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block[1]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[1012500 1012600] 1 [")
