"""How a file ends: whole, torn in the middle of its data, or followed by another video.

FFmpeg reads a file that was cut as far as it goes and does not tell; the sizes that containers write do.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

import av

from racctl.video.index import Index
from racctl.video.opening import open_container, second_reader

# S that a header may announce beyond the end, if the structure does not tell that the file is cut
MAX_IGNORED_GAP = 1.0
MAX_IGNORED_GAP_SHARE = 0.05  # the same, of the announced length
# Pictures that an announced duration must be beyond the end, to be spoken of: of a file that breaks off, of one that
# does not tell, and of a whole one. Sound is announced with the padding of its last packet.
LEAST_GAP = {True: 0.5, None: 3, False: math.inf}
TAIL_BYTES = 1 << 18  # bytes from the end in which the last unit of a stream begins
EBML_ID, SEGMENT_ID, CLUSTER_ID = 0x1A45DFA3, 0x18538067, 0x1F43B675
ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # the GUID of its file properties
ASF_START = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
KLV = bytes.fromhex("060e2b34")  # with which every key of an MXF begins


@dataclass(frozen=True)
class Ending:
    """What a file lacks at its end, by its own account.

    missing: seconds of a file that is cut short, 0 for a whole one.
    frames: how many pictures those are, 0 where that is not known.
    until: seconds up to which nothing is missing.
    remarks: clauses about an end that is odd, but no reason to refuse the file.
    """

    missing: float = 0.0
    frames: int = 0
    until: float = math.inf
    remarks: tuple[str, ...] = ()

    def line(self) -> str:
        """Return what is missing, for a person."""
        frames = f" ({self.frames} frame{'s' * (self.frames > 1)})" if self.frames else ""
        return f"{max(self.missing, 0.01):.2f} s{frames}"


WHOLE = Ending()


def rounded_down(seconds: float) -> str:
    """Return a time for `--stop` that is not after `seconds`."""
    return f"{math.floor(seconds * 1000) / 1000:g}"


def ending_of(file: IO[bytes], container: av.container.InputContainer, stream: av.VideoStream, index: Index) -> Ending:
    """Hold what was read against what the container announces.

    The number of pictures where it tells that, else the duration.

    A file that breaks off is cut short however little that loses. Some whole files have a header that announces more
    than they hold: where the structure is sound, or does not tell and the difference is small, that is a remark.
    """
    kind = container.format.name
    breaks_off = True if index.torn else torn(file, kind)
    counts = bool(stream.frames) and kind.split(",")[0] in ("mov", "avi")
    frames = _frames_missing(file, kind, stream, index) if counts else int(index.torn_picture)
    beat = float(1 / index.rate)
    announced = _announced_end(container, counts)
    gap = frames * beat
    if frames or not counts:  # sound may go on after the last picture
        gap = max(gap, announced - (index.seconds(index.whole) if counts else index.end))
    remarks = []
    at = None if index.restarts else second_video(file, kind, index.data_end)  # else it was read
    if at is not None:
        remarks.append(f"{_video_at(file, at)} follows the end of this one and is left out")
    large = gap > max(MAX_IGNORED_GAP, MAX_IGNORED_GAP_SHARE * index.end)
    if frames or large or gap > LEAST_GAP[breaks_off] * beat:
        if breaks_off or (breaks_off is None and (large or counts)):
            until = min(index.seconds(index.whole), index.end)
            frames = frames if counts or gap < 1.5 * beat else 0  # else only the one that is torn is known
            return Ending(round(gap, 3), frames, until, tuple(remarks))
        excess = f"{frames} frames" if frames else f"{gap:.2f} s"
        remarks.append(f"its header announces {excess} more than it holds")
    elif breaks_off and not counts:
        remarks.append("the file breaks off in the middle of its data, so pictures at its end may be missing")
    return Ending(remarks=tuple(remarks))


def _frames_missing(file: IO[bytes], kind: str, stream: av.VideoStream, index: Index) -> int:
    """Return how many pictures the header counts that are not there whole."""
    torn_picture = int(index.torn_picture)
    lost = stream.frames - (index.packets - torn_picture)
    if kind == "avi":  # its stamps are places; empty ones may be left out
        lost = min(lost, stream.frames - round(index.pictures_end * index.rate) + torn_picture)
    elif lost > torn_picture:  # an edit list may leave out pictures
        lost = stream.frames - _packets_without_edits(file, stream.index) + torn_picture
    return max(0, lost)


def _packets_without_edits(file: IO[bytes], number: int) -> int:
    file.seek(0)
    with open_container(file, {"ignore_editlist": "1"}) as container:
        packets = container.demux(container.streams[number])
        return sum(packet.dts is not None for packet in packets)


def _announced_end(container: av.container.InputContainer, counts: bool) -> float:
    """Return the seconds at which the container says that it ends; before all times where it says nothing.

    counts: whether it has a table of its pictures.
    """
    if not container.duration:
        return -math.inf
    announced = container.duration / av.time_base
    start = (container.start_time or 0) / av.time_base
    # In Matroska and others, and in MP4 of fragments, it may be a length or the time of the end.
    return start + announced if counts else min(announced, start + announced)


def _video_at(file: IO[bytes], at: int) -> str:
    """Return what begins at a byte, for a person."""
    try:
        with open_container(second_reader(file, at)) as container:
            stream = container.streams.best("video")
            if stream is not None and stream.frames:
                return f"another video of {stream.frames} frames"
    except (av.FFmpegError, ValueError, OSError):
        pass
    return "another video"


def torn(file: IO[bytes], container: str) -> bool | None:
    """Return whether the file breaks off before the end that its own structure announces; None where it announces none.

    container: FFmpeg's name of its format.

    False is only said of a file that is whole by its structure.
    """
    judge = JUDGES.get(container.split(",")[0])
    return judge(file, file.seek(0, os.SEEK_END)) if judge else None


def second_video(file: IO[bytes], container: str, end: int) -> int | None:
    """Return where another video of the same kind begins after byte `end`, the last that was read of this one.

    None for nowhere.
    """
    start = {"mov": b"ftyp", "flv": b"FLV\x01", "asf": ASF_START}.get(container.split(",")[0])
    if start is None:
        return None
    before = 4 if start == b"ftyp" else 0  # a box begins with its size
    file.seek(end)
    held = b""
    while block := file.read(1 << 20):
        held = held[-len(start) - before :] + block
        at = held.find(start, before)
        if at >= 0:
            return file.tell() - len(held) + at - before
    return None


def _read(file: IO[bytes], at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)


def _mp4(file: IO[bytes], size: int) -> bool | None:
    """Judge by the sizes of the outermost boxes."""
    at, kinds = 0, set()
    while at + 8 <= size:
        length, kind = struct.unpack(">I4s", _read(file, at, 8))
        if length == 1:
            length = int.from_bytes(_read(file, at + 8, 8), "big")
        if length < 8 or not kind.isascii():  # 0: up to the end of the file
            break
        kinds.add(kind)
        at += length
    if at > size:
        return True
    return False if {b"moov", b"mdat"} <= kinds and b"moof" not in kinds else None


def _matroska(file: IO[bytes], size: int) -> bool | None:
    """Judge by the segment's size; in a live recording, which has none, by its blocks."""
    at = 0
    while at < size:
        name, start = _vint(file, at, keep_marker=True)
        length, start = _vint(file, start)
        if start > size:
            return True
        if name == SEGMENT_ID and length is not None:
            return start + length > size
        if name in (SEGMENT_ID, CLUSTER_ID):
            at = start
        elif length is None:
            return None
        else:
            at = start + length
    return True if at > size else None


def _vint(file: IO[bytes], at: int, keep_marker: bool = False) -> tuple[int | None, int]:
    """Return a number of variable length and where it ends; None where all its bits are set, which means unknown."""
    data = _read(file, at, 8)
    width = 9 - data[0].bit_length() if data and data[0] else 8
    number = int.from_bytes(data[:width], "big")
    if keep_marker:
        return number, at + width
    number &= (1 << 7 * width) - 1
    return (None if number == (1 << 7 * width) - 1 else number), at + width


def _avi(file: IO[bytes], size: int) -> bool | None:
    """Judge by the sizes of its RIFF chunks, of which a large file has several."""
    at = 0
    while at + 12 <= size:
        kind, length = struct.unpack("<4sI", _read(file, at, 8))
        if kind != b"RIFF":
            return False if at else None
        if not length:
            return None
        at += 8 + length + length % 2
    return at > size + 1


def _flv(file: IO[bytes], size: int) -> bool | None:
    """Judge by the last tag; its size stands behind it."""
    length = int.from_bytes(_read(file, size - 4, 4), "big")
    begin = size - 4 - length
    if begin < 9 or length < 11:
        return True
    tag = _read(file, begin, 4)
    return None if int.from_bytes(tag[1:], "big") + 11 == length else True


def _transport(file: IO[bytes], size: int) -> bool | None:
    """Judge by the packets, all of one length."""
    head = _read(file, 0, 1024)
    for length, before in ((188, 0), (192, 4), (204, 0)):
        for at in range(length):
            if len(head) > at + 3 * length and all(head[at + k * length] == 0x47 for k in range(4)):
                return True if (size - at + before) % length else None
    return None


def _mxf(file: IO[bytes], size: int) -> bool | None:
    """Judge by its key-length-value triplets."""
    at = 0
    while at < size:
        head = _read(file, at, 25)
        if not head.startswith(KLV[: len(head)]):
            return None
        if len(head) < 17:
            return True
        count = head[16] & 0x7F if head[16] & 0x80 else 0
        length = int.from_bytes(head[17 : 17 + count], "big") if count else head[16]
        at += 17 + count + length
    return True if at > size else None


def _asf(file: IO[bytes], size: int) -> bool | None:
    """Judge by the size in its header; a live stream has none."""
    head = _read(file, 0, 1 << 16)
    at = head.find(ASF_FILE)
    declared = int.from_bytes(head[at + 40 : at + 48], "little") if at >= 0 else 0
    return size < declared if declared else None


def _ogg(file: IO[bytes], size: int) -> bool | None:
    """Judge by the last page, which is marked as the last."""
    tail = _read(file, max(0, size - TAIL_BYTES), TAIL_BYTES)
    at = tail.rfind(b"OggS")
    page = tail[at:]
    if at < 0 or len(page) < 27:
        return True
    whole = len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])
    return not (whole and page[5] & 4)


def _gif(file: IO[bytes], size: int) -> bool | None:
    """Judge by its trailer."""
    return not _read(file, max(0, size - 64), 64).rstrip(b"\0").endswith(b";")


def _program(file: IO[bytes], size: int) -> bool | None:
    """Judge by the packets after the last pack header."""
    tail = _read(file, max(0, size - TAIL_BYTES), TAIL_BYTES)
    at = tail.rfind(b"\0\0\1\xba")
    if at < 0 or len(tail) < at + 14:
        return None if at < 0 else True
    at += 14 + (tail[at + 13] & 7) if tail[at + 4] & 0xC0 == 0x40 else 12  # MPEG-2, MPEG-1
    while at < len(tail):
        head = tail[at : at + 6]
        if head[:4] == b"\0\0\1\xb9":
            return False
        if not head.startswith(b"\0\0\1"[: len(head)]):
            return None
        if len(head) < 6:
            return True
        at += 6 + int.from_bytes(head[4:6], "big")
    return True if at > len(tail) else None


JUDGES: dict[str, Callable[[IO[bytes], int], bool | None]] = {
    "mov": _mp4,
    "matroska": _matroska,
    "avi": _avi,
    "flv": _flv,
    "mpegts": _transport,
    "mxf": _mxf,
    "asf": _asf,
    "ogg": _ogg,
    "gif": _gif,
    "mpeg": _program,
}
