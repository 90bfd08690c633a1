"""Errors of every command have one form; numbers are numbers."""

from __future__ import annotations

import re

import click
import pytest

from rdmaq import cli
from rdmaq.command_line import FiniteRange, error_line

FORM = re.compile(r"error: .+: .+; .+")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("it broke: too old; buy one", "error: it broke: too old; buy one"),
        ("it broke: too old.", "error: it broke: too old; see 'x --help'"),
        ("it broke; buy one", "error: x: it broke; buy one"),
        ("it\nbroke", "error: x: it broke; see 'x --help'"),
    ],
)
def test_what_an_error_lacks_is_made_up_for(text: str, line: str) -> None:
    assert error_line(text, command="x") == line
    assert FORM.fullmatch(line)


@pytest.mark.parametrize(
    "words",
    ["bogus", "streams", "streams local:nobody", "streams nowhere", "streams local:x --timeout nan",
     "bench rate --bogus", "bench rate --rounds 0", "bench latency --capacity much"],
)  # fmt: skip
def test_error_of_rdmaq_is_one_line_with_cause_and_cure(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(words.split()) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert FORM.fullmatch(errors.removesuffix("\n")), errors
    assert "timeout=" not in errors


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e999", "many"])
def test_number_that_is_none_is_refused(number: str) -> None:
    with pytest.raises(click.BadParameter):
        FiniteRange().convert(number, None, None)
    assert FiniteRange().convert("1.5", None, None) == 1.5
