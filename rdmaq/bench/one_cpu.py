"""Everything on one CPU: who measures, and the kernel's workers that carry for a software device.

rxe's requests are carried out by a worker of the kernel's. On another CPU it may be awake or asleep
when the next request comes, which changes a READ's time by half, and a microsecond more or less
decides. On one CPU it has always gone to sleep before anybody can see the completion: every request
wakes it, whoever posts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rdmaq.bench.children import BenchError

SYSFS = Path("/sys")
_WORKERS = "devices/virtual/workqueue/cpumask"  # where unbound workers may run
_MASK_BITS = 32  # of one group of the kernel's masks


class OneCpu:
    """The first CPU that this process may use, for a while.

    Args:
        devices: between which is measured.

    Raises:
        BenchError: one of them is software, and we may not say where the kernel's workers run.
    """

    def __init__(self, devices: Iterable[str]) -> None:
        self._cpu = min(os.sched_getaffinity(0))
        self._workers: Path | None = None
        if not any((SYSFS / "class/infiniband" / name / "parent").exists() for name in devices):
            return  # an adapter carries by itself
        self._workers = SYSFS / _WORKERS
        if not os.access(self._workers, os.W_OK):
            raise BenchError(
                f"--one-cpu cannot say where a software device's workers run: {self._workers} is "
                "not writable; run as root (in the rig: rdmaq rig exec --root -- rdmaq bench verbs "
                "--one-cpu)"
            )

    @contextmanager
    def held(self) -> Iterator[None]:
        """This thread and processes that it starts are there, and the workers; then as before."""
        allowed = os.sched_getaffinity(0)
        workers = "" if self._workers is None else self._workers.read_text(encoding="ascii")
        try:
            os.sched_setaffinity(0, {self._cpu})
            if self._workers is not None:
                self._workers.write_text(mask(self._cpu), encoding="ascii")
            yield
        finally:
            if self._workers is not None:
                self._workers.write_text(workers, encoding="ascii")
            os.sched_setaffinity(0, allowed)


def mask(cpu: int) -> str:
    """One CPU, as the kernel reads it: groups of 32 bits, the lowest last."""
    return f"{1 << cpu % _MASK_BITS:x}" + ",00000000" * (cpu // _MASK_BITS)
