"""Repetitions of a clip: from a video, a pose or features to counts, intervals and one row per repetition.

Convention: one full cycle back to the start is one repetition; a movement done by left and right in turn counts each
side; a repetition that the clip begins or ends in counts if its turning point is seen.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from racctl import __version__, density
from racctl.contracts import Features, Meta, Pose, step, with_step
from racctl.counters import periodicity
from racctl.counters import signals as motion
from racctl.counters.lanes import COMBINED, PERIODICITY, Lane, Options, Trained
from racctl.counters.periodicity import count_repetitions
from racctl.counters.result import Counted, agreed, counts_table, placed, reps_table
from racctl.encoders import tokens
from racctl.errors import DataError, UsageError
from racctl.estimators.pose import estimate_pose
from racctl.io.escounts import STRIDE, WINDOW, holds_tokens, import_tokens
from racctl.io.npz import pose_bytes, read_features, read_pose
from racctl.io.output import write_file
from racctl.io.parquet import write_table
from racctl.io.sniff import sniff
from racctl.io.spool import clip_name, display_name, open_input, sha256
from racctl.io.up_to_date import constants_digest, document, recorded_meta
from racctl.progress import Report, silent
from racctl.skeleton import normalise
from racctl.skeleton.remap import topology_of
from racctl.video.overlay import check_target, write_overlay

if TYPE_CHECKING:
    from racctl.counters.trained_counter import TrainedCounter

UNSURE_BELOW = 0.5  # share of the motion explained; below it the count is averaged with the trained counter's
MIN_VISIBLE = 0.5  # share of someone's frames that show them; below it the trained counter counts alone
MIN_VISIBLE_IF_NOTHING = 0.7  # ... the same where the counter without weights finds nothing
MIN_TO_COUNT = 0.2  # ... but with fewer than these there is too little for the trained counter too
EXPECTED = "racctl.pose/1 or a video"


def count_step(options: Options, trained: TrainedCounter | None = None) -> Meta:
    """Return the step that makes counts of a pose. trained: the counter with weights that has a say in them."""
    choices = {"model": Path(options.model).name, "person": options.person}
    span = {"start": options.start, "stop": options.stop, "stride": options.stride}
    shown = {"alternating": options.alternating}
    if options.names_trained:
        shown = {
            "exemplars": [list(shot) for shot in options.exemplars],
            "shots": options.shots,
            "film": bool(options.film),
        }
    entry = step("count", __version__, **choices, **shown, **span)
    modules = [sys.modules[__name__], periodicity, motion]
    if trained is None:
        return {**entry, "constants": constants_digest(*modules)}
    from racctl.counters import d2stx as counter
    from racctl.counters import trained_counter as count_trained

    entry["constants"] = constants_digest(*modules, count_trained, counter, density, tokens, normalise)
    return {**entry, "weights": trained.records, "shares": trained.counter.shares}


def count_pose(pose: Pose, options: Options | None = None, trained: Trained | None = None) -> list[Counted]:
    """Count the people in a pose exactly as `racctl count` does with these options: rows in the order of the tracks.

    options: those of the command by default.  trained: the counter with weights, to be used for several poses.
    """
    options = (options or Options()).check()
    lane = Lane(None, trained or Trained(options))
    if options.film:
        refuse_idle_film(options, lane)
    return _count_cut(cut(pose, options), options, lane, silent)


def refuse_idle_film(options: Options, lane: Lane) -> None:
    """UsageError where the options name the pose's video and the counter does not look at it."""
    if not lane.trained.sees_video:
        raise UsageError(f"'--video' has no effect here: '{options.model}' looks at the pose alone; leave it out")


def _count_cut(pose: Pose, options: Options, lane: Lane, report: Report) -> list[Counted]:
    """Count a pose of which nothing has to be cut off any more, with its video where the options name one."""
    if not options.film or not lane.trained.sees_video:
        return count_people(pose, options, lane, None, report)
    from racctl.estimators.on_demand import refuse_other_clip

    with ExitStack() as stack:
        if lane.masks is None:
            (masks,) = stack.enter_context(lane.trained.counter.mask_lanes(1, 1))
            lane = replace(lane, masks=masks)
        film = stack.enter_context(open_input(options.film))
        refuse_other_clip(pose.clip, options.film)
        return count_people(pose, options, lane, (film, options.film), report)


def count_people(
    pose: Pose, options: Options, lane: Lane, film: tuple[IO[bytes], str] | None, report: Report = silent
) -> list[Counted]:
    """Count everyone that the options name with the counter that they name. film: the pose's video, open, and its
    name."""
    if options.model == PERIODICITY:
        return count_periodicity(pose, options)
    if options.model == COMBINED:
        return count_combined(pose, options, lane)
    return count_trained(pose, options, lane, film, report)


def count_periodicity(pose: Pose, options: Options) -> list[Counted]:
    """Count without weights everyone that `options.person` names; rows in the order of the tracks."""
    topology = topology_of(pose)
    _refuse_empty(pose)
    pairs = tuple((topology.index(left), topology.index(right)) for left, right in topology.symmetries)
    meta = _noted(pose, count_step(options))
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
    trained = lane.trained.counter
    film = film if trained.sees_video else None
    if film and options.person != "main":
        raise UsageError("the picture shows the main person; leave '--person' out, or count the pose alone")
    meta, counted = _noted(pose, count_step(options, trained)), []
    for m in pose.chosen(options.person) if people is None else people:
        clip = trained.open_video(*film, pose, m, lane.masks, report) if film else trained.open_pose(pose, m)
        features = trained.encode(clip, report)
        counted.append(trained.count(features, pose.clip, int(pose.track[m]), meta))
        if options.explain:
            shown = film[1] if film and film[1] != "-" else ""
            trained.explain(features, options.explain, pose.clip, clip.pose, shown, clip)
    return counted


def count_combined(pose: Pose, options: Options, lane: Lane) -> list[Counted]:
    """Count by the pose without weights; where that is unsure of someone, take the mean with the trained counter's
    count; where someone is seen in few of the frames, the trained counter's alone. Pairs are counted without it."""
    counted = count_periodicity(pose, options)
    if options.alternating == "pair":
        return counted
    people = pose.chosen(options.person)
    poor = [
        MIN_TO_COUNT <= _seen(pose, m) < (MIN_VISIBLE if count.found.count else MIN_VISIBLE_IF_NOTHING)
        for count, m in zip(counted, people, strict=True)
    ]
    unsure = [count.found.count > 0 and count.found.score < UNSURE_BELOW for count in counted]
    doubtful = [k for k in range(len(counted)) if poor[k] or unsure[k]]
    if doubtful:
        second = count_trained(pose, options, lane, people=[people[k] for k in doubtful])
        for k, trained in zip(doubtful, second, strict=True):
            joined = placed(counted[k], trained, trained.found.count) if poor[k] else agreed(counted[k], trained)
            counted[k] = joined
        counted = [replace(count, meta=second[0].meta) for count in counted]
    return counted


def _seen(pose: Pose, person: int) -> float:
    """The share of the frames that show the person at this place of axis M, from the first such frame to the last."""
    there = np.flatnonzero((np.isfinite(pose.xyz[:, person, :, :2]).all(-1) & (pose.score[:, person] > 0)).any(1))
    return len(there) / (there[-1] - there[0] + 1) if len(there) else 0.0


def cut(pose: Pose, options: Options) -> Pose:
    """The part of a pose that start, stop and stride ask for; DataError when nothing is left."""
    if (options.start, options.stop, options.stride) == (None, None, 1):
        return pose
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
        if options.film:
            raise UsageError(f"'--video' names the clip of a pose, and '{where}' is a video itself; leave it out")
        if options.names_trained:
            lane.trained.counter.refuse_unknown_encoders()  # before the pose, which takes long
        pose = estimate_pose(file, source, lane.poses, options.pose_step(), report)
        return pose, count_people(pose, options, lane, (file, source), report)
    if holds_tokens(file):
        return None, [_count_features(file, source, options, lane)]
    if kind != "npz":
        raise DataError(f"'{where}' is {kind}, expected {EXPECTED}; 'racctl remap-joints' reads other poses")
    if document(file, where).get("schema") == Features.schema:
        return None, [_count_features(file, source, options, lane)]
    pose = cut(_named(_pose_from(file, where), source), options)
    counted = _count_cut(pose, options, lane, report)
    digest = sha256(file)  # of what was read, which a cut pose no longer is
    return pose, [replace(c, meta={**c.meta, "pose_sha256": digest}) for c in counted]


def _count_features(file: IO[bytes], source: str, options: Options, lane: Lane) -> Counted:
    where = display_name(source)
    if not options.names_trained:
        raise DataError(
            f"'{where}' holds features; the counter '{options.model}' reads poses, '--model d2stx' features"
        )
    if (options.start, options.stop, options.stride) != (None, None, 1):
        raise UsageError(f"'{where}' holds features; '--start', '--stop' and '--stride' are for 'racctl encode' then")
    if options.person != "main":
        raise UsageError(f"'{where}' holds features, which are of one person; leave out '--person'")
    if options.film and not options.explain:
        raise UsageError(f"'{where}' holds features, which are counted without the video; leave out '--video'")
    if holds_tokens(file):
        features = import_tokens([(file, where)], clip_name(source), WINDOW, STRIDE)
    else:
        features = read_features(file, where)
    clip = features.clip if features.clip not in ("", "stdin") else clip_name(source)
    meta = {**features.meta, "clip": clip, "pose_sha256": sha256(file)}
    trained = lane.trained.counter
    if options.explain:
        trained.explain(features, options.explain, clip, film=options.film)
    return trained.count(features, clip, 0, with_step(meta, count_step(options, trained)))


def count_source(source: str, options: Options, lane: Lane, report: Report, overlay: str = "") -> list[Counted]:
    """Count a path, or "-" for stdin. overlay: also draw the result into a copy of the video `options.film` (the input
    itself where that is a video) and write it there."""
    film = options.film
    with open_input(source) as file:
        if overlay:
            check_target(Path(overlay), film or source)
            if sniff(file) == "npz" and not film:
                raise UsageError(f"'{display_name(source)}' is a pose; name the video to draw on with '--video FILE'")
        elif film and not options.explain:
            refuse_idle_film(options, lane)
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
    """Whether `target` holds the count of these very bytes, by these options, thresholds and weights."""
    recorded = recorded_meta(target)
    steps = recorded.get("steps") or [{}]
    last = count_step(options, lane.trained.counter if "weights" in steps[-1] else None)
    if sniff(file) != "npz":
        expected = [options.pose_step(), last]
        return recorded.get("source", {}).get("sha256") == sha256(file) and steps == expected
    expected = [*document(file, "").get("steps", []), last]
    return recorded.get("pose_sha256") == sha256(file) and steps == expected
