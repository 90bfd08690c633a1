"""Is the machine fit to measure on? A ping-pong of our own beside every measurement.

A hypervisor may run both virtual CPUs on one hardware thread; then each exchange takes
milliseconds, and so does everything measured meanwhile. Such measurements are void.
"""

from __future__ import annotations

import mmap
import os
from typing import Any

from rdmaq._fast import ffi, lib
from rdmaq.bench.children import Child
from rdmaq.bench.neighbours import Neighbours

_PAGE_BYTES = 4096
_EXCHANGES = 1000
_LIMIT_NS = 20_000_000
_QUIET_NS_MAX = 10_000.0
_WARM_UP_NS = 500_000_000
_ENDLESS = 1 << 40


class Words:
    """A page that two processes map, with the words they hand to and fro."""

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, _PAGE_BYTES)
        self._words = ffi.from_buffer("uint64_t *", self._map)

    def ask(self, count: int, limit_ns: int) -> tuple[int, int]:
        """(exchanges done, ns they took); `answer` must run in the other process."""
        elapsed = ffi.new("uint64_t *")
        done = lib.rq_bench_word_ask(self._words, count, limit_ns, elapsed)
        return int(done), int(elapsed[0])

    def answer(self, count: int, limit_ns: int) -> int:
        """The other half of `ask`, in the other process."""
        return int(lib.rq_bench_word_answer(self._words, count, limit_ns))

    def clear(self) -> None:
        """Must be called by the asking side before each turn."""
        self._map[:] = bytes(_PAGE_BYTES)

    def close(self) -> None:
        """Unmaps the page; idempotent."""
        ffi.release(self._words)
        self._map.close()


class Watch:
    """The parent's half: warms both CPUs up, and tells quiet moments from void ones.

    Attributes:
        exchange_ns: what each quiet probe took, per exchange.
        void_count: measurements thrown away.
        others_cpus: how many CPUs others than we used on average, after `look_round`.
    """

    def __init__(self) -> None:
        self.fd = os.memfd_create("rdmaq-bench", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, _PAGE_BYTES)
        self._words = Words(self.fd)
        self._child: Child | None = None
        self.exchange_ns: list[float] = []
        self.void_count = 0
        self._neighbours: Neighbours | None = None
        self.others_cpus: float | None = None

    def attach(self, *children: Child) -> None:
        """From now on the first child (its `Far` derives from the one below) holds the other end.

        What CPU time others than these and we use from now on is theirs, and told.
        """
        self._child = children[0]
        self._neighbours = Neighbours([os.getpid(), *(child.pid for child in children)])

    def look_round(self) -> None:
        """Notes what others used until now; must be called while the children live."""
        if self._neighbours is not None:
            self.others_cpus = self._neighbours.share()

    def _exchange(self, count: int, limit_ns: int) -> tuple[int, int]:
        assert self._child is not None
        self._words.clear()
        self._child.start("answer_words", count=count, limit_ns=limit_ns)
        found = self._words.ask(count, limit_ns)
        self._child.finish()
        return found

    def warm_up(self, limit_ns: int = _WARM_UP_NS) -> None:
        """Keeps both CPUs busy, so that the hypervisor gives each its own thread again."""
        self._exchange(_ENDLESS, limit_ns)

    def is_quiet(self) -> bool:
        """Probes once: a thousand exchanges at most, 20 ms at most."""
        done, elapsed_ns = self._exchange(_EXCHANGES, _LIMIT_NS)
        exchange_ns = elapsed_ns / max(1, done - 1) if done > 1 else float(_LIMIT_NS)
        if exchange_ns > _QUIET_NS_MAX:
            return False
        self.exchange_ns.append(exchange_ns)
        return True

    def close(self) -> None:
        """Gives the page back; idempotent."""
        if self.fd >= 0:
            self._words.close()
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Unprobed(Watch):
    """Where a probe of CPUs would say nothing: each measurement counts, none is judged."""

    def warm_up(self, limit_ns: int = _WARM_UP_NS) -> None:
        """Nothing to warm up."""

    def is_quiet(self) -> bool:
        """Always."""
        return True


class Far:
    """What every far end has: the other half of the probe."""

    def __init__(self, *, words_fd: int, **_: Any) -> None:
        self._words = Words(words_fd)

    def answer_words(self, count: int, limit_ns: int) -> int:
        """See `Words.answer`."""
        return self._words.answer(count, limit_ns)

    def close(self) -> None:
        """Ends what the role holds."""
        self._words.close()
