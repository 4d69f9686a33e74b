"""Trackers in threads: one answer for any number of them, and an end to every run, however it goes."""

from __future__ import annotations

import importlib.util
import itertools
import threading
import time
from types import SimpleNamespace

import av
import numpy as np
import pytest
from clips import bouncing, write_clip
from sightings import sighting

from racctl.errors import DataError, UsageError
from racctl.estimators import workers
from racctl.estimators.base import ClipFrames, pose_model
from racctl.estimators.blazepose.model import ClipPeople
from racctl.estimators.blazepose.pool import SHARED_FRAMES, TrackerPool
from racctl.estimators.blazepose.tracker import NOMINAL_RATE
from racctl.estimators.pose import estimate_pose
from racctl.video.decode import Frame

IMAGE = av.VideoFrame(64, 48, "yuv420p")
SOON = 8.0  # s, in which a run ends that cannot go on


class CountingTracker:
    """A tracker that sees somebody in every frame, and does something before: waits, or fails.

    starts: the frames that it was shown after each reset.
    """

    def __init__(self, before=lambda count: None):
        self._before = before
        self._count = 0
        self.starts = []

    def reset(self):
        self.starts.append([])

    def __call__(self, _picture, seconds):
        self._count += 1
        self._before(self._count)
        number = round(seconds * NOMINAL_RATE)
        self.starts[-1].append(number)
        return [sighting(x=100 * number)]


class SeldomTracker:
    """A tracker that sees nobody in a part of the clip at first, and everybody later, when it says so once."""

    def __init__(self, hole, when_expected):
        self._hole = hole
        self._when_expected = when_expected
        self._expected = False
        self.is_idle = False

    def reset(self):
        """Nothing is carried from one frame to the next."""

    def begin(self, _region, _time):
        self._expected = True
        self._when_expected()

    def __call__(self, _picture, seconds, look=True):
        assert look != self._expected
        return [] if look and round(seconds * NOMINAL_RATE) in self._hole else [sighting()]


def frames(count, pause=0.0):
    for number in range(count):
        time.sleep(pause)
        yield Frame(number, float(number), IMAGE)


@pytest.fixture
def many_chunks(monkeypatch):
    """Chunks of about 20 frames."""
    monkeypatch.setattr(workers, "CHUNK_FRAMES", 20)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def run(pool, count=80, **options):
    return pool.run(frames(count), count, **options)


@pytest.mark.usefixtures("many_chunks")
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_chunks_come_in_order_and_share_frames(count):
    begins = workers.cuts(80)
    assert len(begins) == 4
    chunks = run(TrackerPool(CountingTracker, count))
    for (track,), begin, end in zip(chunks, begins, [*begins[1:], 80], strict=True):
        assert track.frame.tolist() == list(range(max(0, begin - SHARED_FRAMES), end))
        np.testing.assert_allclose(track.hips[:, 0], 100 * track.frame)


@pytest.mark.usefixtures("many_chunks")
def test_a_tracker_forgets_everybody_before_each_chunk():
    tracker = CountingTracker()
    pool = TrackerPool(lambda: tracker, 1)
    run(pool)
    begins = [numbers[0] for numbers in tracker.starts if numbers]
    assert begins == [max(0, begin - SHARED_FRAMES) for begin in workers.cuts(80)]


@pytest.mark.usefixtures("many_chunks")
def test_more_and_fewer_frames_than_expected():
    for count in (1, 75, 90):
        chunks = TrackerPool(CountingTracker, 2).run(frames(count), 80)
        places = [place for (track,) in chunks for place in track.frame]
        assert sorted(set(places)) == list(range(count))
    with pytest.raises(DataError, match="no frame to estimate on"):
        TrackerPool(CountingTracker, 2).run(frames(0), 80)


@pytest.mark.usefixtures("many_chunks")
def test_progress_comes_to_its_end():
    told = []
    run(TrackerPool(CountingTracker, 2), report=lambda done, total: told.append((done, total)))
    assert told[-1] == (80, 80)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


@pytest.mark.usefixtures("many_chunks")
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_that_is_aborted_by_another_thread_ends_with_one_line(jobs):
    pool = TrackerPool(lambda: CountingTracker(lambda count: time.sleep(0.2)), jobs)
    timer = threading.Timer(0.5, pool.abort)
    timer.start()
    began = time.monotonic()
    with pytest.raises(DataError, match=r"^the estimation was stopped$"):
        run(pool)
    assert time.monotonic() - began < SOON
    timer.join()


@pytest.mark.usefixtures("many_chunks")
def test_filling_a_hole_ends_with_an_abort_too():
    """In a batch, an interrupt waits for every clip that is under way."""
    hole = range(10, 40)
    pool = TrackerPool(lambda: SeldomTracker(hole, pool.abort), 1)
    video = SimpleNamespace(rotation=0, width=64, height=48)
    clock = []

    def noted():
        for frame in frames(60):
            clock.append((frame.number, frame.time))
            yield frame

    clip = ClipFrames(noted(), 60, video, clock, lambda begin, end: itertools.islice(frames(60), begin, end))
    with pytest.raises(DataError, match=r"^the estimation was stopped$"):
        ClipPeople.of(pool, clip, 1, lambda done, total: None)


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("pause", [0.0, 0.01], ids=["frames wait for the tracker", "the tracker waits for frames"])
def test_what_goes_wrong_in_a_thread_reaches_the_caller_as_it_is(jobs, pause):
    class NetworkError(Exception):
        pass

    error = NetworkError("the fifth frame")

    def fail(count):
        if count == 5:
            raise error

    pool = TrackerPool(lambda: CountingTracker(fail), jobs)
    began = time.monotonic()
    with pytest.raises(NetworkError) as caught:
        pool.run(frames(80, pause), 80)
    assert caught.value is error
    assert time.monotonic() - began < SOON


@pytest.mark.usefixtures("many_chunks")
def test_networks_that_cannot_be_loaded_are_the_callers_error():
    def build():
        raise DataError("'full.tflite' is damaged")

    with pytest.raises(DataError, match="is damaged"):
        run(TrackerPool(build, 2))


@pytest.mark.usefixtures("many_chunks")
@pytest.mark.parametrize("error", [DataError("'a.mp4' cannot be decoded"), KeyboardInterrupt()])
def test_an_error_between_two_frames_ends_the_run_and_the_pool_can_run_again(error):
    def broken():
        yield from frames(30)
        raise error

    pool = TrackerPool(lambda: CountingTracker(lambda count: time.sleep(0.02)), 2)
    began = time.monotonic()
    with pytest.raises(type(error)):
        pool.run(broken(), 80)
    assert time.monotonic() - began < SOON
    assert len(run(pool)) == 4


@pytest.mark.usefixtures("many_chunks")
def test_trackers_are_built_once_for_a_batch():
    built = []

    def build():
        built.append(CountingTracker())
        return built[-1]

    pool = TrackerPool(build, 2)
    for _ in range(3):
        run(pool)
        with pool.tracker():
            pass
    assert 1 <= len(built) <= 2


# Real networks.


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("pool") / "bounce.mp4", bouncing(40, 20))


def test_a_clip_of_several_chunks_is_the_same_for_any_number_of_threads(clip, monkeypatch):
    monkeypatch.setattr(workers, "CHUNK_FRAMES", 10)
    assert len(workers.cuts(40)) == 4
    first, *others = [estimate_pose(clip, people=2, jobs=jobs) for jobs in (1, 2, 3)]
    assert len(first.frame) == 40 and first.score.all()
    for pose in others:
        for name, array in first.arrays().items():
            assert getattr(pose, name).tobytes() == array.tobytes(), name


def test_chunk_borders_do_not_show(monkeypatch, clip):
    whole = estimate_pose(clip)
    monkeypatch.setattr(workers, "CHUNK_FRAMES", 10)
    chunks = estimate_pose(clip)
    height = whole.meta["source"]["height"]
    gap = np.linalg.norm(chunks.xyz[:, 0, :13, :2] - whole.xyz[:, 0, :13, :2], axis=-1)  # above the elbows
    assert np.median(gap) < 0.01 * height
    assert gap.mean(1).max() < 0.05 * height


def test_the_pose_is_mediapipes(clip):
    """The median distance to MediaPipe's own pipeline, which is fed the same frames."""
    if importlib.util.find_spec("mediapipe") is None:
        pytest.skip("mediapipe, the reference, is not installed; pip install 'racctl[mediapipe]'")
    try:
        pose_model("mediapipe", download=False)
    except UsageError as error:
        pytest.skip(f"mediapipe is here without its model: {error}")
    result, reference = estimate_pose(clip), estimate_pose(clip, "mediapipe")
    both = (result.score > 0.5) & (reference.score > 0.5)
    assert both.mean() > 0.2
    height = reference.meta["source"]["height"]  # she fills the picture
    distance = np.linalg.norm((result.xyz - reference.xyz)[..., :2], axis=-1)
    assert np.median(distance[both]) <= 0.005 * height
    metres = np.linalg.norm(result.world - reference.world, axis=-1)
    assert np.median(metres[both]) <= 0.02
