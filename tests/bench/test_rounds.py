"""Rounds and the probe beside them."""

from __future__ import annotations

from collections.abc import Iterator

from rdmaq.bench.children import Child
from rdmaq.bench.quiet import Watch
from rdmaq.bench.rounds import Contender, Sample, run_rounds


class ScriptedWatch(Watch):
    """Tells what it is told to tell."""

    def __init__(self, answers: Iterator[bool]) -> None:
        super().__init__()
        self._answers = answers

    def warm_up(self, limit_ns: int = 0) -> None:
        """Nothing is measured here."""

    def is_quiet(self) -> bool:
        return next(self._answers, True)


def run(answers: list[bool], keys: str, rounds: int) -> tuple[list[str], dict[str, list[float]]]:
    order: list[str] = []

    def contender(key: str) -> Contender:
        def measure() -> Sample:
            order.append(key)
            return {"value": float(len(order))}

        return Contender(key=key, title=key, run=measure)

    with ScriptedWatch(iter(answers)) as watch:
        results = run_rounds(
            [contender(k) for k in keys],
            watch,
            rounds=rounds,
            seconds_max=60,
            tell=lambda _: None,
        )
        assert watch.void_count == len(order) - sum(len(r.samples) for r in results.values())
    return order, {key: result.values("value") for key, result in results.items()}


def test_contenders_take_turns() -> None:
    """A B C A B C, not A A B B C C."""
    order, values = run([], "ABC", rounds=2)
    assert "".join(order) == "ABCABC"
    assert values == {"A": [1, 4], "B": [2, 5], "C": [3, 6]}


def test_measurement_beside_a_slow_probe_is_repeated() -> None:
    """B's first try has a slow probe before it, its second one behind it: only the third counts."""
    order, values = run([True, True, False, True, True, False], "AB", rounds=1)
    assert "".join(order) == "ABBB"
    assert values == {"A": [1], "B": [4]}


def test_probe_counts_exchanges_between_two_processes() -> None:
    """A real child answers: a thousand exchanges, or as many as the time allows."""
    with Watch() as watch, Child("rdmaq.bench.quiet", fds=(watch.fd,), words_fd=watch.fd) as child:
        watch.attach(child)
        watch.warm_up()
        assert watch.is_quiet() == bool(watch.exchange_ns)


def test_probe_without_an_answer_ends_when_its_time_is_up() -> None:
    """Nobody is at the other end: no exchange is counted, and the caller is not stuck."""
    with Watch() as watch:
        assert watch._words.ask(10, 1_000_000) == (0, 0)
