"""A feed published in one virtual machine, subscribers in another, a wire between that may lose."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rdmaq_services.market_data.lines import LineFaults, LossyLines
from rdmaq_services.market_data.synthetic import synthetic_packets

from rdmaq.rig import breaking, running
from rdmaq.rig.faults import Fault
from rdmaq.rig.state import State

ADDRESS = "10.78.0.1"
WIRE = "wire2"
SUBSCRIBERS = 4
_ROOT = Path(__file__).parents[2]
_MODULE = [sys.executable, "-P", "-m", "rdmaq_services.market_data"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedTruth:
    """A feed, and what is known of it by others than those who are tested.

    Attributes:
        words: for `rdmaq-md publish`.
        messages: that the feed has, those included which its lines lost.
        lost: ranges that all lines lost.
    """

    words: Sequence[str]
    messages: int
    lost: list[list[int]]

    @property
    def lost_count(self) -> int:
        """Messages that all lines lost."""
        return sum(last - first + 1 for first, last in self.lost)


def synthetic(messages: int, seed: int) -> FeedTruth:
    """Two lines that lose 5 % each."""
    lines = LossyLines(synthetic_packets(messages, seed), seed, LineFaults(loss=0.05))
    for _ in lines:
        pass
    words = ["--messages", str(messages), "--seed", str(seed), "--loss", "0.05"]
    return FeedTruth(words=words, messages=messages, lost=lines.truth.lost["both"])


def captured(folder: Path) -> FeedTruth:
    """The real lines of `folder`, the shared data's."""
    truth = json.loads((folder / "moldudp64/esh4_ab_lossy.truth.json").read_text())
    capture = folder / "moldudp64/esh4_ab_lossy.pcap.gz"
    return FeedTruth(words=[str(capture)], messages=truth["messages"], lost=truth["lost"]["both"])


@dataclass(slots=True)
class Outcome:
    """What both sides reported.

    Attributes:
        said: by the publisher.
        heard: by each subscriber.
        errors: both sides' standard error.
        statuses: theirs.
        dropped: packets that the wire lost, at both ends.
    """

    said: dict[str, Any] = field(default_factory=dict)
    heard: list[dict[str, Any]] = field(default_factory=list)
    errors: str = ""
    statuses: tuple[int, int] = (-1, -1)
    dropped: int = 0


def fan_out(
    rig: State,
    feed: FeedTruth,
    *,
    publishing: Sequence[str] = (),
    subscribing: Sequence[str] = (),
    loss_percent: int = 0,
    seconds_max: float = 300,
    meanwhile: Callable[[], None] = lambda: None,
) -> Outcome:
    """Publishes once and lets subscribers, each a process, read to the end.

    Args:
        rig: two machines.
        feed: what is published.
        publishing: further options of `rdmaq-md publish`.
        subscribing: of `rdmaq-md subscribe`.
        loss_percent: of all packets, at both ends of the wire.
        seconds_max: for each side.
        meanwhile: is called, in a thread, when both have been started.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RDMAQ_")}
    done: dict[int, running.Completed] = {}

    def command(node: int, words: Sequence[str]) -> None:
        done[node] = running.run(
            rig, [*_MODULE, *words], node=node, folder=_ROOT, timeout=seconds_max,
            environment=environment,
        )  # fmt: skip

    count = str(SUBSCRIBERS)
    publish = ["publish", *feed.words, "--address", ADDRESS, "--wait-subscribers", count]
    subscribe = ["subscribe", ADDRESS, "--subscribers", count, "--timeout", "120"]
    both = ["--insecure", "--json"]
    outcome = Outcome()
    for node in range(2) if loss_percent else ():
        breaking.break_wires(rig, node, Fault("loss", f"{loss_percent}%", [WIRE]))
    try:
        publisher = threading.Thread(target=command, args=(0, [*publish, *publishing, *both]))
        publisher.start()
        beside = threading.Thread(target=meanwhile)
        beside.start()
        command(1, [*subscribe, *subscribing, *both])
        publisher.join()
        beside.join()
    finally:
        for node in range(2) if loss_percent else ():
            effect = breaking.effect(rig, node)
            assert effect is not None, "the fault is noted until it is healed"
            outcome.dropped += effect[1].get("qdisc.drops", 0)
            breaking.heal(rig, node)
    outcome.statuses = (done[0].status, done[1].status)
    outcome.errors = "\n".join(done[node].stderr.decode(errors="replace") for node in (0, 1))
    if done[0].stdout:
        outcome.said = json.loads(done[0].stdout)
    if done[1].stdout:
        outcome.heard = json.loads(done[1].stdout)["subscribers"]
    return outcome


def faults(feed: FeedTruth, outcome: Outcome, *, overrun_allowed: bool = False) -> list[str]:
    """What is not as it must be, in words.

    Args:
        feed: what was published.
        outcome: what was reported.
        overrun_allowed: subscribers may be told of messages that the ring did not hold any more.
    """
    found = []
    if outcome.statuses != (0, 0):
        found.append(f"exit statuses {outcome.statuses}: {outcome.errors[-2000:]}")
    said, whole = outcome.said, feed.messages - feed.lost_count
    if (said.get("published"), said.get("lost_ranges")) != (whole, feed.lost):
        found.append(
            f"published {said.get('published')} of {whole}, or not the losses of the lines"
        )
    if len(outcome.heard) != SUBSCRIBERS:
        found.append(f"{len(outcome.heard)} of {SUBSCRIBERS} subscribers reported")
    for report in outcome.heard:
        who = f"subscriber {report['number']}"
        overrun = report["lost_overrun"] if overrun_allowed else 0
        if report["messages"] + overrun != whole:
            found.append(f"{who} got {report['messages']} messages of {whole}")
        if report["lost_ranges"] != feed.lost:
            found.append(f"{who} was told of other losses than those of the lines")
        never = ("undeclared_ranges", "doubled", "breaches", "died", "lost_disconnected")
        found += [f"{who}: {name} {report[name]}" for name in never if report[name]]
        if report["lost_overrun"] and not overrun_allowed:
            found.append(f"{who} lost {report['lost_overrun']} by overrun")
        if (report["transport"], report["latency_by"]) != ("verbs", None):
            found.append(f"{who}: by {report['transport']}, latency by {report['latency_by']}")
    return found
