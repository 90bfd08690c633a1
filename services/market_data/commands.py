"""The commands of `rdmaq-md`; each returns its exit status."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import click
from rich.console import Console

import rdmaq
from rdmaq.command_line import FiniteRange

from . import options as opt
from .capture_write import write_capture
from .demo import MESSAGES_MIN, Demo
from .errors import CaptureError, OptionError
from .feed import Feed, SyntheticFeed, open_capture_feed
from .follow import subscribe_stream
from .lines import LossyLines
from .pacing import parse_speed
from .progress import LiveProgress, replay_rows
from .replay import Replay, ReplaySettings
from .report import is_sound, print_replay, replay_json
from .standalone import publish_feed
from .synthetic import synthetic_packets

EXIT_UNACCOUNTED = 1
READERS_MAX = 64
WIDTH_OF_FILES = 110


@click.command(short_help="Replay a feed to subscriber processes and account for every message.")
@opt.capture_argument
@click.option(
    "--subscribers",
    type=click.IntRange(1, READERS_MAX),
    default=4,
    show_default=True,
    help="Processes that subscribe.",
)
@click.option(
    "--slow-subscriber",
    type=click.IntRange(0, 10**7),
    default=0,
    metavar="MICROSECONDS",
    help="Let the last subscriber sleep so long after every 64 messages.",
)
@opt.stream_options
@opt.wait_option
@opt.feed_options
@opt.synthetic_options
@opt.json_option
def replay(capture: Path | None, as_json: bool, **options: Any) -> int:
    """Replay CAPTURE, or a synthetic feed, to subscriber processes; account for every message.

    Begins when all subscribers are attached. Ends with a table per subscriber and the conservation
    check: received + lost = published + declared lost. Exit status: 0; 1 when the check fails or a
    subscriber died; 2 for bad input, also for a capture that is cut short, of which everything
    whole was delivered.
    """
    settings = ReplaySettings(
        subscribers=options.pop("subscribers"),
        slow_pause_us=options.pop("slow_subscriber"),
        speed=parse_speed(options.pop("speed")),
        wait=options.pop("wait"),
        capacity=options.pop("capacity"),
        flow=_flow(options),
    )
    with _opened_feed(capture, options) as feed:
        run = Replay(feed, settings)
        with LiveProgress(lambda: replay_rows(run), is_wanted=not as_json) as progress:
            run.run(on_tick=progress.update)
        accounts = run.accounts()
        if as_json:
            click.echo(json.dumps(replay_json(run, accounts)))
        else:
            print_replay(_console(), run, accounts)
        _refuse_cut(feed)
    return 0 if is_sound(accounts) else EXIT_UNACCOUNTED


@click.command(short_help="Publish a feed as a stream.")
@opt.capture_argument
@opt.address_option
@opt.stream_option
@click.option(
    "--wait-subscribers",
    type=click.IntRange(0, READERS_MAX),
    default=0,
    show_default=True,
    help="Begin when so many have subscribed.",
)
@opt.stream_options
@opt.feed_options
@opt.synthetic_options
@opt.json_option
def publish(capture: Path | None, address: str, stream: str, as_json: bool, **options: Any) -> int:
    """Publish CAPTURE, or a synthetic feed, as a stream that any process may subscribe to."""
    speed = parse_speed(options.pop("speed"))
    capacity, flow = options.pop("capacity"), _flow(options)
    wait_subscribers = options.pop("wait_subscribers")
    with _opened_feed(capture, options) as feed:
        publish_feed(
            feed,
            address,
            stream,
            speed=speed,
            capacity=capacity,
            flow=flow,
            wait_subscribers=wait_subscribers,
            as_json=as_json,
            console=_console(),
        )
        _refuse_cut(feed)
    return 0


@click.command(short_help="Subscribe to a stream, count it, tell what was lost.")
@opt.address_option
@opt.stream_option
@click.option(
    "--from",
    "start",
    type=click.Choice(["live", "oldest"]),
    default="live",
    show_default=True,
    help="live: what is published from now on; oldest: what the ring still holds, too.",
)
@click.option(
    "--timeout",
    type=FiniteRange(0, opt.SECONDS_MAX),
    default=0.0,
    show_default=True,
    help="Seconds to wait for the publisher and its stream to appear, and for each further "
    "session (0: as long as the publisher is there).",
)
@opt.wait_option
@opt.json_option
def subscribe(
    address: str,
    stream: str,
    start: Literal["live", "oldest"],
    timeout: float,
    wait: Literal["auto", "spin", "yield", "sleep"],
    as_json: bool,
) -> int:
    """Subscribe to a stream of market data, count it to its end, and tell what was lost."""
    is_whole = subscribe_stream(
        address, stream, start=start, timeout=timeout, wait=wait, as_json=as_json,
        console=_console(),
    )  # fmt: skip
    return 0 if is_whole else EXIT_UNACCOUNTED


@click.command(short_help="Write a synthetic day as lossy lines, with the truth.")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT.pcap[.gz]")
@opt.synthetic_options
@click.option("--vlan", type=click.IntRange(0, 4094), help="Tag the frames by 802.1Q.")
@click.option(
    "--truth",
    type=click.Path(path_type=Path),
    help="Where the truth goes. Default: beside OUT, as NAME.truth.json.",
)
def synth(out: Path, vlan: int | None, truth: Path | None, **options: Any) -> int:
    """Write a synthetic ITCH 5.0 day to OUT as lossy, skewed MoldUDP64 lines, with the truth.

    The truth file tells which sequences each line lost, and which all of them lost.
    """
    message_count, seed = options.pop("messages"), options.pop("seed")
    faults = opt.faults_of(options)
    lines = LossyLines(synthetic_packets(message_count, seed), seed, faults)
    frame_count = write_capture(out, lines, vlan)
    if truth is None:
        name = out.name.removesuffix(".gz").removesuffix(".pcap")
        truth = out.with_name(f"{name}.truth.json")
    truth.write_text(json.dumps(lines.truth.as_json()) + "\n", encoding="utf-8")
    click.echo(f"{out}: {frame_count:,} frames, {message_count:,} messages; truth: {truth}")
    return 0


@click.command(
    short_help="Show it: subscribers are stopped and killed, nothing is unaccounted for."
)
@click.option(
    "--messages", type=click.IntRange(min=MESSAGES_MIN), default=opt.MESSAGES_SYNTHETIC,
    show_default=True, help=f"Messages of the synthetic day, at least {MESSAGES_MIN:,}.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Its seed.")
def demo(messages: int, seed: int) -> int:
    """Show it: a feed fans out, subscribers are stopped and killed, every message is accounted for.

    Takes about 15 s. Exit status 1 when anything is unaccounted for.
    """
    return 0 if Demo(_console(), messages, seed).run() else EXIT_UNACCOUNTED


@contextmanager
def _opened_feed(capture: Path | None, options: dict[str, Any]) -> Iterator[Feed]:
    """Opens the capture, or makes the synthetic feed when there is none."""
    message_count, seed = options.pop("messages"), options.pop("seed")
    faults = opt.faults_of(options)
    feed_options = opt.feed_options_of(options)
    if capture is None:
        if feed_options.lines:
            raise OptionError(
                "--line", "the synthetic feed always has all its lines", "name a capture"
            )
        yield SyntheticFeed(message_count, seed, faults, feed_options)
        return
    with open_capture_feed(capture, feed_options) as feed:
        yield feed


def _flow(options: dict[str, Any]) -> rdmaq.Flow:
    timeout = options.pop("reliable_timeout")
    return rdmaq.reliable(timeout=timeout) if options.pop("reliable") else rdmaq.lossy()


def _refuse_cut(feed: Feed) -> None:
    """Ends the command with an error when the capture was cut short; all is delivered by now."""
    if feed.cut_short is not None:
        raise CaptureError(
            f"{feed.name} is cut short",
            str(feed.cut_short),
            f"its {feed.cut_short.frames_whole:,} whole packets were used; fetch it again",
        )


def _console() -> Console:
    """Makes the console for tables; what goes into a file or pipe is as wide as it needs."""
    width = None if sys.stdout.isatty() else WIDTH_OF_FILES
    return Console(file=sys.stdout, highlight=False, width=width)
