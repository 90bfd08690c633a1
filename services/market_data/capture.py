"""Frames of a capture file, with exact nanoseconds and an exact end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .byte_source import ByteSource
from .capture_records import PCAP_MAGICS, PCAPNG_MAGIC, pcap_records, pcapng_records
from .errors import CaptureError

# What has to be there before a first record can be: pcap's file header, pcapng's smallest section.
HEADER_BYTES = {"pcap": 24, "pcapng": 28}


class Frame(NamedTuple):
    """One captured frame: its number from 1, capture time in ns since 1970, and its bytes."""

    number: int
    time_ns: int
    link_type: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CutShort:
    """Where and why a capture ends before its time; what came before it is whole.

    Attributes:
        frames_whole: Frames delivered, which is also the number of the last whole one.
        offset_bytes: Where the broken record begins, in the uncompressed file.
        cause: Why, in words.
    """

    frames_whole: int
    offset_bytes: int
    cause: str

    def __str__(self) -> str:
        return (
            f"{self.cause}, in packet {self.frames_whole + 1}, which begins at byte "
            f"{self.offset_bytes} of the uncompressed file"
        )


class Capture:
    """Iterates over the frames of a capture file, once, in file order.

    Owns the file; use it in a `with` statement. A file that was cut in the middle is no exception:
    what is whole is delivered, and `cut_short` is set when the iteration has ended.

    Args:
        path: A pcap file (micro- or nanoseconds, either byte order) or a pcapng file, plain or
            gzip; names and suffixes do not matter.

    Raises:
        CaptureError: The file is absent, empty, a directory, not a capture, or cut within its
            header, so that nothing of it is usable.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frame_count = 0
        self.cut_short: CutShort | None = None
        self._source = ByteSource(path)
        try:
            self.format = _format_of(self._source)
        except BaseException:
            self._source.close()
            raise
        self.compressed = self._source.compressed

    def __iter__(self) -> Iterator[Frame]:
        read_records = pcap_records if self.format == "pcap" else pcapng_records
        for record in read_records(self._source):
            self.frame_count += 1
            yield Frame(self.frame_count, *record)
        if self._source.damage is not None:
            self.cut_short = CutShort(
                frames_whole=self.frame_count,
                offset_bytes=self._source.record_offset_bytes,
                cause=self._source.damage,
            )

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        self._source.close()

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _format_of(source: ByteSource) -> str:
    magic = source.peek(4)
    if magic in PCAP_MAGICS or magic == PCAPNG_MAGIC:
        capture_format = "pcapng" if magic == PCAPNG_MAGIC else "pcap"
        header_bytes = len(source.peek(HEADER_BYTES[capture_format]))
        if header_bytes < HEADER_BYTES[capture_format]:
            raise CaptureError(
                f"{source.path} is cut short",
                f"it ends within its header, after {header_bytes} bytes",
                "fetch the capture again",
            )
        return capture_format
    if source.damage is not None:
        raise CaptureError(f"{source.path} cannot be read", source.damage, "fetch it again")
    if len(magic) < 4:
        raise CaptureError(
            f"{source.path} is not a capture",
            f"it holds {len(magic)} bytes",
            "give a pcap or pcapng file",
        )
    raise CaptureError(
        f"{source.path} is not a capture",
        f"it begins with the bytes {magic.hex(' ')}, as neither pcap nor pcapng does",
        "give a pcap or pcapng file, plain or gzip",
    )
