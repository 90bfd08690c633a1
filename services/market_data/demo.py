"""`rdmaq-md demo`: subscribers of a feed are stopped and killed, and all is accounted for."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .feed import FeedOptions, SyntheticFeed
from .lines import LineFaults
from .replay import Replay, ReplaySettings, SubscriberAccount
from .report import is_sound, print_replay

if TYPE_CHECKING:
    from rich.console import Console

SUBSCRIBERS = 5
PAUSED, STALLED, KILLED = 3, 4, 5
# At the capture's pace the ring holds some 1.7 s of the feed: the pause is shorter, the stall
# longer, and healthy subscribers have that long when the machine is busy.
CAPACITY = "4MiB"
# The last act is at 9 s; the feed sends some 40,000 messages a second after two quiet seconds.
MESSAGES_MIN = 350_000
FAULTS = LineFaults(loss=0.03)


class Demo:
    """Runs the demonstration and tells what happens, in plain words.

    Args:
        console: To tell it to.
        message_count: Messages of the synthetic day, at least `MESSAGES_MIN`; 500,000 take 15 s.
        seed: Of the day.
    """

    def __init__(self, console: Console, message_count: int, seed: int) -> None:
        feed = SyntheticFeed(message_count, seed, FAULTS, FeedOptions())
        self._settings = ReplaySettings(subscribers=SUBSCRIBERS, speed=1.0, capacity=CAPACITY)
        self._replay = Replay(feed, self._settings)
        self._console = console
        self._message_count = message_count
        self._began_seconds = 0.0
        self._acts: list[tuple[float, Callable[[], None]]] = [
            (3.0, lambda: self._stop(PAUSED, "for one second")),
            (4.0, lambda: self._continue(PAUSED)),
            (5.0, lambda: self._stop(STALLED, "for longer than the ring reaches back")),
            (8.0, lambda: self._continue(STALLED)),
            (9.0, self._kill),
        ]

    def run(self) -> bool:
        """Plays it; True when every message is accounted for as it should be.

        Raises:
            MarketDataError, rdmaq.RdmaqError: As `Replay.run`.
        """
        self._say(
            f"A synthetic exchange sends {self._message_count:,} ITCH 5.0 messages, in UDP packets "
            f"on two lines, A and B.\nEach line loses {FAULTS.loss:.0%} of its packets; what one "
            "lost the other usually has. What both lost is gone, and must be told.\n"
            f"The packets go into one ring of {CAPACITY} in shared memory. {SUBSCRIBERS} processes "
            "subscribe: each maps the ring read-only and counts what it gets.\n"
            "The publisher never waits for any of them."
        )
        self._replay.run(on_begin=self._begin, on_tick=self._tick)
        accounts = self._replay.accounts()
        self._say("")
        print_replay(self._console, self._replay, accounts)
        return self._judge(accounts)

    def _begin(self) -> None:
        self._began_seconds = time.monotonic()
        self._tell("all subscribers are attached; the exchange sends its directory of symbols")

    def _tick(self) -> None:
        while self._acts and time.monotonic() - self._began_seconds >= self._acts[0][0]:
            self._acts.pop(0)[1]()

    def _stop(self, number: int, how_long: str) -> None:
        self._replay.processes[number - 1].send_signal(signal.SIGSTOP)
        self._tell(f"subscriber {number} is stopped {how_long} (SIGSTOP)")

    def _continue(self, number: int) -> None:
        self._replay.processes[number - 1].send_signal(signal.SIGCONT)
        self._tell(f"subscriber {number} goes on (SIGCONT)")

    def _kill(self) -> None:
        self._replay.kill_subscriber(KILLED)
        self._tell(f"subscriber {KILLED} is killed (SIGKILL); nobody is told")

    def _judge(self, accounts: Sequence[SubscriberAccount]) -> bool:
        """Says what the table shows, and whether that is as it should be."""
        by_number = {account.number: account for account in accounts}
        healthy = [by_number[number] for number in (1, 2)]
        upstream = self._replay.publisher.sessions[0].lost_count
        self._say(_about_latencies(len(os.sched_getaffinity(0))))
        self._say("")
        self._say(
            f"Both lines lost the same {upstream:,} messages: every subscriber was told exactly "
            "which."
        )
        none_lost = all(account.report.get("lost_overrun") == 0 for account in healthy)
        self._say(
            "Subscribers 1 and 2 lost nothing else, whatever happened to the others."
            if none_lost
            else "Subscribers 1 and 2 lost messages too: this machine was too busy for them."
        )
        for number in (PAUSED, STALLED):
            overrun = by_number[number].report.get("lost_overrun", 0)
            self._say(
                f"Subscriber {number} was stopped, and lost {overrun:,} messages that the ring had "
                "overwritten meanwhile: told exactly, too."
                if overrun
                else f"Subscriber {number} was stopped, and found all it had missed in the ring."
            )
        self._say(f"Subscriber {KILLED} was killed: no other noticed.")
        return none_lost and is_sound(accounts)

    def _tell(self, words: str) -> None:
        self._say(f"[{time.monotonic() - self._began_seconds:5.1f} s] {words}")

    def _say(self, words: str) -> None:
        self._console.print(words, highlight=False, markup=False, soft_wrap=True)


def _about_latencies(cpu_count: int) -> str:
    """What the table's microseconds are made of, so that nobody takes them for the ring's."""
    process_count = SUBSCRIBERS + 1
    rest = (
        f"{process_count} processes share {cpu_count} CPUs: the rest is mostly waiting for a CPU"
        if process_count > cpu_count
        else "the rest is mostly waking up"
    )
    return (
        f"Of these latencies, those of {PAUSED} and {STALLED} contain the time they were stopped; "
        f"{rest}, not the ring. What the ring takes: rdmaq bench latency."
    )
