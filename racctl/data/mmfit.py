"""MM-Fit (Stromback et al. 2020): 21 workouts of 11 classes at 30 frames/s, with 2-D and 3-D pose but no pictures.

The RGB video was never released (github.com/KDMStromback/mm-fit issue 4): whoever has it, or re-recorded the like,
names its folder. The pose arrays that were released can serve as a prior: `mmfit_pose`. Facts of the files are from
the authors' code (utils/dataset.py, train_multimodal_ar.py) and from users who opened them.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from racctl import __version__
from racctl.contracts import BACKGROUND, Meta, Pose, step
from racctl.data.class_names import exercise
from racctl.data.intervals import Interval, LabelledClip, PlacedInterval, checked_intervals
from racctl.data.tables import read_text
from racctl.errors import DataError
from racctl.io.npz import read_npy
from racctl.io.spool import open_input
from racctl.skeleton.topology import NTU25, OPENPOSE18, Topology

FPS = 30.0
WORKOUT = re.compile(r"w\d\d")
COLUMNS = ("start_frame", "end_frame", "reps", "activity")  # of the label files, which have no header
ACTIVITIES = (
    "squats",
    "lunges",
    "bicep_curls",
    "situps",
    "pushups",
    "tricep_extensions",
    "dumbbell_rows",
    "jumping_jacks",
    "dumbbell_shoulder_press",
    "lateral_shoulder_raises",
    "non_activity",
)
MMFIT_CLASSES = tuple(exercise(name) for name in ACTIVITIES)  # in the authors' order; the last is BACKGROUND
MMFIT_SPLITS = {  # as published; the unseen test's people are in no other split
    "train": ("w01", "w02", "w03", "w04", "w06", "w07", "w08", "w16", "w17", "w18"),
    "val": ("w14", "w15", "w19"),
    "test": ("w09", "w10", "w11"),
    "unseen_test": ("w00", "w05", "w12", "w13", "w20"),
}

# The joints of pose_3d, Human3.6M's 17, in the words of Kinect's skeleton. It has no hands, thumbs and feet.
H36M = (
    "spine_base",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "spine_mid",
    "spine_shoulder",
    "nose",
    "head_top",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
)
H36M_MIDPOINTS = {"neck": ("spine_shoulder", "nose"), "head": ("nose", "head_top")}  # Kinect's head is the middle of it


def is_mmfit(folder: Path) -> bool:
    """Return whether this is MM-Fit's folder: one of its workouts, with labels, is in it."""
    return any((path / f"{path.name}_labels.csv").is_file() for path in _workouts(folder))


def _workouts(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if WORKOUT.fullmatch(path.name) and path.is_dir())


def read_mmfit(folder: Path) -> list[LabelledClip]:
    """Read MM-Fit's workouts with their published splits ("train", "val", "test", "unseen_test"), without videos.

    The pose of a clip is its wXX_pose_2d.npy where that is there; `mmfit_pose` reads it. Between the sets of an
    exercise the label is `BACKGROUND` (their non_activity): with-null keeps it as the 11th class, no-null leaves it
    out. DataError names file and line for anything unsound.
    """
    split = {name: part for part, names in MMFIT_SPLITS.items() for name in names}
    clips = []
    for path in _workouts(folder):
        name = path.name
        if name not in split:
            raise DataError(f"'{path}' is not a workout of MM-Fit, which has w00 to w20")
        labels, pose = path / f"{name}_labels.csv", path / f"{name}_pose_2d.npy"
        if not labels.is_file():
            raise DataError(f"'{path}' lacks its labels, '{labels.name}'")
        clips.append(
            LabelledClip(
                clip=name,
                split=split[name],
                video=None,
                mask=None,
                pose=pose if pose.is_file() else None,
                intervals=_read_labels(name, labels),
                source="MM-Fit",
            )
        )
    return clips


def _read_labels(clip: str, path: Path) -> list[Interval]:
    with open_input(str(path)) as file:
        table = read_text(file, str(path), header=COLUMNS)
    columns = zip(table.whole("start_frame"), table.whole("end_frame"), table.text("activity"), strict=True)
    rows: list[PlacedInterval] = []
    for number, (start, stop, activity) in enumerate(columns):
        at = table.at(number)
        if activity not in ACTIVITIES:
            raise DataError(f"{at} has the activity '{activity}'; expected one of MM-Fit's, such as 'squats'")
        if start is None or stop is None:
            raise DataError(f"{at} lacks a start or an end frame")
        rows.append((Interval(start / FPS, stop / FPS, start, stop, exercise(activity)), at))
    return [interval for interval in checked_intervals(clip, rows) if interval.label != BACKGROUND]


def mmfit_pose(path: str | Path) -> Pose:
    """Return the pose of a workout, from its wXX_pose_2d.npy or wXX_pose_3d.npy, told apart by their shapes.

    pose_2d: (2, N, 19), first column the frame, then OpenPose's 18 joints in pixels, 0, 0 where missing ->
    "openpose18". pose_3d: (3, N, 18), the frame, then Human3.6M's 17 joints: x, depth and height in mm -> "ntu25" in
    metres, y down, `world` hip-centred; the joints that Human3.6M lacks are NaN with score 0. Time is frame / 30.
    Raises DataError for any other shape, for values that are not finite and for frames that do not ascend.
    """
    where = str(path)
    with open_input(where) as file:
        length = file.seek(0, 2)
        file.seek(0)
        array = read_npy(file, length, where)
    if array.dtype.kind not in "fiu" or array.ndim != 3 or (array.shape[0], array.shape[2]) not in ((2, 19), (3, 18)):
        raise DataError(f"'{where}' is {array.dtype} {array.shape}; expected MM-Fit's (2, N, 19) or (3, N, 18)")
    if not array.shape[1]:
        raise DataError(f"'{where}' has no frames")
    frame = _frames(array[:, :, 0], where)
    points = np.moveaxis(array[:, :, 1:].astype(np.float64), 0, -1)
    if not np.isfinite(points).all():
        raise DataError(f"'{where}' holds values that are not finite; missing joints are 0")
    topology, xyz, world, scale = _flat(points) if len(array) == 2 else _solid(points)
    seen = np.isfinite(xyz).all(-1)
    meta = _meta(Path(where), frame, topology, scale, 2 if len(array) == 2 else 3)
    return Pose(
        xyz=xyz[:, None].astype(np.float32),
        score=seen[:, None].astype(np.float32),
        frame=frame,
        time=frame / FPS,
        track=np.zeros(1, np.int32),
        meta=meta,
        world=None if world is None else world[:, None].astype(np.float32),
    ).check(where)


def _frames(columns: np.ndarray, where: str) -> np.ndarray:
    """Return (N,) int64 from the frame numbers, which stand in every coordinate's plane (c, N)."""
    first = columns[0].astype(np.float64)
    if not (np.isfinite(first).all() and (first == np.floor(first)).all() and (np.diff(first) > 0).all()):
        raise DataError(f"'{where}' has no ascending frame numbers in its first column; expected MM-Fit's arrays")
    if first[0] < 0 or first[-1] > 1 << 40:
        raise DataError(f"'{where}' has frame numbers that no video has")
    return first.astype(np.int64)


def _flat(points: np.ndarray) -> tuple[Topology, np.ndarray, None, str]:
    """Return (N, 18, 2) pixels -> (N, 18, 3), z 0."""
    xyz = np.concatenate([points, np.zeros((*points.shape[:2], 1))], -1)
    xyz[(points == 0).all(-1)] = np.nan
    return OPENPOSE18, xyz, None, "pixels"


def _solid(points: np.ndarray) -> tuple[Topology, np.ndarray, np.ndarray, str]:
    """Turn (N, 17, 3) x, depth, height in mm into (N, 25, 3) metres, y down and z into the picture.

    The second array is the same, hip-centred.
    """
    points = points[..., [0, 2, 1]] * (0.001, -0.001, 0.001)
    points[(points == 0).all((1, 2))] = np.nan  # nobody in this frame; a 0 of one joint may be the hip's own place
    place = {name: points[:, k] for k, name in enumerate(H36M)}
    place |= {name: (place[a] + place[b]) / 2 for name, (a, b) in H36M_MIDPOINTS.items()}
    xyz = np.full((len(points), len(NTU25), 3), np.nan)
    for k, joint in enumerate(NTU25.joints):
        if joint in place:
            xyz[:, k] = place[joint]
    return NTU25, xyz, xyz - xyz[:, [NTU25.index("spine_base")]], "metres"


def _meta(path: Path, frame: np.ndarray, topology: Topology, scale: str, dims: int) -> Meta:
    return {
        "schema": Pose.schema,
        "clip": path.stem.split("_")[0],
        "topology": topology.name,
        "scale": scale,
        "dims": dims,
        "source": {"name": path.name, "frames": int(frame[-1]) + 1, "fps": FPS},
        "steps": [step("import", __version__, format="mmfit", time="frame/fps", fps=FPS)],
    }
