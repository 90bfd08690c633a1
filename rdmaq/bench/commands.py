"""The command line of `rdmaq bench`: bounds on what may be asked, and what is printed."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from rdmaq._fast import parse_bytes
from rdmaq.command_line import FiniteRange

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
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
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


@contextmanager
def place() -> Iterator[tuple[str, Path]]:
    """A name for the run's nodes, and a folder for everybody's sockets, gone afterwards."""
    name = f"bench-{os.getpid()}-{time.monotonic_ns() % 1_000_000}"
    before = os.environ.get("RDMAQ_RUNTIME_DIR")
    with tempfile.TemporaryDirectory(prefix="rdmaq-bench-") as folder:
        os.environ["RDMAQ_RUNTIME_DIR"] = folder  # for our children too
        try:
            yield name, Path(folder)
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


@click.group(invoke_without_command=True)
@click.pass_context
def bench(context: click.Context) -> None:
    """Measures rdmaq on this machine, beside what it is compared with."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@bench.command()
@common
@click.option(
    "--bytes",
    "message_bytes",
    type=click.IntRange(1, 4096),
    default=48,
    show_default=True,
    help="Payload of a message.",
)
@click.option(
    "--count",
    type=click.IntRange(10, 10_000_000),
    help="Round trips a round; the slow ones make a tenth.  [default: 20000; quick: 2000]",
)
@click.option("--capacity", type=Capacity(), default="16MiB", show_default=True, help="Each ring.")
def latency(
    message_bytes: int,
    count: int | None,
    capacity: str,
    rounds: int | None,
    seconds_max: float,
    quick: bool,
    as_json: bool,
) -> None:
    """Round trips of small messages between two processes."""
    from rdmaq.bench import latency_report

    count = count or (2000 if quick else 20_000)
    rounds = rounds or (3 if quick else 9)
    settings = {"message_bytes": message_bytes, "count": count, "capacity": capacity}
    with place() as (name, folder), Progress(rounds) as tell:
        report = latency_report.run(
            {**settings, "rounds": rounds, "seconds_max": seconds_max},
            name=name,
            folder=folder,
            command=command_line(),
            tell=tell,
        )
    report.print(as_json=as_json)


@bench.command()
@common
@click.option(
    "--batch",
    type=click.IntRange(1, 16_384),
    default=1024,
    show_default=True,
    help="Records of 32 B in one send_batch.",
)
@click.option(
    "--bytes",
    "message_bytes",
    type=click.IntRange(1, 1024),
    default=32,
    show_default=True,
    help="Payload of a message of send and send_many.",
)
@click.option(
    "--count",
    type=click.IntRange(1, 10_000_000),
    help="Batches a round.  [default: 20000; quick: 2000]",
)
@click.option(
    "--messages",
    type=click.IntRange(64, 100_000_000),
    help="Messages a round of send and send_many.  [default: 200000; quick: 20000]",
)
@click.option("--capacity", type=Capacity(), default="16MiB", show_default=True, help="Each ring.")
def rate(
    batch: int,
    message_bytes: int,
    count: int | None,
    messages: int | None,
    capacity: str,
    rounds: int | None,
    seconds_max: float,
    quick: bool,
    as_json: bool,
) -> None:
    """Records and messages a second from one process to another, without loss."""
    from rdmaq.bench import rate_report

    rounds = rounds or (3 if quick else 9)
    settings = {
        "batch": batch,
        "batches": count or (2000 if quick else 20_000),
        "message_bytes": message_bytes,
        "messages": messages or (20_000 if quick else 200_000),
        "capacity": capacity,
        "rounds": rounds,
        "seconds_max": seconds_max,
    }
    with place() as (name, _), Progress(rounds) as tell:
        report = rate_report.run(settings, name=name, command=command_line(), tell=tell)
    report.print(as_json=as_json)


@bench.command()
@common
@click.option(
    "--subscribers",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Subscriber processes.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 16_384),
    default=1024,
    show_default=True,
    help="Records of 32 B in one send_batch.",
)
@click.option(
    "--bytes",
    "message_bytes",
    type=click.IntRange(1, 1024),
    default=48,
    show_default=True,
    help="Payload of a single message.",
)
@click.option(
    "--count",
    type=click.IntRange(1, 1_000_000),
    help="Bursts a round.  [default: 500; quick: 100]",
)
@click.option("--capacity", type=Capacity(), default="16MiB", show_default=True, help="Each ring.")
def fanout(
    subscribers: int,
    batch: int,
    message_bytes: int,
    count: int | None,
    capacity: str,
    rounds: int | None,
    seconds_max: float,
    quick: bool,
    as_json: bool,
) -> None:
    """What subscribers cost the publisher, and what each of them receives."""
    from rdmaq.bench import fanout_report

    rounds = rounds or (3 if quick else 9)
    settings = {
        "subscribers": subscribers,
        "batch": batch,
        "message_bytes": message_bytes,
        "bursts": count or (100 if quick else 500),
        "capacity": capacity,
        "rounds": rounds,
        "seconds_max": seconds_max,
    }
    with place() as (name, _), Progress(rounds) as tell:
        report = fanout_report.run(settings, name=name, command=command_line(), tell=tell)
    report.print(as_json=as_json)


@bench.command("verbs")
@common
@click.option(
    "--device",
    "devices",
    multiple=True,
    help="The two devices, far and near, by name.  [default: the first two that are active]",
)
@click.option(
    "--count",
    type=click.IntRange(10, 1_000_000),
    help="Operations a round of the latencies.  [default: 300; quick: 50]",
)
@click.option(
    "--bulk",
    "bulk_count",
    type=click.IntRange(16, 1_000_000),
    help="WRITEs of 64 KiB a round.  [default: 200; quick: 32]",
)
@click.option(
    "--chains",
    "chain_count",
    type=click.IntRange(2, 1_000_000),
    help="Batches of 64 small WRITEs a round.  [default: 64; quick: 8]",
)
def one_sided(
    devices: tuple[str, ...],
    count: int | None,
    bulk_count: int | None,
    chain_count: int | None,
    rounds: int | None,
    seconds_max: float,
    quick: bool,
    as_json: bool,
) -> None:
    """One-sided operations between two RDMA devices, beside perftest.

    A round takes some 15 s, so give --seconds 400 for all of its rounds.
    """
    from rdmaq.bench import verbs_report

    rounds = rounds or (3 if quick else 15)
    settings = {
        "devices": devices,
        "count": count or (50 if quick else 300),
        "bulk_count": bulk_count or (32 if quick else 200),
        "chain_count": chain_count or (8 if quick else 64),
        "rounds": rounds,
        "seconds_max": seconds_max,
    }
    with Progress(rounds) as tell:
        report = verbs_report.run(settings, command=command_line(), tell=tell)
    report.print(as_json=as_json)
