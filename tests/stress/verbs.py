"""Walks long over real verbs in a rig, and connects and closes a thousand times.

    scripts/stress verbs --operations 1e5 --connects 1000 --seed 1

Everything happens in one guest that this brings up and takes down again. Ends 0 when both memories
were what the model says after every batch, nothing was left of the connections, and the guest's
kernel has not complained; else 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from tests.rdma.ends import census, connected
from tests.rdma.walk import MIB, Near, Walk, move_large
from tests.stress._in_rig import in_rig

_STEP = 1000


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line; counts may be written 1e5."""
    parser = argparse.ArgumentParser(prog="scripts/stress verbs", description=__doc__)
    count = {"type": lambda text: int(float(text))}
    parser.add_argument("--operations", default=100_000, **count)  # type: ignore[arg-type]
    parser.add_argument("--connects", default=1000, **count)  # type: ignore[arg-type]
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--here", action="store_true", help="no rig: this machine's own devices")
    return parser.parse_args(arguments)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _inside(options: argparse.Namespace) -> dict[str, Any]:
    from rdmaq.rig.devices import local_devices
    from rdmaq.rig.fixtures import wire_of

    wire = wire_of(local_devices())
    with connected(wire) as (left, right):
        walk = Walk(left, Near(right), options.seed)
        for done in range(0, options.operations, _STEP):
            walk.run(min(_STEP, options.operations - done))
            if done % (10 * _STEP) == 0:
                _tell(f"{done + _STEP:,} operations")
        move_large(left, right, [MIB] * 20 + [16 * MIB] * 3, options.seed)
    before = warm = census()
    for turn in range(options.connects):
        with connected(wire) as (left, right):
            left.pair.write(left.memory(64), right.memory(64).remote).wait(60)
        if turn == 9:
            warm = census()
        if turn % 100 == 99:
            _tell(f"{turn + 1:,} connections")
    after = census()
    return {
        "operations": sum(walk.counts.values()),
        "counts": walk.counts,
        "connects": options.connects,
        "objects_left": {
            name: count - before.objects[name] for name, count in after.objects.items()
        },
        "fds_left": after.fds - before.fds,
        "rss_grown_bytes": after.rss_bytes - warm.rss_bytes,
    }


def _judge(result: dict[str, Any]) -> list[str]:
    faults = [f"{count} {name} left" for name, count in result["objects_left"].items() if count]
    if result["fds_left"]:
        faults.append(f"{result['fds_left']} descriptors left")
    # A page a connection, above what allocators take at the beginning.
    if result["rss_grown_bytes"] > max(2 << 20, 4096 * result["connects"]):
        faults.append(f"{result['rss_grown_bytes']:,} bytes of memory left")
    return faults


def main(arguments: list[str] | None = None) -> int:
    """Prints one JSON object; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse(arguments)
    if not options.here:
        return in_rig("tests.stress.verbs", arguments)
    result = _inside(options)
    result["faults"] = _judge(result)
    print(json.dumps(result, indent=2))
    return 1 if result["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
