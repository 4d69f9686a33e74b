"""What a file is: schema, shapes, provenance, licences of the weights used."""

from __future__ import annotations

import json
from typing import IO, Any

import numpy as np

from racctl.contracts import TABLE_COLUMNS, Mask, Meta, load_meta
from racctl.errors import DataError
from racctl.io.bounds import json_memory, refuse_large
from racctl.io.mask_outline import MaskOutline, outline_mask
from racctl.io.npz import read_npz
from racctl.io.sniff import kind_phrase, sniff
from racctl.io.spool import display_name, open_input, sha256
from racctl.io.up_to_date import document

MAX_DECODED = 4 << 30  # pixels of a video that is decoded to see what is lost; some 20 s of work
NOT_DECODED = "pictures that cannot be decoded are not looked for in a video as long as this"
MAX_HEADER = 100 << 20  # bytes; safetensors' own bound


def describe(source: str) -> dict[str, Any]:
    """Return a JSON-able description of one file ("-" is stdin): kind, schema, clip, source, contents, steps, sha256.

    Raises DataError for what is neither ours nor a video.
    """
    where = display_name(source)
    with open_input(source) as file:
        kind = sniff(file)
        if kind not in DESCRIBERS:
            raise DataError(
                f"'{where}' is {kind_phrase(kind)}, expected a racctl npz, Parquet or safetensors file, or a video"
            )
        basics = {"file": where, "sha256": sha256(file), "kind": kind.replace("unknown", "video")}
        return {**basics, **DESCRIBERS[kind](file, where), **basics}


def _npz(file: IO[bytes], where: str) -> dict[str, Any]:
    known = document(file, where)
    if known.get("schema") == Mask.schema:
        return _mask(file, known, where)
    meta, arrays = read_npz(file, where)
    contents = {name: f"{array.dtype} {array.shape}" for name, array in arrays.items()}
    return {**_document(meta), "contents": contents, **_coverage(meta["schema"], arrays)}


def _mask(file: IO[bytes], meta: Meta, where: str) -> dict[str, Any]:
    """Describe a mask file; masks are many times larger than it, so they are looked at one by one."""
    outline = outline_mask(file, meta, where)
    contents = {"mask": f"uint8 {outline.shape}"}
    contents |= {name: f"{array.dtype} {array.shape}" for name, array in _clock(outline).items()}
    about = {key: value for key, value in _document(meta).items() if key != "packed"}
    return {**about, "contents": contents, **_mask_coverage(outline)}


def _clock(outline: MaskOutline) -> dict[str, np.ndarray]:
    return {"frame": outline.frame, "time": outline.time}


def _mask_coverage(outline: MaskOutline) -> dict[str, Any]:
    if not len(outline.time):
        return {}
    summary = _length(outline.time)
    summary["person_found"] = f"{(outline.filled > 0).mean():.1%} of frames"
    summary["person_covers"] = f"{outline.filled.mean():.1%} of the picture"
    return summary


def _length(time: np.ndarray) -> dict[str, Any]:
    return {"frames": len(time), "seconds": f"{time[0]:.3f} .. {time[-1]:.3f}"}


def _coverage(schema: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return what a person wants to know first about a pose: how long it is, how much of it is there."""
    if "time" not in arrays or not len(arrays["time"]):
        return {}
    summary = _length(arrays["time"])
    if schema.startswith("racctl.pose/"):
        seen = (arrays["score"] > 0).any((1, 2)).mean()
        summary["person_found"] = f"{seen:.1%} of frames"
    return summary


def _parquet(file: IO[bytes], where: str) -> dict[str, Any]:
    from racctl.io.parquet import read_table

    meta, table = read_table(file, where)
    extra = [name for name in table.column_names if name not in TABLE_COLUMNS[meta["schema"]]]
    contents = {field.name: str(field.type) for field in table.schema}
    more = {"extra_columns": extra} if extra else {}
    return {**_document(meta), "rows": table.num_rows, "contents": contents, **more}


def _safetensors(file: IO[bytes], where: str) -> dict[str, Any]:
    """Return the header alone tells everything; the weights are not read."""
    size = int.from_bytes(file.read(8), "little")
    whole = file.seek(0, 2)
    file.seek(8)
    try:
        if size > min(MAX_HEADER, whole):
            raise ValueError("its header is longer than the file")
        raw = file.read(size)
        refuse_large(json_memory(raw), where, "its header")
        header = json.loads(raw)
        words = header.pop("__metadata__", {})
        tensors = {name: f"{entry['dtype']} {tuple(entry['shape'])}" for name, entry in header.items()}
        parameters = sum(int(np.prod(entry["shape"], dtype=object)) for entry in header.values())
        if 8 + size + max((entry["data_offsets"][1] for entry in header.values()), default=0) != whole:
            raise ValueError("cut short or padded")
        meta = load_meta(words["racctl"].encode(), where) if "racctl" in words else dict(words)
        licences(meta)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise DataError(f"'{where}' is not a whole safetensors file ({error})") from None
    return {**_document(meta), "parameters": parameters, "contents": tensors}


def _video(file: IO[bytes], where: str) -> dict[str, Any]:
    from racctl.video.decode import probe
    from racctl.video.span import losses_of

    video = probe(file, where)
    about = {key: value for key, value in video.source().items() if key not in ("name", "sha256")}
    seconds = round(video.duration, 3)
    missing = {"missing": f"{video.ending.line()} at the end: the file is cut short"} if video.ending.missing else {}
    is_decoded = video.frames * video.width * video.height <= MAX_DECODED
    lines = {
        "losses": losses_of(file, video, where).clauses() if is_decoded else [NOT_DECODED],
        "notes": [*video.ending.remarks, *video.remarks],
    }
    remarks = {name: "; ".join(clauses) for name, clauses in lines.items() if clauses}
    return {**about, "seconds": seconds, "audio": video.audio, **missing, **remarks}


DESCRIBERS = {"npz": _npz, "parquet": _parquet, "safetensors": _safetensors, "video": _video, "unknown": _video}


def _document(meta: Meta) -> dict[str, Any]:
    """Return the meta document, schema first and provenance last."""
    first: Meta = {key: meta[key] for key in ("schema", "clip") if key in meta}
    remainder = {key: value for key, value in meta.items() if key not in (*first, "steps")}
    return {**first, **remainder, "steps": meta.get("steps", []), "licences": licences(meta)}


def licences(meta: Meta) -> list[str]:
    """Return `name: licence` of all weights that the steps name, each once."""
    lines: dict[str, None] = {}
    for part in [meta, *meta.get("clips", {}).values()]:
        for entry in part.get("steps", []):
            for weights in entry.get("weights", []):
                lines[f"{weights.get('name', '?')}: {weights.get('licence', 'unknown')}"] = None
    return list(lines)
