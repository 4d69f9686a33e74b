"""A full disk is no fault of one clip: it ends the run, in one line."""

from __future__ import annotations

import errno
import gc
import os

import numpy as np
import pytest
from poses import swinging_pose

from racctl.cli.batch import run_batch
from racctl.contracts import Pose
from racctl.data.intervals import Interval, LabelledClip
from racctl.errors import DataError, DiskFullError
from racctl.io import output
from racctl.io.npz import pose_bytes, write_arrays
from racctl.io.output import make_folder, write_file
from racctl.recognisers import cache as cache
from racctl.recognisers.inputs import Look


class Full:
    """A file on a disk that has room for `room` bytes."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, data):
        self.room -= memoryview(data).nbytes
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)


@pytest.fixture
def full_disk(monkeypatch):
    """Files that `write_file` makes have room for 2,000 bytes."""
    real = output.os.fdopen

    class Opened:
        def __init__(self, *arguments):
            self.file = real(*arguments)

        def __enter__(self):
            return Full(self.file, 2000)

        def __exit__(self, *about):
            self.file.close()

    monkeypatch.setattr(output.os, "fdopen", Opened)


def clips(tmp_path, count):
    result = []
    for k in range(count):
        pose = swinging_pose(60)
        path = tmp_path / f"c{k}.pose.npz"
        path.write_bytes(pose_bytes(Pose(**{**pose.arrays(), "meta": {**pose.meta, "clip": f"c{k}"}})))
        interval = Interval(None, None, None, None, "squat")
        result.append(LabelledClip(f"c{k}", "train", None, None, path, [interval], "segments"))
    return result


def look():
    return Look(size=0, rate=15.0, window=16, stride=8, topology="d2stx25", mask=False)


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_ends_the_making_of_a_cache(tmp_path):
    skipped = []
    with pytest.raises(DiskFullError, match=r"cannot write '.*': no space left on device"):
        cache.store(clips(tmp_path, 3), tmp_path / "cache", look(), 1, skipped=lambda *about: skipped.append(about))
    assert not skipped
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} <= {".npy"}  # whole ones, of what fitted
    gc.collect()  # an archive that is left open would fail again here, which pytest tells


def test_a_bad_clip_is_still_left_out(tmp_path):
    result, skipped = clips(tmp_path, 2), []
    result[0].pose.write_bytes(b"nonsense")
    stored = cache.store(result, tmp_path / "cache", look(), 1, skipped=lambda *about: skipped.append(about))
    assert [clip.name for clip in stored] == ["c1"]
    assert [clip for clip, _ in skipped] == ["c0"]


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_ends_a_batch(tmp_path):
    done = []

    def work(source, *_about):
        done.append(source)
        write_file(tmp_path / source, lambda file: file.write(bytes(5000)))

    with pytest.raises(DiskFullError, match="no space left on device"):
        run_batch(["a", "b", "c"], work, 1, "x")
    assert not list(tmp_path.iterdir())


def test_a_full_temporary_folder_ends_a_batch():
    def work(*_about):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(DiskFullError, match="cannot write temporary files: no space left on device"):
        run_batch(["a", "b"], work, 1, "x")


def test_other_failures_of_a_file_are_its_own(tmp_path):
    def work(source, *_about):
        write_file(tmp_path / "missing" / source, lambda file: file.write(b"x"))

    assert len(run_batch(["a", "b"], work, 1, "x")) == 2
    with pytest.raises(DataError) as caught:
        make_folder(__file__)
    assert not isinstance(caught.value, DiskFullError)


def test_an_archive_that_fails_is_not_left_open(tmp_path):
    with open(tmp_path / "a.npz", "w+b") as file, pytest.raises(OSError, match="No space"):
        write_arrays(Full(file, 300), {"a": np.zeros(1000)})
    gc.collect()
