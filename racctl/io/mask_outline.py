"""What a racctl.mask/1 holds, told frame by frame: the masks are never in memory as a whole."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np

from racctl.contracts import Mask, Meta, check_clock
from racctl.errors import DataError
from racctl.io.bounds import refuse_large
from racctl.io.npz import packed_width, read_arrays, read_npy_header

BITS = np.array([bin(value).count("1") for value in range(256)], np.uint8)


@dataclass(frozen=True)
class MaskOutline:
    """What a mask file holds, without its pixels.

    shape: (T, H, W) of the masks.
    frame, time: (T,) of the source.
    filled: (T,) float64, the share of the picture that each covers.
    """

    meta: Meta
    shape: tuple[int, int, int]
    frame: np.ndarray
    time: np.ndarray
    filled: np.ndarray


def outline_mask(source: IO[bytes], meta: Meta, where: str) -> MaskOutline:
    """Return the outline of the mask in an npz with the meta document `meta`.

    Raises DataError for what `read_mask` refuses.
    """
    arrays = read_arrays(source, where, skip=("mask",))
    frame, time = (_clock_array(arrays, name, kind, where) for name, kind in (("frame", "i8"), ("time", "f8")))
    check_clock(frame, time, where)
    try:
        with zipfile.ZipFile(source) as archive, archive.open("mask.npy") as stream:
            shape, width = _layout(stream, meta, where)
            if shape[0] != len(frame):
                raise DataError(f"'{where}': 'mask' has shape {shape}, axis T should be {len(frame)}")
            filled = np.array([_share(data, shape, width, where) for data in _frames(stream, shape, where)])
    except KeyError:
        raise DataError(f"'{where}' lacks the array 'mask' of {Mask.schema}") from None
    except (zlib.error, zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        raise DataError(f"'{where}': 'mask' is damaged ({error})") from None
    return MaskOutline(meta, (shape[0], shape[1], width or shape[2]), frame, time, filled)


def _clock_array(arrays: dict[str, np.ndarray], name: str, kind: str, where: str) -> np.ndarray:
    array = arrays.get(name)
    if array is None or array.dtype != np.dtype(kind) or array.ndim != 1:
        raise DataError(f"'{where}' has no sound array '{name}' of {Mask.schema}")
    return array


def _layout(stream: IO[bytes], meta: Meta, where: str) -> tuple[tuple[int, int, int], int]:
    """Return the shape on disk, and the width of packed masks, 0 for others."""
    shape, fortran, dtype = read_npy_header(stream)
    if dtype != np.uint8 or len(shape) != 3 or fortran or min(shape) < 0:
        raise DataError(f"'{where}': 'mask' is {dtype} {shape}, {Mask.schema} needs uint8 (T, H, W)")
    width = packed_width(meta, shape, where) if "packed" in meta else 0
    refuse_large(shape[0] * shape[1] * (width or shape[2]), where, f"{shape[0]} masks")
    return (shape[0], shape[1], shape[2]), width


def _frames(stream: IO[bytes], shape: tuple[int, ...], where: str) -> Iterator[bytes]:
    size = shape[1] * shape[2]
    for t in range(shape[0]):
        data = stream.read(size)
        if len(data) != size:
            raise DataError(f"'{where}': 'mask' is cut short at frame {t} of {shape[0]}")
        yield data


def _share(data: bytes, shape: tuple[int, ...], width: int, where: str) -> float:
    """Return the share of the picture that one mask covers."""
    rows = np.frombuffer(data, np.uint8).reshape(shape[1:])
    pixels = shape[1] * (width or shape[2])
    if not pixels:
        return 0.0
    if width:
        spare = 8 * shape[2] - width  # bits at the end of each row that are no pixels
        last = rows[:, -1] >> spare << spare
        return float(BITS[rows[:, :-1]].sum(dtype=np.int64) + BITS[last].sum(dtype=np.int64)) / pixels
    if rows.max(initial=0) > 1:
        raise DataError(f"'{where}': 'mask' holds values other than 0 and 1")
    return float(rows.sum(dtype=np.int64)) / pixels
