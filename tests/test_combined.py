"""racctl count as it is by default: without weights, and with the trained counter where the person is rarely seen."""

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

import racctl as racctl_library
from racctl.counters import periodicity
from racctl.counters.base import open_counter
from racctl.counters.combined import Combined
from racctl.counters.count_clip import CountOptions, count_clip, open_pose
from racctl.counters.periodicity import PeriodicitySettings
from racctl.counters.result import MOTION, Count, counts_table, reps_table, taken_from
from racctl.density import density
from racctl.io.npz import pose_bytes

FRAMES = 400


def even_count(repetitions: int, curve: np.ndarray | None = None, step: int = 1) -> Count:
    """So many even repetitions of a clip of 400 frames, of which every `step`th was looked at."""
    frame = np.arange(0, FRAMES, step)
    borders = np.linspace(0, len(frame), repetitions + 1).astype(int)
    return Count(
        clip="clip",
        person=3,
        count=float(repetitions),
        low=repetitions,
        high=repetitions,
        start=borders[:-1],
        stop=borders[1:],
        frame=frame,
        time=frame / 30,
        signal=np.sin(frame),
        unit=MOTION,
        density=curve,
        meta={"clip": "clip"},
    )


def even(count: float) -> np.ndarray:
    cycles = np.linspace(0, FRAMES, math.ceil(count) + 1)
    return density(np.stack([cycles[:-1], cycles[1:]], 1), np.arange(FRAMES + 1.0)) * count / math.ceil(count)


def trained_count(count: float) -> Count:
    """What a counter with a density says: as many rows as the count is rounded."""
    return replace(even_count(round(count), curve=even(count)), count=count)


@pytest.mark.parametrize(("base", "second", "total"), [(4, 9, 9), (9, 4, 4), (1, 4.2, 4), (2, 0.7, 1), (3, 0.2, 0)])
@pytest.mark.parametrize("step", [1, 2])
def test_a_count_is_taken_from_another_counter(base, second, total, step):
    first = even_count(base, step=step)
    both = taken_from(first, trained_count(second))
    assert both.count == pytest.approx(second) and both.trained
    assert both.repetitions == total and both.density is None
    assert both.low == min(base, round(second)) and both.high == max(base, round(second))
    assert np.array_equal(both.frame, first.frame) and np.array_equal(both.signal, first.signal)
    start, stop = both.start, both.stop
    assert len(start) == total and (start < stop).all() and (stop[:-1] <= start[1:]).all()
    assert not total or stop[-1] <= len(both.frame)
    assert np.isnan(both.period) if total < 2 else both.period == pytest.approx(400 / 30 / total, rel=0.2)
    assert len(reps_table([both])) == total


@pytest.fixture(scope="module")
def second():
    return open_counter("d2stx", device="cpu")


def combined(second) -> Combined:
    return Combined(PeriodicitySettings(), second=second)


@pytest.fixture
def everybody_is_seen_little(monkeypatch):
    monkeypatch.setattr(periodicity, "MIN_VISIBLE_SHARE", 1.1)


def counts_of(pose, counter, **options) -> list[Count]:
    options = CountOptions(**options)
    with open_pose(pose, options.span) as clip:
        return count_clip(clip, counter, options)


def alone(pose, **options) -> list[Count]:
    return counts_of(pose, open_counter("periodicity"), **options)


def test_only_the_count_of_a_rarely_seen_person_is_the_trained_counters(second, monkeypatch):
    pose = swinging_pose(frames=180)
    (first,), (trained,) = alone(pose), counts_of(pose, second)
    (often,) = counts_of(pose, combined(second))
    assert often.count == first.count == 6
    assert np.array_equal(often.start, first.start)
    monkeypatch.setattr(periodicity, "MIN_VISIBLE_SHARE", 1.1)
    (rarely,) = counts_of(pose, combined(second))
    assert rarely.count == trained.count
    assert rarely.repetitions == len(rarely.start)
    before, after = often.meta["steps"][-1], rarely.meta["steps"][-1]
    assert before["args"]["model"] == after["args"]["model"] == "combined"
    assert "weights" not in before and after["weights"] == second.trained.records


def test_a_rarely_seen_person_is_counted_by_the_trained_counter_alone(second):
    pose = swinging_pose(frames=360)
    for lost in (10, 39, 55):  # of 60 frames, again and again
        gone = np.arange(360) % 60 < lost
        part = replace(pose, xyz=np.where(gone[:, None, None, None], np.nan, pose.xyz))
        (first,), (trained,), (both,) = alone(part), counts_of(part, second), counts_of(part, combined(second))
        assert both.count == (trained if lost == 39 else first).count
        assert both.repetitions == len(both.start)


def test_of_several_people_only_those_in_doubt_are_asked_about(second):
    pose = swinging_pose(frames=360)
    gone = np.stack([np.zeros(360, bool), np.arange(360) % 60 < 39], axis=1)
    xyz = np.where(gone[..., None, None], np.nan, np.repeat(pose.xyz, 2, axis=1))
    two = replace(pose, xyz=xyz, score=np.repeat(pose.score, 2, axis=1), track=np.array([4, 7], np.int32))
    first, trained, both = (
        alone(two, person="all"),
        counts_of(two, second, person="all"),
        counts_of(two, combined(second), person="all"),
    )
    assert [count.person for count in both] == [4, 7]
    assert both[0].count == first[0].count == 12
    assert both[1].count == trained[1].count
    assert both[1].repetitions == len(both[1].start)


def test_a_person_who_comes_late_is_not_rarely_seen(second):
    pose = swinging_pose(frames=360)
    late = replace(pose, xyz=np.where((np.arange(360) < 240)[:, None, None, None], np.nan, pose.xyz))
    (first,), (both,) = alone(late), counts_of(late, combined(second))
    assert both.count == first.count == 4
    assert np.array_equal(both.start, first.start)


def test_a_clip_that_shows_nobody_counts_nothing(second):
    pose = swinging_pose(frames=180)
    (count,) = counts_of(replace(pose, xyz=np.full_like(pose.xyz, np.nan)), combined(second))
    assert count.count == 0 and len(count.start) == 0


@pytest.mark.usefixtures("everybody_is_seen_little")
def test_what_a_count_carries_means_the_same_from_every_counter(second):
    """Repetitions, interval, clock, signal and density fit together, whoever counts."""
    pose = swinging_pose(300)
    for counter in (open_counter("periodicity"), second, combined(second)):
        (count,) = counts_of(pose, counter)
        assert count.repetitions == len(count.start) == len(count.stop)
        assert count.low <= count.repetitions <= count.high and 0 <= count.agreement <= 1
        assert len(count.frame) == len(count.time) == len(count.signal)
        assert count.density is None or count.density.sum() == pytest.approx(count.count, abs=1e-6)


def test_the_command_counts_so_by_default():
    pose = pose_bytes(swinging_pose(frames=180))
    tables = {}
    for words in ((), ("--model", "combined"), ("--model", "periodicity"), ("--alternating", "pair")):
        process = racctl("count", *words, stdin=pose)
        assert process.returncode == 0, process.stderr.decode()
        tables[words] = pq.read_table(io.BytesIO(process.stdout))
    assert tables[()].equals(tables["--model", "combined"])
    assert b'"model":"combined"' in tables[()].schema.metadata[b"racctl"]
    assert "density" not in tables[()].column_names
    assert [table["count"][0].as_py() for table in tables.values()] == [6, 6, 6, 6]
    assert "'--model combined' has no option '--shots'; it belongs to d2stx" in one_line(
        racctl("count", "--shots", 1, stdin=pose), 2
    )


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
        {},
        {"model": "periodicity"},
        {"model": "d2stx"},
        {"alternating": "pair"},
        {"start": 1.0, "stop": 4.0},
        {"stride": 2},
        {"model": "d2stx", "self_exemplars": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "pose", [swinging_pose(200), lost(swinging_pose(300), 0.65), irregular()], ids=["sure", "lost", "unsure"]
)
def test_the_library_counts_and_signs_as_the_command_does(tmp_path, capsys, pose, options):
    (tmp_path / "p.npz").write_bytes(pose_bytes(pose))
    spelled = {"self_exemplars": "--shots"}
    words = [word for name, value in options.items() for word in (spelled.get(name, f"--{name}"), value)]
    code, printed = in_process(capsys, "count", tmp_path / "p.npz", *words, "-o", tmp_path / "c.parquet")
    assert code == 0, printed
    table = pq.read_table(tmp_path / "c.parquet")
    for source in (tmp_path / "p.npz", pose):
        counts = counts_table(racctl_library.count(source, **options))
        assert counts.to_pylist() == table.to_pylist()
        theirs, ours = (json.loads(each.schema.metadata[b"racctl"])["steps"] for each in (table, counts))
        assert ours == theirs


def test_counts_are_whole_for_people_and_as_they_are_in_parquet(tmp_path, capsys):
    (tmp_path / "p.npz").write_bytes(pose_bytes(irregular()))
    exact, shown = tmp_path / "c.parquet", tmp_path / "c.csv"
    for target in (exact, shown):
        assert in_process(capsys, "count", tmp_path / "p.npz", "--model", "d2stx", "-o", target)[0] == 0
    (row,) = pq.read_table(exact).to_pylist()
    assert row["count"] == pytest.approx(sum(row["density"]), abs=1e-4) and row["count"] % 1
    assert float(shown.read_text().splitlines()[1].split(",")[2]) == math.floor(row["count"] + 0.5)
