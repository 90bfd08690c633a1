"""Each step of a model names the function it stands in: is it still there?"""

from __future__ import annotations

import functools
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


@functools.cache
def words_of_the_code() -> frozenset[str]:
    folders = ("ring", "region", "rdma", "link", "arch")
    sources = [path for name in folders for path in ROOT.glob(f"csrc/{name}/**/*.[ch]")]
    sources += ROOT.glob("rdmaq/**/*.py")
    return frozenset(re.findall(r"\w+", "\n".join(path.read_text() for path in sources)))


def stands_in_the_code(place: str) -> bool:
    """Tell whether a step's function still exists; "(kernel)", "ibv_..." are none of ours."""
    function = place.partition(":")[0].partition(" ")[0].partition(".")[0]
    return not function or function.startswith(("(", "ibv_")) or function in words_of_the_code()
