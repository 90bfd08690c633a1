"""Figures that pages state as facts of the code are those of the code."""

from __future__ import annotations

import inspect
import re

import pytest

import rdmaq
from rdmaq._fast import lib
from tests.docs import pages


def default(function: object, argument: str) -> object:
    assert callable(function)
    return inspect.signature(function).parameters[argument].default


def constant(path: str, name: str) -> int:
    """A #define of a C file."""
    found = re.search(rf"#define {name} (\d+)", pages.text(path))
    assert found is not None
    return int(found[1])


FACTS = [
    ("docs/concepts.md", "up to {} subscribers", lib.RQ_READERS_MAX),
    ("docs/concepts.md", "from {} KiB to 1 TiB", lib.RQ_CAPACITY_BYTES_MIN >> 10),
    ("docs/concepts.md", "from 64 KiB to {} TiB", lib.RQ_CAPACITY_BYTES_MAX >> 40),
    ("docs/concepts.md", "(default {} MiB)", str(default(rdmaq.Node.publish, "capacity"))[:-3]),
    ("docs/concepts.md", "`reliable(min_readers={}", default(rdmaq.reliable, "min_readers")),
    ("docs/concepts.md", "timeout={})`", default(rdmaq.reliable, "timeout")),
    (
        "docs/from-zeromq.md",
        "up to {:,} messages",
        default(rdmaq.Subscription.poll, "max_messages"),
    ),
    ("docs/tuning.md", "every\n{} ms", lib.RQ_WAIT_SLICE_NS_MAX // 1_000_000),
    ("docs/tuning.md", "spins for {} µs", constant("csrc/ring/reader.c", "SPIN_NS") // 1000),
    ("docs/tuning.md", "in frames of 64 it is {} s", round(15 * 2**20 / 500_000 / 50.5, 2)),
    ("docs/tuning.md", "reach back\nfor {} s", round(15 * 2**20 / 500_000 / 96, 2)),
    ("docs/tuning.md", "256 MiB for {} s", round(255 * 2**20 / 500_000 / 96, 1)),
]


@pytest.mark.parametrize(("page", "words", "value"), FACTS, ids=[words for _, words, _ in FACTS])
def test_figure_is_that_of_the_code(page: str, words: str, value: int | float | str) -> None:
    assert words.format(value) in pages.text(page).replace("In frames", "in frames")
