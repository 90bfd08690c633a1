"""An idle `async for` costs nothing: measured on a process that does nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.conformance.rig import SHM, Link, eventually

_PROGRAM = """
import asyncio, json, resource, sys, threading, time
import rdmaq

def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, time.monotonic()

async def main():
    with rdmaq.connect("local:rig").subscribe("s") as sub:
        first = await anext(aiter(sub))
        cpu, wall = used()
        threads = threading.active_count()
        print("idle", flush=True)
        second = await anext(aiter(sub))
        cpu, wall = used()[0] - cpu, used()[1] - wall
        wakes = sub.stats.wakes
        print(json.dumps([cpu, wall, threads, wakes, second.messages[0].decode()]), flush=True)

asyncio.run(main())
"""


def test_idle_async_subscriber_uses_less_than_one_per_cent_of_a_cpu() -> None:
    """Two seconds between two messages, heartbeats going on: its CPU time, threads and C sleeps."""
    with Link(SHM) as link:
        pub = link.publish()
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert process.stdout is not None
        try:
            eventually(lambda: pub.reader_count == 1, "the subscriber")
            pub.send(b"first")
            assert process.stdout.readline() == "idle\n"
            try:
                process.wait(2.0)
                raise AssertionError("it ended though nothing had come")
            except subprocess.TimeoutExpired:
                pass
            pub.send(b"second")
            line = process.stdout.readline()
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
    cpu_seconds, wall_seconds, threads, wakes, text = json.loads(line)
    assert text == "second"
    assert wall_seconds > 1.9
    assert cpu_seconds < 0.01 * wall_seconds
    assert threads == 1
    assert wakes == 0, "it slept in C: polling in disguise"
