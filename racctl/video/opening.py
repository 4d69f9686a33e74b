"""How PyAV is given a file."""

from __future__ import annotations

import io
from typing import IO, Any, cast

import av

# Titles in broken encodings must not make a video unreadable; PyAV 19 reads them leniently by itself.
LENIENT: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


def open_container(file: IO[bytes], options: dict[str, str] | None = None) -> av.container.InputContainer:
    """Open a video file for reading, however its titles are encoded.

    options: of FFmpeg's demuxer.

    Raises what PyAV raises.
    """
    return av.open(file, "r", options=options, **LENIENT)


def second_reader(file: IO[bytes], begin: int = 0) -> IO[bytes]:
    """Return a second reading position in a file that others read too.

    begin: the byte that it takes for the first.
    """
    return cast("IO[bytes]", Cursor(file, begin))  # a raw stream has all of IO that readers use


class Cursor(io.RawIOBase):
    """A second reading position in a file that others read too.

    begin: the byte that it takes for the first.
    """

    def __init__(self, file: IO[bytes], begin: int = 0) -> None:
        self.file = file
        self.begin = begin
        self.position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.position}.get(whence)
        if base is None:
            base = self.file.seek(0, io.SEEK_END) - self.begin
        self.position = max(0, base + offset)
        return self.position

    def read(self, size: int = -1) -> bytes:
        self.file.seek(self.begin + self.position)
        data = self.file.read(size)
        self.position += len(data)
        return data
