"""Round trips of UCX's own benchmark, `ucx_perftest`, over its shared memory transports."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time

from rdmaq.bench.children import BenchError
from rdmaq.bench.rounds import Sample

_TRANSPORTS = "posix,sysv,self"
_WARM_UP = 1000
_SECONDS_MAX = 20.0
_RETRY_SECONDS = 0.02
_WAYS = 2  # its latency is of one way: half a round trip


def find() -> str | None:
    """The program, if it is on the path: it is no dependency of rdmaq."""
    return shutil.which("ucx_perftest")


def round_trips(program: str, message_bytes: int, count: int) -> Sample:
    """One run of `tag_lat`, both of its processes started afresh.

    Raises:
        BenchError: it failed, or its words are not understood.
    """
    words = os.environ | {"UCX_TLS": _TRANSPORTS, "UCX_LOG_LEVEL": "fatal"}
    with socket.socket() as probe:  # a port that is free now
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    test = ["-t", "tag_lat", "-s", str(message_bytes), "-n", str(count), "-w", str(_WARM_UP)]
    client = [program, "127.0.0.1", "-p", port, *test, "-f", "-v"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(  # noqa: S603 - the program that the user has on the path
        [program, "-p", port], env=words, stdin=quiet, stdout=quiet, stderr=quiet
    ) as server:
        try:
            return {"p50_ns": _WAYS * 1e3 * _median_us(_ask(client, words))}
        finally:
            server.kill()


def _ask(client: list[str], words: dict[str, str]) -> str:
    """What the client prints, once the server is there."""
    deadline = time.monotonic() + _SECONDS_MAX
    while True:
        done = subprocess.run(  # noqa: S603 - as above
            client, env=words, capture_output=True, text=True, timeout=_SECONDS_MAX, check=False
        )
        if done.returncode == 0:
            return done.stdout
        if time.monotonic() > deadline:
            raise BenchError(
                f"ucx_perftest ended with {done.returncode}: {done.stderr.strip()[-200:]}; "
                "take it off the path to measure without it"
            )
        time.sleep(_RETRY_SECONDS)


def _median_us(printed: str) -> float:
    """The second number of the last line: iterations, median, average, ..."""
    try:
        return float(printed.strip().splitlines()[-1].split(",")[1])
    except (IndexError, ValueError) as error:
        raise BenchError(
            f"ucx_perftest printed what is not understood: {printed.strip()[-200:]!r}; "
            "take it off the path to measure without it"
        ) from error
