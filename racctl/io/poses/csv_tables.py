"""MediaPipe landmarks in CSV, in the ways people write them.

There is no standard. What is read: a header of `x0,y0,z0,v0,x1,...` (numbers from 0 or from 1, in any order and with
any separator: `x_0`, `0_x`, `landmark_0_x`), or of joint names (`nose_x`, `LEFT_SHOULDER_visibility`), or one row per
joint (`frame,landmark,x,y,z,visibility`); no header, for exactly 99 (x, y, z) or 132 (x, y, z, visibility) numbers a
row; columns of frame, time and person anywhere; `world` in a column's name for metres. Other columns are ignored.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

from racctl.errors import DataError
from racctl.io.bounds import refuse_large
from racctl.io.poses.base import Content, PoseFormat
from racctl.io.poses.csv_columns import (
    AXIS_SCORE,
    AXIS_Y,
    AXIS_Z,
    Columns,
    joint_named,
    settled,
    with_header,
    without_header,
)
from racctl.io.poses.landmarks import ImportedLandmarks, Note, scale_of
from racctl.io.poses.layouts import POSERAC_LAYOUT, is_planar, shows_bones, told_by_bones
from racctl.io.text import read_cells
from racctl.skeleton.topology import BLAZEPOSE33

FRAME_SECONDS = (1 / 1000, 5.0)  # of a frame: no camera is faster, no count is possible in slower ones
MAX_CELL_NUMBER = 1e20  # nanoseconds since 1970 are 2e18
JOINT_BYTES = 280  # of one joint of one person in one frame, in a file with a row for each
RECORD_BYTES = 5000  # of one person in one frame, with the arrays that are made of it
EMPTY_CELLS = ("", "nan", "none", "null", "na", "n/a")

CsvRow = tuple[int, list[str]]  # line number, cells
Key = tuple[float, int]  # moment (frame number, else time, else row number), person


@dataclass
class Records:
    """What the rows say: values (2, V, 4), image and world, x y z score, by moment and person; seconds by moment.

    They are held as float32, as the pose will be.
    """

    source: str
    values: dict[Key, np.ndarray] = field(default_factory=dict)
    times: dict[float, float] = field(default_factory=dict)

    def of(self, key: Key) -> np.ndarray:
        """Return the values of one person at one moment, NaN at first."""
        if key not in self.values:
            refuse_large((len(self.values) + 1) * RECORD_BYTES, self.source, f"its {len(self.values) + 1} poses")
            self.values[key] = np.full((2, len(BLAZEPOSE33), 4), np.nan, np.float32)
        return self.values[key]


def read_csv(file: IO[bytes], source: str, note: Note) -> ImportedLandmarks:
    """Read landmarks from a CSV of MediaPipe's 33 joints.

    Raises DataError naming the line or column that is wrong.

    Joints without a column are NaN, and so is a row without numbers, or of zeros only (nobody).
    """
    rows = _rows(file, source)
    first = next(rows, (1, []))
    if first[1] and all(_float(cell) is not None for cell in first[1]):
        columns, rows = without_header(first[1], source), itertools.chain([first], rows)
    else:
        columns = with_header(first[1], source)
    records = _wide(rows, columns, source) if columns.joint is None else _long(rows, columns, source)
    if not records.values:
        raise DataError(f"'{source}' is a CSV without rows")
    landmarks = _landmarks(records, columns, source, note)
    if not columns.is_named:
        _check_bones(landmarks.xyz, source)
    return landmarks


def _check_bones(xyz: np.ndarray, source: str) -> None:
    """Raise DataError for columns without names unless their joints are put together like BlazePose's."""
    people = xyz.reshape(-1, *xyz.shape[2:])
    fits = told_by_bones(people, (POSERAC_LAYOUT,)) is not None and not is_planar(people, POSERAC_LAYOUT)
    if shows_bones(people, (POSERAC_LAYOUT,)) and not fits:
        raise DataError(
            f"'{source}' has columns without names whose numbers are not x, y, z (or x, y, z, visibility) of "
            "MediaPipe's 33 joints; give it a header such as 'x0,y0,z0,v0,x1,...'"
        )


def _rows(file: IO[bytes], source: str) -> Iterator[CsvRow]:
    """Yield every line that is not blank; commas alone are a frame without anybody."""
    for line, cells in read_cells(file, source, spaces=True):
        if len(cells) > 1 or "".join(cells).strip():
            yield line, cells


def _float(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _number(cells: list[str], place: int, columns: Columns, where: str) -> float:
    """Return the number in a cell; NaN where it is empty or says so."""
    cell = cells[place].strip()
    if cell.lower() in EMPTY_CELLS:
        return np.nan
    value = _float(cell)
    if value is None or abs(value) > MAX_CELL_NUMBER:
        raise DataError(f"{where}: '{columns.names[place]}' is {cell[:40]!r}, expected a number")
    return value


def _whole(cells: list[str], place: int, columns: Columns, where: str) -> int:
    value = _number(cells, place, columns, where)
    if not 0 <= value < 1 << 31 or value != int(value):
        raise DataError(f"{where}: '{columns.names[place]}' is {cells[place][:40]!r}, expected a whole number from 0")
    return int(value)


def _keyed(
    rows: Iterable[CsvRow], columns: Columns, source: str, records: Records
) -> Iterator[tuple[str, list[str], Key]]:
    """Yield (where, cells, key) of every row, its time noted.

    Raises DataError for rows of another length or another clip.
    """
    clips = set()
    for number, (line, cells) in enumerate(rows):
        where = f"'{source}', line {line}"
        if len(cells) != len(columns.names):
            raise DataError(f"{where}: {len(cells)} columns, the first line has {len(columns.names)}")
        clips |= set() if columns.clip is None else {cells[columns.clip]}
        if len(clips) > 1:
            raise DataError(f"{where}: another '{columns.names[columns.clip or 0]}'; expected one clip, split the file")
        frame = None if columns.frame is None else _whole(cells, columns.frame, columns, where)
        time = None if columns.time is None else _number(cells, columns.time, columns, where)
        moment = float(next(value for value in (frame, time, number) if value is not None))
        if time is not None and (np.isnan(time) or records.times.setdefault(moment, time) != time):
            raise DataError(f"{where}: '{columns.names[columns.time or 0]}' is empty, or another for the same frame")
        yield where, cells, (moment, 0 if columns.person is None else _whole(cells, columns.person, columns, where))


def _wide(rows: Iterable[CsvRow], columns: Columns, source: str) -> Records:
    """Return one row per frame and person."""
    records = Records(source)
    places = list(columns.slots)
    at = tuple(np.array([_at(slot.world, slot.joint, slot.axis) for slot in columns.slots.values()]).T)
    for where, cells, key in _keyed(rows, columns, source, records):
        if key in records.values:
            raise DataError(f"{where}: a second row for the same frame and person; expected one clip")
        records.of(key)[at] = [_number(cells, place, columns, where) for place in places]
    return records


def _at(world: bool, joint: Any, axis: int) -> tuple[int, int, int]:
    return int(world), BLAZEPOSE33.index(joint), axis


def _long(rows: Iterable[CsvRow], columns: Columns, source: str) -> Records:
    """Return one row per frame, person and joint.

    What the joints' numbers mean is settled when all are known.
    """
    place = columns.joint or 0
    if columns.frame is None and columns.time is None:
        raise DataError(f"'{source}' has one row per joint but neither frame nor time; expected a column 'frame'")
    records = Records(source)
    by_joint: dict[tuple[Key, str | int], array[float]] = {}
    for where, cells, key in _keyed(rows, columns, source, records):
        joint = joint_named(cells[place])
        if joint is None:
            raise DataError(f"{where}: '{columns.names[place]}' is {cells[place][:40]!r}, expected a landmark's name")
        if (key, joint) in by_joint:
            raise DataError(f"{where}: a second row for the same frame, person and joint")
        refuse_large((len(by_joint) + 1) * JOINT_BYTES, source, f"its {len(by_joint) + 1} joints")
        by_joint[key, joint] = array("f", [_number(cells, column, columns, where) for column in columns.slots])
    names = settled([joint for _, joint in by_joint], source)
    for (key, joint), values in by_joint.items():
        person = records.of(key)
        if names[joint] is not None:
            for slot, value in zip(columns.slots.values(), values, strict=True):
                person[_at(slot.world, names[joint], slot.axis)] = value
    return records


def _landmarks(records: Records, columns: Columns, source: str, note: Note) -> ImportedLandmarks:
    moments = sorted({moment for moment, _ in records.values})
    people = sorted({person for _, person in records.values})
    if len(moments) * len(people) > 4 * len(records.values) + 1000:
        raise DataError(f"'{source}' has {len(people)} people in {len(moments)} frames; expected one clip of a few")
    values = np.full((len(moments), len(people), 2, len(BLAZEPOSE33), 4), np.nan, np.float32)
    row, column = {m: t for t, m in enumerate(moments)}, {p: m for m, p in enumerate(people)}
    for (moment, person), person_values in records.values.items():
        values[row[moment], column[person]] = person_values
    kinds = {slot.world for slot in columns.slots.values() if slot.axis <= AXIS_Y}
    image, world = _xyz(values[:, :, 0]), _xyz(values[:, :, 1])
    scores = np.fmax(values[:, :, 0, :, AXIS_SCORE], values[:, :, 1, :, AXIS_SCORE])
    time, args = _seconds([records.times.get(moment) for moment in moments], columns, source, note)
    return ImportedLandmarks(
        "mediapipe",
        BLAZEPOSE33,
        xyz=image if False in kinds else world,
        scale=scale_of(image) if False in kinds else "metres",
        score=scores if np.isfinite(scores).any() else None,
        frame=np.arange(len(moments)) if columns.frame is None else np.array(moments),
        time=time,
        track=np.array(people),
        world=world if True in kinds else None,
        dims=3 if any(slot.axis == AXIS_Z for slot in columns.slots.values()) else 2,
        args=args,
    )


def _xyz(values: np.ndarray) -> np.ndarray:
    """Return (T, M, V, 4) -> (T, M, V, 3): people of zeros only are nobody; where nothing has a depth z is 0."""
    xyz = values[..., :3].copy()
    if np.isnan(xyz[..., AXIS_Z]).all():
        xyz[..., AXIS_Z] = 0
    xyz[(np.nan_to_num(xyz) == 0).all((2, 3))] = np.nan
    xyz[np.isnan(xyz).any(-1)] = np.nan
    return xyz


def _seconds(
    times: list[float | None], columns: Columns, source: str, note: Note
) -> tuple[np.ndarray | None, dict[str, Any]]:
    """Return (T,) seconds, or None where there is no time, and what the provenance says of them.

    A clock that counts from 1970 is set to 0.
    """
    if columns.time is None:
        return None, {}
    clock, unit = np.array(times, np.float64), columns.seconds
    if unit is None:
        unit = _unit(clock, columns.names[columns.time], source)
        note(f"'{source}': one step of '{columns.names[columns.time]}' read as {unit:g} s")
    if abs(clock[0]) * unit > 1e8:
        return (clock - clock[0]) * unit, {"time_unit": unit, "time_from": "first frame"}
    return clock * unit, {"time_unit": unit}


def _unit(clock: np.ndarray, name: str, source: str) -> float:
    """Return the seconds per unit of a time column when its name does not say.

    The only one of s, ms, µs and ns in which a frame lasts as long as a video's may.

    Raises DataError where several do, or none.
    """
    if len(clock) < 2:
        return 1.0
    period = float(np.median(np.diff(clock)))
    if not period > 0:
        return 1.0  # the pose's own check says what is wrong
    fitting = [unit for unit in (1.0, 1e-3, 1e-6, 1e-9) if FRAME_SECONDS[0] <= period * unit <= FRAME_SECONDS[1]]
    if len(fitting) != 1:
        raise DataError(
            f"'{source}' has steps of {period:g} in '{name}', which could be seconds or a fraction of them; call the "
            "column 'timestamp_s' or 'timestamp_ms', or 'frame' if it counts frames"
        )
    return fitting[0]


def _read_format(content: Content, _name: str | None, note: Note) -> ImportedLandmarks:
    return read_csv(content.opened(), content.where, note)


MEDIAPIPE = PoseFormat(("text",), "CSV of MediaPipe landmarks", lambda content: True, _read_format)
