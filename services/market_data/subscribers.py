"""The subscriber processes of a replay, as their parent sees them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .errors import SubscriberError
from .receive import Pace

CHILD_MODULE = "rdmaq_services.market_data.subscriber_process"
ATTACH_SECONDS_MAX = 60.0
# A subscriber that neither reads nor ends for so long after the stream's end is given up.
STALL_SECONDS_MAX = 60.0
END_SECONDS = 5.0


class SubscriberProcess:
    """One subscriber in a process of its own.

    Started by the constructor, ended by `end`, and by the kernel if this process dies. Its words
    are read by a thread, so that its pipe never fills.

    Args:
        number: From 1, for people.
        address: Of the node.
        pace: How fast it reads.

    Attributes:
        reports: Of the sessions that it has read to their end.
        progress: What it said last about the session it is reading.
    """

    def __init__(self, number: int, address: str, pace: Pace) -> None:
        self.number = number
        self.pace = pace
        self.reports: list[dict[str, Any]] = []
        self.progress: dict[str, Any] = {}
        self.error: str | None = None
        self.error_kind: str | None = None
        self._changed = threading.Condition()
        self._attached_count = 0
        self._heard_seconds = time.monotonic()
        self._is_over = False
        self._is_dismissed = False
        settings = {
            "address": address,
            "parent_pid": os.getpid(),
            "pause_us": pace.pause_us,
            "wait": pace.wait,
        }
        # -P: a folder named rdmaq where the user stands must not be taken for the package.
        # A process group of its own: Ctrl-C reaches this process only, which ends the others.
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", CHILD_MODULE, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def died(self) -> str | None:
        """How it ended before its work was done, in words; None while it has not."""
        if self.error is not None:
            return self.error
        if not self._is_over or self._is_dismissed:
            return None
        code = self._process.returncode
        if code is not None and code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"exited with status {code}"

    def attach(self, stream: str, first_sequence: int) -> None:
        """Lets it subscribe; `wait_attached` tells when it has."""
        words = json.dumps({"attach": {"stream": stream, "first_sequence": first_sequence}})
        pipe = self._process.stdin
        assert pipe is not None, "it was opened with a pipe"
        with suppress(BrokenPipeError):  # it died; whoever waits for it is told
            pipe.write(words + "\n")
            pipe.flush()

    def wait_attached(self, session_count: int) -> None:
        """Waits until it has subscribed to so many sessions.

        Raises:
            SubscriberError: It died, or did not manage in time.
        """
        deadline = time.monotonic() + ATTACH_SECONDS_MAX
        if not self._wait(lambda: self._attached_count >= session_count, lambda: deadline):
            raise SubscriberError(
                f"subscriber {self.number} did not subscribe",
                self.died or f"it was not ready within {ATTACH_SECONDS_MAX:.0f} s",
                "look for who ended it, at the machine's load and memory, and run again",
            )

    def wait_report(self, session_count: int) -> bool:
        """Waits until it has read so many sessions; False when it died or stands still."""
        return self._wait(
            lambda: len(self.reports) >= session_count,
            lambda: self._heard_seconds + STALL_SECONDS_MAX,
        )

    def give_up(self) -> None:
        """Kills a process that stands still; `died` tells why, not how."""
        self.error = f"stood still for {STALL_SECONDS_MAX:.0f} s after the stream's end: given up"
        self.kill()

    def send_signal(self, number: int) -> None:
        """Sends its process a signal, if it lives."""
        self._process.send_signal(number)

    def end(self) -> None:
        """Ends the process: its pipe first, and by force if that is not enough. Idempotent."""
        self._is_dismissed = self._is_dismissed or self.died is None
        pipe = self._process.stdin
        if pipe is not None and not pipe.closed:
            with suppress(BrokenPipeError):
                pipe.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._listener.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def kill(self) -> None:
        """Ends the process at once; also one that was stopped."""
        self._process.kill()
        self._process.wait()

    def _wait(self, is_done: Callable[[], bool], deadline: Callable[[], float]) -> bool:
        with self._changed:
            while not is_done():
                left_seconds = deadline() - time.monotonic()
                if left_seconds <= 0 or self.died is not None:
                    return is_done()
                self._changed.wait(min(left_seconds, 0.1))
            return True

    def _listen(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None, "it was opened with a pipe"
        for line in pipe:
            with self._changed:
                self._hear(json.loads(line))
                self._heard_seconds = time.monotonic()
                self._changed.notify_all()
        self._process.wait()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _hear(self, words: dict[str, Any]) -> None:
        match words["state"]:
            case "attached":
                self._attached_count += 1
            case "progress":
                self.progress = words
            case "session":
                self.reports.append(words["report"])
            case "failed":
                self.error, self.error_kind = words["error"], words["kind"]
