"""The commands of `rdmaq-md`; each returns its exit status."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console

import rdmaq
from rdmaq.command_line import FiniteRange, network_options

from . import options as opt
from .capture_write import write_capture
from .demo import MESSAGES_MIN, Demo
from .demo_rdma import MESSAGES as MESSAGES_RDMA
from .demo_rdma import RdmaDemo
from .errors import CaptureError, OptionError
from .fan_out import subscribe_alone, subscribe_several
from .feed import Feed, SyntheticFeed, open_capture_feed
from .follow import Wish
from .lines import LossyLines
from .pacing import parse_speed
from .progress import LiveProgress, replay_rows
from .publish import DRAIN_SECONDS_MAX
from .replay import Replay, ReplaySettings
from .report import is_sound, print_replay, replay_json
from .standalone import publish_feed
from .synthetic import synthetic_packets

EXIT_UNACCOUNTED = 1
READERS_MAX = 64
WIDTH_OF_FILES = 110
COALESCE_BYTES_MAX = 1 << 20


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
        capacity=options.pop("capacity") or opt.CAPACITY_LOCAL,
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
@click.option(
    "--drain",
    "drain_seconds",
    type=FiniteRange(0, opt.SECONDS_MAX),
    default=DRAIN_SECONDS_MAX,
    show_default=True,
    help="Seconds that subscribers on other hosts get at the end, for what is on its way to them "
    "or has still to be recovered; none of them is waited once all have everything.",
)
@click.option(
    "--coalesce",
    "coalesce_bytes",
    type=click.IntRange(0, COALESCE_BYTES_MAX),
    default=0,
    metavar="BYTES",
    show_default=True,
    help="At full speed: gather packets until they have so many bytes, and publish them as one "
    "frame; 0: each packet is a frame.",
)
@opt.stream_options
@opt.feed_options
@opt.synthetic_options
@network_options
@opt.json_option
def publish(capture: Path | None, address: str, stream: str, as_json: bool, **options: Any) -> int:
    """Publish CAPTURE, or a synthetic feed, as a stream that others may subscribe to.

    At local:NAME they are processes of this host. At HOST or HOST:PORT they may be on other hosts,
    too, where this host's RDMA device writes what is published: that needs certificates (`rdmaq
    certs`), or --insecure. RDMAQ_DEVICE and RDMAQ_INTERFACE choose the device.
    """
    speed = parse_speed(options.pop("speed"))
    capacity, flow = options.pop("capacity"), _flow(options)
    wait_subscribers = options.pop("wait_subscribers")
    coalesce_bytes, drain_seconds = options.pop("coalesce_bytes"), options.pop("drain_seconds")
    if coalesce_bytes and speed is not None:
        raise OptionError(
            "--coalesce", "at a pace a packet goes when its time has come", "leave one of both out"
        )
    with _opened_feed(capture, options) as feed:
        publish_feed(
            feed,
            address,
            stream,
            speed=speed,
            capacity=capacity,
            flow=flow,
            wait_subscribers=wait_subscribers,
            coalesce_bytes=coalesce_bytes,
            drain_seconds=drain_seconds,
            as_json=as_json,
            console=_console(),
        )
        _refuse_cut(feed)
    return 0


@click.command(short_help="Subscribe to a stream, count it, tell what was lost.")
@opt.address_argument
@opt.stream_option
@click.option(
    "--subscribers",
    type=click.IntRange(1, READERS_MAX),
    default=1,
    show_default=True,
    help="So many, each in a process of its own.",
)
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
@click.option(
    "--on-gap",
    type=click.Choice(["report", "recover"]),
    default="report",
    show_default=True,
    help="recover: what was missed while a link to another host was down is read out of the "
    "publisher's ring, as far as it is still there.",
)
@click.option(
    "--transport",
    type=click.Choice(["auto", "shm", "verbs"]),
    default="auto",
    show_default=True,
    help="How to go there; auto: shared memory on the publisher's host, else RDMA.",
)
@click.option(
    "--clocks-synchronised",
    is_flag=True,
    help="This host's clock agrees with the publisher's: they tell latencies between the two.",
)
@opt.wait_option
@network_options
@opt.json_option
def subscribe(as_json: bool, subscribers: int, clocks_synchronised: bool, **wishes: Any) -> int:
    """Subscribe to a stream of market data at ADDRESS, count it to its end, tell what was lost.

    ADDRESS is local:NAME, HOST, or HOST:PORT, as `publish` has it. Exit status: 0; 1 when messages
    are missing without a word, came twice, or one of several subscribers died; 2 when the stream
    cannot be subscribed to, or its publisher vanished.
    """
    wish = Wish(clocks_agree=clocks_synchronised, **wishes)
    if subscribers == 1:
        is_whole = subscribe_alone(wish, as_json=as_json, console=_console())
    else:
        is_whole = subscribe_several(wish, subscribers, as_json=as_json, console=_console())
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
    "--rdma",
    is_flag=True,
    help="Between RDMA devices, in virtual machines that are made for it (docs/rig.md).",
)
@click.option(
    "--nodes",
    type=click.IntRange(1, 2),
    help="With --rdma: 1 machine with two devices, or 2 machines.  [default: 1]",
)
@click.option(
    "--messages",
    type=opt.COUNT,
    help=f"Messages of the synthetic day.  [default: {opt.MESSAGES_SYNTHETIC:,}, and at least "
    f"{MESSAGES_MIN:,}; with --rdma {MESSAGES_RDMA:,}]",
)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Its seed.")
def demo(rdma: bool, nodes: int | None, messages: int | None, seed: int) -> int:
    """Show it: a feed fans out, subscribers are stopped and killed, every message is accounted for.

    Takes about 15 s. With --rdma the feed fans out over verbs, also over a wire that loses packets:
    some two minutes, and the first time a download (115 MB). Exit status 1 when anything is
    unaccounted for.
    """
    if rdma:
        show = RdmaDemo(_console(), nodes or 1, messages or MESSAGES_RDMA, seed)
        return 0 if show.run() else EXIT_UNACCOUNTED
    if nodes is not None:
        raise click.UsageError("--nodes goes with --rdma")
    messages = messages or opt.MESSAGES_SYNTHETIC
    if messages < MESSAGES_MIN:
        raise click.BadParameter(
            f"{messages} messages end before the last act; it takes {MESSAGES_MIN:,}",
            param_hint="'--messages'",
        )
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
