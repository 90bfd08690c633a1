"""The list of what does not run over verbs names tests that there are."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

import pytest

from tests.conformance.over_verbs import FIRST_ONLY, LONG, NOT_OVER_VERBS, NOT_YET

TABLES = {"not": NOT_OVER_VERBS, "first only": FIRST_ONLY, "long": LONG, "not yet": NOT_YET}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_list_has_no_name_that_is_no_test(table: Iterable[str]) -> None:
    """A test that was renamed would else run, or not run, without anybody's having said so."""
    for place in table:
        module_name, _, test = place.partition("::")
        module = importlib.import_module(f"tests.conformance.{module_name}")
        assert not test or callable(getattr(module, test))
