"""What the commands `rdmaq` and `rdmaq-md` share: numbers, and errors of one line.

Every error of a command is one line of one form, `error: what: cause; cure`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import click

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


def by_option(text: str, *, has_waited: bool) -> str:
    """An error of the API in the command line's words.

    Args:
        text: may advise timeout=, an argument of the API.
        has_waited: --timeout was given, so that advising it would help nobody.
    """
    asked = "pass timeout= seconds to wait"
    return text.replace(
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
