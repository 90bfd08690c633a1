"""`scripts/stress model --examples N`: the random walk of the conformance suite, for long."""

from __future__ import annotations

import argparse
import os
import tempfile

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conformance.machine import RestartingRing, Ring, TypedRing

MACHINES = {"untyped": Ring, "typed": TypedRing, "restarting": RestartingRing}


def main() -> None:
    """Walks at random; a failure prints what reproduces it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=1200)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--machine", choices=MACHINES, default="untyped")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rq-") as folder:
        os.environ["RDMAQ_RUNTIME_DIR"] = folder
        wanted = settings(
            max_examples=arguments.examples,
            stateful_step_count=arguments.steps,
            deadline=None,
            print_blob=True,
        )
        run_state_machine_as_test(MACHINES[arguments.machine], settings=wanted)
    print(f"{arguments.examples} walks of {arguments.steps} steps kept to the model")


if __name__ == "__main__":
    main()
