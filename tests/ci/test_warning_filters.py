"""Warnings are errors here; the one that nobody can mend is let through by its whole text."""

from __future__ import annotations

import warnings

import pytest

EARLY = "Module already imported so cannot be rewritten; {}"


@pytest.mark.parametrize("module", ["rdmaq", "rdmaq.rig.plugin", "tests.conftest", "hypothesis"])
def test_plugin_that_was_imported_before_its_asserts_were_rewritten_is_an_error(
    module: str,
) -> None:
    with pytest.raises(pytest.PytestAssertRewriteWarning, match=module):
        warnings.warn(pytest.PytestAssertRewriteWarning(EARLY.format(module)), stacklevel=1)


def test_finder_of_the_editable_install_is_no_error() -> None:
    """Python imports it at its start, so no pytest comes before it."""
    warning = pytest.PytestAssertRewriteWarning(EARLY.format("_editable_skbc_rdmaq"))
    warnings.warn(warning, stacklevel=1)
