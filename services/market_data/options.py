"""The options that several commands of `rdmaq-md` share, and what they become."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from rdmaq.command_line import FiniteRange

from .feed import FeedOptions
from .lines import LINES_MAX, LineFaults
from .window import MESSAGES_DEFAULT, TIME_NS_DEFAULT, WindowLimits

Command = TypeVar("Command", bound=Callable[..., Any])

PORT = 7471
MESSAGES_SYNTHETIC = 500_000
CAPACITY_LOCAL = "16MiB"
# `ulimit -l` is often 8 MiB, and bounds what a process pins.
CAPACITY_NETWORK = "4MiB"
PART = FiniteRange(0, 1)
COUNT = click.IntRange(min=1)
# More than a week.
SECONDS_MAX = 1e6


class Size(click.ParamType[str]):
    """A number of bytes as `Node.publish` takes it; whether a ring can have it, rdmaq says."""

    name = "size"
    _FORM = re.compile(r"\d+ *([KMGT]i)?B?", re.IGNORECASE)

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Gives the text as it is."""
        if not self._FORM.fullmatch(value.strip()):
            self.fail(f"{value!r} is no number of bytes, such as 65536 or 64KiB", param, ctx)
        return value


class Address(click.ParamType[str]):
    """Where a node is: `local:NAME`, or a host with or without a port; what else, rdmaq refuses."""

    name = "address"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Gives a host without a port the usual one."""
        del param, ctx
        is_literal = value.startswith("[")  # of IPv6, whose own colons stand within brackets
        has_port = not value.endswith("]") if is_literal else ":" in value
        return value if has_port else f"{value}:{PORT}"


capture_argument = click.argument(
    "capture", required=False, type=click.Path(path_type=Path), metavar="[CAPTURE]"
)
stream_option = click.option("--stream", default="itch", show_default=True, help="Stream's name.")
address_option = click.option(
    "--address",
    type=Address(),
    required=True,
    metavar="ADDRESS",
    help="Where to be found: local:NAME on this host; HOST or HOST:PORT by others, too, an address "
    f"of ours or 0.0.0.0.  [default port: {PORT}]",
)
address_argument = click.argument("address", type=Address(), metavar="ADDRESS")
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object instead of a table."
)
wait_option = click.option(
    "--wait",
    type=click.Choice(["auto", "spin", "yield", "sleep"]),
    default="auto",
    show_default=True,
    help="How subscribers wait for messages: auto spins for 20 µs, then sleeps.",
)


def feed_options(command: Command) -> Command:
    """Adds what tells how a feed is read; `feed_options_of` reads it back."""
    for option in (
        click.option(
            "--line",
            "only_lines",
            multiple=True,
            metavar="GROUP:PORT",
            help="Read this line only (several times: these). Default: every line.",
        ),
        click.option(
            "--start",
            type=click.Choice(["beginning", "live"]),
            default="beginning",
            show_default=True,
            help="beginning expects sequence 1; live starts where the lines are.",
        ),
        click.option(
            "--window-ms",
            type=FiniteRange(0, 1e9),
            default=TIME_NS_DEFAULT / 1e6,
            show_default=True,
            help="Milliseconds of capture time that a missing message is waited for.",
        ),
        click.option(
            "--window-messages",
            type=COUNT,
            default=MESSAGES_DEFAULT,
            show_default=True,
            help="Messages beyond it that end the wait for a missing one.",
        ),
    ):
        command = option(command)
    return command


def feed_options_of(options: dict[str, Any]) -> FeedOptions:
    """Takes the options of `feed_options` out of a command's arguments."""
    return FeedOptions(
        limits=WindowLimits(
            messages_max=options.pop("window_messages"),
            time_ns_max=int(options.pop("window_ms") * 1e6),
        ),
        join_live=options.pop("start") == "live",
        lines=frozenset(options.pop("only_lines")),
    )


def synthetic_options(command: Command) -> Command:
    """Adds what tells how the synthetic feed is made; `faults_of` reads the lines back."""
    defaults = LineFaults()
    for option in (
        click.option(
            "--late-us",
            type=click.IntRange(0, 10**9),
            default=defaults.late_ns // 1000,
            show_default=True,
            help="Synthetic: most by which a reordered packet comes late.",
        ),
        click.option(
            "--skew-us",
            type=click.IntRange(0, 10**9),
            default=defaults.skew_ns // 1000,
            show_default=True,
            help="Synthetic: how much later each line is than the one before it.",
        ),
        click.option(
            "--reorder",
            type=PART,
            default=defaults.reorder,
            show_default=True,
            help="Synthetic: part of its packets that each line brings late.",
        ),
        click.option(
            "--duplicates",
            type=PART,
            default=defaults.duplicates,
            show_default=True,
            help="Synthetic: part of its packets that each line brings twice.",
        ),
        click.option(
            "--loss",
            type=PART,
            default=defaults.loss,
            show_default=True,
            help="Synthetic: part of its packets that each line loses.",
        ),
        click.option(
            "--lines",
            type=click.IntRange(1, LINES_MAX),
            default=defaults.lines,
            show_default=True,
            help="Synthetic: lines that carry the feed.",
        ),
        click.option(
            "--seed",
            type=click.IntRange(min=0),
            default=1,
            show_default=True,
            help="Synthetic: the same seed gives the same feed, everywhere.",
        ),
        click.option(
            "--messages",
            type=COUNT,
            default=MESSAGES_SYNTHETIC,
            show_default=True,
            help="Synthetic: messages sent.",
        ),
    ):
        command = option(command)
    return command


def faults_of(options: dict[str, Any]) -> LineFaults:
    """Takes the lines' faults out of a command's arguments."""
    return LineFaults(
        lines=options.pop("lines"),
        loss=options.pop("loss"),
        duplicates=options.pop("duplicates"),
        reorder=options.pop("reorder"),
        skew_ns=options.pop("skew_us") * 1000,
        late_ns=options.pop("late_us") * 1000,
    )


def stream_options(command: Command) -> Command:
    """Adds what tells how the stream is published: speed, capacity, flow."""
    for option in (
        click.option(
            "--timeout",
            "reliable_timeout",
            type=FiniteRange(0, SECONDS_MAX, min_open=True),
            default=30.0,
            show_default=True,
            help="Reliable: seconds after which a subscriber that stands still is cut off.",
        ),
        click.option(
            "--reliable",
            is_flag=True,
            help="Wait for the slowest subscriber. Default: never wait; who is too slow is told "
            "exactly what it lost.",
        ),
        click.option(
            "--capacity",
            type=Size(),
            help="Bytes of the ring, a power of two, such as 64KiB.  [default: "
            f"{CAPACITY_LOCAL}; at HOST {CAPACITY_NETWORK}, since it is pinned, and each "
            "subscriber's copy, too]",
        ),
        click.option(
            "--speed",
            default="max",
            show_default=True,
            metavar="max|1|X",
            help="max: no pauses; 1: the capture's own pace; X: X times as fast.",
        ),
    ):
        command = option(command)
    return command
