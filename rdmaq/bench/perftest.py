"""linux-rdma's perftest, the yardstick: its tools run beside ours, on the same two devices."""

from __future__ import annotations

import math
import shutil
import subprocess
import time
from dataclasses import dataclass
from itertools import count

from rdmaq.bench.children import BenchError
from rdmaq.bench.rounds import Sample

_CONNECT_SECONDS = 20.0
_RUN_SECONDS = 120.0
_RETRY_SECONDS = 0.2
_TRIES_MAX = 3
_ports = count(18_600)
TOOLS = ("ib_write_lat", "ib_read_lat", "ib_write_bw")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One device for perftest.

    Attributes:
        device: its name.
        port: of the device.
        gid_index: which GID.
        address: by which the other side's tool finds ours (TCP).
    """

    device: str
    port: int
    gid_index: int
    address: str

    def options(self) -> list[str]:
        """As every tool of perftest takes them."""
        return ["-d", self.device, "-i", str(self.port), "-x", str(self.gid_index)]


def missing() -> list[str]:
    """Tools that are not installed."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def run(tool: str, server: Side, client: Side, options: list[str]) -> list[str]:
    """Runs the tool at both sides; the client's line of figures, in words.

    Raises:
        BenchError: it failed, or took longer than two minutes.
    """
    common = ["-F", "-p", str(next(_ports)), *options]
    words = [tool, *server.options(), *common]
    with subprocess.Popen(  # noqa: S603 - a tool by its own name
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as serving:
        try:
            return _client([tool, *client.options(), *common, server.address], serving)
        finally:
            try:
                serving.wait(1.0)
            except subprocess.TimeoutExpired:
                serving.kill()


def _client(words: list[str], serving: subprocess.Popen[bytes]) -> list[str]:
    """Tries until the server listens: perftest has no way of its own to wait for it."""
    deadline = time.monotonic() + _CONNECT_SECONDS
    while True:
        try:
            ended = subprocess.run(  # noqa: S603
                words, capture_output=True, text=True, timeout=_RUN_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise BenchError(
                f"{words[0]} did not end within {_RUN_SECONDS:.0f} s: the wire or the machine is "
                "too slow; use fewer --count, or look whether the devices reach each other"
            ) from None
        if ended.returncode == 0:
            return _figures(ended.stdout)
        if time.monotonic() > deadline or serving.poll() is not None:
            raise BenchError(
                f"{words[0]} failed: {(ended.stderr or ended.stdout).strip()[-300:]}; do the two "
                "devices reach each other (rdma link, ping)?"
            )
        time.sleep(_RETRY_SECONDS)


def _figures(output: str) -> list[str]:
    lines = output.splitlines()
    for number, line in enumerate(lines):
        if line.lstrip().startswith("#bytes") and number + 1 < len(lines):
            return lines[number + 1].split()
    raise BenchError(
        f"perftest printed no figures: {output[-300:]!r}; its version is unknown to us, tell us"
    )


def _figure(tool: str, server: Side, client: Side, options: list[str]) -> float:
    """Typical latency in microseconds, or millions of messages a second: the fifth word of both.

    On a busy machine perftest may fail to find out how fast the clock ticks; then it prints `inf`,
    and is asked again.

    Raises:
        BenchError: as `run`, or none of three runs gave a figure.
    """
    for _ in range(_TRIES_MAX):
        words = run(tool, server, client, options)
        figure = float(words[4])
        if math.isfinite(figure) and figure > 0:
            return figure
    raise BenchError(
        f"{tool} measured nothing in {_TRIES_MAX} runs (its last words: {' '.join(words)}); "
        "use a quieter machine"
    )


def latency(tool: str, server: Side, client: Side, *, size: int, iterations: int) -> Sample:
    """The typical (median) latency; of WRITEs perftest halves the round trip."""
    inline = ["-I", "64"] if tool == "ib_write_lat" else []
    options = ["-s", str(size), "-n", str(iterations), *inline]
    return {"p50_ns": _figure(tool, server, client, options) * 1000}


def bandwidth(
    server: Side, client: Side, *, size: int, iterations: int, depth: int, chain: int
) -> Sample:
    """Bytes and messages a second of WRITEs: averages over all iterations."""
    options = ["-s", str(size), "-n", str(iterations), "-t", str(depth)]
    if chain > 1:
        options += ["-l", str(chain), "-I", "64"]
    messages = _figure("ib_write_bw", server, client, options) * 1e6
    # Its MB are 2^20 bytes, rounded to two digits after the point: of small messages none is left.
    return {"messages_per_s": messages, "bytes_per_s": messages * size}
