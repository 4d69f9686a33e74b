"""What crosses a pipe: the schemas, their checks, and the meta document that travels with every array and table.

Axis letters, one vocabulary in all docstrings: T frames, M people, V joints, S windows, C channels, H W pixels,
K classes. Intervals are half-open frame indices in the source video's numbering; times are seconds from the
container's own timestamps. A missing detection is NaN with score 0, never (0, 0, 0).
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from racctl.errors import DataError

Meta = dict[str, Any]

UNKNOWN_LABEL = "unknown"  # the label of something that a recogniser does not know
BACKGROUND = "background"  # the label of no exercise at all, whatever a data set calls it
MAX_META = 16 << 20  # bytes of a meta document
NUMBER_TYPES = (int, float)
SOURCE_KEYS: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "sha256": str,
    "fps": NUMBER_TYPES,
    "frames": int,
    "width": int,
    "height": int,
    "start_time": NUMBER_TYPES,
    "rotation": NUMBER_TYPES,
    "mirrored": bool,
    "stored_width": int,
    "stored_height": int,
    "pixel_aspect": str,
}


@dataclass(frozen=True)
class Array:
    """One member of an npz: numpy dtype code, axis letters (digits are literal sizes), whether it may be absent."""

    dtype: str
    axes: tuple[str, ...]
    optional: bool = False


ARRAYS: dict[str, dict[str, Array]] = {
    "racctl.pose/1": {
        "xyz": Array("f4", ("T", "M", "V", "3")),
        "world": Array("f4", ("T", "M", "V", "3"), optional=True),
        "score": Array("f4", ("T", "M", "V")),
        "frame": Array("i8", ("T",)),
        "time": Array("f8", ("T",)),
        "track": Array("i4", ("M",)),
    },
    "racctl.mask/1": {
        "mask": Array("u1", ("T", "H", "W")),
        "frame": Array("i8", ("T",)),
        "time": Array("f8", ("T",)),
    },
    "racctl.features/1": {
        "video": Array("f2", ("S", "C", "T'", "H'", "W'"), optional=True),
        "pose": Array("f2", ("S", "C''", "T''", "V", "1"), optional=True),  # channels and steps of its own
        "start": Array("i8", ("S",)),
        "stop": Array("i8", ("S",)),
        "start_s": Array("f8", ("S",), optional=True),
        "stop_s": Array("f8", ("S",), optional=True),
    },
}

# Angles in the order of their columns; `racctl.skeleton.angles` defines them.
ANGLE_NAMES = (
    "left_knee_flexion",
    "right_knee_flexion",
    "left_hip_flexion",
    "right_hip_flexion",
    "left_elbow_flexion",
    "right_elbow_flexion",
    "left_shoulder_elevation",
    "right_shoulder_elevation",
    "left_ankle_dorsiflexion",
    "right_ankle_dorsiflexion",
    "trunk_inclination",
)

# Tables: column -> type, in the writer's order. A trailing "?" marks a column that may be absent.
TABLE_COLUMNS: dict[str, dict[str, str]] = {
    "racctl.reps/1": {
        "clip": "string",
        "person": "int64",
        "rep": "int64",
        "start": "int64",
        "stop": "int64",
        "start_s": "float64",
        "stop_s": "float64",
        "label": "string",
        "part": "int64?",
        "confidence": "float64?",
    },
    "racctl.counts/1": {
        "clip": "string",
        "person": "int64",
        "count": "float64",
        "low": "float64",
        "high": "float64",
        "frames": "int64",
        "doubt": "string?",
        "density": "list<float32>?",
    },
    "racctl.labels/1": {
        "clip": "string",
        "start": "int64",
        "stop": "int64",
        "start_s": "float64",
        "stop_s": "float64",
        "label": "string",
        "prob": "float64?",
        "unknown": "float64?",
        "top": "string?",
        "probs": "list<float32>",
    },
    "racctl.scores/1": {
        "metric": "string",
        "value": "float64",
        "low": "float64",
        "high": "float64",
        "n": "int64",
        "group": "string",
    },
    "racctl.comparison/1": {
        "predictions": "string",
        "n": "int64",
        "n_missing": "int64",
        "n_zero_truth": "int64",
        "MAE": "float64",
        "MAE_low": "float64",
        "MAE_high": "float64",
        "MAE@0.1": "float64",
        "RMSE": "float64",
        "RMSE_low": "float64",
        "RMSE_high": "float64",
        "OBO": "float64",
        "OBO_low": "float64",
        "OBO_high": "float64",
        "OBZ": "float64",
        "OBZ_low": "float64",
        "OBZ_high": "float64",
        "rep_F1@0.5": "float64?",
        "border_error_s": "float64?",
        "MAE_change": "float64",
        "MAE_p": "float64",
        "OBO_gained": "int64",
        "OBO_lost": "int64",
        "OBO_p": "float64",
    },
    "racctl.angles/1": {
        "clip": "string",
        "person": "int64",
        "frame": "int64",
        "time_s": "float64",
        "space": "string",
        **{f"{angle}_deg": "float64?" for angle in ANGLE_NAMES},
        **{f"{angle}_deg_s": "float64?" for angle in ANGLE_NAMES},
    },
    "racctl.ranges/1": {
        "clip": "string",
        "person": "int64",
        "rep": "int64",
        "start": "int64",
        "stop": "int64",
        "start_s": "float64",
        "stop_s": "float64",
        "angle": "string",
        "side": "string",
        "space": "string",
        "low_deg": "float64",
        "high_deg": "float64",
        "range_deg": "float64",
        "peak_deg_s": "float64",
        "difference_deg": "float64",
        "difference_percent": "float64",
    },
    "racctl.log/1": {
        "clip": "string",
        "person": "int64",
        "set": "int64",
        "rep": "int64?",
        "exercise": "string",
        "start": "int64",
        "stop": "int64",
        "start_s": "float64",
        "stop_s": "float64",
        "seconds": "float64",
        "reps": "float64",
        "low": "float64",
        "high": "float64",
        "rep_s": "float64",
        "tempo": "string",
        "phases": "string",
        "angle": "string",
        "range_deg": "float64",
        "difference_deg": "float64",
        "difference_percent": "float64",
        "rest_s": "float64",
        "confidence": "float64",
        "prob": "float64",
        "doubt": "string?",
    },
    "racctl.problems/1": {"clip": "string", "line": "int64", "kind": "string", "what": "string"},
    "racctl.manifest/1": {
        "clip": "string",
        "split": "string",
        "video": "string",
        "pose": "string",
        "mask": "string",
        "features": "string",
        "count": "float64",
        "label": "string",
        "speed": "float64",
    },
}


# What may follow a clip's name in a table or a file name. Only these are cut off: a Countix name such as
# `9m9b5cdDcJQ_0.00000_6.91525` has a dot of its own.
VIDEO_SUFFIXES = (
    ".mp4",
    ".m4v",
    ".mov",
    ".qt",
    ".3gp",
    ".3g2",
    ".avi",
    ".divx",
    ".mkv",
    ".mk3d",
    ".webm",
    ".wmv",
    ".asf",
    ".flv",
    ".f4v",
    ".mpg",
    ".mpeg",
    ".mpe",
    ".m1v",
    ".m2v",
    ".mpv",
    ".vob",
    ".ts",
    ".mts",
    ".m2ts",
    ".m2t",
    ".tod",
    ".mod",
    ".ogv",
    ".ogm",
    ".mxf",
    ".nut",
    ".dv",
    ".gif",
    ".apng",
    ".h264",
    ".h26l",
    ".264",
    ".avc",
    ".h265",
    ".265",
    ".hevc",
    ".h266",
    ".266",
    ".vvc",
    ".h261",
    ".h263",
    ".vc1",
    ".mjpeg",
    ".mjpg",
    ".y4m",
    ".ivf",
    ".obu",
    ".av1",
    ".rm",
    ".rmvb",
    ".insv",
    ".lrv",
)
CLIP_SUFFIXES = (
    *VIDEO_SUFFIXES,
    ".npz",
    ".npy",
    ".mat",
    ".csv",
    ".tsv",
    ".json",
    ".pose",
    ".mask",
    ".features",
)
START_AND_END = re.compile(r"_\d+\.\d+_\d+\.\d+$")  # the seconds of a Countix name, which may end like a suffix: 6.265


def clip_stem(name: str) -> str:
    """Return the name that clips are matched by: without folder and media suffix, in Unicode's composed form."""
    readable = name.encode("utf-8", "replace").decode()  # a file name that is no UTF-8
    stem = unicodedata.normalize("NFC", readable.strip()).replace("\\", "/").rsplit("/", 1)[-1]
    if stem[:1] == "'" and stem[1:].lstrip()[:1] in ("=", "+", "-", "@"):
        stem = stem[1:].lstrip()  # racctl's own CSV output quotes such names, so that a spreadsheet does not run them
    while stem.lower().endswith(CLIP_SUFFIXES) and not stem.startswith(".") and not START_AND_END.search(stem):
        stem = stem[: stem.rindex(".")]
    return stem


def known_schema(schema: object, where: str) -> str:
    """Return `schema` if this version can read it.

    Raises DataError naming the file `where` otherwise.
    """
    if not isinstance(schema, str):
        raise DataError(f"'{where}' has no schema that racctl knows (found {schema!r:.60})")
    if schema in ARRAYS or schema in TABLE_COLUMNS or schema == "racctl.model/1":
        return schema
    known = {s.split("/")[0]: s for s in [*ARRAYS, *TABLE_COLUMNS, "racctl.model/1"]}
    kind = schema.split("/")[0]
    if kind in known:
        raise DataError(f"'{where}' holds {schema:.60}, this version reads {known[kind]}; upgrade racctl")
    raise DataError(f"'{where}' has no schema that racctl knows (found {schema!r:.60})")


def step(tool: str, version: str, **args: object) -> Meta:
    """Return one provenance entry.

    `args` are the options that shape the output (None is left out), never clocks, hosts or absolute paths.
    """
    recorded = {name: value for name, value in args.items() if value is not None}
    return {"tool": tool, "version": version, "args": recorded}


def with_step(meta: Meta, entry: Meta) -> Meta:
    """Return a copy of `meta` with `entry` appended to its provenance."""
    return {**meta, "steps": [*meta.get("steps", []), entry]}


def dump_meta(meta: Meta) -> bytes:
    """Return canonical UTF-8 JSON (sorted keys, no spaces): equal documents give equal bytes."""
    return json.dumps(meta, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode(
        "utf-8", "replace"
    )


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not valid JSON")


def _are_objects(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, dict) for value in values)


def load_meta(raw: bytes, where: str) -> Meta:
    """Parse a meta document.

    Raises DataError when it is not a JSON object, or one of the keys that racctl itself writes holds something else
    than it writes there.
    """
    if len(raw) > MAX_META:
        raise DataError(f"'{where}' has a meta document of {len(raw) >> 20} MiB; at most {MAX_META >> 20} are read")
    try:
        meta = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
        json.dumps(meta, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:  # also bad UTF-8, half characters and endless integers
        raise DataError(f"'{where}' has a damaged meta document ({error})") from None
    if not isinstance(meta, dict):
        raise DataError(f"'{where}' has a meta document that is not a JSON object")
    for key, kind in {"source": dict, "clip": str, "topology": str, "clips": dict}.items():
        if not isinstance(meta.get(key, kind()), kind):
            raise DataError(f"'{where}' has a damaged meta document: '{key}' is not a {kind.__name__}")
    for document in [meta, *meta.get("clips", {}).values()]:
        if not isinstance(document, dict) or not _are_objects(document.get("steps", [])):
            raise DataError(f"'{where}' has damaged provenance: 'steps' is not a list of objects")
        if not all(_are_objects(entry.get("weights", [])) for entry in document.get("steps", [])):
            raise DataError(f"'{where}' has damaged provenance: 'weights' is not a list of objects")
        _check_source(document.get("source", {}), where)
    return meta


def _check_source(source: object, where: str) -> None:
    """Raise DataError unless what is said of the video are words and numbers; null is unknown."""
    if not isinstance(source, dict):
        raise DataError(f"'{where}' has a damaged meta document: 'source' is not a dict")
    for key, kind in SOURCE_KEYS.items():
        value = source.get(key)
        is_kind = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if value is not None and not is_kind:
            raise DataError(f"'{where}' has a damaged meta document: 'source' has {value!r:.40} as '{key}'")


def check_arrays(schema: str, arrays: dict[str, np.ndarray], where: str) -> dict[str, int]:
    """Hold `arrays` against `schema`: members, dtypes, axes that agree.

    Returns the size of every axis letter.
    """
    sizes: dict[str, int] = {}
    for name, spec in ARRAYS[schema].items():
        if name not in arrays:
            if spec.optional:
                continue
            raise DataError(f"'{where}' lacks the array '{name}' of {schema}")
        array = arrays[name]
        if array.dtype != np.dtype(spec.dtype):
            raise DataError(f"'{where}': '{name}' is {array.dtype}, {schema} needs {np.dtype(spec.dtype)}")
        if array.ndim != len(spec.axes):
            raise DataError(f"'{where}': '{name}' has shape {array.shape}, {schema} needs ({', '.join(spec.axes)})")
        for letter, size in zip(spec.axes, array.shape, strict=True):
            expected = int(letter) if letter.isdigit() else sizes.setdefault(letter, size)
            if size != expected:
                raise DataError(f"'{where}': '{name}' has shape {array.shape}, axis {letter} should be {expected}")
    return sizes


@dataclass
class Pose:
    """Landmarks of one clip, schema racctl.pose/1.

    xyz: (T, M, V, 3) float32; x, y in pixels (origin top left, y down), z on the scale of x; NaN where undetected.
    world: (T, M, V, 3) float32 metres, hip-centred, or None.
    score: (T, M, V) float32 in 0..1, 0 where undetected.
    frame: (T,) int64 source frame numbers, ascending.
    time: (T,) float64 seconds, ascending.
    track: (M,) int32.
    meta: clip, source, steps, topology.
    """

    xyz: np.ndarray
    score: np.ndarray
    frame: np.ndarray
    time: np.ndarray
    track: np.ndarray
    meta: Meta = field(default_factory=dict)
    world: np.ndarray | None = None

    schema = "racctl.pose/1"

    @property
    def clip(self) -> str:
        return self.meta.get("clip", "")

    @property
    def topology(self) -> str:
        return self.meta.get("topology", "blazepose33")

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the npz members, in the schema's order."""
        members = {name: getattr(self, name) for name in ARRAYS[self.schema]}
        return {name: array for name, array in members.items() if array is not None}

    def chosen(self, person: str) -> list[int]:
        """Return the indices of people on axis M.

        person: "all", a track's number, or "main": the track that `meta` calls so, else the person seen longest and
        largest.
        """
        if person == "all":
            return list(range(len(self.track)))
        if person != "main":
            if int(person) not in self.track:
                tracks = ", ".join(map(str, self.track))
                raise DataError(f"clip '{self.clip}' has no person {person}; its tracks are {tracks}")
            return [int(np.flatnonzero(self.track == int(person))[0])]
        if not len(self.track):
            return []
        if self.meta.get("main") in self.track.tolist():
            return [int(np.flatnonzero(self.track == self.meta["main"])[0])]
        xy = self.xyz[..., :2]
        seen = np.isfinite(xy).all(-1)
        high = np.where(seen[..., None], xy, -np.inf).max(2) - np.where(seen[..., None], xy, np.inf).min(2)
        size = np.where(seen.any(2), np.hypot(high[..., 0], high[..., 1]), 0.0)  # (T, M) diagonal, pixels
        return [int(size.sum(0).argmax())]

    def check(self, where: str) -> Pose:
        """Raise DataError, naming `where`, unless this is a sound racctl.pose/1; returns self."""
        check_arrays(self.schema, self.arrays(), where)
        check_clock(self.frame, self.time, where)
        if not np.isfinite(self.score).all() or self.score.min(initial=0) < 0 or self.score.max(initial=0) > 1:
            raise DataError(f"'{where}': 'score' holds values outside 0..1")
        if np.isinf(self.xyz).any():
            raise DataError(f"'{where}': 'xyz' holds infinite values")
        if len(np.unique(self.track)) != len(self.track):
            raise DataError(f"'{where}': 'track' names the same person twice")
        return self


@dataclass
class Mask:
    """Where the person is, frame by frame, schema racctl.mask/1.

    mask: (T, H, W) uint8, 1 on the person and 0 elsewhere, all 0 where nobody was found; H, W cover the whole upright
        picture, at whatever size.
    frame: (T,) int64 source frame numbers, ascending.
    time: (T,) float64 seconds, ascending.
    meta: clip, source, steps.
    """

    mask: np.ndarray
    frame: np.ndarray
    time: np.ndarray
    meta: Meta = field(default_factory=dict)

    schema = "racctl.mask/1"

    @property
    def clip(self) -> str:
        return self.meta.get("clip", "")

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the npz members, in the schema's order."""
        return {name: getattr(self, name) for name in ARRAYS[self.schema]}

    def check(self, where: str) -> Mask:
        """Raise DataError, naming `where`, unless this is a sound racctl.mask/1; returns self."""
        check_arrays(self.schema, self.arrays(), where)
        check_clock(self.frame, self.time, where)
        if self.mask.max(initial=0) > 1:
            raise DataError(f"'{where}': 'mask' holds values other than 0 and 1")
        return self


@dataclass
class Features:
    """Tokens of one clip's windows, or of its repetitions, schema racctl.features/1.

    video: (S, C, T', H', W') float16, or None.
    pose: (S, C'', T'', V, 1) float16, or None.
    start, stop: (S,) int64, the source frames that each window covers.
    start_s, stop_s: (S,) float64 the same in seconds, or None.
    meta: clip, source, steps, span ("windows", "repetitions" or "moments"), window, stride, rate, and for each of video
        and pose encoder, digest, sampled (frames that it is shown) and frames_per_token.
    """

    start: np.ndarray
    stop: np.ndarray
    meta: Meta = field(default_factory=dict)
    video: np.ndarray | None = None
    pose: np.ndarray | None = None
    start_s: np.ndarray | None = None
    stop_s: np.ndarray | None = None

    schema = "racctl.features/1"

    @property
    def clip(self) -> str:
        return self.meta.get("clip", "")

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the npz members, in the schema's order."""
        members = {name: getattr(self, name) for name in ARRAYS[self.schema]}
        return {name: array for name, array in members.items() if array is not None}

    def check(self, where: str) -> Features:
        """Raise DataError, naming `where`, unless this is a sound racctl.features/1; returns self."""
        check_arrays(self.schema, self.arrays(), where)
        if self.video is None and self.pose is None:
            raise DataError(f"'{where}' holds neither video nor pose features")
        if (self.start_s is None) != (self.stop_s is None):
            raise DataError(f"'{where}' has the seconds of windows' beginnings or ends alone")
        for name in ("video", "pose"):
            tokens = getattr(self, name)
            if (tokens is not None) != isinstance(self.meta.get(name), dict):
                raise DataError(f"'{where}' does not say in its meta document what its '{name}' is, or has none")
            if tokens is not None and not all(np.isfinite(part).all() for part in tokens):
                raise DataError(f"'{where}': '{name}' holds values that are not finite")
        if (self.stop <= self.start).any() or (self.start < 0).any():
            raise DataError(f"'{where}' has windows without a frame")
        return self


def mask_quality(filled: np.ndarray) -> dict[str, float]:
    """Return the two figures of a mask's quality, from the share of the picture that each frame's mask covers, (T,).

    `coverage`, its mean, and `empty`, the share of frames without any.
    """
    if not len(filled):
        return {"coverage": 0.0, "empty": 0.0}
    return {"coverage": round(float(filled.mean()), 6), "empty": round(float((filled == 0).mean()), 6)}


def check_clock(frame: np.ndarray, time: np.ndarray, where: str) -> None:
    """Raise DataError unless frames and times are finite and strictly ascending."""
    if not np.isfinite(time).all():
        raise DataError(f"'{where}': 'time' holds values that are not finite")
    if len(frame) and (frame[0] < 0 or frame[-1] >= 1 << 53):
        raise DataError(f"'{where}': 'frame' holds numbers that no video has")
    if (np.diff(frame) <= 0).any() or (np.diff(time) <= 0).any():
        raise DataError(f"'{where}': 'frame' and 'time' must be ascending, from frame 0 on")
