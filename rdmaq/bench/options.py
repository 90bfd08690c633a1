"""What the benchmarks' command lines have in common: options, a place for sockets, progress."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from rdmaq._fast import parse_bytes
from rdmaq.command_line import FiniteRange, json_option

_SECONDS_MAX = 50.0
_ROUNDS_MAX = 1000


class Capacity(click.ParamType[str]):
    """A ring's size: a power of two from 64 KiB to 1 GiB."""

    name = "size"

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> str:
        """Checks it, and leaves it as written."""
        try:
            size_bytes = parse_bytes(str(value))
        except ValueError as error:
            self.fail(f"{error}: write bytes, or a size such as 16MiB", param, context)
        if size_bytes.bit_count() != 1 or not 1 << 16 <= size_bytes <= 1 << 30:
            self.fail(f"{value} is not a power of two from 64KiB to 1GiB", param, context)
        return str(value)


def common(function: Callable[..., None]) -> Callable[..., None]:
    """The options that every benchmark has."""
    for option in (
        json_option("object"),
        click.option("--quick", is_flag=True, help="Few, short rounds: a look, not a figure."),
        click.option(
            "--rounds",
            type=click.IntRange(1, _ROUNDS_MAX),
            help="Interleaved rounds.  [default: 9; quick: 3]",
        ),
        click.option(
            "--seconds",
            "seconds_max",
            type=FiniteRange(0.1, 3600),
            default=_SECONDS_MAX,
            show_default=True,
            help="Nothing new begins after so long (each has one round at least).",
        ),
    ):
        function = option(function)
    return function


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run takes place.

    Attributes:
        name: unique to the run: its nodes' names begin with it.
        folder: for everybody's sockets.
    """

    name: str
    folder: Path


@contextmanager
def place() -> Iterator[Place]:
    """A place that nobody else has, gone afterwards."""
    name = f"bench-{os.getpid()}-{time.monotonic_ns() % 1_000_000}"
    before = os.environ.get("RDMAQ_RUNTIME_DIR")
    with tempfile.TemporaryDirectory(prefix="rdmaq-bench-") as folder:
        os.environ["RDMAQ_RUNTIME_DIR"] = folder  # for our children too
        try:
            yield Place(name, Path(folder))
        finally:
            if before is None:
                del os.environ["RDMAQ_RUNTIME_DIR"]
            else:
                os.environ["RDMAQ_RUNTIME_DIR"] = before


class Progress:
    """Counts rounds on the terminal, between measurements only: no thread runs beside them."""

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self._is_shown = sys.stderr.isatty()

    def __call__(self, number: int) -> None:
        """One more round is done."""
        if self._is_shown:
            click.echo(f"\rround {number} of {self._rounds} ", nl=False, err=True)

    def __enter__(self) -> Progress:
        if self._is_shown:
            click.echo("warming up ", nl=False, err=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_shown:
            click.echo("\r\x1b[K", nl=False, err=True)


def command_line() -> list[str]:
    """How this run was started: `rdmaq.cli.run` leaves it in the root context."""
    return list(click.get_current_context().find_root().obj)


capacity = click.option(
    "--capacity", type=Capacity(), default="16MiB", show_default=True, help="Each ring."
)


def transport(function: Callable[..., None]) -> Callable[..., None]:
    """The options `--transport` and `--device`."""
    for option in (
        click.option(
            "--transport",
            type=click.Choice(["shm", "verbs"]),
            default="shm",
            show_default=True,
            help="verbs: between two RDMA devices of this machine.",
        ),
        devices,
    ):
        function = option(function)
    return function


devices = click.option(
    "--device",
    "devices",
    multiple=True,
    help="The two devices, far and near, by name.  [default: the first two that are active]",
)
batch = click.option(
    "--batch",
    type=click.IntRange(1, 16_384),
    default=1024,
    show_default=True,
    help="Records of 32 B in one send_batch.",
)


def message_bytes(default: int | None, most: int, what: str) -> Callable[..., Any]:
    """The option `--bytes`."""
    return click.option(
        "--bytes",
        "message_bytes",
        type=click.IntRange(1, most),
        default=default,
        show_default=default is not None,
        help=what,
    )


def count(most: int, what: str, *, least: int = 1) -> Callable[..., Any]:
    """The option `--count`, whose default depends on `--quick`."""
    return click.option("--count", type=click.IntRange(least, most), help=what)
