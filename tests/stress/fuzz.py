"""Fuzzing for long: the hostile-peer targets of tests/fuzz/, one after the other, round by round.

    scripts/stress fuzz --inputs 1e8 [--seconds 2000] [--target reader ...] [--seed N]

Time is shared out equally, for an input costs one target a hundred times what it costs another;
the figures of each are told. Ends when all together have tried so many inputs and, if --seconds is
given, so long. Stops at the first finding, tells its input, and exits 1.
"""

from __future__ import annotations

import random
import sys
import time

import click

from tests.fuzz import fuzzers

_SECONDS_PER_TURN = 30


@click.command()
@click.option("--inputs", default="1e8", help="At least so many inputs in all, 1e8 for example.")
@click.option("--seconds", default=0.0, help="At least so long.")
@click.option("--target", "targets", multiple=True, type=click.Choice(fuzzers.TARGETS))
@click.option("--seed", type=int, default=None, help="Of the first round; printed when not given.")
def main(inputs: str, seconds: float, targets: tuple[str, ...], seed: int | None) -> None:
    """Run the fuzzers until `--inputs` inputs were tried."""
    done = dict.fromkeys(targets or fuzzers.TARGETS, 0)
    wanted_count = int(float(inputs))
    round_seed = random.randrange(1, 1 << 31) if seed is None else seed
    begin = time.monotonic()
    while sum(done.values()) < wanted_count or time.monotonic() - begin < seconds:
        for target in done:
            outcome = fuzzers.run(target, seconds=_SECONDS_PER_TURN, seed=round_seed)
            if not outcome.passed:
                click.echo(outcome.text[-8000:])
                click.echo(f"{target}: a claim broke (seed {round_seed}): {outcome.kept}")
                sys.exit(1)
            done[target] += outcome.input_count
            click.echo(
                f"{target}: {outcome.input_count:,} inputs, seed {round_seed}; "
                f"{sum(done.values()):,} in all, {time.monotonic() - begin:,.0f} s"
            )
        round_seed += 1
    for target, count in done.items():
        click.echo(f"{target}: {count:,} inputs")
    click.echo(f"{sum(done.values()):,} inputs, no finding")


if __name__ == "__main__":
    main()
