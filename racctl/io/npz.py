"""npz with a JSON meta document as its first member, deterministic to write and safe to read."""

from __future__ import annotations

import io
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Protocol, cast

import numpy as np

from racctl.contracts import (
    ARRAYS,
    MAX_META,
    Features,
    Mask,
    Meta,
    Pose,
    check_arrays,
    check_clock,
    dump_meta,
    known_schema,
    load_meta,
    mask_quality,
)
from racctl.errors import DataError
from racctl.io.bounds import MAX_MEMORY, file_size, refuse_bomb, refuse_large

MAX_STORED = 8 << 30  # of arrays that stand in the file as they are: a few kilobytes cannot stand for them
NPY_CHUNK_BYTES = 1 << 20
MAX_TRIED_FRAMES = 64  # frames on which a mask's layout on disk is decided


class Frames(Protocol):
    """(T, H, W) uint8 of 0 and 1, frame by frame: an array, or something that holds it in less memory."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, t: int, /) -> np.ndarray: ...


def write_npz(
    target: IO[bytes], schema: str, meta: Meta, arrays: dict[str, np.ndarray], *, deflate: bool = False
) -> None:
    """Write `arrays` after their meta document.

    Equal input gives equal bytes: no clocks, fixed member order.
    """
    write_arrays(target, {"meta": _meta_array(schema, meta), **arrays}, deflate=deflate)


def write_arrays(target: IO[bytes], arrays: dict[str, np.ndarray], *, deflate: bool = False) -> None:
    """Write a plain npz, the same bytes for the same arrays.

    On an error nothing of it is left open: what numpy.savez leaves writes the end of the archive when it is collected,
    and fails again.
    """
    method = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    with zipfile.ZipFile(target, "w", method) as archive:
        _write_members(archive, arrays)


def _meta_array(schema: str, meta: Meta) -> np.ndarray:
    return np.frombuffer(dump_meta({**meta, "schema": schema}), np.uint8)


def _write_members(archive: zipfile.ZipFile, arrays: dict[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        with _member(archive, name) as stream:
            np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Return a new member to write to, dated 1980-01-01."""
    entry = zipfile.ZipInfo(f"{name}.npy")
    entry.compress_type = archive.compression
    return archive.open(entry, "w", force_zip64=True)


def read_npz(source: IO[bytes], where: str) -> tuple[Meta, dict[str, np.ndarray]]:
    """Read any racctl npz; arrays of a known schema are checked against it.

    Raises DataError for anything that is not one, is cut short, holds pickled objects, or declares sizes that its bytes
    cannot back up (they are looked at before anything is allocated).
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
    if schema == Mask.schema:
        meta, arrays = _unpacked(meta, arrays, where)
    check_arrays(schema, arrays, where)
    return meta, arrays


def read_arrays(source: IO[bytes], where: str, skip: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Return every array of an npz, racctl's or not, but those to `skip`, under the same safeguards as `read_npz`."""
    try:
        with zipfile.ZipFile(source) as archive:
            _refuse_bombs(archive, file_size(source), where)
            members = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            return {name: _read_member(archive, members[name], where) for name in members if name not in skip}
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


def _refuse_bombs(archive: zipfile.ZipFile, size: int, where: str) -> None:
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names):
        raise DataError(f"'{where}' names the same array twice")
    if any(not name.endswith(".npy") or "/" in name or "\\" in name for name in names):
        raise DataError(f"'{where}' is a zip file with members that are not npz arrays")
    stored = [entry for entry in entries if entry.compress_type == zipfile.ZIP_STORED]
    if any(entry.file_size != entry.compress_size for entry in stored) or any(e.compress_size > size for e in entries):
        raise DataError(f"'{where}' declares arrays that are larger than the file")
    packed = [entry for entry in entries if entry not in stored]
    refuse_large(sum(entry.file_size for entry in packed), where)
    if sum(entry.file_size for entry in stored) > MAX_STORED:
        raise DataError(f"'{where}' is too large: it holds more than {MAX_STORED >> 30} GiB of arrays; split it")
    for entry in packed:
        if entry.filename != "mask.npy":  # silhouettes may be mostly empty and shrink a thousandfold
            refuse_bomb(entry.file_size, entry.compress_size, where)


def _read_member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, where: str) -> np.ndarray:
    name = entry.filename.removesuffix(".npy")
    try:
        with archive.open(entry) as stream:
            return read_npy(stream, entry.file_size, f"{where}: {name}")
    except zlib.error as error:
        raise DataError(f"'{where}': '{name}' is damaged ({error})") from None


def read_npy(stream: IO[bytes], length: int, where: str) -> np.ndarray:
    """Return one npy array from a stream of `length` bytes: numpy.load without its trust.

    Raises DataError for pickled objects, for a damaged header, and for a shape that the bytes do not back up.
    """
    try:
        shape, fortran, dtype = read_npy_header(stream)
        if dtype.hasobject:
            raise DataError(f"'{where}' holds pickled Python objects; save the plain array instead")
        size, held = int(np.prod(shape, dtype=object)) * dtype.itemsize, length - stream.tell()
        if min(shape, default=0) < 0 or size != held:
            raise DataError(f"'{where}' declares an array of shape {shape} ({size} bytes) and holds {held} bytes")
        return _filled(stream, held, where).view(dtype).reshape(shape, order="F" if fortran else "C")
    except (ValueError, TypeError, OverflowError, RecursionError, SyntaxError, tokenize.TokenError) as error:
        reason = (str(error).splitlines() or ["damaged"])[0].lower()
        raise DataError(f"'{where}' is not a whole npy array ({reason})") from None


def _filled(stream: IO[bytes], size: int, where: str) -> np.ndarray:
    """Return (size,) uint8, read piece by piece into the array itself."""
    out = np.empty(size, np.uint8)
    window = memoryview(out.data)
    place = 0
    while place < size:
        count = cast("io.BufferedIOBase", stream).readinto(window[place : place + NPY_CHUNK_BYTES])
        if not count:
            raise DataError(f"'{where}' is cut short: {place} of {size} bytes are there")
        place += count
    return out


def read_npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read the header of an npy array: its shape, whether it is in Fortran order, and its dtype."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # numpy's advice to rewrite files of Python 2
        return read(stream)


def write_pose(target: IO[bytes], pose: Pose) -> None:
    """Write a racctl.pose/1 npz."""
    write_npz(target, Pose.schema, pose.meta, pose.arrays())


def read_pose(source: IO[bytes], where: str) -> Pose:
    """Read and check a racctl.pose/1 npz.

    Raises DataError says what else it holds and which tool makes poses.
    """
    meta, arrays = read_npz(source, where)
    if meta["schema"] != Pose.schema:
        raise DataError(f"'{where}' holds {meta['schema']}, expected {Pose.schema}; run 'racctl pose' first")
    members = {name: arrays[name] for name in ARRAYS[Pose.schema] if name in arrays}
    return Pose(meta=meta, **members).check(where)


def pose_bytes(pose: Pose) -> bytes:
    """Return the npz as bytes, whole."""
    buffer = io.BytesIO()
    write_pose(buffer, pose)
    return buffer.getvalue()


def write_mask(target: IO[bytes], mask: Mask) -> None:
    """Write a racctl.mask/1 npz, deflated; `coverage` and `empty` are put into its meta document."""
    filled = mask.mask.mean((1, 2)) if mask.mask.size else np.zeros(len(mask.mask))
    write_frames(target, {**mask.meta, **mask_quality(filled)}, mask.mask, mask.frame, mask.time)


def write_frames(target: IO[bytes], meta: Meta, masks: Frames, frame: np.ndarray, time: np.ndarray) -> None:
    """Write masks that are not in memory as an array, as `write_mask` does; one frame is held at a time.

    Eight pixels of a row go into one byte where that makes a smaller file, which the first frames tell; the width is
    then in the meta document, under `packed`, until somebody reads the file. DataError for what `read_mask` refuses.
    """
    check_clock(frame, time, "the mask")
    height, width = masks.shape[1:]
    if np.prod(masks.shape, dtype=object) > MAX_MEMORY:
        raise DataError(f"{len(frame)} masks of {width}x{height} pixels are more than one file may hold; use '--size'")
    packed = _is_smaller_packed(masks)
    shape = (len(frame), height, -(-width // 8) if packed else width)
    noted = {**meta, "packed": {"width": width}} if packed else meta
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        _write_members(archive, {"meta": _meta_array(Mask.schema, noted)})
        with _member(archive, "mask") as stream:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            for mask in _each(masks):
                stream.write((np.packbits(mask, axis=-1) if packed else mask).tobytes())
        _write_members(archive, {"frame": frame, "time": time})


def _each(masks: Frames, count: int | None = None) -> Iterator[np.ndarray]:
    """Yield (H, W) uint8 of all frames, or of `count` evenly spaced ones."""
    total = masks.shape[0]
    chosen = range(total) if count is None or count >= total else [total * k // count for k in range(count)]
    for t in chosen:
        yield np.ascontiguousarray(masks[t], np.uint8)


def _is_smaller_packed(masks: Frames) -> bool:
    """Return whether bits deflate to less than bytes; of silhouettes usually, of very regular patterns not."""
    sizes = []
    for layout in (lambda mask: np.packbits(mask, axis=-1), lambda mask: mask):
        press = zlib.compressobj()
        sizes.append(sum(len(press.compress(layout(mask).tobytes())) for mask in _each(masks, MAX_TRIED_FRAMES)))
        sizes[-1] += len(press.flush())
    return sizes[0] < sizes[1]


def _unpacked(meta: Meta, arrays: dict[str, np.ndarray], where: str) -> tuple[Meta, dict[str, np.ndarray]]:
    """Return a mask with one byte for each pixel, whatever the layout on disk."""
    if "packed" not in meta:
        return meta, arrays
    mask = arrays.get("mask")
    if mask is None or mask.dtype != np.uint8:
        raise DataError(f"'{where}' has a mask that is not packed the way its meta document says")
    width = packed_width(meta, mask.shape, where)
    refuse_large(mask.shape[0] * mask.shape[1] * width, where, f"{len(mask)} masks of {width}x{mask.shape[1]} pixels")
    unpacked_meta = {key: value for key, value in meta.items() if key != "packed"}
    return unpacked_meta, {**arrays, "mask": np.unpackbits(mask, axis=-1, count=width)}


def packed_width(meta: Meta, shape: tuple[int, ...], where: str) -> int:
    """Return the width of masks that have `shape` on disk, eight pixels in a byte.

    Raises DataError when that does not fit.
    """
    note = meta["packed"]
    width = note.get("width") if isinstance(note, dict) else None
    if type(width) is not int or width < 0 or len(shape) != 3 or shape[2] != -(-width // 8):
        raise DataError(f"'{where}' has a mask that is not packed the way its meta document says")
    return width


def read_mask(source: IO[bytes], where: str) -> Mask:
    """Read and check a racctl.mask/1 npz.

    Raises DataError says what else it holds and which tool makes masks.
    """
    meta, arrays = read_npz(source, where)
    if meta["schema"] != Mask.schema:
        raise DataError(f"'{where}' holds {meta['schema']}, expected {Mask.schema}; run 'racctl mask' first")
    return Mask(meta=meta, **{name: arrays[name] for name in ARRAYS[Mask.schema]}).check(where)


def write_features(target: IO[bytes], features: Features) -> None:
    """Write a racctl.features/1 npz.

    Arrays that are memory maps are copied piece by piece.
    """
    write_npz(target, Features.schema, features.meta, features.arrays())


def read_features(source: IO[bytes], where: str) -> Features:
    """Read and check a racctl.features/1 npz.

    Raises DataError says what else it holds and which tool makes features.
    """
    meta, arrays = read_npz(source, where)
    if meta["schema"] != Features.schema:
        raise DataError(f"'{where}' holds {meta['schema']}, expected {Features.schema}; run 'racctl encode' first")
    return Features(meta=meta, **{k: v for k, v in arrays.items() if k in ARRAYS[Features.schema]}).check(where)
