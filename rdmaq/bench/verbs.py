"""One-sided operations between two processes on two devices: rdmaq beside perftest, in turns."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from ipaddress import IPv4Address
from typing import Any

import numpy as np

from rdmaq.bench import perftest
from rdmaq.bench.children import BenchError, Child
from rdmaq.bench.one_cpu import OneCpu
from rdmaq.bench.options import Place
from rdmaq.bench.perftest import Side
from rdmaq.bench.quiet import Unprobed
from rdmaq.bench.rounds import Contender, Sample
from rdmaq.bench.verbs_pair import BULK_BYTES, BULK_DEPTH, CHAIN, DEPTH, VerbsPair
from rdmaq.verbs import Port, ports
from rdmaq.verbs.gids import ROCE_V2

SMALL_BYTES = 8


def sides(names: tuple[str, ...]) -> tuple[Side, Side]:
    """The two devices to measure between: as named, or the first two that are active.

    Raises:
        BenchError: there are no two.
    """
    found = {port.device: port for port in ports() if port.is_active}
    chosen = [found[name] for name in names if name in found] if names else list(found.values())[:2]
    sides = [side for port in chosen if (side := _side(port)) is not None]
    if len(sides) != 2:
        raise BenchError(
            f"the benchmark needs two active devices with an IPv4 address each, and found "
            f"{[side.device for side in sides]}; in a checkout put `rdmaq rig exec --` before "
            "the command; else name two with --device"
        )
    return sides[0], sides[1]


def _side(port: Port) -> Side | None:
    for gid in port.gids:
        if gid.kind == ROCE_V2 and isinstance(gid.address, IPv4Address):
            return Side(
                device=port.device,
                port=port.number,
                gid_index=gid.index,
                address=str(gid.address),
            )
    return None


class Near:
    """The process that begins, and measures; the other side's process only answers."""

    def __init__(self, stack: ExitStack, far: Side, near: Side, one_cpu: OneCpu | None) -> None:
        self.watch = stack.enter_context(Unprobed())
        self._far_side, self._near_side, self._one_cpu = far, near, one_cpu
        self.child = stack.enter_context(
            Child("rdmaq.bench.verbs_far", device=far.device, gid_index=far.gid_index)
        )
        self._end = stack.enter_context(closing(VerbsPair(near.device, near.gid_index)))
        address, memory = self.child.call("introduce")
        own_address, own_memory = self._end.introduce()
        self.child.start("connect", address=own_address, memory=own_memory)
        self._end.connect(address, memory)
        self.child.finish()

    def contenders(self, count: int, bulk_count: int, chain_count: int) -> list[Contender]:
        """Who takes part: perftest, our loop in C, and Python, for each of four things."""
        bulk = {"size": BULK_BYTES, "chain": 1, "depth": BULK_DEPTH, "count": bulk_count}
        small = {"size": SMALL_BYTES, "chain": CHAIN, "depth": DEPTH, "count": chain_count * CHAIN}
        lat, ping, read = self._lat, self._ping, self._read
        bandwidth, stream = self._bw, self._stream
        rows: list[tuple[str, str, Callable[[], Sample]]] = [
            ("write_perftest", "WRITE 8 B, ib_write_lat", partial(lat, "ib_write_lat", count)),
            ("write_c", "WRITE 8 B, loop in C", partial(ping, "c", count)),
            ("write_python", "WRITE 8 B, Python", partial(ping, "python", count)),
            ("read_perftest", "READ 8 B, ib_read_lat", partial(lat, "ib_read_lat", count)),
            ("read_c", "READ 8 B, loop in C", partial(read, "c", count)),
            ("read_python", "READ 8 B, Python", partial(read, "python", count)),
            ("bulk_perftest", "WRITE 64 KiB, ib_write_bw", partial(bandwidth, bulk)),
            ("bulk_c", "WRITE 64 KiB, loop in C", partial(stream, "c", bulk)),
            ("bulk_python", "WRITE 64 KiB, Python", partial(stream, "python", bulk)),
            ("rate_perftest", "64 WRITEs of 8 B a post, ib_write_bw", partial(bandwidth, small)),
            ("rate_c", "64 WRITEs of 8 B a post, loop in C", partial(stream, "c", small)),
            ("rate_python", "64 WRITEs of 8 B a post, Python", partial(stream, "python", small)),
        ]
        if self._one_cpu is not None:  # READs again: nobody but who measures is at work for them
            rows += [
                (f"one_cpu_{key}", f"{title}, on one CPU", partial(self._on_one_cpu, run))
                for key, title, run in rows
                if key.startswith("read_")
            ]
        return [Contender(key=key, title=title, run=run) for key, title, run in rows]

    def _lat(self, tool: str, count: int) -> Sample:
        return perftest.latency(
            tool, self._far_side, self._near_side, size=SMALL_BYTES, iterations=count
        )

    def _bw(self, what: dict[str, int]) -> Sample:
        return perftest.bandwidth(
            self._far_side,
            self._near_side,
            size=what["size"],
            iterations=what["count"],
            depth=what["depth"],
            chain=what["chain"],
        )

    def _ping(self, how: str, count: int) -> Sample:
        self.child.start(f"pong_in_{how}", count=count)
        times = getattr(self._end, f"ping_in_{how}")(count, is_first=True)
        self.child.finish()
        return {"p50_ns": _median(times) / 2}  # as perftest: half of the round trip

    def _read(self, how: str, count: int) -> Sample:
        return {"p50_ns": _median(getattr(self._end, f"reads_in_{how}")(count))}

    def _on_one_cpu(self, run: Callable[[], Sample]) -> Sample:
        assert self._one_cpu is not None
        with self._one_cpu.held():
            return run()

    def _stream(self, how: str, what: dict[str, int]) -> Sample:
        elapsed_ns = getattr(self._end, f"stream_in_{how}")(**what)
        rate = what["count"] / elapsed_ns * 1e9
        return {"messages_per_s": rate, "bytes_per_s": rate * what["size"]}


def _median(times: Any) -> float:
    return float(np.median(times[1:]))  # the first begins before the other side is there


def prepare(
    stack: ExitStack,
    _place: Place,
    *,
    devices: tuple[str, ...],
    one_cpu: bool,
    count: int,
    bulk_count: int,
    chain_count: int,
) -> tuple[Near, list[Contender]]:
    """Connects two processes by two devices.

    Raises:
        BenchError: no perftest, no two devices, or no say in where the kernel's workers run.
    """
    if missing := perftest.missing():
        raise BenchError(
            f"perftest is not complete here: {', '.join(missing)} are missing; "
            "apt-get install perftest, or run in the rig: rdmaq rig exec -- rdmaq bench verbs"
        )
    far_side, near_side = sides(devices)
    place = OneCpu((far_side.device, near_side.device)) if one_cpu else None
    near = Near(stack, far_side, near_side, place)
    return near, near.contenders(count, bulk_count, chain_count)
