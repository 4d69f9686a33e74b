"""What a file is, by its first bytes, never by its name."""

from __future__ import annotations

from typing import IO

from racctl.io.text import decoded_head

VIDEO_MAGICS: tuple[tuple[int, bytes], ...] = (
    (4, b"ftyp"),
    (4, b"moov"),
    (4, b"mdat"),
    (4, b"free"),
    (4, b"wide"),
    (4, b"skip"),  # MP4, QuickTime
    (0, b"\x1a\x45\xdf\xa3"),  # Matroska, WebM
    (8, b"AVI "),
    (0, b"FLV\x01"),
    (0, b"OggS"),
    (0, b"GIF8"),
    (0, b"\x30\x26\xb2\x75"),  # ASF, WMV
    (0, b"\x00\x00\x01\xba"),
    (0, b"\x00\x00\x01\xb3"),
    (0, b"\x00\x00\x00\x01"),
    (0, b"\x47\x40"),  # MPEG, H.264, TS
)


WORKBOOKS = ("[Content_Types].xml", "_rels/", "docProps/", "xl/", "mimetype")  # first in a zip of Excel or LibreOffice
OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # Excel's .xls

KIND_PHRASES = {
    "npz": "a zip or npz file",
    "unknown": "of an unknown kind",
    "spreadsheet": "a spreadsheet; save the sheet as CSV ('CSV UTF-8' in Excel)",
}


def sniff(file: IO[bytes]) -> str:
    """Return one of npz, parquet, npy, safetensors, video, spreadsheet, json, text, empty, unknown.

    The position is kept.
    """
    start = file.tell()
    head = file.read(4096)
    file.seek(start)
    if not head:
        return "empty"
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "spreadsheet" if _first_member(head).startswith(WORKBOOKS) else "npz"
    if head[:8] == OLE2:
        return "spreadsheet"
    if head[:4] == b"PAR1":
        return "parquet"
    if head[:6] == b"\x93NUMPY":
        return "npy"
    if any(head[at : at + len(magic)] == magic for at, magic in VIDEO_MAGICS):
        return "video"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100 << 20:
        return "safetensors"
    return _text_kind(head)


def kind_phrase(kind: str) -> str:
    """Return what `sniff` found, as messages say it: "is a zip or npz file"."""
    return KIND_PHRASES.get(kind, kind)


def _first_member(head: bytes) -> str:
    """Return the name of the first file in a zip archive."""
    length = int.from_bytes(head[26:28], "little")
    return head[30 : 30 + length].decode("ascii", "replace")


def _text_kind(head: bytes) -> str:
    text = decoded_head(head)
    if text is None:
        return "unknown"
    return "json" if text.lstrip()[:1] in ("{", "[") else "text"
