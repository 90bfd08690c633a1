"""The list of what does not run over verbs names tests that there are."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

import pytest

from tests.conformance.over_verbs import (
    BESIDES_THE_FIRST,
    FIRST_ONLY,
    LONG,
    NOT_OVER_VERBS,
)

TABLES = {"not": NOT_OVER_VERBS, "first only": FIRST_ONLY, "long": LONG}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_list_has_no_name_that_is_no_test(table: Iterable[str]) -> None:
    """A test that was renamed would else run, or not run, without anybody's having said so."""
    for place in table:
        module_name, _, test = place.partition("::")
        module = importlib.import_module(f"tests.conformance.{module_name}")
        assert not test or callable(getattr(module, test))


def test_what_runs_besides_the_first_is_a_parameter_of_those_tests() -> None:
    """One that was renamed would else be left out without anybody's having said so."""
    modules = {
        importlib.import_module(f"tests.conformance.{n.partition('::')[0]}") for n in FIRST_ONLY
    }
    marks = [
        mark for m in modules for t in vars(m).values() for mark in getattr(t, "pytestmark", ())
    ]
    given = {str(value) for mark in marks if mark.name == "parametrize" for value in mark.args[1]}
    assert given >= BESIDES_THE_FIRST
