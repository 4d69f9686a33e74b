"""The log of a workout: activity, changes of the movement, sets, holds, tempo, and the tool."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from commands import one_line, racctl
from test_angles import bent_body, pose_of

import racctl as racctl_package
from racctl.contracts import Pose
from racctl.errors import UsageError
from racctl.io.npz import pose_bytes, read_pose
from racctl.workouts.activity import TRACE_RATE, activity, pieces, repeating
from racctl.workouts.changes import change_points
from racctl.workouts.log_clip import is_in_turn
from racctl.workouts.log_words import clock_time
from racctl.workouts.phases import KNOWN_PHASES, PLAIN_PHASES, phases
from racctl.workouts.sets import SetReader, WorkoutSet, active_spans, begun_after

RATE = 30.0
REAL = Path(os.environ.get("RACCTL_TEST_DATA", "/nowhere"))


def way(seconds, times):
    """(T,) there and back between 0 and 1, a number of times."""
    frames = round(seconds * RATE)
    return (1 - np.cos(2 * np.pi * times * np.arange(frames) / frames)) / 2


def squats(times, seconds):
    return [bent_body(knee=100 * p, hip=95 * p, trunk=30 * p) for p in way(seconds, times)]


def curls(times, seconds):
    return [bent_body(elbow=10 + 125 * p, shoulder=5) for p in way(seconds, times)]


def raises(times, seconds):
    return [bent_body(shoulder=95 * p) for p in way(seconds, times)]


def standing(seconds):
    """Somebody who shifts about and never does the same again."""
    time = np.arange(round(seconds * RATE)) / RATE
    return [bent_body(knee=4 * np.sin(0.37 * t), shoulder=6 + 5 * np.sin(0.21 * t + 1), trunk=0.6 * t) for t in time]


def planking(seconds):
    return [bent_body(trunk=85, shoulder=80, ankle=5) for _ in range(round(seconds * RATE))]


def session(*parts, noise=0.003, seed=0):
    """A pose of parts one after the other, with half a second between, and noise of the landmarks."""
    bodies = list(parts[0])
    for part in parts[1:]:
        bodies += [bodies[-1] + (part[0] - bodies[-1]) * share for share in np.linspace(0, 1, round(RATE / 2))]
        bodies += part
    rng = np.random.default_rng(seed)
    world = np.stack(bodies) + rng.normal(0, noise, (len(bodies), 33, 3))
    return pose_of(world, {"clip": "session", "topology": "blazepose33", "steps": []})


def sets_of(pose):
    """(start, stop in s, repetitions) of every set, without a recogniser; None for a hold's repetitions."""
    entries = SetReader(pose, None).sets()
    return [
        (pose.time[e.start], pose.time[min(e.stop, len(pose.time) - 1)], None if e.count is None else e.repetitions)
        for e in entries
    ]


def test_what_repeats_is_like_itself_and_what_goes_on_is_not():
    time = np.arange(400) / TRACE_RATE
    turning = np.stack([np.sin(2 * np.pi * time / 2.5), np.cos(2 * np.pi * time / 2.5)], 1) / 10
    likeness, period = repeating(turning, TRACE_RATE)
    assert likeness.min() > 0.9
    assert np.median(period) == pytest.approx(2.5, rel=0.06)
    likeness, _ = repeating(np.stack([time, -time], 1) / 10, TRACE_RATE)
    assert likeness.max() < 0
    likeness, _ = repeating(np.random.default_rng(0).normal(0, 0.001, (400, 2)), TRACE_RATE)
    assert likeness.max() < 0, "noise is no motion"


def test_pieces_cover_every_moment_once_whatever_the_clock():
    time = np.concatenate([np.arange(0, 400, 0.5), 5e6 + np.arange(0, 200, 0.5)])
    covered = np.zeros(len(time), int)
    for frames, begin, end in pieces(time):
        inside = (time >= begin) & (time < end)
        assert not inside[: frames.start].any() and not inside[frames.stop :].any()
        assert time[frames][-1] - time[frames][0] <= 160
        covered += inside
    assert (covered == 1).all()
    assert list(pieces(np.zeros(0))) == []


def test_a_movement_changes_where_the_postures_do():
    rng = np.random.default_rng(0)
    phase = 2 * np.pi * np.arange(100) / 12
    one_way = np.zeros((200, 10))
    one_way[:100, 0] = np.sin(phase)
    one_way[100:, 1] = np.sin(phase)
    one_way[100:, 2] = 1.5
    noisy = one_way + rng.normal(0, 0.05, one_way.shape)
    (change,) = change_points(noisy, 5.0, 2.4)
    assert abs(change - 100) <= 5
    assert len(change_points(np.concatenate([noisy[:100], noisy[:100]]), 5.0, 2.4)) == 0
    assert len(change_points(noisy[:20], 5.0, 2.4)) == 0


def test_three_sets_between_rests_are_three_sets():
    pose = session(
        standing(9), squats(8, 20), standing(12), curls(6, 15), standing(8), raises(12, 30), standing(7)
    )  # fmt: skip
    sets = sets_of(pose)
    assert [count for *_, count in sets] == [8, 6, 12]
    begins = [9.5, 9.5 + 20 + 13, 9.5 + 20 + 13 + 15 + 9]
    for (start, stop, _), begin, seconds in zip(sets, begins, (20, 15, 30), strict=True):
        assert start == pytest.approx(begin, abs=1)
        assert stop == pytest.approx(begin + seconds, abs=1)


def test_three_sets_without_a_rest_are_three_sets():
    assert [count for *_, count in sets_of(session(squats(8, 20), curls(6, 15), raises(12, 30)))] == [8, 6, 12]


def test_the_same_exercise_after_a_rest_is_another_set():
    assert [count for *_, count in sets_of(session(squats(6, 15), standing(12), squats(5, 12)))] == [6, 5]


def test_a_plank_is_a_hold_and_standing_is_a_rest():
    sets = sets_of(session(standing(10), planking(20), standing(10)))
    ((start, stop, count),) = sets
    assert count is None
    assert start == pytest.approx(10.5, abs=2) and stop == pytest.approx(30.5, abs=2)
    assert sets_of(session(standing(40))) == []


@pytest.mark.parametrize("frames", [1, 2, 5, 40])
def test_the_shortest_of_clips_have_no_sets(frames):
    assert sets_of(pose_of([bent_body()] * frames)) == []


def test_a_clip_that_jumps_by_days_and_shows_nobody_for_long_is_read():
    pose = session(squats(6, 15), standing(8), squats(5, 12))
    middle = len(pose.time) // 2
    pose.time[middle:] += 3e6
    xyz, score = pose.xyz.copy(), pose.score.copy()
    xyz[-60:], score[-60:] = np.nan, 0
    sets = sets_of(replace(pose, xyz=xyz, score=score))
    assert [count for *_, count in sets][:1] == [6]
    assert all(np.isfinite(stop) for _, stop, _ in sets)


def test_activity_does_not_depend_on_how_the_clip_is_cut_into_pieces():
    pose = session(standing(60), squats(20, 50), standing(60), curls(12, 30), standing(30))
    (span, second) = active_spans(activity(pose, None))
    assert span[0] == pytest.approx(60.5, abs=1.5) and span[1] == pytest.approx(110.5, abs=1.5)
    assert second[1] - second[0] == pytest.approx(30, abs=3)


def held_wave(down, low, up, high, rate=RATE):
    """Degrees of an angle that goes from 0 to 90 and back with pauses, at even speed."""
    parts = [np.linspace(0, 90, round(down * rate)), np.full(round(low * rate), 90.0)]
    parts += [np.linspace(90, 0, round(up * rate)), np.zeros(round(high * rate))]
    angle = np.concatenate(parts)
    return np.arange(len(angle)) / rate, angle


@pytest.mark.parametrize("expected", [(2.0, 1.0, 1.0, 0.5), (3.0, 0.0, 1.0, 0.0), (1.0, 0.0, 0.5, 2.0)])
def test_the_four_phases_of_a_repetition(expected):
    time, angle = held_wave(*expected)
    squat = phases(time, angle, upwards=-1)
    assert squat.names == KNOWN_PHASES
    assert squat.seconds == pytest.approx(expected, abs=0.25)
    assert sum(squat.seconds) == pytest.approx(time[-1] + 1 / RATE, abs=0.05)
    curl = phases(time, angle, upwards=1)
    down, low, up, high = curl.seconds
    assert (up, high, down, low) == pytest.approx(expected, abs=0.25)
    plain = phases(time, angle)
    assert plain.names == PLAIN_PHASES and plain.seconds == pytest.approx(expected, abs=0.25)
    assert phases(time, 90 - angle).seconds == pytest.approx(expected, abs=0.25)
    assert str(squat).count("-") == 3


def test_phases_of_what_is_not_seen_are_not_told():
    time, angle = held_wave(1, 0, 1, 0)
    angle[10:] = np.nan
    assert phases(time, angle, -1) is None
    assert phases(time[:3], angle[:3], -1) is None


def test_sides_that_take_turns_are_not_averaged():
    wave = np.sin(np.arange(100) / 5)
    assert is_in_turn([wave, -wave])
    assert not is_in_turn([wave, 0.5 * wave])
    assert not is_in_turn([wave])


def test_a_clock_reads_as_people_write_it():
    assert clock_time(62.54) == "1:02.5"
    assert clock_time(59.97) == "1:00.0"
    assert clock_time(3723.2) == "1:02:03.2"


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "session.pose.npz"
    pose = session(standing(9), squats(8, 20), standing(12), curls(6, 15), standing(8))
    path.write_bytes(pose_bytes(pose))
    return path


def rows_of(done):
    assert done.returncode == 0, done.stderr.decode()
    return list(csv.DictReader(io.StringIO(done.stdout.decode())))


def test_the_tool_writes_a_row_for_each_set(logged):
    done = racctl("log", logged, "--format", "csv")
    first, second = rows_of(done)
    assert (first["reps"], second["reps"]) == ("8.0", "6.0")
    assert (first["set"], second["set"]) == ("1", "2")
    assert first["rest_s"] == "" and float(second["rest_s"]) == pytest.approx(13, abs=1)
    assert float(first["rep_s"]) == pytest.approx(2.5, abs=0.1)
    assert first["angle"] in ("knee_flexion", "hip_flexion")
    assert float(first["range_deg"]) == pytest.approx(100, abs=12)
    assert second["angle"] == "elbow_flexion" and float(second["range_deg"]) == pytest.approx(125, abs=8)
    assert abs(float(second["difference_deg"])) < 5
    assert sum(map(float, second["tempo"].split("-"))) == pytest.approx(2.5, abs=0.3)
    assert b"2 sets, 14 repetitions" in done.stderr


def test_the_tool_writes_a_row_for_each_repetition(logged):
    rows = rows_of(racctl("log", logged, "--reps", "--format", "csv"))
    assert [(row["set"], row["rep"]) for row in rows] == [
        *(("1", str(k)) for k in range(1, 9)),
        *(("2", str(k)) for k in range(1, 7)),
    ]
    assert all(float(row["stop_s"]) > float(row["start_s"]) for row in rows)
    assert all(95 < float(row["range_deg"]) < 140 for row in rows if row["set"] == "2")


def test_the_table_keeps_its_provenance_and_a_folder_is_filled_once(logged, tmp_path):
    words = ["log", logged, "-o", f"{tmp_path}/logs/"]
    assert racctl(*words).returncode == 0
    target = tmp_path / "logs" / "session.log.parquet"
    meta = pq.read_schema(target).metadata[b"racctl"].decode()
    assert '"schema":"racctl.log/1"' in meta and '"tool":"log"' in meta
    before = target.stat().st_mtime_ns
    assert racctl(*words).returncode == 0 and target.stat().st_mtime_ns == before
    assert racctl(*words, "--space", "2d").returncode == 0 and target.stat().st_mtime_ns > before


def test_sets_and_repetitions_are_files_of_their_own(logged, tmp_path):
    for words in ((), ("--reps",)):
        assert racctl("log", logged, "-o", f"{tmp_path}/logs/", *words).returncode == 0
    names = {path.name: pq.read_table(path).num_rows for path in (tmp_path / "logs").iterdir()}
    assert names == {"session.log.parquet": 2, "session.log-reps.parquet": 14}


def test_what_the_set_before_has_is_not_counted_twice():
    count = SimpleNamespace(start=np.array([5, 30, 60]), stop=np.array([28, 58, 90]))
    entry = WorkoutSet(105, 190, count, 0, 3)
    assert begun_after(entry, 105) is entry
    later = begun_after(entry, 125)
    assert (later.start, later.stop, later.first, later.last) == (130, 190, 1, 3)
    assert begun_after(entry, 165) is None
    hold = WorkoutSet(100, 200, None)
    assert begun_after(hold, 150).start == 150 and begun_after(hold, 200) is None


def test_the_library_gives_what_the_commands_give(logged):
    rows = racctl_package.log(logged)
    table = pq.read_table(io.BytesIO(racctl("log", logged).stdout))
    assert rows == table.to_pylist()
    curves = racctl_package.angles(logged, filter="butterworth", cutoff=5.0)
    done = racctl("angles", logged, "--filter", "butterworth", "--cutoff", "5")
    assert curves.equals(pq.read_table(io.BytesIO(done.stdout)))
    with pytest.raises(UsageError, match="no such setting"):
        racctl_package.angles(logged, filter="butterworth", window=1)


def test_a_person_reads_a_table_that_fits_on_a_screen(logged):
    shown = racctl("log", logged, "--format", "table").stdout.decode()
    assert max(map(len, shown.splitlines())) <= 120
    assert "elbow 12" in shown and "s/rep" in shown


def test_a_pose_without_repetitions_is_an_empty_log(tmp_path):
    path = tmp_path / "still.npz"
    path.write_bytes(pose_bytes(session(standing(20))))
    done = racctl("log", path, "--format", "csv")
    assert rows_of(done) == [] and b"0 sets, 0 repetitions" in done.stderr


def test_a_scaled_pose_is_counted_without_names_and_degrees(tmp_path):
    pose = session(standing(9), squats(8, 20), standing(9))
    low, high = pose.xyz.min(2, keepdims=True), pose.xyz.max(2, keepdims=True)
    scaled = ((pose.xyz - low) / np.maximum(high - low, 1e-6)).astype(np.float32)
    path = tmp_path / "scaled.npz"
    path.write_bytes(pose_bytes(Pose(**{**vars(pose), "xyz": scaled, "meta": {**pose.meta, "scale": "minmax"}})))
    done = racctl("log", path, "--format", "csv")
    (row,) = rows_of(done)
    assert abs(float(row["reps"]) - 8) <= 1
    assert row["range_deg"] == "" and row["angle"] == ""


def test_what_cannot_be_logged_is_one_line(logged, tmp_path):
    empty = tmp_path / "nobody.npz"
    empty.write_bytes(pose_bytes(pose_of(np.zeros((0, 33, 3)))))
    counts = tmp_path / "counts.parquet"
    assert racctl("count", logged, "-o", counts).returncode == 0
    cases = [
        ([empty], 1, "holds nobody"),
        ([counts], 1, "expected racctl.pose/1 or a video"),
        ([logged, "--space", "5d"], 2, "--space"),
        ([logged, "--person", "9"], 1, "no person 9"),
        ([logged, "--model", "nothing"], 2, "nothing"),
        ([logged, "--start", "900"], 1, "no frame"),
    ]
    for words, code, message in cases:
        assert message in one_line(racctl("log", *words), code)


def test_a_drawn_session_is_logged_as_it_was_drawn(tmp_path):
    pytest.importorskip("anny", reason="the body is drawn; needs racctl[synth]")
    from racctl.synth.motion import Bout, Repetition
    from racctl.synth.plan import plan_clip
    from racctl.synth.sequence import pose_clip

    def bout(movement, times):
        return Bout(movement, tuple(Repetition() for _ in range(times)))

    idle = ("look_at_phone", "stretch_arms", "turn_around")
    rests = tuple(bout(name, 1) for name in idle)
    plan = plan_clip(11, 0, "squat", clean=True, fps=25.0, alone=True)
    bouts = (*rests, bout("squat", 8), *rests, bout("bicep_curl", 7), *rests)
    clip = pose_clip(replace(plan, bouts=bouts), "drawn", errors="none")
    path = tmp_path / "drawn.npz"
    path.write_bytes(pose_bytes(clip.pose))
    first, second = rows_of(racctl("log", path, "--format", "csv"))
    assert (first["exercise"], second["exercise"]) == ("squat", "bicep_curl")
    assert abs(float(first["reps"]) - 8) <= 1 and abs(float(second["reps"]) - 7) <= 1
    ends = [stop for *_, stop, label, _ in clip.reps if label == "squat"]
    begins = [start for _, _, start, _, label, _ in clip.reps if label == "bicep_curl"]
    assert float(second["rest_s"]) == pytest.approx(min(begins) - max(ends), abs=1)
    assert first["phases"] == "down-hold-up-hold"


@pytest.mark.skipif(not (REAL / "clips").is_dir(), reason="RACCTL_TEST_DATA names no folder with clips")
def test_a_real_clip_is_one_set_of_its_exercise(tmp_path):
    pose = tmp_path / "be_squat.pose.npz"
    assert racctl("pose", REAL / "clips" / "be_squat.mp4", "-o", pose, timeout=280).returncode == 0
    with open(pose, "rb") as file:
        assert len(read_pose(file, "be_squat").time) > 100
    (row,) = rows_of(racctl("log", pose, "--format", "csv"))
    assert row["exercise"] == "squat" and abs(float(row["reps"]) - 8) <= 1
