"""BlazePose as racctl runs it: the poses, the outlines and the inner features of the people in a clip."""

from __future__ import annotations

from functools import cached_property, partial
from pathlib import Path

import numpy as np

from racctl.estimators.base import ClipFrames
from racctl.estimators.blazepose import fill, networks, pool, prominence, region, smoothing, tracker, tracks
from racctl.estimators.blazepose.features import FeatureStore
from racctl.estimators.blazepose.fill import HoleFiller
from racctl.estimators.blazepose.graph import output_tensors, tensor_shape
from racctl.estimators.blazepose.networks import JOINTS, LandmarkNetwork, PersonDetector, feature_tensor
from racctl.estimators.blazepose.pool import PoolOfClips, TrackerPool
from racctl.estimators.blazepose.prominence import ranked
from racctl.estimators.blazepose.smoothing import smooth
from racctl.estimators.blazepose.tracker import Extra, PeopleTracker, tracker_time
from racctl.estimators.blazepose.tracks import PersonTrack, whole_tracks
from racctl.estimators.model_files import BlazePosePaths, blazepose_paths
from racctl.estimators.workers import cuts, working_size
from racctl.io.up_to_date import constants_digest
from racctl.progress import Report, silent

# The constants of all that makes a pose, for provenance; see `constants_digest`.
TRACKING = constants_digest(fill, networks, pool, prominence, region, smoothing, tracker, tracks)
SMOOTHED_GAP = 0.5  # s without the person after which the smoothing begins anew


class BlazePoseModel:
    """A landmark network with the person detector, by name, or a .task file."""

    topology = "blazepose33"

    def __init__(self, name: str, download: bool) -> None:
        self.paths = blazepose_paths(name, download)
        self._variant = Path(name).stem

    @classmethod
    def claims(cls, path: Path) -> bool:
        """Return whether the file is a .task file."""
        return path.suffix.lower() == ".task"

    def record(self) -> dict[str, str]:
        return self.paths.record()

    def open(self, people: int, jobs: int) -> BlazePosePoses:
        """Return what estimates up to so many people."""
        return BlazePosePoses(TrackerPool(partial(build_tracker, self.paths), jobs), people)

    def open_with_features(self, people: int, jobs: int, side: int = 0) -> BlazePoseFeatures:
        """Return what estimates up to so many people, and the inner features of the one who exercises.

        side: rows and columns that these are averaged to, 0 to keep them as they are.
        """
        store = FeatureStore(side)
        pool = TrackerPool(partial(build_tracker, self.paths, store.add, features=True), jobs)
        return BlazePoseFeatures(pool, people, store)

    @property
    def encoder(self) -> str:
        """How files of features name the network."""
        return f"blazepose-{self._variant}"

    @cached_property
    def feature_shape(self) -> tuple[int, ...]:
        """C, H and W of a frame's inner features."""
        model = self.paths.read().landmarks
        _, height, width, channels = tensor_shape(model, feature_tensor(model, output_tensors(model)))
        return channels, height, width


def build_tracker(
    paths: BlazePosePaths, extra: Extra | None = None, *, outline: bool = False, features: bool = False
) -> PeopleTracker:
    """Return a tracker with networks of its own. The rest: as for `PeopleTracker` and `LandmarkNetwork`."""
    files = paths.read()
    landmarks = LandmarkNetwork(files.landmarks, outline, features)
    return PeopleTracker(landmarks, PersonDetector(files.detector), extra)


class ClipPeople:
    """The people of a clip, the one who exercises first.

    time: (T,) of the frames, as the tracker counts it.
    """

    def __init__(self, tracks: list[PersonTrack], time: np.ndarray) -> None:
        self.tracks = tracks
        self.time = time

    @classmethod
    def of(cls, pool: TrackerPool, clip: ClipFrames, most: int, report: Report) -> ClipPeople:
        """Track everybody, choose up to `most`, and look for them where they were lost."""
        chunks = pool.run(clip.frames, clip.expected, clip.video.rotation, report)
        time = clip.time()
        ticks = tracker_time(clip.numbers())
        ends = [*cuts(clip.expected)[1 : len(chunks)], len(time)]
        with pool.tracker() as tracker:
            filler = HoleFiller(tracker, clip.reread, ticks, clip.video.rotation, pool.check)
            tracks = whole_tracks(chunks, time, lambda track, k: filler.carry(track, chunks[k], ends[k]))
            chosen = ranked(tracks, time, working_size(clip.video))[:most]
            return cls([filler.fill(track, tracks, ends) for track in chosen], ticks)


class BlazePosePoses(PoolOfClips):
    """Estimates the poses of clips."""

    def __init__(self, pool: TrackerPool, people: int) -> None:
        super().__init__(pool)
        self._people = people

    def run(self, clip: ClipFrames, report: Report = silent) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return xyz (T, M, 33, 3) pixels of the working image, world (T, M, 33, 3) metres and score (T, M, 33)."""
        return self.poses(ClipPeople.of(self._pool, clip, self._people, report))

    def poses(self, people: ClipPeople) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what `run` does of the people of a clip, whose tracks are smoothed."""
        shape = (len(people.time), self._people, JOINTS)
        xyz = np.full((*shape, 3), np.nan, np.float32)
        world = xyz.copy()
        score = np.zeros(shape, np.float32)
        for m, track in enumerate(people.tracks):
            _smooth_runs(track, people.time)
            xyz[track.frame, m] = track.points[:, :JOINTS]
            world[track.frame, m] = track.world
            score[track.frame, m] = track.score
        return xyz, world, score


class BlazePoseFeatures(BlazePosePoses):
    """Estimates the poses of a clip and, from the same pass, the inner features of the one who exercises."""

    def __init__(self, pool: TrackerPool, people: int, store: FeatureStore) -> None:
        """store: what the pool's trackers put their features into."""
        super().__init__(pool, people)
        self._store = store

    def run_with_features(
        self, clip: ClipFrames, report: Report = silent
    ) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
        """Return what `run` does, and (T, C, H, W) float16 the first person's features, 0 where they are not seen."""
        with self._store as store:
            people = ClipPeople.of(self._pool, clip, self._people, report)
            frames = len(people.time)
            features = np.zeros((frames, 0, 0, 0), np.float16)
            for track in people.tracks[:1]:
                features = store.rows(track.frame, track.extra.astype(np.int64), frames)
            return self.poses(people), features


def _smooth_runs(track: PersonTrack, time: np.ndarray) -> None:
    """Smooth the joints of a track in place, anew after each gap."""
    size = track.size
    when = time[track.frame]
    cuts_at = np.flatnonzero(np.diff(when) > SMOOTHED_GAP) + 1
    for begin, end in zip([0, *cuts_at], [*cuts_at, len(track)], strict=True):
        run = slice(begin, end)
        smooth(track.points[run, :JOINTS], track.world[run], track.score[run], when[run], size[run])
