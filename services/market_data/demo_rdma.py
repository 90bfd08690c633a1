"""`rdmaq-md demo --rdma`: a feed fans out between RDMA devices, in virtual machines of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .conservation import breaches
from .demo_rig import DemoRig
from .publish import PublishedSession
from .report import print_subscribers

if TYPE_CHECKING:
    from rich.console import Console

SUBSCRIBERS = 4
MESSAGES = 20_000
LOSS = "2%"


@dataclass(frozen=True, slots=True)
class _Scene:
    """Who publishes where, and how the subscribers go there.

    Attributes:
        address: Of the publisher's RDMA device.
        node: The subscribers' machine.
        prefix: Words before their command.
        options: Of theirs.
        setting: All of that in words.
    """

    address: str
    node: int
    prefix: tuple[str, ...]
    options: tuple[str, ...]
    setting: str


# One machine: two devices with a wire between them, one kernel, and so one clock.
_SCENES = {
    1: _Scene(
        "10.77.0.1",
        0,
        ("env", "RDMAQ_INTERFACE=wire1"),
        ("--transport", "verbs", "--clocks-synchronised"),
        "A virtual machine is started that has two RDMA devices (SoftRoCE) and a wire between "
        "them. The publisher has the one, its subscribers the other.",
    ),
    2: _Scene(
        "10.78.0.1",
        1,
        (),
        (),
        "Two virtual machines are started, each with an RDMA device (SoftRoCE), and a wire between "
        "them. The publisher is in the one, its subscribers in the other.",
    ),
}


class RdmaDemo:
    """Runs the demonstration and tells what happens, in plain words and in commands to repeat.

    Args:
        console: To tell it to.
        node_count: Virtual machines, 1 or 2.
        message_count: Messages of the synthetic day.
        seed: Of the day.
    """

    def __init__(self, console: Console, node_count: int, message_count: int, seed: int) -> None:
        self._console = console
        self._scene = _SCENES[node_count]
        self._node_count = node_count
        self._feed = ("--messages", str(message_count), "--seed", str(seed))
        self._pki = ""

    def run(self) -> bool:
        """Plays it; True when every message is accounted for as it should be.

        Raises:
            RigError: A command failed; its own words were shown.
        """
        self._say(
            f"{self._scene.setting} Nothing of this machine is changed, and no right of it needed. "
            "Emulation is slow: this takes two minutes or so, and its times say nothing about "
            "hardware."
        )
        with DemoRig(self._node_count, self._say) as rig:
            self._pki = str(rig.folder / "pki")
            self._say("\nThe two sides know each other by certificates, made for this once:")
            rig.run(["rdmaq", "certs", self._pki, "--host", self._scene.address])
            self._say(
                f"\nFirst act: a reliable stream. {SUBSCRIBERS} processes subscribe; the "
                "publisher's card writes the ring of each, and the slowest sets the pace."
            )
            is_sound = self._act(rig, ("--reliable",))
            self._say(
                "\nSecond act: a lossy stream, whose publisher waits for nobody, over a wire that "
                f"loses {LOSS} of all packets, either way. The cards send them again; who falls "
                "behind is cut off, joins again, and reads what it missed out of the publisher's "
                "memory."
            )
            for node in range(self._node_count):
                rig.run(["rdmaq", "rig", "fault", "--node", str(node), "loss", LOSS])
            is_sound = self._act(rig, (), ("--on-gap", "recover")) and is_sound
            rig.run(["rdmaq", "rig", "heal", "--check"], is_shown=True)
            self._say("")
        return is_sound

    def _act(self, rig: DemoRig, how: Sequence[str], subscribing: Sequence[str] = ()) -> bool:
        """Publishes and subscribes once; True when all is accounted for."""
        scene = self._scene
        publisher = rig.start(
            0,
            ["rdmaq-md", "publish", "--address", scene.address, *how, *self._feed, "--coalesce",
             "2048", "--wait-subscribers", str(SUBSCRIBERS), *self._tls("node"), "--json"],
        )  # fmt: skip
        subscribers = rig.start(
            scene.node,
            [*scene.prefix, "rdmaq-md", "subscribe", scene.address, "--subscribers",
             str(SUBSCRIBERS), "--timeout", "120", *scene.options, *subscribing,
             *self._tls("peer"), "--json"],
        )  # fmt: skip
        heard = json.loads(rig.output(subscribers))["subscribers"]
        said = json.loads(rig.output(publisher))
        return self._judge(said, heard)

    def _tls(self, who: str) -> tuple[str, ...]:
        files = {"ca": "ca.pem", "certificate": f"{who}.pem", "key": f"{who}.key"}
        return tuple(
            word
            for what, file in files.items()
            for word in (f"--tls-{what}", f"{self._pki}/{file}")
        )

    def _say(self, words: str) -> None:
        self._console.print(words, highlight=False, markup=False, soft_wrap=True)

    def _judge(self, said: dict[str, Any], heard: Sequence[dict[str, Any]]) -> bool:
        """Shows what each subscriber got, and holds it against what was published."""
        print_subscribers(self._console, heard)
        session = _session(said)
        is_sound = True
        for report in heard:
            found = breaches(session, report)
            if report["transport"] != "verbs":
                found.append(f"it came by {report['transport']}, not by verbs")
            for words in found:
                self._say(f"subscriber {report['number']}: {words}")
            is_sound = is_sound and not (found or report["died"])
        if is_sound:
            self._say(
                f"The publisher sent {session.published:,} messages, and declared "
                f"{session.lost_count:,} lost on both lines of its feed. Each of {len(heard)} "
                "subscribers is accounted for: by verbs, in order, none twice, every loss told."
            )
        return is_sound


def _session(said: dict[str, Any]) -> PublishedSession:
    """The one session of a synthetic day, as its publisher reports it."""
    (told,) = said["sessions"]
    return PublishedSession(
        told["session"],
        told["first_sequence"],
        joined=told["joined_live"],
        published=told["published"],
        lost=told["lost_ranges"],
    )
