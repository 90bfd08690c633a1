"""The command `rdmaq ping`: finds a node, tells how, and asks it again and again."""

from __future__ import annotations

import json
import statistics
import time

import click

import rdmaq
from rdmaq.command_line import json_option, timeout_option


@click.command()
@click.argument("address")
@click.option("--count", type=click.IntRange(1, 1_000_000), default=10, show_default=True)
@timeout_option
@json_option("object")
def ping(address: str, count: int, timeout: float, as_json: bool) -> None:
    """Finds the node at ADDRESS, tells how its bytes travel, and times round trips.

    A round trip is a new connection, a question and an answer by the node's own thread: what
    subscribing costs, not what a message costs (`rdmaq bench latency`).
    """
    begin = time.perf_counter()
    with rdmaq.connect(address, timeout=timeout) as peer:
        found_ms = (time.perf_counter() - begin) * 1e3
        offers = f"{len(peer.streams())} streams, {len(peer.regions())} regions and tables"
        round_trips_us = [peer.ping() * 1e6 for _ in range(count)]
    median, worst = statistics.median(round_trips_us), max(round_trips_us)
    if as_json:
        facts = {
            "address": address,
            "transport": peer.transport,
            "found_ms": round(found_ms, 3),
            "round_trips_us": [round(us, 1) for us in round_trips_us],
        }
        click.echo(json.dumps(facts, indent=2))
        return
    click.echo(f"{address}: found in {found_ms:.1f} ms, transport {peer.transport}; {offers}")
    click.echo(
        f"{count} round trips: median {median:.0f} us, fastest {min(round_trips_us):.0f} us, "
        f"slowest {worst:.0f} us"
    )
