"""Fuzzing for long: the hostile-peer targets of tests/fuzz/, one after the other, round by round.

    scripts/stress fuzz --inputs 1e8 [--target reader ...] [--seed N]

The inputs are shared out equally; rounds are short, so that every target has its turn early. Stops
at the first finding, tells its input, and exits 1.
"""

from __future__ import annotations

import random
import sys
import time

import click

from tests.fuzz import fuzzers

_INPUTS_PER_ROUND = 1_000_000


@click.command()
@click.option("--inputs", default="1e8", help="How many inputs in all, 1e8 for example.")
@click.option("--target", "targets", multiple=True, type=click.Choice(fuzzers.TARGETS))
@click.option("--seed", type=int, default=None, help="Of the first round; printed when not given.")
def main(inputs: str, targets: tuple[str, ...], seed: int | None) -> None:
    """Run the fuzzers until `--inputs` inputs were tried."""
    left = dict.fromkeys(targets or fuzzers.TARGETS, 0)
    left = dict.fromkeys(left, int(float(inputs)) // len(left))
    round_seed = random.randrange(1, 1 << 31) if seed is None else seed
    begin = time.monotonic()
    done_count = 0
    while any(count > 0 for count in left.values()):
        for target, count in left.items():
            if count <= 0:
                continue
            outcome = fuzzers.run(
                target, input_count=min(count, _INPUTS_PER_ROUND), seed=round_seed
            )
            if not outcome.passed:
                click.echo(outcome.text[-8000:])
                click.echo(f"{target}: a claim broke (seed {round_seed}): {outcome.kept}")
                sys.exit(1)
            left[target] -= max(outcome.input_count, 1)
            done_count += outcome.input_count
            rate = done_count / (time.monotonic() - begin)
            click.echo(
                f"{target}: {outcome.input_count:,} inputs, seed {round_seed}; "
                f"{done_count:,} in all, {rate:,.0f}/s"
            )
        round_seed += 1
    click.echo(f"{done_count:,} inputs, no finding")


if __name__ == "__main__":
    main()
