"""The verbs benchmark's process at the other end of the wire."""

from __future__ import annotations

from rdmaq.bench.verbs_pair import VerbsPair


class Far:
    """Answers round trips; of READs and streams of WRITEs it does nothing at all."""

    def __init__(self, *, device: str, gid_index: int) -> None:
        self._end = VerbsPair(device, gid_index)

    def introduce(self) -> tuple[bytes, bytes]:
        """See `VerbsPair.introduce`."""
        return self._end.introduce()

    def connect(self, address: bytes, memory: bytes) -> None:
        """See `VerbsPair.connect`."""
        self._end.connect(address, memory)

    def pong_in_c(self, count: int) -> None:
        """The other half of `VerbsPair.ping_in_c`."""
        self._end.ping_in_c(count, is_first=False)

    def pong_in_python(self, count: int) -> None:
        """The other half of `VerbsPair.ping_in_python`."""
        self._end.ping_in_python(count, is_first=False)

    def close(self) -> None:
        """Ends the pair."""
        self._end.close()
