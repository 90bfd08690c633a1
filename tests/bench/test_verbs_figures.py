"""What `rdmaq bench verbs` makes of rounds and of perftest's words; the rest needs devices."""

from __future__ import annotations

import dataclasses
import os
import random
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rdmaq.bench import one_cpu, perftest
from rdmaq.bench.children import BenchError
from rdmaq.bench.interval import median_interval
from rdmaq.bench.options import Place
from rdmaq.bench.perftest import Side
from rdmaq.bench.quiet import Unprobed
from rdmaq.bench.rounds import Contender, Result
from rdmaq.bench.verbs import Near
from rdmaq.bench.verbs_report import BENCHMARK
from tests.bench.conftest import Run

SERVER = Side(device="left", port=1, gid_index=1, address="192.0.2.1")
CLIENT = Side(device="right", port=1, gid_index=2, address="192.0.2.2")
LATENCY = """
---------------------------------------------------------------------------------------
 #bytes #iterations    t_min[usec]    t_max[usec]  t_typical[usec]    t_avg[usec]    t_stdev[usec]
 8       500          75.47          43392.40      7869.61  \t       7600.21     \t6814.48
---------------------------------------------------------------------------------------
"""
BANDWIDTH = """
 #bytes     #iterations    BW peak[MB/sec]    BW average[MB/sec]   MsgRate[Mpps]
 65536      200              67.13              7.56   \t\t   0.000121
"""
# A stand-in for a tool of perftest: the client prints what it was told to and how it was called.
TOOL = """#!/bin/sh
case "$*" in
    *192.0.2.1) echo "$0 $*" >>{log}; cat {figures};;
    *) echo "$0 $*" >>{log}; sleep 0.2;;
esac
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, figures: str) -> Path:
    log = folder / "calls"
    (folder / "figures").write_text(figures)
    for name in perftest.TOOLS:
        (folder / name).write_text(TOOL.format(log=log, figures=folder / "figures"))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return log


def test_latency_is_the_typical_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = install(tmp_path, monkeypatch, LATENCY)
    found = perftest.latency("ib_write_lat", SERVER, CLIENT, size=8, iterations=500)
    assert found == {"p50_ns": 7869610.0}
    client = next(line for line in log.read_text().splitlines() if line.endswith("192.0.2.1"))
    assert "-d right -i 1 -x 2" in client
    assert "-s 8 -n 500 -I 64" in client


def test_bandwidth_is_messages_times_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = install(tmp_path, monkeypatch, BANDWIDTH)
    found = perftest.bandwidth(SERVER, CLIENT, size=65536, iterations=200, depth=16, chain=1)
    assert found == {
        "messages_per_s": pytest.approx(121),
        "bytes_per_s": pytest.approx(121 * 65536),
    }
    assert "-t 16" in log.read_text()
    assert "-l " not in log.read_text()


def test_perftest_without_figures_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "nothing\n")
    with pytest.raises(BenchError, match="no figures"):
        perftest.latency("ib_read_lat", SERVER, CLIENT, size=8, iterations=5)


def test_interval_of_fifteen_rounds_is_the_fourth_from_either_end() -> None:
    """Binomial(15, 1/2): three on a side with 3.5 %, four with 11.8 %."""
    assert median_interval(range(1, 16)) == (4, 12)
    assert median_interval([3.0]) == (3.0, 3.0)
    assert median_interval([2, 1, 3]) == (1, 3)


def test_interval_holds_the_true_median_as_often_as_it_says() -> None:
    """Of a skewed distribution whose median is known."""
    source = random.Random(7)
    held = 0
    for _ in range(2000):
        low, high = median_interval([source.expovariate(0.6931471805599453) for _ in range(15)])
        held += low <= 1.0 <= high
    assert 0.95 <= held / 2000 <= 0.98


def result(key: str, count: int, scale: float) -> Result:
    samples = [
        dict.fromkeys(("p50_ns", "bytes_per_s", "messages_per_s"), scale * (number + 1))
        for number in range(count)
    ]
    return Result(contender=Contender(key=key, title=key, run=dict), samples=samples)


def test_round_that_was_cut_short_counts_for_those_that_had_it() -> None:
    """The tool had its third round of READs, and then time was up: two ratios of reads."""
    results = {
        f"{thing}_{who}": result(f"{thing}_{who}", 3, 1.0 if who == "perftest" else 2.0)
        for thing in ("write", "read", "bulk", "rate")
        for who in ("perftest", "c", "python")
    }
    results["read_c"] = result("read_c", 2, 4.0)
    ratios = {ratio.key: ratio for ratio in BENCHMARK.ratios(results)}
    assert ratios["write_c_to_write_perftest"].value == 2
    assert "3 rounds" in ratios["write_c_to_write_perftest"].title
    assert ratios["read_c_to_read_perftest"].value == 4
    assert "2 rounds" in ratios["read_c_to_read_perftest"].title


def test_measurements_count_without_a_probe_of_cpus(tmp_path: Path) -> None:
    """Contenders that give one figure each take the devices' place."""

    def prepare(stack: ExitStack, _place: Place, **_: Any) -> tuple[Any, list[Contender]]:
        near = Near.__new__(Near)
        near.watch = stack.enter_context(Unprobed())
        sample = dict.fromkeys(("p50_ns", "bytes_per_s", "messages_per_s"), 2.0)
        return near, [
            Contender(key=f"{thing}_{who}", title=thing, run=lambda: sample)
            for thing in ("write", "read", "bulk", "rate")
            for who in ("perftest", "c", "python")
        ]

    heard: list[int] = []
    report = (
        dataclasses.replace(BENCHMARK, prepare=prepare)
        .run(
            {"count": 5},
            rounds=2,
            seconds_max=60,
            place=Place("verbs", tmp_path),
            command=["rdmaq", "bench", "verbs"],
            tell=heard.append,
        )
        .as_json()
    )
    assert heard == [1, 2]
    assert report["settings"] == {"count": 5, "rounds": 2, "seconds_max": 60}
    assert report["results"]["read_c"]["rounds"] == 2
    assert report["void_measurements"] == 0
    assert report["cpu_to_cpu_round_trip_ns"] is None
    assert report["intervals"]["rate_python_to_rate_perftest"] == (1, 1)


def test_missing_perftest_is_named_with_a_cure(
    rdmaq_error: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perftest, "missing", lambda: ["ib_read_lat"])
    told = rdmaq_error("bench", "verbs")
    assert "ib_read_lat" in told
    assert "apt-get install perftest" in told


INFINITE = LATENCY.replace("7869.61", "inf")


def test_perftest_that_found_no_clock_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It printed `inf` in the rig, which made our ratio 0, and met."""
    log = install(tmp_path, monkeypatch, INFINITE)
    with pytest.raises(BenchError, match="measured nothing in 3 runs"):
        perftest.latency("ib_read_lat", SERVER, CLIENT, size=8, iterations=5)
    calls = [line for line in log.read_text().splitlines() if line.endswith("192.0.2.1")]
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("cpu", "said"), [(0, "1"), (5, "20"), (31, "80000000"), (40, "100,00000000")]
)
def test_cpu_is_said_in_the_kernels_groups(cpu: int, said: str) -> None:
    assert one_cpu.mask(cpu) == said


@pytest.fixture
def software(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system with a software device; the file that says where its workers may run."""
    monkeypatch.setattr(one_cpu, "SYSFS", tmp_path)
    parent = tmp_path / "class/infiniband/rxe0/parent"
    workers = tmp_path / "devices/virtual/workqueue/cpumask"
    for file, text in ((parent, "wire0\n"), (workers, "f\n")):
        file.parent.mkdir(parents=True)
        file.write_text(text)
    return workers


def test_one_cpu_holds_us_and_the_workers_and_lets_go_again(software: Path) -> None:
    """Also when the measurement fails; what is started meanwhile is there, too."""
    before = os.sched_getaffinity(0)

    def look() -> None:
        assert software.read_text() == one_cpu.mask(min(before))
        words = [sys.executable, "-c", "import os; print(*os.sched_getaffinity(0))"]
        assert subprocess.check_output(words, text=True).split() == [str(min(before))]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), one_cpu.OneCpu(["rxe0"]).held():
        look()
    assert os.sched_getaffinity(0) == before
    assert software.read_text() == "f\n"


def test_one_cpu_of_adapters_leaves_the_kernels_workers_alone(software: Path) -> None:
    with one_cpu.OneCpu(["mlx5_0", "mlx5_1"]).held():
        assert software.read_text() == "f\n"
        assert len(os.sched_getaffinity(0)) == 1


def test_one_cpu_says_who_may_do_it(software: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(BenchError, match=r"as root .*--one-cpu"):
        one_cpu.OneCpu(["rxe0"])
