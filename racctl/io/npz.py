"""npz with a JSON meta document as its first member, deterministic to write and safe to read."""

from __future__ import annotations

import io
import tokenize
import warnings
import zipfile
import zlib
from typing import IO

import numpy as np

from racctl.contracts import ARRAYS, Meta, Pose, check_arrays, dump_meta, known_schema, load_meta
from racctl.errors import DataError

MAX_BYTES = 8 << 30  # of one file's arrays, unpacked
BOMB_RATIO = 200  # unpacked : packed, allowed beyond BOMB_FLOOR bytes; numeric data never gets there
BOMB_FLOOR = 256 << 20
MAX_META = 16 << 20


def write_npz(
    target: IO[bytes], schema: str, meta: Meta, arrays: dict[str, np.ndarray], *, deflate: bool = False
) -> None:
    """Write `arrays` after their meta document. Equal input gives equal bytes: no clocks, fixed member order."""
    members = {"meta": np.frombuffer(dump_meta({**meta, "schema": schema}), np.uint8), **arrays}
    method = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, array in members.items():
            entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980-01-01
            entry.compress_type = method
            with archive.open(entry, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)


def read_npz(source: IO[bytes], where: str) -> tuple[Meta, dict[str, np.ndarray]]:
    """Read any racctl npz; arrays of a known schema are checked against it.

    Raises DataError for anything that is not one, is cut short, holds pickled objects, or declares sizes that
    its bytes cannot back up (they are looked at before anything is allocated).
    """
    arrays = read_arrays(source, where)
    if "meta" not in arrays:
        raise DataError(f"'{where}' is an npz without a racctl meta document; 'racctl remap-joints' reads pose arrays")
    raw = arrays.pop("meta")
    if raw.dtype != np.uint8 or raw.ndim != 1 or raw.size > MAX_META:
        raise DataError(f"'{where}' has a damaged meta document")
    meta = load_meta(raw.tobytes(), where)
    schema = known_schema(meta.get("schema"), where)
    if schema not in ARRAYS:
        raise DataError(f"'{where}' is an npz that claims to hold {schema}, which is not an array schema")
    check_arrays(schema, arrays, where)
    return meta, arrays


def read_arrays(source: IO[bytes], where: str) -> dict[str, np.ndarray]:
    """Every array of an npz, racctl's or not, under the same safeguards as `read_npz`."""
    try:
        with zipfile.ZipFile(source) as archive:
            _refuse_bombs(archive, where)
            members = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            return {name: _read_member(archive, entry, where) for name, entry in members.items()}
    except (
        zipfile.BadZipFile,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        OSError,
        OverflowError,
    ) as error:
        raise DataError(f"'{where}' is not a whole npz file ({str(error).lower() or 'cut short'})") from None


def _refuse_bombs(archive: zipfile.ZipFile, where: str) -> None:
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names):
        raise DataError(f"'{where}' names the same array twice")
    if any(not name.endswith(".npy") or "/" in name or "\\" in name for name in names):
        raise DataError(f"'{where}' is a zip file with members that are not npz arrays")
    total = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    if total > MAX_BYTES or (total > BOMB_FLOOR and total > BOMB_RATIO * max(packed, 1)):
        raise DataError(f"'{where}' would unpack {packed} bytes to {total}; refusing (zip bomb?)")


def _read_member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, where: str) -> np.ndarray:
    name = entry.filename.removesuffix(".npy")
    try:
        with archive.open(entry) as stream:
            return read_npy(stream, entry.file_size, f"{where}: {name}")
    except zlib.error as error:
        raise DataError(f"'{where}': '{name}' is damaged ({error})") from None


def read_npy(stream: IO[bytes], length: int, where: str) -> np.ndarray:
    """One npy array from a stream of `length` bytes: numpy.load without its trust.

    DataError for pickled objects, for a damaged header, and for a shape that the bytes do not back up."""
    try:
        shape, fortran, dtype = _npy_header(stream)
        if dtype.hasobject:
            raise DataError(f"'{where}' holds pickled Python objects; save the plain array instead")
        size, held = int(np.prod(shape, dtype=object)) * dtype.itemsize, length - stream.tell()
        if min(shape, default=0) < 0 or size != held:
            raise DataError(f"'{where}' declares an array of shape {shape} ({size} bytes) and holds {held} bytes")
        return np.frombuffer(bytearray(stream.read()), dtype).reshape(shape, order="F" if fortran else "C")
    except (ValueError, TypeError, OverflowError, RecursionError, SyntaxError, tokenize.TokenError) as error:
        reason = (str(error).splitlines() or ["damaged"])[0].lower()
        raise DataError(f"'{where}' is not a whole npy array ({reason})") from None


def _npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # numpy's advice to rewrite files of Python 2
        return read(stream)


def write_pose(target: IO[bytes], pose: Pose) -> None:
    """Write a racctl.pose/1 npz."""
    write_npz(target, Pose.schema, pose.meta, pose.arrays())


def read_pose(source: IO[bytes], where: str) -> Pose:
    """Read and check a racctl.pose/1 npz; DataError says what else it holds and which tool makes poses."""
    meta, arrays = read_npz(source, where)
    if meta["schema"] != Pose.schema:
        raise DataError(f"'{where}' holds {meta['schema']}, expected {Pose.schema}; run 'racctl pose' first")
    members = {name: arrays[name] for name in ARRAYS[Pose.schema] if name in arrays}
    return Pose(meta=meta, **members).check(where)


def pose_bytes(pose: Pose) -> bytes:
    """The npz as bytes, whole."""
    buffer = io.BytesIO()
    write_pose(buffer, pose)
    return buffer.getvalue()
