"""Repetitions of a clip: from a video, a pose or features to counts, intervals and one row per repetition.

Convention: one full cycle back to the start is one repetition; a movement done by left and right in turn counts each
side; a repetition that the clip begins or ends in counts if it is seen to turn and to begin to come back.
"""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from racctl import __version__
from racctl.contracts import Meta, Pose, step, with_step
from racctl.counters.base import COUNTERS, Counter, open_counter
from racctl.counters.result import Count, counts_table, reps_table
from racctl.errors import DataError, UsageError
from racctl.estimators.on_demand import Estimates, Estimators, estimator_lanes
from racctl.estimators.open_clip import Clip, open_clip, open_pose
from racctl.io.npz import pose_bytes
from racctl.io.output import write_file
from racctl.io.parquet import write_table
from racctl.io.spool import clip_name
from racctl.io.up_to_date import recorded_meta
from racctl.progress import Report, silent
from racctl.video.overlay import check_target, write_overlay
from racctl.video.span import Span

POOLED_SIDE = 4  # rows and columns of the pose network's inner features, a quarter of the memory of all 8
COUNTED_KINDS = ("pose", "features", "tokens", "video")  # opened for every counter, to say which one reads them


@dataclass(frozen=True)
class CountOptions:
    """What of a clip is counted.

    model: what the user called the counter, a name or a file.
    person: "main", "all" or a track number.
    span: which part of the clip.
    video: the video of a pose or of features, "" for none.
    pose_model: of `racctl pose`, for a video.  download: whether it may be fetched.
    """

    model: str = "combined"
    person: str = "main"
    span: Span = field(default_factory=Span)
    video: str = ""
    pose_model: str = "full"
    download: bool = False

    def check(self) -> CountOptions:
        """Raise UsageError for a value that is not valid; return self."""
        if self.person not in ("main", "all") and not self.person.isdecimal():
            raise UsageError(f"invalid value '{self.person}' for '--person'; expected main, all or a track number")
        self.span.check()
        return self


def count(
    source: str | Path | Pose,
    model: str = "combined",
    *,
    person: str = "main",
    start: float | None = None,
    stop: float | None = None,
    stride: int = 1,
    rate: float | None = None,
    video: str | Path = "",
    pose_model: str = "full",
    download: bool = False,
    device: str = "auto",
    threads: int = 0,
    jobs: int = 1,
    **settings: Any,
) -> list[Count]:
    """Count the repetitions in a clip, exactly as `racctl count` does: one `Count` per person.

    source: a video, a pose or features by path, or a `Pose`.  model: a counter's name, or a file of its weights.
    settings: the counter's own, such as alternating="pair"; the other arguments are the command's options.
    Raises `racctl.errors.RacctlError` with one line that says what is wrong.
    """
    options = CountOptions(model, person, Span(start, stop, stride, rate), str(video), pose_model, download).check()
    counter = open_counter(model, settings_of(model, settings), device, threads)
    with open_lanes(counter, options, 1, jobs) as (estimators,):
        if isinstance(source, Pose):
            with open_pose(source, options.span, estimators) as clip:
                return count_clip(clip, counter, options)
        return count_source(str(source), estimators, counter=counter, options=options)


def settings_of(model: str, settings: dict[str, Any]) -> Any:
    """Return an instance of the counter's settings; UsageError for one that it does not have."""
    kind = COUNTERS.load(COUNTERS.member(model)).Settings
    try:
        return kind(**settings)
    except TypeError as error:
        raise UsageError(f"the counter '{model}' has no such setting: {error}") from None


def open_lanes(
    counter: Counter, options: CountOptions, lanes: int, each: int
) -> AbstractContextManager[list[Estimators]]:
    """Open `lanes` sets of what estimates a video's pose, and the masks that this counter looks at."""
    estimates = Estimates(
        counter.mask_size,
        True,
        pose_model=options.pose_model,
        download=options.download,
        features=counter.looks_at_features(options.pose_model),
        feature_side=POOLED_SIDE,
    )
    return estimator_lanes(estimates, lanes, each, check=False)


def check_drawings(plot: str, overlay: str, video: str) -> None:
    """Raise UsageError for a plot or an overlay that cannot be drawn into a file of this name; "" for none."""
    if plot:
        from racctl.counters.plot import plot_kind

        plot_kind(plot)
    if overlay:
        check_target(overlay, video)


def count_source(
    source: str,
    estimators: Estimators,
    report: Report = silent,
    *,
    counter: Counter,
    options: CountOptions,
    overlay: str = "",
) -> list[Count]:
    """Count a path, or "-" for stdin. overlay: also draw the result into a copy of the video and write it there."""
    with _open(source, counter, options, estimators, report) as clip:
        if overlay:
            _check_overlay(clip, overlay)
        else:
            _refuse_idle_video(clip, counter, options)
        counts = count_clip(clip, counter, options)
        if overlay:
            if len(counts) != 1:
                raise UsageError(f"'--overlay' shows one person and {len(counts)} are counted; choose with '--person'")
            pose = _pose_of(clip)
            write_overlay(clip.picture, clip.video_where, Path(overlay), pose, *counts[0].frames(), report)
        return counts


def _open(
    source: str, counter: Counter, options: CountOptions, estimators: Estimators, report: Report = silent
) -> AbstractContextManager[Clip]:
    reads = tuple(dict.fromkeys((*COUNTED_KINDS, *counter.reads)))
    return open_clip(source, video=options.video, span=options.span, reads=reads, estimators=estimators, report=report)


def _pose_of(clip: Clip) -> Pose:
    """Return the pose that is counted: of an input that is one, the part in the span."""
    return cut(clip.pose, clip.sampling) if clip.kind == "pose" else clip.pose


def count_clip(clip: Clip, counter: Counter, options: CountOptions) -> list[Count]:
    """Count everyone in an open clip that `options.person` names; rows in the order of the tracks.

    Raises DataError where there is nobody to count, UsageError for options that do not go with the input.
    """
    if clip.kind not in counter.reads:
        readers = [f"--model {name}" for name in COUNTERS.names() if clip.kind in COUNTERS.load(name).reads]
        raise DataError(
            f"'{clip.where}' holds {clip.kind}, and the counter '{options.model}' reads {', '.join(counter.reads)}; "
            f"use '{readers[0]}'"
        )
    if clip.kind in ("features", "tokens"):
        _refuse_options_of_poses(clip, options)
        about, people = {**clip.features.meta, "clip": clip.name, "pose_sha256": clip.digest}, [0]
    else:
        counter.check()
        clip = clip.with_pose(_pose_of(clip))
        if not clip.pose.xyz.size:
            pose = clip.pose
            raise DataError(f"clip '{clip.name}' holds nobody: {len(pose.frame)} frames, {len(pose.track)} people")
        digest = clip.digest if clip.kind == "pose" else hashlib.sha256(pose_bytes(clip.pose)).hexdigest()
        about, people = {**clip.pose.meta, "pose_sha256": digest}, clip.pose.chosen(options.person)
    counts = counter.count(clip, people)
    entry = count_step(counter, options, clip, trained=any(count.trained for count in counts))
    return [replace(count, meta=with_step(about, entry)) for count in counts]


def count_step(counter: Counter, options: CountOptions, clip: Clip, trained: bool) -> Meta:
    """Return the entry of provenance of a clip's counts. trained: whether the counter's weights had a say."""
    record = counter.record(trained)
    span = clip.sampling.args()
    args = {"model": Path(options.model).name, "person": options.person, **record.pop("args"), **span}
    if "weights" in record:
        args["video"] = bool(options.video)
    return {**step("count", __version__, **args), **record}


def cut(pose: Pose, span: Span) -> Pose:
    """Return the part of a pose that a span names; DataError when nothing is left."""
    if span.is_whole:
        return pose
    begin, end = span.bounds
    rows = np.flatnonzero((pose.time >= begin) & (pose.time < end))[:: span.stride]
    if not len(rows):
        raise DataError(f"clip '{pose.clip}' has no frame in the part asked for")
    world = None if pose.world is None else pose.world[rows]
    return Pose(pose.xyz[rows], pose.score[rows], pose.frame[rows], pose.time[rows], pose.track, pose.meta, world)


def save_count(
    source: str,
    estimators: Estimators,
    report: Report = silent,
    *,
    folder: Path,
    reps: bool,
    counter: Counter,
    options: CountOptions,
) -> None:
    """Write FOLDER/<clip>.counts.parquet (or .reps.parquet) unless it is there and up to date."""
    target = folder / f"{clip_name(source)}.{'reps' if reps else 'counts'}.parquet"
    with _open(source, counter, options, estimators, report) as clip:
        _refuse_idle_video(clip, counter, options)
        if not _is_counted(target, clip, counter, options):
            table = (reps_table if reps else counts_table)(count_clip(clip, counter, options))
            write_file(target, lambda out: write_table(out, table))


def _is_counted(target: Path, clip: Clip, counter: Counter, options: CountOptions) -> bool:
    """Whether `target` holds the count of these very bytes, by these options, thresholds and weights."""
    recorded = recorded_meta(target)
    steps = recorded.get("steps")
    if not steps:
        return False
    entry = count_step(counter, options, clip, trained="weights" in steps[-1])
    if clip.kind == "video":
        expected = [clip.estimators.pose_step(clip.sampling), entry]
        return recorded.get("source", {}).get("sha256") == clip.digest and steps == expected
    return recorded.get("pose_sha256") == clip.digest and steps == [*clip.recorded_steps(), entry]


def _refuse_options_of_poses(clip: Clip, options: CountOptions) -> None:
    if not clip.span.is_whole:
        raise UsageError(
            f"'{clip.where}' holds features; '--start', '--stop', '--stride' and '--rate' are for 'racctl encode' then"
        )
    if options.person != "main":
        raise UsageError(f"'{clip.where}' holds features, which are of one person; leave out '--person'")


def _refuse_idle_video(clip: Clip, counter: Counter, options: CountOptions) -> None:
    """Raise UsageError where the options name a video that nothing looks at."""
    if not options.video or counter.uses_video(clip.kind):
        return
    if clip.kind in ("features", "tokens"):
        raise UsageError(f"'{clip.where}' holds features, which are counted without the video; leave out '--video'")
    raise UsageError(f"'--video' has no effect here: '{options.model}' looks at the pose alone; leave it out")


def _check_overlay(clip: Clip, overlay: str) -> None:
    """Raise UsageError where there is no pose or no video to draw."""
    check_target(Path(overlay), clip.video_name or clip.source)
    if clip.kind in ("features", "tokens"):
        raise UsageError(f"'{clip.where}' holds features, and '--overlay' draws a pose")
    if not clip.shows_picture:
        raise UsageError(f"'{clip.where}' is a pose; name the video to draw on with '--video FILE'")
