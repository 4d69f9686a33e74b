"""MediaPipe CSV in the ways people write it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from poses import standing_body

from racctl.contracts import Pose
from racctl.errors import DataError, RacctlError, UsageError
from racctl.io.poses.csv_columns import words
from racctl.io.poses.formats import load_pose
from racctl.skeleton.remap import unknown_joints
from racctl.skeleton.topology import BLAZEPOSE33

JOINTS = BLAZEPOSE33.joints
VALUES = np.random.default_rng(5).uniform(0.2, 0.8, (4, 33, 4)).round(4)  # x, y, z, visibility in fractions
VALUES[..., :2] = [(standing_body(BLAZEPOSE33.joints, seed, 0.6) + 0.2).round(4) for seed in range(4)]

Namer = Callable[[int, str], str]
LONG = {"x": "x", "y": "y", "z": "z", "v": "visibility"}


def table(namer: Namer, first: tuple[str, ...] = (), lead: Callable[[int], list[object]] | None = None) -> str:
    """A CSV of VALUES with the columns that `namer` names, after the columns `first` with `lead(t)` in them."""
    lines = [",".join([*first, *(namer(i, axis) for i in range(33) for axis in "xyzv")])]
    for t, values in enumerate(VALUES):
        cells = [*(lead(t) if lead else []), *values.reshape(-1).tolist()]
        lines.append(",".join(str(cell) for cell in cells))
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> str:
    path.write_bytes(text.encode())
    return str(path)


def check(pose: Pose) -> None:
    pose.check("pose")
    assert (pose.topology, pose.meta["scale"], pose.xyz.shape) == ("blazepose33", "normalized", (4, 1, 33, 3))
    np.testing.assert_allclose(pose.xyz[:, 0], VALUES[..., :3], rtol=1e-6)
    np.testing.assert_allclose(pose.score[:, 0], VALUES[..., 3], rtol=1e-6)


SIDE_FIRST = {"mouth_left": "left_mouth", "mouth_right": "right_mouth"}
NAMERS: dict[str, Namer] = {
    "x0": lambda i, a: f"{a}{i}",
    "x1": lambda i, a: f"{a}{i + 1}",
    "x_0": lambda i, a: f"{a}_{i}",
    "x[0]": lambda i, a: f"{a}[{i}]",
    "0_x": lambda i, a: f"{i}_{a}",
    "visibility_1": lambda i, a: f"{LONG[a]}_{i + 1}",
    "landmark_00_x": lambda i, a: f"landmark_{i:02d}_{LONG[a]}",
    "Landmark 0 X": lambda i, a: f'"Landmark {i} {a.upper()}"',
    "nose_x": lambda i, a: f"{JOINTS[i]}_{LONG[a]}",
    "NOSE_X": lambda i, a: f"{JOINTS[i]}_{LONG[a]}".upper(),
    "x_nose": lambda i, a: f"{LONG[a]}_{JOINTS[i]}",
    "LeftEyeX": lambda i, a: "".join(word.title() for word in f"{JOINTS[i]}_{LONG[a]}".split("_")),
    "nose.x": lambda i, a: f"{JOINTS[i].replace('_', ' ')}.{LONG[a]}",
    "left_mouth_x": lambda i, a: f"{SIDE_FIRST.get(JOINTS[i], JOINTS[i])}_{a}",
}


@pytest.mark.parametrize("name", NAMERS)
def test_headers(tmp_path: Path, name: str) -> None:
    check(load_pose(write(tmp_path / "a.csv", table(NAMERS[name]))))


@pytest.mark.parametrize("first", ["", "class", "label"])
def test_other_columns_are_ignored(tmp_path: Path, first: str) -> None:
    check(load_pose(write(tmp_path / "a.csv", table(NAMERS["x1"], (first,), lambda t: ["squat"]))))


@pytest.mark.parametrize("first", ["frame", "Frame_ID", "frame_number", "frame idx"])
def test_a_frame_column_numbers_the_frames(tmp_path: Path, first: str) -> None:
    pose = load_pose(write(tmp_path / "a.csv", table(NAMERS["x0"], (first,), lambda t: [10 + 2 * t])), fps=20)
    check(pose)
    assert pose.frame.tolist() == [10, 12, 14, 16]
    np.testing.assert_allclose(pose.time, [0.5, 0.6, 0.7, 0.8])


@pytest.mark.parametrize(
    ("first", "unit"),
    [("timestamp", 1), ("time", 1), ("time_s", 1), ("Timestamp (ms)", 1e3), ("timestamp_ms", 1e3), ("timestamp", 1e3),
     ("timestamp", 1e6), ("t", 1e9)],
)  # fmt: skip
def test_a_time_column_is_the_clock(tmp_path: Path, first: str, unit: float) -> None:
    times = [0, 0.033, 0.07, 0.5]
    path = write(tmp_path / "a.csv", table(NAMERS["x0"], (first,), lambda t: [round(times[t] * unit, 6)]))
    pose = load_pose(path)
    check(pose)
    np.testing.assert_allclose(pose.time, times, atol=1e-9)
    assert pose.frame.tolist() == [0, 1, 2, 3]
    assert pose.meta["steps"][0]["args"]["time"] == "timestamps"
    with pytest.raises(UsageError, match="has timestamps of its own; omit '--fps'"):
        load_pose(path, fps=25)


def test_seconds_since_1970_begin_at_0(tmp_path: Path) -> None:
    pose = load_pose(write(tmp_path / "a.csv", table(NAMERS["x0"], ("timestamp",), lambda t: [1.7e9 + t / 25])))
    np.testing.assert_allclose(pose.time, np.arange(4) / 25, atol=1e-5)


def test_frame_and_time_in_any_order_of_rows(tmp_path: Path) -> None:
    text = table(NAMERS["x0"], ("frame", "timestamp"), lambda t: [t, t / 10])
    head, *rows = text.splitlines()
    check(load_pose(write(tmp_path / "a.csv", "\n".join([head, *rows[::-1]]))))


@pytest.mark.parametrize("separator", [";", "\t"])
def test_separators_line_ends_and_byte_order_mark(tmp_path: Path, separator: str) -> None:
    text = table(NAMERS["x_0"]).replace(",", separator).replace("\n", "\r\n")
    check(load_pose(write(tmp_path / "a.csv", "\ufeff" + text + "\r\n")))


def test_no_header(tmp_path: Path) -> None:
    check(load_pose(write(tmp_path / "a.csv", table(NAMERS["x0"]).partition("\n")[2])))
    text = "\n".join(",".join(map(str, row[:, :3].reshape(-1))) for row in VALUES)
    pose = load_pose(write(tmp_path / "b.csv", text))
    np.testing.assert_allclose(pose.xyz[:, 0], VALUES[..., :3], rtol=1e-6)
    assert (pose.score == 1).all()
    with pytest.raises(DataError, match="CSV of 3 columns without names; expected names, or 99 or 132"):
        load_pose(write(tmp_path / "c.csv", "1,2,3\n"))


def test_holistic_files_begin_with_the_body(tmp_path: Path) -> None:
    header = ",".join(f"{axis}{i}" for i in range(1, 502) for axis in "xyzv")
    rows = [",".join(["0.5"] * 132 + ["0.1"] * (468 * 4))] * 2
    pose = load_pose(write(tmp_path / "a.csv", "\n".join([header, *rows])))
    assert pose.xyz.shape == (2, 1, 33, 3)
    assert (pose.xyz == 0.5).all()


def test_one_row_per_joint(tmp_path: Path) -> None:
    ways = {"landmark_id": str, "landmark": lambda i: JOINTS[i].upper(), "joint": lambda i: f"{i + 1}"}
    for name, cell in ways.items():
        lines = [f"frame,{name},x,y,z,visibility"]
        lines += [",".join(map(str, [t, cell(i), *VALUES[t, i]])) for t in range(4) for i in range(33)]
        check(load_pose(write(tmp_path / "a.csv", "\n".join(lines))))
    timed = ["timestamp_s,landmark,x_m,y_m,z_m,visibility"]
    timed += [",".join(map(str, [t / 8, JOINTS[i], *VALUES[t, i]])) for t in range(4) for i in range(33)]
    pose = load_pose(write(tmp_path / "a.csv", "\n".join(timed)))
    assert pose.meta["scale"] == "metres"
    np.testing.assert_allclose(pose.world, pose.xyz)
    np.testing.assert_allclose(pose.time, np.arange(4) / 8)


def test_world_columns(tmp_path: Path) -> None:
    header = ",".join(f"{name}_{i}" for i in range(33) for name in ("x", "y", "z", "world_x", "world_y", "world_z"))
    rows = [",".join(map(str, np.concatenate([v[:, :3], v[:, :3] / 10], 1).reshape(-1))) for v in VALUES]
    pose = load_pose(write(tmp_path / "a.csv", "\n".join([header, *rows])), size=(640, 480))
    np.testing.assert_allclose(pose.xyz[:, 0], VALUES[..., :3] * [640, 480, 640], rtol=1e-6)
    np.testing.assert_allclose(pose.world[:, 0], VALUES[..., :3] / 10, rtol=1e-6)


def test_people_by_their_id(tmp_path: Path) -> None:
    head, *rows = table(NAMERS["x0"], ("frame", "person_id"), lambda t: [t, 2]).splitlines()
    more = [row.replace(",2,", ",9,", 1) for row in rows[1:]]
    pose = load_pose(write(tmp_path / "a.csv", "\n".join([head, *rows, *more])))
    assert pose.track.tolist() == [2, 9]
    assert np.isnan(pose.xyz[0, 1]).all()
    np.testing.assert_array_equal(pose.xyz[1:, 0], pose.xyz[1:, 1])


def test_empty_cells_and_zeros_are_nobody(tmp_path: Path) -> None:
    head, *rows = table(NAMERS["x0"]).splitlines()
    rows[0] = "," * 131
    rows[1] = ",".join(["0.0"] * 132)
    cells = rows[2].split(",")
    cells[4 * BLAZEPOSE33.index("left_wrist")] = "nan"
    pose = load_pose(write(tmp_path / "a.csv", "\n".join([head, *rows[:2], ",".join(cells), rows[3]])))
    assert np.isnan(pose.xyz[:2]).all()
    assert (pose.score[:2] == 0).all()
    missing = np.isnan(pose.xyz[2, 0]).any(-1)
    assert [joint for joint, m in zip(JOINTS, missing, strict=True) if m] == ["left_wrist"]


def test_named_joints_may_be_a_part_and_depth_may_be_absent(tmp_path: Path) -> None:
    pose = load_pose(write(tmp_path / "a.csv", "left_hip_x,left_hip_y,nose_x,nose_y\n100,200,90,20\n100,201,90,21\n"))
    assert (pose.meta["scale"], pose.meta["dims"]) == ("pixels", 2)
    assert pose.xyz[1, 0, BLAZEPOSE33.index("left_hip")].tolist() == [100, 201, 0]
    assert len(unknown_joints(pose)) == 31


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x0,y0\n", "numbers 1 joints from 0 to 0; expected 0 to 32 or 1 to 33"),
        (",".join(f"{a}{i}" for i in range(11, 25) for a in "xyzv") + "\n", "14 joints from 11 to 24"),
        ("nose_x,nose_y\n", "CSV without rows"),
        ("nose_x,nose_z\n1,2\n", "no CSV of landmarks"),
        ("nose_x,nose_y,x_nose\n1,2,3\n", "two columns for 'nose_x'"),
        ("nose_x,nose_y\n1,2\n1\n", "line 3: 1 columns, the first line has 2"),
        ("nose_x,nose_y\n1,2\n1,2,3\n", "line 3: 3 columns"),
        ("nose_x,nose_y\n1,abc\n", "line 2: 'nose_y' is 'abc', expected a number"),
        ("nose_x,nose_y\n1,inf\n", "expected a number"),
        ("nose_x,nose_y\n1,1e400\n", "expected a number"),
        ("nose_x,nose_y\n1,1e15\n", "beyond 1e"),
        ("frame,nose_x,nose_y\n-1,1,2\n", "'frame' is '-1', expected a whole number"),
        ("frame,nose_x,nose_y\n1.5,1,2\n", "whole number"),
        ("frame,nose_x,nose_y\n,1,2\n", "whole number"),
        ("frame,nose_x,nose_y\n4,1,2\n4,1,2\n", "line 3: a second row for the same frame and person"),
        ("time,nose_x,nose_y\n,1,2\n", "'time' is empty"),
        ("time,frame,nose_x,nose_y\n1,1,1,2\n0,2,1,2\n", "must be ascending"),
        ("video,nose_x,nose_y\na,1,2\nb,1,2\n", "line 3: another 'video'; expected one clip"),
        ("landmark,x,y\nnose,1,2\n", "neither frame nor time"),
        ("frame,landmark,x,y\n0,tail,1,2\n", "'landmark' is 'tail'"),
        ("frame,landmark,x,y\n0,11.0,1,2\n", "'landmark' is '11.0'"),
        ("frame,landmark,x,y\n0,5,1,2\n", "numbers 1 joints from 5 to 5"),
        ("frame,landmark,x,y\n0,nose,1,2\n0,nose,1,2\n", "a second row for the same frame, person and joint"),
        ('nose_x,nose_y\n1,"2\n' + "3" * 200_000 + '"', "line 3: 'nose_y' is .*, expected a number"),
        ("a,b\n1,2\n", "no CSV of landmarks; expected columns such as 'x0,y0,z0,v0'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_pose(write(tmp_path / "a.csv", text))
    assert "a.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_words_of_a_column_name() -> None:
    assert words("LEFT_SHOULDER_X") == words("LeftShoulder.x") == ["left", "shoulder", "x"]
    assert words("landmark[11] x") == ["landmark", "11", "x"]
    assert words("Timestamp (ms)") == ["timestamp", "ms"]


CELLS = st.sampled_from(["frame", "time", "x", "y", "z", "landmark", "nose", "nose_x", "nose_y", "x0", "y0", "person",
                         "1", "2.5", "-3", "nan", "", '"', "1e300", "é", "\x00", "inf", "9" * 30])  # fmt: skip


@given(st.lists(st.lists(CELLS, min_size=1, max_size=6).map(",".join), max_size=6).map("\n".join))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_read_or_refused(tmp_path: Path, text: str) -> None:
    try:
        load_pose(write(tmp_path / "f.csv", text)).check("f")
    except RacctlError as error:
        assert "\n" not in str(error)
