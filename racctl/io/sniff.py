"""What a file is, by its first bytes, never by its name."""

from __future__ import annotations

from typing import IO

VIDEO_MAGICS: tuple[tuple[int, bytes], ...] = (
    (4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (4, b"free"), (4, b"wide"), (4, b"skip"),  # MP4, QuickTime
    (0, b"\x1a\x45\xdf\xa3"),  # Matroska, WebM
    (8, b"AVI "), (0, b"FLV\x01"), (0, b"OggS"), (0, b"GIF8"),
    (0, b"\x30\x26\xb2\x75"),  # ASF, WMV
    (0, b"\x00\x00\x01\xba"), (0, b"\x00\x00\x01\xb3"), (0, b"\x00\x00\x00\x01"), (0, b"\x47\x40"),  # MPEG, H.264, TS
)  # fmt: skip


def sniff(file: IO[bytes]) -> str:
    """One of npz, parquet, npy, safetensors, video, json, text, empty, unknown; the position is kept."""
    start = file.tell()
    head = file.read(4096)
    file.seek(start)
    if not head:
        return "empty"
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "npz"
    if head[:4] == b"PAR1":
        return "parquet"
    if head[:6] == b"\x93NUMPY":
        return "npy"
    if any(head[at : at + len(magic)] == magic for at, magic in VIDEO_MAGICS):
        return "video"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100 << 20:
        return "safetensors"
    return _text_kind(head)


def _text_kind(head: bytes) -> str:
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # not merely a character cut at the end of the sample
            return "unknown"
        text = head[: error.start].decode("utf-8-sig")
    if "\x00" in text:
        return "unknown"
    return "json" if text.lstrip()[:1] in ("{", "[") else "text"
