"""The bytes of a capture file, gzip undone, read by libraries that do not tell how a file ends.

dpkt ends in silence where a file was cut in the middle of a record, and delivers the torn record
as a packet. So the readers are given this object instead of a file: it sees every read that got
less than it asked for, knows the offset, and refuses lengths that no capture has.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import BinaryIO

from .errors import CaptureError

GZIP_MAGIC = b"\x1f\x8b"
CHUNK_BYTES = 1 << 16
# Four times the largest snapshot length of libpcap (262,144): a longer record is damage, not data.
READ_BYTES_MAX = 1 << 20


class ByteSource:
    """Reads a file forwards, decompressing when its first bytes are gzip's.

    Owns the file; `close` it, or use it in a `with` statement. Not for several threads.

    Args:
        path: The file.

    Raises:
        CaptureError: The path is absent, a directory, not readable, or an empty file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = _open(path)
        try:
            magic = self._file.read(len(GZIP_MAGIC))
            self._file.seek(0)
        except OSError as error:
            self._file.close()
            raise _unreadable(path, error) from error
        if not magic:
            self._file.close()
            raise CaptureError(f"{path} is empty", "it has no bytes", "give a pcap or pcapng file")
        self.compressed = magic == GZIP_MAGIC
        self._plain: BinaryIO = self._file
        if self.compressed:
            self._plain = gzip.GzipFile(fileobj=self._file)  # type: ignore[assignment]
        self._buffer = b""
        self._used_bytes = 0
        self.position_bytes = 0
        self.record_offset_bytes = 0
        self.damage: str | None = None

    def begin_record(self) -> None:
        """Notes that a record begins here; `record_offset_bytes` stays until the next one."""
        self.record_offset_bytes = self.position_bytes

    def peek(self, size_bytes: int) -> bytes:
        """Gives the next bytes, fewer at the end, without moving on."""
        while len(self._buffer) - self._used_bytes < size_bytes and self._fill():
            pass
        return self._buffer[self._used_bytes : self._used_bytes + size_bytes]

    def tell(self) -> int:
        """Gives the offset of the next byte, decompressed."""
        return self.position_bytes

    def read(self, size_bytes: int = -1) -> bytes:
        """Gives exactly `size_bytes`; at the end of the file fewer, and `damage` says why.

        A record's first read that finds nothing left is a clean end and no damage.
        """
        if not 0 <= size_bytes <= READ_BYTES_MAX:
            self.damage = f"a record claims {size_bytes} bytes"
            return b""
        data = self.peek(size_bytes)
        is_amid_record = bool(data) or self.position_bytes > self.record_offset_bytes
        if len(data) < size_bytes and is_amid_record and self.damage is None:
            self.damage = "the file ends in the middle of a record"
        self._used_bytes += len(data)
        self.position_bytes += len(data)
        return data

    def _fill(self) -> bool:
        """Takes another chunk behind what is still unread; False at the end."""
        try:
            chunk = self._plain.read1(CHUNK_BYTES)  # type: ignore[attr-defined]
        except EOFError:
            self.damage = "the compressed file ends before its end mark"
            return False
        except (gzip.BadGzipFile, zlib.error, OSError) as error:
            self.damage = f"the file cannot be read on ({error})"
            return False
        if not chunk:
            return False
        self._buffer = self._buffer[self._used_bytes :] + chunk
        self._used_bytes = 0
        return True

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        if self._plain is not self._file:
            self._plain.close()
        self._file.close()

    def __enter__(self) -> ByteSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open(path: Path) -> BinaryIO:
    if path.is_dir():
        raise CaptureError(f"{path} is a directory", "a capture is one file", "name the file")
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise CaptureError(
            f"{path} does not exist", "there is no such file", "check the path"
        ) from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> CaptureError:
    return CaptureError(
        f"{path} cannot be read", error.strerror or str(error), "check the file and its permissions"
    )
