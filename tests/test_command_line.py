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


@pytest.mark.parametrize("words", ["", "-h", "rig", "rig -h", "bench", "streams -h", "rig exec -h"])
def test_help_is_told_to_who_asks_and_to_who_names_no_command(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(words.split()) == 0
    output, errors = capsys.readouterr()
    assert output.startswith("Usage: rdmaq ")
    assert errors == ""


def test_port_that_none_can_be_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["streams", "feed-1:99999"]) == 2
    assert re.search(r"a port is at most 65535, not 99999; .*feed-1:7471", capsys.readouterr().err)
