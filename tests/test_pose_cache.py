"""RACCTL_POSE_CACHE: several commands on a video estimate its pose once, and get the very same."""

from __future__ import annotations

import io
import os

import pytest
from clips import bouncing, write_clip
from commands import afresh, one_line
from poses import swinging_pose

from racctl.contracts import Features
from racctl.errors import UsageError
from racctl.estimators.on_demand import Estimates, Estimators
from racctl.estimators.pose_cache import PoseCache, pose_cache
from racctl.io.npz import pose_bytes, write_features
from racctl.video.span import Span


@pytest.fixture
def video(tmp_path):
    return write_clip(tmp_path / "a.mp4", bouncing(24, 12, 128))


def estimated(path, side=None):
    estimates = Estimates(pose=True, features=side is not None, feature_side=side or 0)
    with Estimators(estimates) as lane, open(path, "rb") as file:
        return lane.pose(file, str(path), Span())


def written(features: Features) -> bytes:
    out = io.BytesIO()
    write_features(out, features)
    return out.getvalue()


def test_a_pose_is_estimated_once(video, tmp_path, monkeypatch):
    plain, _ = estimated(video)
    monkeypatch.setenv("RACCTL_POSE_CACHE", str(tmp_path / "cache"))
    first, features = estimated(video, side=2)
    assert pose_bytes(first) == pose_bytes(plain)
    monkeypatch.setattr(Estimators, "_estimate_pose", lambda *words: pytest.fail("estimated again"))
    again, inner = estimated(video, side=2)
    assert pose_bytes(again) == pose_bytes(plain) and written(inner) == written(features)
    assert pose_bytes(estimated(video)[0]) == pose_bytes(plain)  # without the features too


def test_another_video_name_or_option_is_another_pose(video, tmp_path, monkeypatch):
    monkeypatch.setenv("RACCTL_POSE_CACHE", str(tmp_path / "cache"))
    estimated(video)
    (tmp_path / "b.mp4").write_bytes(video.read_bytes())
    assert estimated(tmp_path / "b.mp4")[0].clip == "b"
    with Estimators(Estimates(pose=True)) as lane, open(video, "rb") as file:
        assert len(lane.pose(file, str(video), Span(stride=2))[0].frame) == 12
    assert len(list((tmp_path / "cache").iterdir())) == 3


def test_what_is_damaged_is_estimated_again(video, tmp_path, monkeypatch):
    monkeypatch.setenv("RACCTL_POSE_CACHE", str(tmp_path / "cache"))
    pose, _ = estimated(video)
    (path,) = (tmp_path / "cache").iterdir()
    path.write_bytes(path.read_bytes()[:-20])
    assert pose_bytes(estimated(video)[0]) == pose_bytes(pose)
    assert path.stat().st_size > 1000


KEYS = [letter * 32 for letter in "abc"]


def test_the_folder_stays_below_its_bound_and_other_files_stay(tmp_path):
    pose = swinging_pose(60)
    PoseCache(tmp_path, 1 << 40).write(KEYS[0], None, pose, None)
    first, second, third = (tmp_path / f"{key}.pose.npz" for key in KEYS)
    mine = tmp_path / "study.features.npz"
    mine.write_bytes(bytes(10 * first.stat().st_size))
    cache = PoseCache(tmp_path, 2 * first.stat().st_size)
    cache.write(KEYS[1], None, pose, None)
    os.utime(first, (1, 1))
    assert cache.read(KEYS[0], None) is not None  # used now
    os.utime(second, (5, 5))
    cache.write(KEYS[2], None, pose, None)
    assert sorted(tmp_path.iterdir()) == sorted([first, third, mine])


def test_poses_of_videos_that_lack_frames_are_not_kept(tmp_path):
    pose = swinging_pose(60)
    pose.meta = {**pose.meta, "source": {"losses": {"frames": 3}}}
    PoseCache(tmp_path / "cache", 1 << 40).write("a", None, pose, None)
    assert not (tmp_path / "cache").exists()


def test_a_folder_that_cannot_be_written_is_said_and_the_count_stands(video, tmp_path):
    (tmp_path / "file").touch()
    environment = {**os.environ, "RACCTL_POSE_CACHE": str(tmp_path / "file" / "cache")}
    done = afresh("count", video, "--format", "csv", env=environment)
    assert done.returncode == 0 and b"the pose is not kept" in done.stderr and b"a,0," in done.stdout
    environment["RACCTL_POSE_CACHE_MIB"] = "much"
    assert "expected a number of MiB" in one_line(afresh("count", video, env=environment), 2)


def test_it_is_off_unless_the_environment_names_a_folder(monkeypatch):
    monkeypatch.delenv("RACCTL_POSE_CACHE", raising=False)
    assert pose_cache() is None
    monkeypatch.setenv("RACCTL_POSE_CACHE", "x")
    monkeypatch.setenv("RACCTL_POSE_CACHE_MIB", "0")
    with pytest.raises(UsageError):
        pose_cache()
