"""What the commands `rdmaq` and `rdmaq-md` share: numbers, and errors of one line.

Every error of a command is one line of one form, `error: what: cause; cure`.
"""

from __future__ import annotations

import math
import re
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
