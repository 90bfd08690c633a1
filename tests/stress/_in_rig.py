"""Runs a stress run inside a rig of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rdmaq.rig import frames, lifecycle, running
from rdmaq.rig.host_tests import kernel_complaints
from rdmaq.rig.lifecycle import Wish
from rdmaq.rig.shadows import shadows_of

_ROOT = Path(__file__).parents[2]


def in_rig(module: str, arguments: Sequence[str]) -> int:
    """Brings a rig up, runs the module there with `--here`, and takes the rig down again.

    Returns the exit status: 1 also when the guest's kernel has complained.
    """
    wish = Wish(name=f"stress-{os.getpid()}", checkout=_ROOT, shadows=shadows_of(_ROOT))
    rig = lifecycle.up(wish)
    try:
        command = [sys.executable, "-m", module, "--here", *arguments]
        session = running.open_session(rig, command, folder=_ROOT)
        session.send_input(b"")
        for kind, data in session.events():  # as it comes: a run takes minutes
            stream = sys.stderr if kind == frames.ERROR else sys.stdout
            stream.write(data.decode(errors="replace"))
            stream.flush()
        session.close()
        complaints = kernel_complaints(rig)
    finally:
        lifecycle.down(wish.name)
    for complaint in complaints:
        print(f"the guest's kernel: {complaint}", file=sys.stderr)
    assert session.status is not None, "events() ends with a status or an exception"
    return session.status or int(bool(complaints))
