"""The command line of `rdmaq bench`: bounds on what may be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rdmaq.bench import options

if TYPE_CHECKING:
    from rdmaq.bench.benchmark import Benchmark


@click.group(invoke_without_command=True)
@click.pass_context
def bench(context: click.Context) -> None:
    """Measures rdmaq on this machine, beside what it is compared with."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _run(
    benchmark: Benchmark[Any],
    settings: dict[str, Any],
    *,
    rounds: int | None,
    seconds_max: float,
    quick: bool,
    as_json: bool,
    rounds_usual: int = 9,
) -> None:
    """Runs a benchmark and prints its report."""
    rounds = rounds or (3 if quick else rounds_usual)
    with options.place() as place, options.Progress(rounds) as tell:
        report = benchmark.run(
            settings,
            rounds=rounds,
            seconds_max=seconds_max,
            place=place,
            command=options.command_line(),
            tell=tell,
        )
    report.print(as_json=as_json)


@bench.command()
@options.common
@options.message_bytes(48, 4096, "Payload of a message.")
@options.count(
    10_000_000,
    "Round trips a round; the slow ones make a tenth.  [default: 20000; quick: 2000]",
    least=10,
)
@options.capacity
@options.transport
def latency(
    message_bytes: int,
    count: int | None,
    capacity: str,
    transport: str,
    devices: tuple[str, ...],
    **common: Any,
) -> None:
    """Round trips of small messages between two processes."""
    if transport == "verbs":
        from rdmaq.bench import latency_verbs_report

        count = count or (50 if common["quick"] else 300)
        settings = {"message_bytes": message_bytes, "count": count, "capacity": capacity}
        _run(
            latency_verbs_report.BENCHMARK,
            {**settings, "devices": devices},
            rounds_usual=15,
            **common,
        )
        return
    from rdmaq.bench import latency_report

    count = count or (2000 if common["quick"] else 20_000)
    settings = {"message_bytes": message_bytes, "count": count, "capacity": capacity}
    _run(latency_report.BENCHMARK, settings, **common)


@bench.command()
@options.common
@options.batch
@options.message_bytes(
    None, 1024, "Payload of a message of send and send_many.  [default: 32; verbs: 64, of all]"
)
@options.count(
    10_000_000,
    "Batches a round; verbs: perftest's WRITEs.  "
    "[default: 20000; quick: 2000; verbs: 5000 and 500]",
)
@click.option(
    "--messages",
    type=click.IntRange(64, 100_000_000),
    help="Messages a round of send and send_many; verbs: of each.  "
    "[default: 200000; quick: 20000; verbs: 100000 and 20000]",
)
@options.capacity
@options.transport
def rate(
    batch: int,
    message_bytes: int | None,
    count: int | None,
    messages: int | None,
    capacity: str,
    transport: str,
    devices: tuple[str, ...],
    **common: Any,
) -> None:
    """Records and messages a second from one process to another, without loss."""
    quick = common["quick"]
    if transport == "verbs":
        from rdmaq.bench import rate_verbs_report

        settings: dict[str, Any] = {
            "message_bytes": message_bytes or 64,
            "batch": batch,
            "count": messages or (20_000 if quick else 100_000),
            "write_count": count or (500 if quick else 5000),
            "capacity": capacity,
            "devices": devices,
        }
        _run(rate_verbs_report.BENCHMARK, settings, rounds_usual=15, **common)
        return
    from rdmaq.bench import rate_report

    message_bytes = message_bytes or 32

    settings = {
        "batch": batch,
        "batches": count or (2000 if quick else 20_000),
        "message_bytes": message_bytes,
        "messages": messages or (20_000 if quick else 200_000),
        "capacity": capacity,
    }
    _run(rate_report.BENCHMARK, settings, **common)


@bench.command()
@options.common
@click.option(
    "--subscribers",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Subscriber processes.",
)
@options.batch
@options.message_bytes(48, 1024, "Payload of a single message.")
@options.count(
    1_000_000, "Bursts a round; verbs: messages.  [default: 500; quick: 100; verbs: 300 and 50]"
)
@options.capacity
@options.transport
def fanout(
    subscribers: int,
    batch: int,
    message_bytes: int,
    count: int | None,
    capacity: str,
    transport: str,
    devices: tuple[str, ...],
    **common: Any,
) -> None:
    """What subscribers cost the publisher, and what each of them receives.

    Over verbs: what links cost it, and how long the last one gets a message after the first.
    """
    if transport == "verbs":
        from rdmaq.bench import skew_report

        settings: dict[str, Any] = {
            "subscribers": subscribers,
            "message_bytes": message_bytes,
            "count": count or (50 if common["quick"] else 300),
            "capacity": capacity,
            "devices": devices,
        }
        _run(skew_report.BENCHMARK, settings, rounds_usual=15, **common)
        return
    from rdmaq.bench import fanout_report

    settings = {
        "subscribers": subscribers,
        "batch": batch,
        "message_bytes": message_bytes,
        "bursts": count or (100 if common["quick"] else 500),
        "capacity": capacity,
    }
    _run(fanout_report.BENCHMARK, settings, **common)


@bench.command()
@options.common
@click.option(
    "--subscribers",
    type=click.IntRange(1, 128),
    default=64,
    show_default=True,
    help="Subscriptions whose process is stopped.",
)
@options.message_bytes(48, 4096, "Payload of a message.")
@options.count(10_000_000, "Messages a round.  [default: 200000; quick: 20000]", least=1000)
@options.capacity
def stalled(
    subscribers: int, message_bytes: int, count: int | None, capacity: str, **common: Any
) -> None:
    """What subscribers that stand still cost each send."""
    from rdmaq.bench import stalled_report

    settings = {
        "subscribers": subscribers,
        "message_bytes": message_bytes,
        "count": count or (20_000 if common["quick"] else 200_000),
        "capacity": capacity,
    }
    _run(stalled_report.BENCHMARK, settings, **common)


@bench.command()
@options.common
@click.option(
    "--decades",
    type=click.IntRange(4, 11),
    help="The largest number of messages, as a power of ten.  [default: 9; quick: 7]",
)
@options.capacity
def flat(decades: int | None, capacity: str, **common: Any) -> None:
    """Whether a message's price stays the same from 10^3 to 10^9 of them."""
    from rdmaq.bench import flat_report

    decades = decades or (7 if common["quick"] else 9)
    _run(flat_report.BENCHMARK, {"decades": decades, "capacity": capacity}, **common)


@bench.command("verbs")
@options.common
@options.devices
@click.option(
    "--one-cpu",
    is_flag=True,
    help="READs once more, with everything on one CPU: of a software device the kernel's workers, "
    "too, which takes root and is undone afterwards.",
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
    one_cpu: bool,
    count: int | None,
    bulk_count: int | None,
    chain_count: int | None,
    **common: Any,
) -> None:
    """One-sided operations between two RDMA devices, beside perftest.

    A round takes some 15 s, so give --seconds 400 for all of its rounds.
    """
    from rdmaq.bench import verbs_report

    quick = common["quick"]
    settings = {
        "devices": devices,
        "one_cpu": one_cpu,
        "count": count or (50 if quick else 300),
        "bulk_count": bulk_count or (32 if quick else 200),
        "chain_count": chain_count or (8 if quick else 64),
    }
    _run(verbs_report.BENCHMARK, settings, rounds_usual=15, **common)
