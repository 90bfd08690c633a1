"""Errors of every command have one form; numbers are numbers."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click
import pytest

from rdmaq import Credentials, cli
from rdmaq.command_line import FiniteRange, error_line, in_network_options, network_options

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


@pytest.fixture
def seen() -> tuple[click.Command, list[Credentials]]:
    """A command with the options, and the credentials that it found."""
    found: list[Credentials] = []

    @click.command()
    @network_options
    def command() -> None:
        found.append(Credentials.from_environment())

    return command, found


def test_network_options_win_over_the_environment_and_leave_it_as_it_was(
    seen: tuple[click.Command, list[Credentials]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, found = seen
    for name in ("ca", "certificate", "key"):
        (tmp_path / name).touch()
    (tmp_path / "token").write_text("token-of-the-file-01\nmore\n", encoding="ascii")
    monkeypatch.setenv("RDMAQ_TOKEN", "token-of-the-environment")
    monkeypatch.setenv("RDMAQ_TLS_SERVER_NAME", "kept")
    monkeypatch.delenv("RDMAQ_INSECURE", raising=False)
    before = dict(os.environ)
    given = {"tls-ca": "ca", "tls-certificate": "certificate", "tls-key": "key"}
    words = [word for name, file in given.items() for word in (f"--{name}", str(tmp_path / file))]
    command.main(
        [*words, "--token-file", str(tmp_path / "token"), "--insecure"], standalone_mode=False
    )
    assert os.environ == before
    assert found == [
        Credentials(
            ca_file=str(tmp_path / "ca"),
            certificate_file=str(tmp_path / "certificate"),
            key_file=str(tmp_path / "key"),
            token="token-of-the-file-01",
            server_name="kept",
            insecure=True,
        )
    ]


def test_what_network_options_leave_out_the_environment_says(
    seen: tuple[click.Command, list[Credentials]], monkeypatch: pytest.MonkeyPatch
) -> None:
    command, found = seen
    monkeypatch.setenv("RDMAQ_TOKEN", "token-of-the-environment")
    monkeypatch.setenv("RDMAQ_INSECURE", "1")
    command.main([], standalone_mode=False)
    assert found == [Credentials(token="token-of-the-environment", insecure=True)]


def test_errors_about_credentials_are_in_the_words_of_the_options() -> None:
    text = "no TLS; pass credentials= with certificate_file and key_file, or insecure=True"
    assert in_network_options(text) == (
        "no TLS; pass --tls-certificate and --tls-key, or --insecure"
    )
