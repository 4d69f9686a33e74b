"""Counting in what the pose network sees in the picture, where the joints show the person little."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from clips import bouncing, write_clip
from commands import in_process
from poses import swinging_pose

from racctl.contracts import Features
from racctl.counters import periodicity
from racctl.counters.appearance import APPEARANCE_AXES, appearance, appearance_motion
from racctl.counters.base import open_counter
from racctl.counters.count_clip import CountOptions, count_clip
from racctl.counters.recurrence import count_appearance
from racctl.counters.result import APPEARANCE, MOTION
from racctl.errors import UsageError
from racctl.estimators.on_demand import Estimates, Estimators
from racctl.estimators.open_clip import open_pose
from racctl.estimators.pose import estimate_pose
from racctl.io.npz import pose_bytes

FPS = 30


def looks(phase: np.ndarray, side: int = 4, noise: float = 0.2, channels: int = 24) -> np.ndarray:
    """(T, C, 1, side, side) float16: looks that depend on a phase (T,), as far from a straight line as a body's are."""
    rng = np.random.default_rng(0)
    first, second, usual = rng.normal(size=(3, channels, side, side))
    bend = np.sin(np.pi * phase)
    video = usual + phase[:, None, None, None] * first + bend[:, None, None, None] * second
    return (25 * (video + noise * rng.normal(size=video.shape)))[:, :, None].astype(np.float16)


def features_of(video: np.ndarray) -> Features:
    frame = np.arange(len(video))
    return Features(
        start=frame, stop=frame + 1, start_s=frame / FPS, stop_s=(frame + 1) / FPS, video=video, meta={"clip": "looks"}
    )


def counted(video: np.ndarray, **options):
    features = features_of(video)
    return count_appearance(appearance(features), features.start_s, **options)


def there_and_back(repetitions: int, frames: int) -> np.ndarray:
    return np.tile(np.sin(np.pi * np.arange(frames) / frames) ** 2, repetitions)


@pytest.mark.parametrize("repetitions, frames", [(3, 90), (8, 40), (20, 16)])
@pytest.mark.parametrize("side", [4, 8])
def test_cycles_of_looks_are_repetitions(repetitions, frames, side):
    still = np.zeros(20)
    result = counted(looks(np.concatenate([still, there_and_back(repetitions, frames), still]), side))
    assert result.count == repetitions
    assert result.low <= repetitions <= result.high
    middle = (result.start + result.stop) / 2
    np.testing.assert_allclose(middle, 20 + frames * (np.arange(repetitions) + 0.5), atol=0.2 * frames)


def test_one_who_holds_still_does_nothing():
    assert counted(looks(np.full(240, 0.4))).count == 0


def test_looks_are_unknown_where_nobody_is_seen():
    video = looks(there_and_back(6, 60))
    video[100:170] = 0
    paths = appearance(features_of(video))
    assert np.isnan(paths[100:170]).all() and np.isfinite(paths[:100]).all()
    known = appearance_motion(paths, np.arange(360) / FPS)
    assert not known.known[known.time > 101 / FPS][: int(20 * 60 / FPS)].any()
    assert 4 <= counted(video).count <= 6
    assert np.isnan(appearance(features_of(np.zeros_like(video)))).all()
    assert counted(np.zeros_like(video)).count == 0


def test_a_short_clip_has_fewer_axes_than_frames():
    paths = appearance(features_of(looks(there_and_back(1, 12))))
    assert paths.shape == (12, APPEARANCE_AXES, 1) and np.isfinite(paths).all()
    assert (paths[:, 12:] == 0).all()


# Which of the two is read.


def read(pose, video: np.ndarray | None, person: str = "main", **settings):
    """Count a pose whose video gave these inner features; None: without its video."""
    counter = open_counter("periodicity", periodicity.PeriodicitySettings(**settings))
    with Estimators(Estimates(pose=True, features=True)) as estimators, open_pose(pose, None, estimators) as clip:
        if video is not None:
            clip.video_file, clip.video_name = clip.file, "swing.mp4"
            clip.inner_features = features_of(video)
        (count,) = count_clip(clip, counter, CountOptions("periodicity", person))
    return count


def lost(pose, share: float):
    gone = np.arange(len(pose.frame)) % 40 < 40 * share
    return replace(
        pose,
        xyz=np.where(gone[:, None, None, None], np.nan, pose.xyz),
        score=np.where(gone[:, None, None], 0, pose.score),
    )


def test_the_picture_counts_whoever_is_seen_little():
    pose, video = swinging_pose(360, 60), looks(there_and_back(9, 40))
    often, rarely, without = read(pose, video), read(lost(pose, 0.5), video), read(lost(pose, 0.5), None)
    assert (often.count, often.unit) == (6, MOTION)
    assert (rarely.count, rarely.unit) == (9, APPEARANCE)
    assert without.unit == MOTION
    assert len(rarely.signal) == len(rarely.time) == 360 and rarely.confidence is not None


def test_the_branch_can_be_chosen():
    pose, video = swinging_pose(360, 60), looks(there_and_back(9, 40))
    assert read(pose, video, branches="video").count == 9
    assert read(lost(pose, 0.5), video, branches="pose").unit == MOTION
    with pytest.raises(UsageError, match="it needs the video"):
        read(pose, None, branches="video")
    with pytest.raises(UsageError, match="invalid value 'both eyes' for '--branches'; expected both, pose or video"):
        periodicity.PeriodicitySettings(branches="both eyes")


def test_only_the_main_person_is_looked_at():
    pose = lost(swinging_pose(360, 60), 0.5)
    two = replace(
        pose,
        xyz=np.repeat(pose.xyz, 2, axis=1),
        score=np.repeat(pose.score, 2, axis=1),
        track=np.array([4, 7], np.int32),
        meta={**pose.meta, "main": 7},
    )
    video = looks(there_and_back(9, 40))
    assert read(two, video).unit == read(two, video, person="7").unit == APPEARANCE
    assert read(two, video, person="4").unit == MOTION


def test_a_pose_is_counted_by_its_own_video_alone(tmp_path, capsys):
    (tmp_path / "another").mkdir()
    clip = write_clip(tmp_path / "a.mp4", bouncing(20, 10))
    namesake = write_clip(tmp_path / "another" / "a.mp4", bouncing(24, 12))
    pose = tmp_path / "a.pose.npz"
    pose.write_bytes(pose_bytes(estimate_pose(clip)))
    words = ("count", pose, "--branches", "video", "--format", "csv", "--video")
    code, message = in_process(capsys, *words, namesake)
    assert code == 1 and "made of another file of that name" in message
    code, message = in_process(capsys, *words, clip)
    assert code == 0, message
