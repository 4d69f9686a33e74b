"""Joint angles: definitions, filters, ranges, and the tool."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from commands import one_line, racctl

from racctl.contracts import ANGLE_NAMES, Pose
from racctl.errors import DataError, UsageError
from racctl.io.npz import pose_bytes
from racctl.io.parquet import read_table
from racctl.skeleton.angles import JOINT_ANGLES, joint_angles, rate_of_change
from racctl.skeleton.filters import (
    Butterworth,
    ButterworthSettings,
    SavitzkyGolay,
    SavitzkyGolaySettings,
    Unfiltered,
    UnfilteredSettings,
    filtered,
)
from racctl.skeleton.remap import remap
from racctl.skeleton.topology import BLAZEPOSE33, TOPOLOGIES
from racctl.workouts.angle_tables import AngleOptions, angles_of
from racctl.workouts.ranges import AngleRange, difference, extent_of, ranges_of, widened, widest

SQUATS = 4
FRAMES = 240


def turned(vector, degrees):
    """A vector of the picture plane turned by degrees."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([c * vector[0] - s * vector[1], s * vector[0] + c * vector[1]])


def bent_body(knee=0.0, hip=0.0, elbow=0.0, shoulder=0.0, trunk=0.0, ankle=0.0):
    """(33, 3) metres: somebody seen from the left whose joints are bent by these angles, both sides alike."""
    down = np.array([0.0, 1.0])
    spine = turned(down, trunk)
    thigh = turned(spine, -hip)
    shank = turned(thigh, knee)
    arm = turned(spine, -shoulder)
    forearm = turned(arm, -elbow)
    sole = turned(shank, -90 - ankle)
    places = {"hip": np.zeros(2), "shoulder": -0.5 * spine}
    places |= {"knee": 0.4 * thigh, "elbow": places["shoulder"] + 0.3 * arm}
    places |= {"ankle": places["knee"] + 0.4 * shank, "wrist": places["elbow"] + 0.25 * forearm}
    places |= {"heel": places["ankle"] - 0.05 * sole, "foot_index": places["ankle"] + 0.15 * sole}
    body = np.zeros((33, 3), np.float32)
    for place, joint in enumerate(BLAZEPOSE33.joints):
        side, _, name = joint.partition("_")
        if name in places:
            body[place] = [*places[name], 0.1 if side == "left" else -0.1]
    return body


def pose_of(bodies, meta=None, rate=30.0):
    """A pose of bodies (T, 33, 3) in metres, 200 pixels each."""
    world = np.asarray(bodies, np.float32)[:, None]
    xyz = world * np.float32(200) + np.float32(300)
    frames = len(world)
    return Pose(
        xyz, np.ones(xyz.shape[:3], np.float32), np.arange(frames), np.arange(frames) / rate, np.zeros(1, np.int32),
        meta or {"clip": "bends", "topology": "blazepose33", "steps": []}, world,
    )  # fmt: skip


def squatting_pose(frames=FRAMES, times=SQUATS):
    """Somebody whose knees go from 10 to 110 degrees and back, the left one from 10 to 90, a few times."""
    phase = (1 - np.cos(2 * np.pi * times * np.arange(frames) / frames)) / 2
    bodies = np.stack([bent_body(knee=10 + 100 * p, hip=5 + 90 * p, trunk=30 * p) for p in phase])
    lefts = np.stack([bent_body(knee=10 + 80 * p, hip=5 + 90 * p, trunk=30 * p) for p in phase])
    is_left = np.array([joint.startswith("left") for joint in BLAZEPOSE33.joints])
    return pose_of(np.where(is_left[None, :, None], lefts, bodies))


@pytest.mark.parametrize("space", ["3d", "2d"])
@pytest.mark.parametrize(
    ("joint", "column", "degrees"),
    [
        ("knee", "knee_flexion", (0, 35, 90, 140)),
        ("hip", "hip_flexion", (0, 45, 110)),
        ("elbow", "elbow_flexion", (0, 90, 150)),
        ("shoulder", "shoulder_elevation", (0, 90, 170)),
        ("ankle", "ankle_dorsiflexion", (-30, 0, 20)),
    ],
)
def test_an_angle_is_what_the_joint_is_bent_by(space, joint, column, degrees):
    pose = pose_of([bent_body(**{joint: value}) for value in degrees])
    angles = joint_angles(pose, 0, space)
    assert angles.space == space
    for side in ("left", "right"):
        assert angles.degrees[f"{side}_{column}"] == pytest.approx(degrees, abs=0.1)
    assert angles.degrees["trunk_inclination"] == pytest.approx([0] * len(degrees), abs=0.1)


def test_the_anatomical_position_is_0_everywhere():
    angles = joint_angles(pose_of([bent_body()]), 0).degrees
    assert set(angles) == set(ANGLE_NAMES) == {column for angle in JOINT_ANGLES for column in angle.columns}
    assert all(values == pytest.approx([0], abs=0.1) for values in angles.values())


@pytest.mark.parametrize("trunk", [20, 90, 150])
def test_the_trunk_is_told_against_the_vertical(trunk):
    angles = joint_angles(pose_of([bent_body(trunk=trunk)]), 0).degrees
    assert angles["trunk_inclination"] == pytest.approx([trunk], abs=0.1)


def test_angles_in_space_do_not_depend_on_the_camera():
    bodies = np.stack([bent_body(knee=70, hip=40, elbow=100, shoulder=60)])
    azimuth = np.radians(50)
    turn = np.array([[np.cos(azimuth), 0, np.sin(azimuth)], [0, 1, 0], [-np.sin(azimuth), 0, np.cos(azimuth)]])
    pose = pose_of(bodies @ turn.T)
    space, plane = joint_angles(pose, 0, "3d").degrees, joint_angles(pose, 0, "2d").degrees
    assert space["left_knee_flexion"] == pytest.approx([70], abs=0.1)
    assert abs(plane["left_knee_flexion"][0] - 70) > 5


def test_what_is_not_seen_well_enough_has_no_angle():
    pose = pose_of([bent_body(knee=90)] * 2)
    pose.score[1, 0, BLAZEPOSE33.index("left_ankle")] = 0.3
    angles = joint_angles(pose, 0, min_score=0.5).degrees
    assert np.isnan(angles["left_knee_flexion"]).tolist() == [False, True]
    assert np.isfinite(angles["right_knee_flexion"]).all()


@pytest.mark.parametrize("topology", sorted(TOPOLOGIES))
def test_every_topology_has_the_angles_of_its_joints(topology):
    pose = remap(pose_of([bent_body(knee=60, elbow=80)]), topology)
    angles = joint_angles(pose, 0, "3d").degrees
    assert angles["right_knee_flexion"] == pytest.approx([60], abs=0.1)
    assert angles["left_elbow_flexion"] == pytest.approx([80], abs=0.1)
    assert ("left_ankle_dorsiflexion" in angles) == (topology in ("blazepose33", "openpose25"))


def test_a_pose_that_cannot_tell_is_refused():
    pose = pose_of([bent_body()])
    with pytest.raises(DataError, match="scaled to the body's box"):
        joint_angles(Pose(**{**vars(pose), "meta": {**pose.meta, "scale": "minmax"}}), 0)
    with pytest.raises(DataError, match="no world landmarks"):
        joint_angles(Pose(**{**vars(pose), "world": None}), 0)
    with pytest.raises(UsageError, match="--space"):
        joint_angles(pose, 0, "4d")


def test_velocities_are_in_degrees_per_second_whatever_the_frame_rate():
    time = np.cumsum([0, 0.02, 0.05, 0.03, 0.1])
    assert rate_of_change(40 * time, time) == pytest.approx([40] * 5)
    assert np.isnan(rate_of_change(np.array([1.0]), np.array([0.0]))).all()


def wave(rate, frequency, seconds=10.0):
    time = np.arange(int(seconds * rate)) / rate
    return time, np.sin(2 * np.pi * frequency * time)[:, None, None].repeat(2, 2)


def middle_amplitude(values):
    part = values[len(values) // 4 : -len(values) // 4, 0, 0]
    return (part.max() - part.min()) / 2


@pytest.mark.parametrize("order", [2, 4, 8])
def test_butterworth_halves_the_power_at_its_cutoff_and_delays_nothing(order):
    smoothing = Butterworth(ButterworthSettings(cutoff=5.0, order=order))
    time, values = wave(100.0, 5.0)
    smooth = filtered(values, time, smoothing)
    assert middle_amplitude(smooth) == pytest.approx(np.sqrt(0.5), abs=0.02)
    part = slice(200, 800)
    assert np.corrcoef(values[part, 0, 0], smooth[part, 0, 0])[0, 1] > 0.999
    slow_time, slow = wave(100.0, 0.5)
    assert middle_amplitude(filtered(slow, slow_time, smoothing)) == pytest.approx(1, abs=0.02)


def test_savitzky_golay_keeps_a_cubic_and_takes_noise_away():
    rng = np.random.default_rng(0)
    time = np.arange(300) / 30
    cubic = (time**3 - 20 * time)[:, None, None]
    smoothing = SavitzkyGolay(SavitzkyGolaySettings(window=0.5, polynomial=3))
    assert filtered(cubic, time, smoothing) == pytest.approx(cubic, abs=1e-6)
    noise = rng.normal(size=cubic.shape)
    assert filtered(noise, time, smoothing).std() < 0.6 * noise.std()


def test_gaps_stay_gaps_and_short_ones_are_bridged():
    time, values = wave(50.0, 1.0)
    values[100:105] = np.nan  # 0.1 s
    values[300:350] = np.nan  # 1 s
    smooth = filtered(values, time, Butterworth(ButterworthSettings()))
    assert (np.isnan(smooth) == np.isnan(values)).all()
    known = np.isfinite(values)
    assert np.abs(smooth[known] - values[known]).max() < 0.1
    assert filtered(values, time, Unfiltered(UnfilteredSettings()))[known] == pytest.approx(values[known])


@pytest.mark.parametrize("frames", [0, 1, 2, 3, 10])
def test_filters_take_the_shortest_of_clips(frames):
    places, time = np.ones((frames, 2, 3)), np.arange(frames) / 30
    for smoothing in (Butterworth(ButterworthSettings()), SavitzkyGolay(SavitzkyGolaySettings())):
        assert filtered(places, time, smoothing) == pytest.approx(places)


def test_settings_that_cannot_be_are_refused():
    places, time = np.ones((60, 1, 2)), np.arange(60) / 30
    with pytest.raises(UsageError, match="--cutoff"):
        filtered(places, time, Butterworth(ButterworthSettings(cutoff=20)))
    with pytest.raises(UsageError, match="--order"):
        ButterworthSettings(order=3)
    with pytest.raises(UsageError, match="--window"):
        filtered(places, time, SavitzkyGolay(SavitzkyGolaySettings(window=0.05)))
    with pytest.raises(UsageError, match="--min-score"):
        AngleOptions(min_score=2).check()


def test_ranges_are_of_the_frames_that_are_asked_for_and_sides_are_compared():
    angles = angles_of(squatting_pose(), 0, AngleOptions())
    ranges = ranges_of(angles, angles.velocity(), 0, FRAMES // SQUATS)
    knees = {entry.side: entry for entry in ranges if entry.name == "knee_flexion"}
    assert knees["right"].extent == pytest.approx(100, abs=1)
    assert knees["right"].low == pytest.approx(10, abs=1)
    assert knees["left"].extent == pytest.approx(80, abs=1)
    assert difference(ranges, "knee_flexion") == pytest.approx((-20, -22.2), abs=0.5)
    seconds = FRAMES / SQUATS / 30
    assert knees["right"].peak_velocity == pytest.approx(50 * 2 * np.pi / seconds, rel=0.02)
    assert widest([ranges]) == "knee_flexion"
    assert extent_of(ranges, "knee_flexion") == pytest.approx(100, abs=1)
    assert np.isnan(difference(ranges, "trunk_inclination")).all()


def test_a_repetition_is_widened_to_the_turning_points_beside_it():
    assert widened([(10, 20), (24, 40), (100, 120)], 200) == [(8, 22), (22, 44), (95, 125)]
    assert widened([(0, 20), (20, 30)], 31) == [(0, 20), (20, 31)]
    assert widened([], 5) == []


def test_a_range_within_the_error_is_none():
    small = [AngleRange("knee_flexion", "left", 3, 12, 40)]
    assert widest([small]) == "" == widest([]) == widest([[]])
    assert np.isnan(extent_of([], "knee_flexion"))


def rows_of(done):
    assert done.returncode == 0, done.stderr.decode()
    return list(csv.DictReader(done.stdout.decode().splitlines()))


def test_the_tool_prints_whole_degrees_and_keeps_them_in_parquet():
    data = pose_bytes(squatting_pose())
    rows = rows_of(racctl("angles", "--format", "csv", stdin=data))
    assert len(rows) == FRAMES
    assert float(rows[FRAMES // SQUATS // 2]["right_knee_flexion_deg"]) == 110.0
    assert all(float(row["right_knee_flexion_deg"]).is_integer() for row in rows)
    meta, table = read_table(io.BytesIO(racctl("angles", stdin=data).stdout), "angles")
    assert meta["schema"] == "racctl.angles/1" and meta["steps"][-1]["tool"] == "angles"
    values = np.array(table.column("right_knee_flexion_deg").to_pylist())
    assert not np.equal(values, values.round()).all()
    peak = table.column("right_knee_flexion_deg_s").to_numpy().max()
    assert peak == pytest.approx(50 * 2 * np.pi / (FRAMES / SQUATS / 30), rel=0.02)


def test_the_tool_prints_a_row_per_repetition_and_angle(tmp_path):
    path = tmp_path / "squats.pose.npz"
    path.write_bytes(pose_bytes(squatting_pose()))
    rows = rows_of(racctl("angles", path, "--reps", "count", "--format", "csv"))
    knees = [row for row in rows if row["angle"] == "knee_flexion" and row["side"] == "right"]
    assert len(knees) == SQUATS
    assert [float(row["range_deg"]) for row in knees] == pytest.approx([100] * SQUATS, abs=2)
    assert all(-23 <= float(row["difference_deg"]) <= -17 for row in knees)
    assert {row["side"] for row in rows if row["angle"] == "trunk_inclination"} == {""}
    reps = tmp_path / "reps.parquet"
    assert racctl("count", path, "--reps", "--model", "periodicity", "-o", reps).returncode == 0
    assert rows_of(racctl("angles", path, "--reps", reps, "--format", "csv")) == rows
    stops = {row["rep"]: row["stop_s"] for row in read_table(io.BytesIO(reps.read_bytes()), "r")[1].to_pylist()}
    assert all(float(row["stop_s"]) == pytest.approx(stops[int(row["rep"])], abs=1e-6) for row in rows)


def test_repetitions_in_seconds_alone_and_those_that_are_cut_off(tmp_path):
    path = tmp_path / "squats.pose.npz"
    path.write_bytes(pose_bytes(squatting_pose()))
    reps, captions, timed = tmp_path / "reps.parquet", tmp_path / "swing.srt", tmp_path / "timed.parquet"
    assert racctl("count", path, "--reps", "--model", "periodicity", "-o", reps).returncode == 0
    (clip,) = {row["clip"] for row in read_table(io.BytesIO(reps.read_bytes()), "r")[1].to_pylist()}
    captions = captions.with_name(f"{clip}.srt")
    assert racctl("convert", reps, "-o", captions).returncode == 0
    assert racctl("convert", captions, "-o", timed).returncode == 0  # whose frames are not known
    expected = rows_of(racctl("angles", path, "--reps", reps, "--format", "csv"))
    rows = rows_of(racctl("angles", path, "--reps", timed, "--format", "csv"))
    assert [(row["rep"], row["angle"], row["start"]) for row in rows] == [
        (row["rep"], row["angle"], row["start"]) for row in expected
    ]
    first = [row for row in expected if row["rep"] == "1"]
    done = racctl("angles", path, "--reps", reps, "--stop", float(first[0]["stop_s"]) + 0.1, "--format", "csv")
    assert b"not wholly in its frames" in done.stderr
    assert [row["range_deg"] for row in rows_of(done)] == [row["range_deg"] for row in first]


def test_a_table_says_whose_angles_they_are_where_there_are_several(tmp_path):
    pose = squatting_pose()
    both = replace(
        pose,
        xyz=np.repeat(pose.xyz, 2, 1),
        score=np.repeat(pose.score, 2, 1),
        world=np.repeat(pose.world, 2, 1),
        track=np.array([0, 3], np.int32),
    )
    (tmp_path / "two.npz").write_bytes(pose_bytes(both))
    shown = racctl("angles", tmp_path / "two.npz", "--person", "all", "--format", "table").stdout.decode()
    alone = racctl("angles", tmp_path / "two.npz", "--format", "table").stdout.decode()
    assert "person" in shown and "person" not in alone


def test_a_folder_is_filled_once_and_again_when_an_option_changes(tmp_path):
    path = tmp_path / "squats.pose.npz"
    path.write_bytes(pose_bytes(squatting_pose()))
    words = ["angles", path, "-o", f"{tmp_path}/out/"]
    assert racctl(*words).returncode == 0
    target = tmp_path / "out" / "squats.angles.parquet"
    before = target.stat().st_mtime_ns
    assert racctl(*words).returncode == 0
    assert target.stat().st_mtime_ns == before
    assert racctl(*words, "--filter", "butterworth").returncode == 0
    assert target.stat().st_mtime_ns > before


def test_one_table_of_several_clips(tmp_path):
    for name in ("a", "b"):
        pose = squatting_pose()
        pose.meta["clip"] = name
        (tmp_path / f"{name}.npz").write_bytes(pose_bytes(pose))
    rows = rows_of(racctl("angles", tmp_path / "a.npz", tmp_path / "b.npz", "--format", "csv"))
    assert [row["clip"] for row in rows] == ["a"] * FRAMES + ["b"] * FRAMES


def test_what_cannot_be_told_is_one_line(tmp_path):
    path = tmp_path / "squats.pose.npz"
    pose = squatting_pose()
    path.write_bytes(pose_bytes(pose))
    flat = tmp_path / "flat.npz"
    flat.write_bytes(pose_bytes(Pose(**{**vars(pose), "world": None})))
    empty = tmp_path / "nobody.npz"
    nothing = pose_of(np.zeros((0, 33, 3)))
    empty.write_bytes(pose_bytes(nothing))
    counts = tmp_path / "counts.parquet"
    assert racctl("count", path, "-o", counts).returncode == 0
    cases = [
        ([path, "--space", "4d"], 2, "--space"),
        ([path, "--cutoff", "5"], 2, "--cutoff"),
        ([path, "--filter", "butterworth", "--cutoff", "40"], 2, "--cutoff"),
        ([path, "--filter", "butterworth", "--order", "3"], 2, "--order"),
        ([flat, "--space", "3d"], 1, "no world landmarks"),
        ([empty], 1, "holds nobody"),
        ([path, "--reps", counts], 1, "expected racctl.reps/1"),
        ([path, "--reps", tmp_path / "missing.parquet"], 2, "expected count or a file"),
        ([path, "--person", "7"], 1, "no person 7"),
        ([counts], 1, "expected racctl.pose/1 or a video"),
    ]
    for words, code, message in cases:
        assert message in one_line(racctl("angles", *words), code)
    assert rows_of(racctl("angles", flat, "--format", "csv"))[0]["space"] == "2d"


def test_angles_of_a_drawn_squat_are_those_that_it_was_drawn_with():
    pytest.importorskip("anny", reason="the body is drawn; needs racctl[synth]")
    from racctl.synth.plan import plan_clip
    from racctl.synth.sequence import pose_clip

    plan = plan_clip(3, 0, "squat", clean=True, fps=30.0, repetitions=(3, 3), tempo=1.0)
    clip = pose_clip(plan, "squats", errors="none")
    angles = joint_angles(clip.pose, 0).degrees
    (start, stop, *_), *_ = clip.reps
    knee = angles["left_knee_flexion"][start:stop]
    depth = plan.bouts[0].repetitions[0].depth
    assert np.nanmax(knee) == pytest.approx(112 * depth, abs=20)
    assert np.nanmin(knee) < 20
