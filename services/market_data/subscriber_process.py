"""The process of one subscriber: `python -m rdmaq_services.market_data.subscriber_process`.

It is told what to do by lines of JSON on its standard input, and answers by lines of JSON:

    parent                                              child
    {"attach": {"stream": ..., "first_sequence": ...}}  {"state": "attached"}
                                                        {"state": "progress", ...} now and then
                                                        {"state": "session", "report": ...}
    {"attach": ...} for the next session, or the end of the pipe
                                                        {"state": "failed", "error": ...} any time
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import rdmaq

from .latency import Latencies
from .lifeline import end_with_parent
from .receive import Pace, receive
from .tally import Tally

ATTACH_SECONDS = 30.0


def main() -> int:
    """Serves the parent until it closes the pipe; 1 when something failed (and was told)."""
    settings = json.loads(sys.argv[1])
    end_with_parent(settings["parent_pid"])
    # Ctrl-C is the parent's business: it ends its subscribers in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pace = Pace(pause_us=settings["pause_us"], wait=settings["wait"])
    latencies = Latencies()
    try:
        for line in sys.stdin:
            attach = json.loads(line)["attach"]
            _serve_session(settings["address"], attach, pace, latencies)
    except rdmaq.RdmaqError as error:
        _say({"state": "failed", "kind": type(error).__name__, "error": str(error)})
        return 1
    return 0


def _serve_session(address: str, attach: dict[str, Any], pace: Pace, latencies: Latencies) -> None:
    tally = Tally(attach["first_sequence"], latencies)
    with (
        rdmaq.connect(address, timeout=ATTACH_SECONDS) as peer,
        peer.subscribe(attach["stream"], wait=pace.wait, timeout=ATTACH_SECONDS) as subscription,
    ):
        _say({"state": "attached"})
        receive(subscription, tally, pace, lambda: _say(_progress(tally)))
    _say({"state": "session", "report": tally.as_json()})


def _progress(tally: Tally) -> dict[str, Any]:
    return {
        "state": "progress",
        "messages": tally.messages,
        "lost_upstream": tally.lost_count("upstream"),
        "lost_overrun": tally.lost_count("overrun"),
    }


def _say(words: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        code = main()
    except BrokenPipeError:
        # The parent is gone or going; nobody is left to be told.
        code = 1
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)
