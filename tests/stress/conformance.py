"""`scripts/stress conformance`: the suite over verbs in the rig, with what CI leaves out.

Options go to pytest.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Its status is pytest's."""
    command = [sys.executable, "-m", "pytest", "--rdmaq-rig", "-m", "rdma", "tests/conformance"]
    environment = {**os.environ, "RDMAQ_CONFORMANCE": "whole"}
    done = subprocess.run([*command, *sys.argv[1:]], cwd=ROOT, env=environment, check=False)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
