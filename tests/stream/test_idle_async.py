"""An idle `async for` costs nothing: measured on a process that does nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.conformance.rig import SHM, Link, eventually

_WINDOWS = 3
_WINDOW_SECONDS = 0.8

_PROGRAM = """
import asyncio, json, resource, sys, threading, time
import rdmaq

def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, time.monotonic()

async def main():
    with rdmaq.connect("local:rig").subscribe("s") as sub:
        cpu = None
        async for batch in sub:
            if cpu is not None:
                now_cpu, now_wall = used()
                report = [now_cpu - cpu, now_wall - wall, threading.active_count(), sub.stats.wakes]
                print(json.dumps(report), flush=True)
            cpu, wall = used()
            print("idle", flush=True)

asyncio.run(main())
"""


def test_idle_async_subscriber_uses_less_than_one_per_cent_of_a_cpu() -> None:
    """Between two messages, heartbeats going on: its CPU time, threads and sleeps in C.

    Of three windows the quietest counts: a virtual machine now and then books what its host took,
    while a loop that polled would be busy in each.
    """
    with Link(SHM) as link:
        pub = link.publish()
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert process.stdout is not None
        reports = []
        try:
            eventually(lambda: pub.reader_count == 1, "the subscriber")
            pub.send(b"first")
            for _ in range(_WINDOWS):
                assert process.stdout.readline() == "idle\n"
                try:
                    process.wait(_WINDOW_SECONDS)
                    raise AssertionError("it ended though nothing had come")
                except subprocess.TimeoutExpired:
                    pub.send(b"next")
                reports.append(json.loads(process.stdout.readline()))
            pub.close()
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
    for _, wall_seconds, threads, wakes in reports:
        assert wall_seconds > 0.9 * _WINDOW_SECONDS
        assert threads == 1
        assert wakes == 0, "it slept in C: polling in disguise"
    assert min(cpu_seconds / wall_seconds for cpu_seconds, wall_seconds, *_ in reports) < 0.01
