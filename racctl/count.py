"""Repetitions of a clip: from a video, a pose or features to counts, intervals and one row per repetition.

Convention: one full cycle back to the start is one repetition; a movement done by left and right in turn counts each
side; a repetition that the clip begins or ends in counts if its turning point is seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from racctl import __version__
from racctl.contracts import Features, Meta, Pose, step, with_step
from racctl.counted import Counted, agreed, counts_table, placed, reps_table
from racctl.errors import DataError, UsageError
from racctl.estimators.blazepose import model_file
from racctl.estimators.workers import Workers
from racctl.io.current import document, recorded_meta
from racctl.io.npz import pose_bytes, read_features, read_pose
from racctl.io.output import write_file
from racctl.io.parquet import write_table
from racctl.io.sniff import sniff
from racctl.io.spool import clip_name, display_name, open_input, sha256
from racctl.periodicity import count_repetitions
from racctl.pose import check_part, estimate_pose, pose_lanes, pose_step
from racctl.progress import Report, silent
from racctl.remap import topology_of
from racctl.video.overlay import check_target, write_overlay

if TYPE_CHECKING:
    from racctl.count_trained import TrainedCounter
    from racctl.estimation import Estimators

COMBINED, PERIODICITY, TRAINED = "combined", "periodicity", "d2stx"
UNSURE = 0.5  # share of the motion explained; of a count that explains less, the trained counter is asked too
POOR = 0.5  # share of someone's frames that show them; of whom fewer do is counted by the trained counter alone
GAPS = 0.7  # ... and where `count_pose` found nothing
HARDLY = 0.2  # ... but for those of whom still fewer do
EXPECTED = "racctl.pose/1 or a video"
MOST_SHOTS = 8


@dataclass(frozen=True)
class Options:
    """How to count.

    model: "combined", "periodicity", "d2stx" or a file of `racctl train --model d2stx`.  alternating: "each" side or
    the "pair" counts.  person: "main", "all" or a track number.  start, stop: seconds, the video's own timestamps.
    pose_model, download: as for `racctl pose`.  film: the video of a pose.  exemplars: (start, stop) in seconds of
    repetitions to count the likes of.  shots: of the repetitions found, so many are exemplars in a second reading.
    explain: a folder for pictures of what a trained counter looks at.
    """

    model: str = COMBINED
    alternating: str = "each"
    person: str = "main"
    start: float | None = None
    stop: float | None = None
    stride: int = 1
    pose_model: str = "full"
    download: bool = False
    film: str = ""
    exemplars: tuple[tuple[float, float], ...] = ()
    shots: int = 0
    explain: str = ""

    def check(self) -> Options:
        """UsageError for a value that means nothing; returns self."""
        if self.alternating not in ("each", "pair"):
            raise UsageError(f"'--alternating {self.alternating}' means nothing; expected each or pair")
        if self.person not in ("main", "all") and not self.person.isdecimal():
            raise UsageError(f"'--person {self.person}' means nothing; expected main, all or a track number")
        check_part(self.start, self.stop)
        if any(not 0 <= start < stop for start, stop in self.exemplars) or len(self.exemplars) > MOST_SHOTS:
            raise UsageError(f"'--exemplar' is START-STOP, in seconds, at most {MOST_SHOTS} times")
        if self.exemplars and self.shots:
            raise UsageError("'--shots' chooses exemplars itself; leave it out where '--exemplar' names them")
        weightless = self.model in (COMBINED, PERIODICITY)
        if weightless and (self.exemplars or self.shots or self.explain):
            raise UsageError("'--exemplar', '--shots' and '--explain' are options of '--model d2stx'")
        if not weightless and self.alternating == "pair":
            raise UsageError("'--alternating pair' is an option of '--model periodicity'")
        return self

    @property
    def trained(self) -> str:
        """The trained counter that takes part, by name or file; "" for none, as where pairs are counted."""
        if self.model == COMBINED:
            return TRAINED if self.alternating == "each" else ""
        return "" if self.model == PERIODICITY else self.model

    def pose_step(self) -> Meta:
        """The step that makes a pose of a video."""
        return pose_step(model_file(self.pose_model, self.download), 1, self.start, self.stop, self.stride)

    def count_step(self, trained: TrainedCounter | None = None) -> Meta:
        """The step that makes counts of a pose."""
        asked = {"model": self.model, "person": self.person}
        part = {"start": self.start, "stop": self.stop, "stride": self.stride}
        shown = {"alternating": self.alternating}
        if self.model not in (COMBINED, PERIODICITY):
            shown = {"exemplars": [list(shot) for shot in self.exemplars], "shots": self.shots, "film": bool(self.film)}
        made = step("count", __version__, **asked, **shown, **part)
        return {**made, "weights": trained.records, "shares": trained.counter.shares} if trained else made


@dataclass(frozen=True)
class Lane:
    """What counts one clip after the other. poses: processes that estimate them.  trained: None for the counter
    without weights.  masks: of the videos that a trained counter looks at."""

    poses: Workers
    trained: TrainedCounter | None = None
    masks: Estimators | None = None

    def abort(self) -> None:
        self.poses.abort()
        if self.masks:
            self.masks.abort()


@contextmanager
def count_lanes(options: Options, trained: TrainedCounter | None, lanes: int, each: int) -> Iterator[list[Lane]]:
    """`lanes` lanes of `each` worker processes."""
    with ExitStack() as stack:
        poses = stack.enter_context(pose_lanes(options.pose_model, 1, lanes, each))
        if trained is None or not trained.sees_video:
            yield [Lane(one, trained) for one in poses]
        else:
            masks = stack.enter_context(trained.mask_lanes(lanes, each))
            yield [Lane(one, trained, of_it) for one, of_it in zip(poses, masks, strict=True)]


def count_pose(pose: Pose, options: Options, trained: TrainedCounter | None = None) -> list[Counted]:
    """Count every person that `options.person` asks for, without weights; rows in the order of the tracks. trained:
    another counter that takes part, for the record."""
    topology = topology_of(pose)
    _refuse_empty(pose)
    pairs = tuple((topology.index(left), topology.index(right)) for left, right in topology.symmetries)
    meta = _noted(pose, options.count_step(trained))
    counted = []
    for m in pose.chosen(options.person):
        found = count_repetitions(pose.xyz[:, m], pose.score[:, m], pose.time, pairs, alternating=options.alternating)
        counted.append(Counted(pose.clip, int(pose.track[m]), found, pose.frame, pose.time, meta))
    return counted


def _refuse_empty(pose: Pose) -> None:
    if not pose.xyz.size:
        raise DataError(f"clip '{pose.clip}' holds nobody: {len(pose.frame)} frames, {len(pose.track)} people")


def _noted(pose: Pose, made_by: Meta) -> Meta:
    """The provenance of what is counted in a pose."""
    return with_step({**pose.meta, "pose_sha256": hashlib.sha256(pose_bytes(pose)).hexdigest()}, made_by)


def count_trained(
    pose: Pose, options: Options, lane: Lane, film: tuple[IO[bytes], str] | None = None, report: Report = silent,
    people: list[int] | None = None,
) -> list[Counted]:  # fmt: skip
    """`count_pose` with the trained counter of a lane. film: the video, open, and its name, where there is one; a
    counter that looks at both the pose and the video counts by the pose alone where there is none.  people: places on
    axis M, instead of those that `options.person` asks for."""
    _refuse_empty(pose)
    trained = lane.trained
    film = film if trained.sees_video else None
    if film and options.person != "main":
        raise UsageError("the picture shows the main person; leave '--person' out, or count the pose alone")
    meta, counted = _noted(pose, options.count_step(trained)), []
    for m in pose.chosen(options.person) if people is None else people:
        clip = trained.open_video(*film, pose, m, lane.masks, report) if film else trained.open_pose(pose, m)
        features = trained.encode(clip, report)
        counted.append(trained.count(features, pose.clip, int(pose.track[m]), meta))
        if options.explain:
            shown = film[1] if film and film[1] != "-" else ""
            trained.explain(features, options.explain, pose.clip, clip.pose, shown, clip)
    return counted


def count_people(
    pose: Pose, options: Options, lane: Lane, film: tuple[IO[bytes], str] | None, report: Report = silent
) -> list[Counted]:
    """Count everyone asked for with the counter asked for. film: the pose's video, open, and its name."""
    if not lane.trained:
        return count_pose(pose, options)
    if options.model == COMBINED:
        return count_combined(pose, options, lane)
    return count_trained(pose, options, lane, film, report)


def count_combined(pose: Pose, options: Options, lane: Lane) -> list[Counted]:
    """By the pose: `count_pose`; where that is unsure of someone's count the mean with what `count_trained` says of it;
    and that alone where someone is seen in few of the frames."""
    found, people = count_pose(pose, options, lane.trained), pose.chosen(options.person)
    seen = [_seen(pose, m) for m in people]
    poor = [HARDLY <= share < (POOR if one.found.count else GAPS) for one, share in zip(found, seen, strict=True)]
    unsure = [one.found.count > 0 and one.found.score < UNSURE for one in found]
    asked = [k for k in range(len(found)) if poor[k] or unsure[k]]
    if asked:
        others = count_trained(pose, options, lane, people=[people[k] for k in asked])
        for k, other in zip(asked, others, strict=True):
            found[k] = placed(found[k], other, int(other.found.count)) if poor[k] else agreed(found[k], other)
    return found


def _seen(pose: Pose, person: int) -> float:
    """The share of the frames that show the person at this place of axis M, from the first such frame to the last."""
    there = np.flatnonzero((np.isfinite(pose.xyz[:, person, :, :2]).all(-1) & (pose.score[:, person] > 0)).any(1))
    return len(there) / (there[-1] - there[0] + 1) if len(there) else 0.0


def cut(pose: Pose, options: Options) -> Pose:
    """The part of a pose that start, stop and stride ask for; DataError when nothing is left."""
    begin = -np.inf if options.start is None else options.start
    end = np.inf if options.stop is None else options.stop
    keep = np.flatnonzero((pose.time >= begin) & (pose.time < end))[:: options.stride]
    if not len(keep):
        raise DataError(f"clip '{pose.clip}' has no frame in the part asked for")
    world = None if pose.world is None else pose.world[keep]
    return Pose(pose.xyz[keep], pose.score[keep], pose.frame[keep], pose.time[keep], pose.track, pose.meta, world)


def count_file(
    file: IO[bytes], source: str, options: Options, lane: Lane, report: Report = silent
) -> tuple[Pose | None, list[Counted]]:
    """Count one input: a video (pose first), a racctl.pose/1 or, with a trained counter, a racctl.features/1. Returns
    the pose used, if any, and the counts.

    Raises DataError naming what the file holds when it is none of these."""
    where = display_name(source)
    kind = sniff(file)
    if kind in ("video", "unknown"):
        if lane.trained:
            lane.trained.refuse_unknown_encoders()  # before the pose, which takes long
        pose = estimate_pose(file, source, lane.poses, options.pose_step(), report)
        return pose, count_people(pose, options, lane, (file, source), report)
    if kind != "npz":
        raise DataError(f"'{where}' is {kind}, expected {EXPECTED}; 'racctl remap-joints' reads other poses")
    if document(file, where).get("schema") == Features.schema:
        return None, [_count_features(file, source, options, lane)]
    pose = cut(_named(_pose_from(file, where), source), options)
    if options.film and lane.trained and lane.trained.sees_video:
        with open_input(options.film) as film:
            counted = count_people(pose, options, lane, (film, options.film), report)
    else:
        counted = count_people(pose, options, lane, None, report)
    digest = sha256(file)  # of what was read, which a cut pose no longer is
    return pose, [replace(c, meta={**c.meta, "pose_sha256": digest}) for c in counted]


def _count_features(file: IO[bytes], source: str, options: Options, lane: Lane) -> Counted:
    where = display_name(source)
    if options.model in (COMBINED, PERIODICITY):
        raise DataError(
            f"'{where}' holds features; the counter '{options.model}' reads poses, '--model d2stx' features"
        )
    if (options.start, options.stop, options.stride) != (None, None, 1):
        raise UsageError(f"'{where}' holds features; '--start', '--stop' and '--stride' are for 'racctl encode' then")
    features = read_features(file, where)
    clip = features.clip if features.clip not in ("", "stdin") else clip_name(source)
    meta = {**features.meta, "clip": clip, "pose_sha256": sha256(file)}
    if options.explain:
        lane.trained.explain(features, options.explain, clip, film=options.film)
    return lane.trained.count(features, clip, 0, with_step(meta, options.count_step(lane.trained)))


def count_source(source: str, options: Options, lane: Lane, report: Report, overlay: str = "") -> list[Counted]:
    """Count a path, or "-" for stdin. overlay: also draw the result into a copy of the video `options.film` (the input
    itself where that is a video) and write it there."""
    film = options.film
    with open_input(source) as file:
        if overlay:
            check_target(Path(overlay), film or source)
            if sniff(file) == "npz" and not film:
                raise UsageError(f"'{display_name(source)}' is a pose; name the video to draw on with '--video FILE'")
        pose, counted = count_file(file, source, options, lane, report)
        if overlay:
            if pose is None:
                raise UsageError(f"'{display_name(source)}' holds features, and '--overlay' draws a pose")
            if len(counted) != 1:
                raise UsageError(f"'--overlay' shows one person and {len(counted)} are counted; choose with '--person'")
            with _film(file, source, film) as (video, name):
                write_overlay(video, name, Path(overlay), pose, *counted[0].frames(), report)
    return counted


@contextmanager
def _film(file: IO[bytes], source: str, film: str) -> Iterator[tuple[IO[bytes], str]]:
    if film:
        with open_input(film) as video:
            yield video, film
    else:
        yield file, display_name(source)


def _pose_from(file: IO[bytes], where: str) -> Pose:
    try:
        return read_pose(file, where)
    except DataError as error:
        raise DataError(str(error).replace(f"expected {Pose.schema}", f"expected {EXPECTED}")) from None


def _named(pose: Pose, source: str) -> Pose:
    """A pose without a clip name of its own gets its file's."""
    if pose.clip in ("", "stdin"):
        pose.meta = {**pose.meta, "clip": clip_name(source)}
    return pose


def save_count(source: str, folder: Path, reps: bool, options: Options, lane: Lane) -> None:
    """Write FOLDER/<clip>.counts.parquet (or .reps.parquet) unless it is there and up to date."""
    target = folder / f"{clip_name(source)}.{'reps' if reps else 'counts'}.parquet"
    with open_input(source) as file:
        if not _is_counted(target, file, options, lane):
            counted = count_file(file, source, options, lane)[1]
            table = (reps_table if reps else counts_table)(counted)
            write_file(target, lambda out: write_table(out, table))


def _is_counted(target: Path, file: IO[bytes], options: Options, lane: Lane) -> bool:
    """Whether `target` holds the count of these very bytes, by these options and this version."""
    made, last = recorded_meta(target), options.count_step(lane.trained)
    if sniff(file) != "npz":
        steps = [options.pose_step(), last]
        return made.get("source", {}).get("sha256") == sha256(file) and made.get("steps") == steps
    steps = [*document(file, "").get("steps", []), last]
    return made.get("pose_sha256") == sha256(file) and made.get("steps") == steps
