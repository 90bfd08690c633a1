"""The rules about skipped tests can fail, and only where they should."""

from __future__ import annotations

import pytest

from ci.tidy_rules import skips
from tests.ci.conftest import TreeOf

ALLOWED = "# a why\n! no device\n\nkernel .* is too old\n"


@pytest.mark.parametrize(
    "call",
    [
        "pytest.skip('other')",
        "pytest.mark.skipif(True, reason='other')",
        "pytest.mark.skip",
        "pytest.importorskip('x', reason='other')",
    ],
)
def test_unlisted_reason_is_found(tree_of: TreeOf, call: str) -> None:
    call = call if "(" in call else call + "()"
    tree = tree_of({"ci/allowed_skips.txt": ALLOWED, "tests/t.py": f"import pytest\n{call}\n"})
    assert [f.line for f in skips.skip_reasons_are_listed(tree)] == [2]


def test_listed_reason_is_no_finding_even_with_a_value_in_it(tree_of: TreeOf) -> None:
    text = "import pytest\npytest.skip('no device')\npytest.skip(f'kernel {v} is too old')\n"
    tree = tree_of({"ci/allowed_skips.txt": ALLOWED, "tests/t.py": text})
    assert not list(skips.skip_reasons_are_listed(tree))
    assert not list(skips.listed_reasons_are_used(tree))


def test_listed_reason_that_no_test_gives_is_found(tree_of: TreeOf) -> None:
    text = "import pytest\npytest.skip('no device')\n"
    tree = tree_of({"ci/allowed_skips.txt": ALLOWED, "tests/t.py": text})
    assert [f.line for f in skips.listed_reasons_are_used(tree)] == [4]
