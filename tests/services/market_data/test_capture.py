"""Captures of every kind are read exactly, and what is not one is refused with its cure."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rdmaq_services.market_data.capture import Capture
from rdmaq_services.market_data.errors import CaptureError

# Nanoseconds that neither a float of seconds nor microseconds can hold.
TIMES_NS = [1_700_000_000_123_456_789, 1_700_000_000_123_456_790, 1_700_000_001_000_000_001]
FRAMES = [b"first frame", b"", b"third" * 40]


def pcap(order: str = "<", *, is_nano: bool = True, link_type: int = 1) -> bytes:
    magic = 0xA1B23C4D if is_nano else 0xA1B2C3D4
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link_type)
    unit_ns = 1 if is_nano else 1000
    for time_ns, frame in zip(TIMES_NS, FRAMES, strict=True):
        seconds, rest_ns = divmod(time_ns, 10**9)
        size = len(frame)
        out += struct.pack(order + "IIII", seconds, rest_ns // unit_ns, size, size) + frame
    return out


def block(kind: int, body: bytes, order: str) -> bytes:
    size = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + size + body + size


def pcapng_file(path: Path, resolution: int | None, order: str = "<") -> None:
    options = b""
    if resolution is not None:
        options = struct.pack(order + "HHB3xHH", 9, 1, resolution, 0, 0)
    exponent = 6 if resolution is None else resolution & 0x7F
    base = 2 if (resolution or 0) & 0x80 else 10
    out = block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)
    out += block(1, struct.pack(order + "HHI", 1, 0, 65535) + options, order)
    for time_ns, frame in zip(TIMES_NS, FRAMES, strict=True):
        ticks = time_ns * base**exponent // 10**9
        head = (0, ticks >> 32, ticks & 0xFFFF_FFFF, len(frame), len(frame))
        padding = bytes(-len(frame) % 4)
        out += block(6, struct.pack(order + "5I", *head) + frame + padding, order)
    path.write_bytes(out)


def read(path: Path) -> tuple[list[tuple[int, bytes]], Capture]:
    with Capture(path) as capture:
        frames = [(frame.time_ns, frame.data) for frame in capture]
    return frames, capture


@pytest.mark.parametrize("order", ["<", ">"])
def test_nanosecond_pcap_of_either_byte_order_is_read_exactly(tmp_path: Path, order: str) -> None:
    path = tmp_path / "capture"
    path.write_bytes(pcap(order))
    frames, capture = read(path)
    assert frames == list(zip(TIMES_NS, FRAMES, strict=True))
    assert capture.cut_short is None
    assert (capture.format, capture.compressed) == ("pcap", False)


@pytest.mark.parametrize("order", ["<", ">"])
def test_microsecond_pcap_is_exact_to_the_microsecond(tmp_path: Path, order: str) -> None:
    path = tmp_path / "capture.pcap"
    path.write_bytes(pcap(order, is_nano=False))
    frames, _ = read(path)
    assert [time_ns for time_ns, _ in frames] == [time // 1000 * 1000 for time in TIMES_NS]


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_with_nanoseconds_is_read_exactly(tmp_path: Path, order: str) -> None:
    path = tmp_path / "capture.pcapng"
    pcapng_file(path, 9, order)
    frames, capture = read(path)
    assert frames == list(zip(TIMES_NS, FRAMES, strict=True))
    assert capture.format == "pcapng"


def test_pcapng_without_a_resolution_counts_microseconds(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcapng"
    pcapng_file(path, None)
    frames, _ = read(path)
    assert [time_ns for time_ns, _ in frames] == [time // 1000 * 1000 for time in TIMES_NS]


def test_pcapng_with_a_binary_resolution_is_rounded_down_in_integers(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcapng"
    pcapng_file(path, 0x80 | 20)
    frames, _ = read(path)
    for (time_ns, _), expected_ns in zip(frames, TIMES_NS, strict=True):
        assert 0 <= expected_ns - time_ns < 10**9 // 2**20 + 2


def test_gzip_is_known_by_its_first_bytes_not_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcap"
    path.write_bytes(gzip.compress(pcap()))
    frames, capture = read(path)
    assert frames == list(zip(TIMES_NS, FRAMES, strict=True))
    assert capture.compressed


def test_pcap_cut_anywhere_delivers_what_is_whole_and_tells_where_it_ends(tmp_path: Path) -> None:
    """Every possible cut: whole frames come, and the broken record's number and offset."""
    whole = pcap()
    starts = [24]
    for frame in FRAMES:
        starts.append(starts[-1] + 16 + len(frame))
    path = tmp_path / "cut.pcap"
    for size in range(24, len(whole)):
        path.write_bytes(whole[:size])
        frames, capture = read(path)
        whole_count = sum(start <= size for start in starts[1:])
        assert frames == list(zip(TIMES_NS, FRAMES, strict=True))[:whole_count]
        if size in starts:
            assert capture.cut_short is None
        else:
            assert capture.cut_short is not None
            assert capture.cut_short.frames_whole == whole_count
            assert capture.cut_short.offset_bytes == starts[whole_count]


def test_pcapng_cut_in_a_block_delivers_what_is_whole_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "cut.pcapng"
    pcapng_file(path, 9)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    frames, capture = read(path)
    assert len(frames) == 2
    assert capture.cut_short is not None
    assert capture.cut_short.frames_whole == 2
    assert "packet 3" in str(capture.cut_short)


def test_gzip_cut_in_the_middle_delivers_what_is_whole_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "cut.pcap.gz"
    packed = gzip.compress(pcap())
    path.write_bytes(packed[:-9])
    frames, capture = read(path)
    assert frames == list(zip(TIMES_NS, FRAMES, strict=True))[: len(frames)]
    assert capture.cut_short is not None
    assert "compressed" in capture.cut_short.cause


def test_gzip_with_damaged_bytes_is_told_as_damage(tmp_path: Path) -> None:
    path = tmp_path / "damaged.pcap.gz"
    packed = bytearray(gzip.compress(pcap() + bytes(5_000)))
    packed[-6] ^= 0xFF  # within the checksum
    path.write_bytes(packed)
    _, capture = read(path)
    assert capture.cut_short is not None


def test_record_of_an_impossible_length_ends_the_capture_as_damage(tmp_path: Path) -> None:
    """A length of 4 GiB must not be believed: no memory is asked for it."""
    path = tmp_path / "huge.pcap"
    path.write_bytes(pcap() + struct.pack("<IIII", 1, 1, 0xFFFF_FFF0, 0xFFFF_FFF0) + b"x")
    frames, capture = read(path)
    assert len(frames) == len(FRAMES)
    assert capture.cut_short is not None
    assert "4294967280" in capture.cut_short.cause


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\x01", "not a capture"),
        (b"this is a text, not a capture", "not a capture"),
        (gzip.compress(b"this is a text, not a capture"), "not a capture"),
        (gzip.compress(b""), "not a capture"),
        (pcap()[:4], "cut short"),
        (pcap()[:23], "cut short"),
        (b"\x0a\x0d\x0d\x0a\x1c", "cut short"),
        (gzip.compress(pcap())[:5], "cannot be read"),
    ],
)
def test_what_is_no_usable_capture_is_refused_with_cause_and_cure(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "capture.pcap"
    path.write_bytes(content)
    with pytest.raises(CaptureError, match=words) as caught:
        Capture(path)
    assert str(path) in str(caught.value)
    assert "; " in str(caught.value)


def test_absent_file_and_directory_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="does not exist"):
        Capture(tmp_path / "nowhere.pcap")
    with pytest.raises(CaptureError, match="is a directory"):
        Capture(tmp_path)


def test_pcapng_with_garbage_behind_its_header_is_told_as_damage(tmp_path: Path) -> None:
    path = tmp_path / "garbage.pcapng"
    pcapng_file(path, 9)
    whole = path.read_bytes()
    for junk in (b"\xff" * 40, struct.pack("<II", 6, 5) + b"\0" * 20, struct.pack("<II", 6, 0)):
        path.write_bytes(whole + junk)
        frames, capture = read(path)
        assert len(frames) == len(FRAMES)
        assert capture.cut_short is not None


def test_pcapng_with_an_address_of_one_byte_is_told_as_damage(tmp_path: Path) -> None:
    """The library hands the option to `inet_ntoa`, whose OSError is no error of the disk."""
    path = tmp_path / "address.pcapng"
    section = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1), "<")
    option = struct.pack("<HHB3xHH", 4, 1, 10, 0, 0)
    path.write_bytes(section + block(1, struct.pack("<HHI", 1, 0, 65535) + option, "<"))
    frames, capture = read(path)
    assert not frames
    assert capture.cut_short is not None
    assert "damaged" in capture.cut_short.cause


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changed_byte_of_a_capture_is_read_told_or_refused(
    tmp_path: Path, data: st.DataObject
) -> None:
    """No change of bytes leads to another exception than the documented one."""
    path = tmp_path / "changed"
    if data.draw(st.booleans()):
        pcapng_file(path, 9)
        content = bytearray(path.read_bytes())
    else:
        content = bytearray(pcap())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        frames, capture = read(path)
    except CaptureError:
        return
    assert len(frames) == capture.frame_count
