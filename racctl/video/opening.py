"""How PyAV is given a file."""

from __future__ import annotations

import io
from typing import IO

import av

# Titles in broken encodings must not make a video unreadable; PyAV 19 reads them leniently by itself.
LENIENT = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


class Cursor(io.RawIOBase):
    """A second reading position in a file that others read too. begin: the byte that it takes for the first."""

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
