"""The command `rdmaq`. Errors are one line, `error: what: cause; cure`, and exit code 2."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import click

import rdmaq
from rdmaq.bench.commands import bench
from rdmaq.command_line import (
    by_option,
    error_line,
    json_option,
    network_options,
    timeout_option,
    usage_error_line,
)
from rdmaq.doctor.certs import certs
from rdmaq.doctor.commands import doctor, info
from rdmaq.doctor.ping import ping
from rdmaq.rig.cli import rig

_INTERRUPTED = 130


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(rdmaq.__version__, prog_name="rdmaq", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """RDMA messaging for Python: look at streams, and measure."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


cli.add_command(bench)
cli.add_command(certs)
cli.add_command(doctor)
cli.add_command(info)
cli.add_command(ping)
cli.add_command(rig)


@cli.command()
@click.argument("address")
@json_option("array")
@timeout_option
@network_options
def streams(address: str, as_json: bool, timeout: float) -> None:
    """Lists the streams on offer at ADDRESS (local:NAME or HOST:PORT)."""
    with rdmaq.connect(address, timeout=timeout) as peer:
        found = peer.streams()
    if as_json:
        click.echo(json.dumps([_as_json(stream) for stream in found], indent=2))
        return
    if not found:
        click.echo(f"the node at {address} offers no stream now")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"streams at {address}", title_justify="left")
    for title in ("stream", "schema", "flow"):
        table.add_column(title, overflow="fold")
    table.add_column("capacity", justify="right")
    table.add_column("next sequence", justify="right")
    for stream in found:
        table.add_row(
            stream.name,
            "untyped" if stream.schema is None else str(stream.schema),
            _flow(stream),
            f"{stream.capacity_bytes:,}",
            f"{stream.next_sequence:,}",
        )
    Console(highlight=False).print(table, markup=False)


def _flow(stream: rdmaq.StreamInfo) -> str:
    return "reliable" if stream.flow.is_reliable else "lossy"


def _as_json(stream: rdmaq.StreamInfo) -> dict[str, object]:
    return {
        "name": stream.name,
        "schema": None if stream.schema is None else str(stream.schema),
        "capacity_bytes": stream.capacity_bytes,
        "flow": _flow(stream),
        "epoch": stream.epoch,
        "next_sequence": stream.next_sequence,
    }


def _fail(line: str) -> int:
    click.echo(line, err=True)
    return 2


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0, 2 for an error, 130 for Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = ["rdmaq", *words]
    try:
        code = cli.main(args=words, prog_name="rdmaq", standalone_mode=False, obj=command)
    except click.ClickException as error:
        return _fail(usage_error_line(error, command="rdmaq"))
    except (rdmaq.RdmaqError, ValueError) as error:
        has_waited = any(word.partition("=")[0] == "--timeout" for word in words)
        text = by_option(str(error), has_waited=has_waited)
        return _fail(error_line(text, command="rdmaq"))
    except OSError as error:
        what = error.filename or "the system refused"
        return _fail(error_line(f"{what}: {error.strerror or error}", command="rdmaq"))
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return _INTERRUPTED
    return code if isinstance(code, int) else 0


def main() -> None:
    """Entry of the console script."""
    sys.exit(run())
