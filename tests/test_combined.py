"""racctl count as it is by default: without weights, and with the trained counter where that is unsure."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from commands import in_process, one_line, racctl
from poses import swinging_pose

from racctl.counters import count_clip as counting
from racctl.counters.count_clip import (
    Lane,
    Options,
    Trained,
    count_combined,
    count_periodicity,
    count_pose,
    count_trained,
)
from racctl.counters.periodicity import Repetitions
from racctl.counters.result import Counted, agreed, counts_table, reps_table
from racctl.density import density
from racctl.io.npz import pose_bytes

FRAMES = 400


def counted(count: int, score: float = 0.3, curve: np.ndarray | None = None, step: int = 1) -> Counted:
    """So many even repetitions of a clip of 400 frames, of which every `step`th was looked at."""
    frame = np.arange(0, FRAMES, step)
    borders = np.linspace(0, len(frame), count + 1).astype(int)
    found = Repetitions(borders[:-1], borders[1:], float(count), count, count, np.sin(frame), 1.0, score, False)
    return Counted("clip", 3, found, frame, frame / 30, {"clip": "clip"}, curve)


def even(count: float) -> np.ndarray:
    cycles = np.linspace(0, FRAMES, math.ceil(count) + 1)
    return density(np.stack([cycles[:-1], cycles[1:]], 1), np.arange(FRAMES + 1.0)) * count / math.ceil(count)


def trained_count(count: float) -> Counted:
    """What a counter with a density says: as many rows as the count is rounded."""
    whole = counted(round(count), curve=even(count))
    return replace(whole, found=replace(whole.found, count=count))


@pytest.mark.parametrize(("one", "other", "both"), [(4, 9, 6), (9, 4, 6), (5, 5, 5), (1, 4.2, 2), (2, 0.7, 1)])
@pytest.mark.parametrize("step", [1, 2])
def test_two_counts_become_their_geometric_mean(one, other, both, step):
    first, second = counted(one, step=step), trained_count(other)
    found = agreed(first, second)
    assert found.found.count == pytest.approx(math.sqrt(one * other))
    assert found.repetitions == both and found.density is None
    assert found.found.low == min(one, round(other)) and found.found.high == max(one, round(other))
    assert np.array_equal(found.frame, first.frame) and np.array_equal(found.found.signal, first.found.signal)
    start, stop = found.found.start, found.found.stop
    assert (
        len(start) == both and (start < stop).all() and (stop[:-1] <= start[1:]).all() and stop[-1] <= len(found.frame)
    )
    assert np.isnan(found.found.period) if both == 1 else found.found.period == pytest.approx(400 / 30 / both, rel=0.2)
    assert len(reps_table([found])) == both


def test_a_counter_that_finds_nothing_has_no_say():
    some, none = counted(5), trained_count(0.3)
    assert agreed(some, none) is some
    nothing = replace(some, found=replace(some.found, count=0.0))
    assert agreed(nothing, counted(4, curve=even(4))) is nothing


@pytest.fixture(scope="module")
def lane():
    return Lane(poses=None, trained=Trained(Options(), "cpu"))


def test_only_an_unsure_count_is_shared(lane, monkeypatch):
    pose, options = swinging_pose(frames=180), Options()
    (alone,) = count_periodicity(pose, options)
    (trained,) = count_trained(pose, options, lane)
    monkeypatch.setattr(counting, "UNSURE_BELOW", 0.0)
    (sure,) = count_combined(pose, options, lane)
    assert sure.found.count == alone.found.count == 6
    assert np.array_equal(sure.found.start, alone.found.start)
    monkeypatch.setattr(counting, "UNSURE_BELOW", 1.1)
    (unsure,) = count_combined(pose, options, lane)
    assert unsure.found.count == pytest.approx(math.sqrt(6 * trained.density.sum()))
    assert unsure.repetitions == len(unsure.found.start)
    before, after = sure.meta["steps"][-1], unsure.meta["steps"][-1]
    assert before["args"]["model"] == after["args"]["model"] == "combined"
    assert "weights" not in before and after["weights"] == lane.trained.counter.records


def test_who_is_hardly_seen_is_counted_by_the_trained_counter_alone(lane):
    pose, options = swinging_pose(frames=360), Options()
    for lost in (20, 39, 55):  # of 60 frames, again and again
        gone = np.arange(360) % 60 < lost
        part = replace(pose, xyz=np.where(gone[:, None, None, None], np.nan, pose.xyz))
        ((alone,), (trained,), (found,)) = (
            count_periodicity(part, options), count_trained(part, options, lane), count_combined(part, options, lane),
        )  # fmt: skip
        expected = trained if lost == 39 else alone
        assert found.found.count == expected.found.count
        assert found.repetitions == len(found.found.start)


def test_of_several_people_only_those_in_doubt_are_asked_about(lane):
    pose, options = swinging_pose(frames=360), Options(person="all")
    gone = np.stack([np.zeros(360, bool), np.arange(360) % 60 < 39], axis=1)
    xyz = np.where(gone[..., None, None], np.nan, np.repeat(pose.xyz, 2, axis=1))
    two = replace(pose, xyz=xyz, score=np.repeat(pose.score, 2, axis=1), track=np.array([4, 7], np.int32))
    alone, trained, found = (
        count_periodicity(two, options),
        count_trained(two, options, lane),
        count_combined(two, options, lane),
    )
    assert [one.person for one in found] == [4, 7]
    assert found[0].found.count == alone[0].found.count == 12
    assert found[1].found.count == trained[1].found.count
    assert found[1].repetitions == len(found[1].found.start)


def test_who_comes_late_is_not_hardly_seen(lane):
    pose = swinging_pose(frames=360)
    late = replace(pose, xyz=np.where((np.arange(360) < 240)[:, None, None, None], np.nan, pose.xyz))
    ((alone,), (found,)) = (count_periodicity(late, Options()), count_combined(late, Options(), lane))
    assert found.found.count == alone.found.count == 4
    assert np.array_equal(found.found.start, alone.found.start)


def test_who_is_not_there_counts_nothing(lane):
    pose = swinging_pose(frames=180)
    (found,) = count_combined(replace(pose, xyz=np.full_like(pose.xyz, np.nan)), Options(), lane)
    assert found.found.count == 0 and len(found.found.start) == 0


def test_the_command_counts_so_by_default():
    pose = pose_bytes(swinging_pose(frames=180))
    made = {}
    for words in ((), ("--model", "combined"), ("--model", "periodicity"), ("--alternating", "pair")):
        done = racctl("count", *words, stdin=pose)
        assert done.returncode == 0, done.stderr.decode()
        made[words] = pq.read_table(io.BytesIO(done.stdout))
    assert made[()].equals(made["--model", "combined"])
    assert b'"model":"combined"' in made[()].schema.metadata[b"racctl"]
    assert "density" not in made[()].column_names
    assert [table["count"][0].as_py() for table in made.values()] == [6, 6, 6, 6]
    assert "options of '--model d2stx'" in one_line(racctl("count", "--shots", 1, stdin=pose), 2)


def lost(pose, share: float):
    """The person is not found in this share of every second."""
    gone = np.arange(len(pose.frame)) % 30 < 30 * share
    return replace(pose, xyz=np.where(gone[:, None, None, None], np.nan, pose.xyz))


def irregular():
    """Repetitions of very different lengths, of which the counter without weights is unsure."""
    pose, rng = swinging_pose(400), np.random.default_rng(3)
    return replace(pose, xyz=(pose.xyz + np.cumsum(rng.normal(0, 9, pose.xyz.shape), axis=0)).astype(np.float32))


@pytest.mark.parametrize(
    "options",
    [
        Options(), Options(model="periodicity"), Options(model="d2stx"), Options(alternating="pair"),
        Options(start=1.0, stop=4.0), Options(stride=2), Options(model="d2stx", shots=2),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize(
    "pose", [swinging_pose(200), lost(swinging_pose(300), 0.65), irregular()], ids=["sure", "lost", "unsure"]
)
def test_the_library_counts_and_signs_as_the_command_does(tmp_path, capsys, pose, options):
    (tmp_path / "p.npz").write_bytes(pose_bytes(pose))
    words = ["--model", options.model, "--alternating", options.alternating, "--stride", options.stride]
    words += [] if options.start is None else ["--start", options.start, "--stop", options.stop]
    words += ["--shots", options.shots] if options.shots else []
    code, said = in_process(capsys, "count", tmp_path / "p.npz", *words, "-o", tmp_path / "c.parquet")
    assert code == 0, said
    table = pq.read_table(tmp_path / "c.parquet")
    counted = counts_table(count_pose(pose, options))
    assert counted.to_pylist() == table.to_pylist()
    theirs, ours = (json.loads(made.schema.metadata[b"racctl"])["steps"] for made in (table, counted))
    assert ours == theirs


def test_counts_are_whole_for_people_and_as_they_are_in_parquet(tmp_path, capsys):
    (tmp_path / "p.npz").write_bytes(pose_bytes(irregular()))
    exact, shown = tmp_path / "c.parquet", tmp_path / "c.csv"
    for target in (exact, shown):
        assert in_process(capsys, "count", tmp_path / "p.npz", "--model", "d2stx", "-o", target)[0] == 0
    (row,) = pq.read_table(exact).to_pylist()
    assert row["count"] == pytest.approx(sum(row["density"]), abs=1e-4) and row["count"] % 1
    assert float(shown.read_text().splitlines()[1].split(",")[2]) == math.floor(row["count"] + 0.5)
