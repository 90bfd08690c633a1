"""`rdmaq-md`: replay, publish and subscribe to market data.

Exit status: 0 when all is well; 1 when messages are unaccounted for or a subscriber died; 2 when
the input or the request cannot be used, also when a capture turned out to be cut short (what was
whole has been delivered); 130 after Ctrl-C; 143 after SIGTERM.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

import rdmaq
from rdmaq.command_line import error_line, in_network_options, usage_error_line

from .commands import demo, publish, replay, subscribe, synth
from .errors import MarketDataError
from .signals import Terminated, terminated_by_signal

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="rdmaq")
@click.pass_context
def cli(context: click.Context) -> None:
    """Market data on rdmaq streams: captures and synthetic feeds, replayed to subscribers.

    A feed is MoldUDP64 on any number of lines: a pcap or pcapng file, plain or gzip, or a
    synthetic ITCH 5.0 day. Its lines are arbitrated; what all of them lost is declared as a gap.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (demo, replay, publish, subscribe, synth):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status; errors are one line on standard error."""
    try:
        with terminated_by_signal():
            status = cli.main(
                args=None if arguments is None else list(arguments),
                prog_name="rdmaq-md",
                standalone_mode=False,
            )
        sys.stdout.flush()
        return int(status or 0)
    except click.ClickException as error:
        click.echo(usage_error_line(error, command="rdmaq-md"), err=True)
        return EXIT_BAD_INPUT
    except (MarketDataError, rdmaq.RdmaqError) as error:
        return _refuse(str(error))
    except BrokenPipeError:
        # Whoever read our output has gone; keep Python from failing to flush it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _refuse("standard output was closed: its reader has gone; let it read to the end")
    except OSError as error:
        what = error.filename or "the system refused"
        return _refuse(f"{what}: {error.strerror or error}; check the path and the disk")
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted: everything was ended in order", err=True)
        return EXIT_INTERRUPTED
    except Terminated:
        click.echo("terminated: everything was ended in order", err=True)
        return EXIT_TERMINATED


def _refuse(words: str) -> int:
    # Of memory for the NIC, which is the ring's, here or at the publisher.
    words = words.replace("or register less", "or publish with a smaller --capacity")
    click.echo(error_line(in_network_options(words), command="rdmaq-md"), err=True)
    return EXIT_BAD_INPUT
