"""What the columns of a CSV of MediaPipe landmarks mean, told from their names; `pose_csv` says what is read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from racctl.errors import DataError
from racctl.skeleton.topology import BLAZEPOSE33

HOLISTIC = (33, 501, 543)  # joints in a row: the body alone, with the face, with face and hands; the body is first

AXIS_X, AXIS_Y, AXIS_Z, AXIS_SCORE = range(4)
AXIS_WORDS = {"x": AXIS_X, "y": AXIS_Y, "z": AXIS_Z} | dict.fromkeys(
    ("v", "vis", "visibility", "score", "c", "conf", "confidence"), AXIS_SCORE
)
WORLD_AXES = {"wx": "x", "wy": "y", "wz": "z"}
WORLD_WORDS = {"world", "w", "m"}  # "nose_x_m" is in metres
IGNORED_WORDS = {
    "landmark",
    "landmarks",
    "lm",
    "keypoint",
    "kp",
    "joint",
    "point",
    "pt",
    "p",
    "pose",
    "mp",
    "norm",
    "normalized",
    "px",
    "pixel",
    "pixels",
    "coord",
}
JOINT_ALIASES = {"leftmouth": "mouth_left", "rightmouth": "mouth_right"}
JOINT_NAMES = {joint.replace("_", ""): joint for joint in BLAZEPOSE33.joints} | JOINT_ALIASES

FRAME_COLUMNS = {"frame", "frameid", "frameidx", "frameindex", "framenumber", "framenum", "frameno", "framecount"}
TIME_COLUMNS = {
    "timestamp": None,
    "time": None,
    "t": None,
    "ts": None,  # the unit is told from the steps
    "timestamps": 1.0,
    "times": 1.0,
    "timesec": 1.0,
    "timeseconds": 1.0,
    "timestampsec": 1.0,
    "timestampseconds": 1.0,
    "seconds": 1.0,
    "sec": 1.0,
    "timestampms": 1e-3,
    "timems": 1e-3,
    "ms": 1e-3,
    "msec": 1e-3,
    "milliseconds": 1e-3,
}
PERSON_COLUMNS = {"person", "personid", "personindex", "trackid", "track", "poseid"}
CLIP_COLUMNS = {"video", "videoname", "videoid", "file", "filename", "clip"}
JOINT_COLUMNS = {
    "landmark",
    "landmarkid",
    "landmarkindex",
    "landmarkname",
    "joint",
    "jointid",
    "jointname",
    "keypoint",
    "keypointid",
    "keypointname",
    "name",
    "id",
    "idx",
    "index",
}
ROLES = {
    "frame": FRAME_COLUMNS,
    "time": set(TIME_COLUMNS),
    "person": PERSON_COLUMNS,
    "clip": CLIP_COLUMNS,
    "joint": JOINT_COLUMNS,
}


class Slot(NamedTuple):
    """What one column holds: an axis of image or world coordinates, of one joint or (None) of the row's joint."""

    world: bool
    joint: str | int | None
    axis: int


@dataclass
class Columns:
    """Where things are in a row.

    `joint` is the column that names the joint, in a file with one row per joint.
    """

    names: list[str]
    slots: dict[int, Slot] = field(default_factory=dict)
    frame: int | None = None
    time: int | None = None
    person: int | None = None
    clip: int | None = None
    joint: int | None = None
    is_named: bool = True  # False: told from the number of columns

    @property
    def seconds(self) -> float | None:
        """Seconds per unit of the time column; None when its name does not say."""
        return None if self.time is None else TIME_COLUMNS["".join(words(self.names[self.time]))]


def words(name: str) -> list[str]:
    """Return the words and numbers of "LEFT_SHOULDER_X", "LeftShoulder.x" or "landmark[11] x", in lower case."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])", "_", name.strip())
    return [token for token in re.split(r"[^a-z0-9]+", name.lower()) if token]


def joint_named(name: str) -> str | int | None:
    """Return the joint that a word or number stands for: its name, a number still to be settled, or None."""
    tokens = [token for token in words(name) if token not in IGNORED_WORDS]
    if len(tokens) == 1 and re.fullmatch(r"[0-9]{1,5}", tokens[0]):
        return int(tokens[0])
    return JOINT_NAMES.get("".join(tokens))


def without_header(cells: list[str], source: str) -> Columns:
    """Return the columns of a file that begins with numbers.

    X, y, z or x, y, z, visibility of all 33 joints.
    """
    per_joint = {99: 3, 132: 4}.get(len(cells))
    if per_joint is None:
        raise DataError(f"'{source}' is a CSV of {len(cells)} columns without names; expected names, or 99 or 132")
    slots = [Slot(False, joint, axis) for joint in BLAZEPOSE33.joints for axis in range(per_joint)]
    return Columns([f"column {place + 1}" for place in range(len(cells))], dict(enumerate(slots)), is_named=False)


def with_header(names: list[str], source: str) -> Columns:
    """Return the columns by their names.

    Raises DataError when they name no joint, or one twice, or number only a part of them.
    """
    columns = Columns(names)
    for place, name in enumerate(names):
        if not _role(columns, place, "".join(words(name))):
            slot = _slot(words(name))
            columns.slots |= {} if slot is None else {place: slot}
    if any(slot.joint is not None for slot in columns.slots.values()):
        columns.joint = None  # with joints in columns, an "id" or "index" is something else
    joints = settled([slot.joint for slot in columns.slots.values()], source)
    slots = {place: slot._replace(joint=joints[slot.joint]) for place, slot in columns.slots.items()}
    per_joint = columns.joint is not None
    columns.slots = {place: slot for place, slot in slots.items() if (slot.joint is None) == per_joint}
    _check_slots(columns, source)
    return columns


def _role(columns: Columns, place: int, name: str) -> bool:
    """Note a frame, time, person, clip or joint column (the first of each); True when this is one."""
    for role, known in ROLES.items():
        if name in known:
            if getattr(columns, role) is None:
                setattr(columns, role, place)
            return True
    return False


def _slot(tokens: list[str]) -> Slot | None:
    """Return what a column of these words holds.

    None when it is not one of landmarks (a class, a presence, an index).
    """
    world = any(token in WORLD_WORDS or token in WORLD_AXES for token in tokens)
    tokens = [
        WORLD_AXES.get(token, token) for token in tokens if token not in WORLD_WORDS and token not in IGNORED_WORDS
    ]
    axes = [token for token in tokens if token in AXIS_WORDS]
    name = "_".join(token for token in tokens if token not in AXIS_WORDS)
    joint = joint_named(name)
    return None if len(axes) != 1 or (name and joint is None) else Slot(world, joint, AXIS_WORDS[axes[0]])


def settled(joints: list[str | int | None], source: str) -> dict[str | int | None, str | None]:
    """Map names and numbers of joints to names.

    Numbers count from 0 or from 1, which only a whole set of them tells: a part could be anybody's, so it is a
    DataError. Beyond the body (face, hands) they are None.
    """
    numbers = {joint for joint in joints if isinstance(joint, int)}
    names: dict[str | int | None, str | None] = {joint: joint for joint in joints if not isinstance(joint, int)}
    bases = [base for base in (0, 1) if any(numbers == set(range(base, base + count)) for count in HOLISTIC)]
    if numbers and not bases:
        raise DataError(
            f"'{source}' numbers {len(numbers)} joints from {min(numbers)} to {max(numbers)}; expected 0 to 32 or "
            "1 to 33 (for a part of them use names, such as 'left_wrist_x')"
        )
    body = BLAZEPOSE33.joints
    return names | {number: body[number - bases[0]] if number - bases[0] < len(body) else None for number in numbers}


def _check_slots(columns: Columns, source: str) -> None:
    slots = list(columns.slots.values())
    for place, slot in columns.slots.items():
        if slots.count(slot) > 1:
            raise DataError(f"'{source}' has two columns for '{columns.names[place]}'")
    if not any(slot.axis == AXIS_X and slot._replace(axis=AXIS_Y) in slots for slot in slots):
        raise DataError(f"'{source}' is no CSV of landmarks; expected columns such as 'x0,y0,z0,v0' or 'nose_x,nose_y'")
