"""What can go wrong with a rig, one class per decision that the caller can take."""

from __future__ import annotations

from rdmaq.errors import RdmaqError


class RigError(RdmaqError):
    """The root of what the rig raises by itself; the text names the cause and the cure."""


class MissingPrerequisite(RigError):
    """This machine lacks something, named in the text with its cure; nothing was started."""


class NoRig(RigError):
    """No rig of that name is up, or it died: `rdmaq rig up` starts it anew."""


class GuestFailed(RigError):
    """A guest did not start, or not to its end; it was ended, and its log is named."""


class CommandNotRun(RigError):
    """A command could not be started in the guest; nothing of it ran.

    Attributes:
        status: what a shell would exit with: 127 not found, 126 not executable, 125 else.
    """

    def __init__(self, text: str, *, status: int) -> None:
        super().__init__(text)
        self.status = status


class GuestDied(RigError):
    """The guest, or the connection to it, went away while a command ran; its fate is unknown."""
