"""What the commands `rdmaq` and `rdmaq-md` share: numbers, credentials, and errors of one line.

Every error of a command is one line of one form, `error: what: cause; cure`.
"""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
# What an option of `network_options` sets, and what the API's words call it.
_SETTINGS = {
    "tls_ca": ("RDMAQ_TLS_CA", "ca_file"),
    "tls_certificate": ("RDMAQ_TLS_CERTIFICATE", "certificate_file"),
    "tls_key": ("RDMAQ_TLS_KEY", "key_file"),
    "tls_server_name": ("RDMAQ_TLS_SERVER_NAME", "server_name"),
    "token_file": ("RDMAQ_TOKEN", ""),
    "insecure": ("RDMAQ_INSECURE", "insecure=True"),
}
_FORM = re.compile(r".+: .+; .+")


class FiniteRange(click.FloatRange):
    """A `click.FloatRange` that also refuses what is no number or has no end: nan, inf.

    A comparison with nan is never true, so that the bounds alone let it pass.
    """

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Reads a number within the bounds."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return float(number)


def json_option(what: str) -> Callable[..., Any]:
    """The option --json, given to the command as `as_json`.

    Args:
        what: is printed then: "object" or "array".
    """
    return click.option("--json", "as_json", is_flag=True, help=f"Print one JSON {what}.")


def timeout_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option --timeout, for commands that look for a node."""
    return click.option(
        "--timeout",
        type=FiniteRange(0.0, 3600.0),
        default=0.0,
        show_default=True,
        help="Seconds to wait for the node to appear.",
    )(command)


def network_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a node and its callers show each other: certificates, a token, or nothing.

    An option says what its variable RDMAQ_* says, and wins over it: while the command runs it
    stands in this process's environment, where all that the command calls or starts finds it.
    """

    @functools.wraps(command)
    def run(**options: Any) -> Any:
        given = {name: options.pop(name) for name in _SETTINGS}
        with _environment(_variables(given)):
            return command(**options)

    for option in (
        click.option(
            "--insecure",
            is_flag=True,
            help="No TLS with other hosts: whoever is on the way reads and changes what is said.",
        ),
        click.option(
            "--token-file",
            type=_FILE,
            help="Its first line is the token that callers show.  [env: RDMAQ_TOKEN, the token]",
        ),
        click.option(
            "--tls-server-name",
            metavar="NAME",
            help="The name in the node's certificate.  [default: its host; env: "
            "RDMAQ_TLS_SERVER_NAME]",
        ),
        click.option("--tls-key", type=_FILE, help="Its key.  [env: RDMAQ_TLS_KEY]"),
        click.option(
            "--tls-certificate",
            type=_FILE,
            help="One's own certificate, PEM.  [env: RDMAQ_TLS_CERTIFICATE]",
        ),
        click.option(
            "--tls-ca",
            type=_FILE,
            help="Who signs the other side's certificates, PEM (`rdmaq certs` makes all three).  "
            "[env: RDMAQ_TLS_CA]",
        ),
    ):
        run = option(run)
    return run


def _variables(given: Mapping[str, Any]) -> dict[str, str]:
    """The variables that options stand for; of those that were not given none."""
    # What gRPC logs as the other side goes, our own errors say where it matters.
    quiet = {} if "GRPC_VERBOSITY" in os.environ else {"GRPC_VERBOSITY": "ERROR"}
    said = {name: value for name, value in given.items() if value}
    if "insecure" in said:
        said["insecure"] = 1
    if "token_file" in said:
        path = said["token_file"]
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        if not lines or not lines[0].strip():
            raise click.UsageError(f"--token-file {path} has no token in its first line")
        said["token_file"] = lines[0].strip()
    return quiet | {_SETTINGS[name][0]: str(value) for name, value in said.items()}


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def in_network_options(text: str) -> str:
    """An error of the API about credentials, in the words of `network_options`.

    Args:
        text: may name fields of `rdmaq.Credentials`.
    """
    text = text.replace("credentials= with ", "")
    for name, (_, field) in _SETTINGS.items():
        if field:
            text = re.sub(rf"(?<![\w.-]){field}\b", "--" + name.replace("_", "-"), text)
    return text


def by_option(text: str, *, has_waited: bool) -> str:
    """An error of the API in the command line's words.

    Args:
        text: may advise timeout=, an argument of the API.
        has_waited: --timeout was given, so that advising it would help nobody.
    """
    asked = "pass timeout= seconds to wait"
    return in_network_options(text).replace(
        asked, "wait longer (--timeout)" if has_waited else "pass --timeout SECONDS to wait"
    )


def error_line(text: str, *, command: str) -> str:
    """An error in the form of all errors, on one line.

    Args:
        text: ideally "what: cause; cure" already; else what is missing is made up for.
        command: whose help may say more, where the text has no cure of its own.
    """
    text = " ".join(text.split()).rstrip(".")
    if not _FORM.fullmatch(text):
        if "; " not in text:
            text = f"{text}; see '{command} --help'"
        if not _FORM.fullmatch(text):
            text = f"{command}: {text}"
    return f"error: {text}"


def usage_error_line(error: click.ClickException, *, command: str) -> str:
    """The same for what click refused; its context knows the subcommand."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else command
    return error_line(
        f"{path}: {error.format_message().rstrip('.')}; see '{path} --help'", command=path
    )
