"""Which exercise when: from a video to a timeline of labelled segments."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from racctl import __version__, windows
from racctl.contracts import Mask, Meta, Pose, step, with_step
from racctl.data.class_names import BACKGROUND
from racctl.data.labelled import read_labelled
from racctl.errors import DataError, UsageError
from racctl.estimators.on_demand import Estimates, Estimators, given_pose, refuse_other_clip
from racctl.io.npz import read_mask, read_pose
from racctl.io.output import write_file
from racctl.io.parquet import table_from_rows, write_table
from racctl.io.sniff import sniff
from racctl.io.spool import clip_name, display_name, open_input, sha256
from racctl.io.up_to_date import constants_digest, document, recorded_meta
from racctl.progress import Report, silent
from racctl.recognisers import inputs, timeline
from racctl.recognisers import recogniser as recogniser_module
from racctl.recognisers.cache import store
from racctl.recognisers.inputs import Look, Streams, gather, gather_joints
from racctl.recognisers.recogniser import Recogniser
from racctl.recognisers.timeline import segments, smoothed, whole
from racctl.skeleton import normalise
from racctl.skeleton.normalise import refuse_scaled, tell_missing_joints
from racctl.video import crop
from racctl.video.span import check_part
from racctl.windows import tell_gaps


@dataclass(frozen=True)
class Options:
    """How to classify.

    unit: rows for each "segment", "window" or "clip".  smooth: seconds to either side over which windows are averaged,
    0 for not at all.  video: the clip where the input is a mask.  pose: a pose of it that is there already.  start,
    stop: seconds.  mask_model: of `racctl mask`.  keep: the pictures, to be looked at again.
    """

    unit: str = "segment"
    smooth: float = 1.0
    video: str = ""
    pose: str = ""
    start: float | None = None
    stop: float | None = None
    mask_model: str = "blazepose"
    download: bool = False
    keep: bool = False

    def check(self) -> Options:
        """UsageError for a value that means nothing; returns self."""
        check_part(self.start, self.stop)
        if not 0 <= self.smooth < 3600:
            raise UsageError(f"'--smooth {self.smooth:g}' means nothing; expected seconds, 0 for none")
        return self


@dataclass(frozen=True)
class Classified:
    """One clip's windows. probs: (S, K).  rows: (S, T) ticks of each window, into `streams`.  look: what they were
    made for."""

    clip: str
    look: Look
    probs: np.ndarray
    rows: np.ndarray
    streams: Streams
    classes: list[str]
    meta: Meta


def estimates(look: Look, options: Options) -> Estimates:
    """What has to be estimated of a clip before a model with this look can see it."""
    side = look.size if look.crop == "frame" else 256
    return Estimates(side if look.needs_mask else 0, bool(look.topology), options.start, options.stop,
                     options.mask_model, download=options.download)  # fmt: skip


def classify_source(
    source: str, recogniser: Recogniser, options: Options, estimators: Estimators, report: Report = silent
) -> Classified:  # fmt: skip
    """Classify a video, a racctl.mask/1 whose video `options.video` names, or, where the model looks at joints alone, a
    racctl.pose/1. source: a path, or "-" for stdin.

    Raises DataError when the input is none of these, or nobody is in the picture."""
    look, mask, pose = recogniser.look, None, None
    with open_input(source) as file, ExitStack() as stack:
        digest = sha256(file)
        name = source
        if sniff(file) == "npz" and not look.needs_picture:
            if options.pose:
                raise UsageError(f"'{display_name(source)}' is a pose itself; leave out '--pose'")
            pose = read_pose(file, display_name(source))
        elif sniff(file) == "npz":
            mask = read_mask(file, display_name(source))
            if not options.video:
                raise UsageError(f"'{display_name(source)}' is a mask; name its video with '--video FILE'")
            name, file = options.video, stack.enter_context(open_input(options.video))
            refuse_other_clip(mask.clip, name)
        if options.video and mask is None:
            raise UsageError("'--video' names the clip of a mask; the input is a video or a pose itself")
        streams, steps = _streams(file, name, mask, pose, recogniser, options, estimators, report)
    probs, rows = recogniser.probabilities(streams)
    if not options.keep:
        streams.packed = streams.packed[:, :0]  # of many clips they would fill the memory
    clip = (pose.clip if pose is not None and pose.clip not in ("", "stdin") else "") or clip_name(name)
    meta = {"clip": clip, "classes": recogniser.classes, "unit": options.unit, "input_sha256": digest, "steps": steps}
    meta = with_step(meta, classify_step(recogniser, options))
    return Classified(clip, look, probs, rows, streams, recogniser.classes, meta)


def classify_step(recogniser: Recogniser, options: Options, split: str = "") -> Meta:
    """Return the provenance entry of labels made with these options. split: of a data set."""
    entry = step(
        "classify", __version__, model=recogniser.record["name"], smooth=options.smooth, unit=options.unit,
        start=options.start, stop=options.stop, split=split or None,
    )  # fmt: skip
    constants = constants_digest(sys.modules[__name__], inputs, recogniser_module, normalise, crop, timeline, windows)
    return {**entry, "constants": constants, "weights": [recogniser.record]}


def classify_set(
    path: str, split: str, recogniser: Recogniser, options: Options, cache: str, threads: int,
    folders: dict[str, str | None], report: Report = silent,
) -> tuple[list[Classified], list[tuple[str, str]]]:  # fmt: skip
    """Classify a labelled data set's clips of one split ("" for all) with the masks and poses that it has; nothing is
    estimated. cache: where decoded clips are kept, "" for nowhere.  folders: videos, masks, poses, see `read_labelled`.
    Returns also the clips that failed, with reasons."""
    look = recogniser.look
    found = read_labelled(path, need=look.files, lenient=True, **folders)
    clips = [clip for clip in found if split in ("", clip.split)]
    if not clips:
        raise DataError(f"'{path}' has no clip in the split '{split}'")
    steps = [classify_step(recogniser, options, split)]
    about = {"classes": recogniser.classes, "unit": options.unit, "steps": steps}
    found, lost = [], []
    with tempfile.TemporaryDirectory(prefix="racctl-") as scratch:
        for clip in store(clips, Path(cache or scratch), look, threads, report, lambda *row: lost.append(row)):
            probs, rows = recogniser.probabilities(clip.streams)
            meta = {"clip": clip.name, **about}
            found.append(Classified(clip.name, look, probs, rows, clip.streams, recogniser.classes, meta))
    return found, lost


def _streams(
    file: IO[bytes], name: str, mask: Mask | None, pose: Pose | None, recogniser: Recogniser, options: Options,
    estimators: Estimators, report: Report,
) -> tuple[Streams, list[Meta]]:  # fmt: skip
    """The clip as the model wants it, and how mask and pose were made."""
    look = recogniser.look
    steps: list[Meta] = []
    if look.needs_mask:
        mask = mask or estimators.mask(file, name, report)
        steps += mask.meta.get("steps", [])
    if look.topology and pose is None:
        pose = given_pose(options.pose, name) if options.pose else estimators.pose(file, name, report)
    if pose is not None:
        steps += pose.meta.get("steps", [])
        tell_missing_joints(pose, look.topology)
        if not recogniser.knows_scaled:
            refuse_scaled(pose)
    if not look.needs_picture:
        streams = gather_joints(pose, look, options.start, options.stop)
    else:
        streams = gather(file, display_name(name), look, mask, pose, options.start, options.stop, report)
    tell_gaps(clip_name(name), streams.time)
    return streams, steps


def table_of(found: list[Classified], options: Options) -> pa.Table:
    """racctl.labels/1 of these clips: segments, windows or one row each, as the options say."""
    rows = [row for one in found for row in ROWS[options.unit](one, options)]
    metas = {one.clip: {"steps": one.meta["steps"]} for one in found}
    meta = found[0].meta if len(found) == 1 else {"classes": found[0].classes, "unit": options.unit, "clips": metas}
    return table_from_rows("racctl.labels/1", rows, meta)


def _row(one: Classified, start: int, stop: int, label: int, probs: np.ndarray) -> dict[str, Any]:
    """start, stop: ticks, half-open."""
    s = one.streams
    after = max(stop, int(np.searchsorted(s.frame, s.frame[stop - 1], "right")))  # a long frame has several ticks
    last = after >= len(s.frame)
    return {
        "clip": one.clip, "start": int(s.frame[start]), "stop": s.stop if last else int(s.frame[after]),
        "start_s": float(s.time[start]), "stop_s": s.stop_s if last else float(s.time[after]),
        "label": one.classes[label], "prob": float(probs[label]), "probs": [float(p) for p in probs],
    }  # fmt: skip


def _segments(one: Classified, options: Options) -> list[dict[str, Any]]:
    smooth = smoothed(one.probs, round(options.smooth * one.look.rate / one.look.stride))
    middle = one.rows[:, one.rows.shape[1] // 2]
    found = segments(one.probs, smooth, middle, len(one.streams.frame))
    rows = [_row(one, s.start, s.stop, s.label, s.probs) for s in found if s.stop > s.start]
    for row, following in pairwise(rows):  # a frame that is shown for several ticks belongs to one segment
        row["stop"] = min(row["stop"], following["start"])
        row["stop_s"] = min(row["stop_s"], following["start_s"])
    return [row for row in rows if row["stop"] > row["start"]]


def _windows(one: Classified, options: Options) -> list[dict[str, Any]]:  # noqa: ARG001
    return [
        _row(one, int(rows[0]), int(rows[-1]) + 1, int(probs.argmax()), probs)
        for rows, probs in zip(one.rows, one.probs, strict=True)
    ]


def _clip(one: Classified, options: Options) -> list[dict[str, Any]]:  # noqa: ARG001
    null = one.classes.index(BACKGROUND) if BACKGROUND in one.classes else None
    return [_row(one, 0, len(one.streams.frame), *whole(one.probs, null))]


ROWS = {"segment": _segments, "window": _windows, "clip": _clip}


def save_labels(source: str, folder: Path, recogniser: Recogniser, options: Options, estimators: Estimators) -> None:
    """Write FOLDER/<clip>.labels.parquet unless it is there already, made of the same bytes the same way."""
    target = folder / f"{clip_name(source)}.labels.parquet"
    if not _is_classified(target, source, recogniser, options, estimators):
        labels = table_of([classify_source(source, recogniser, options, estimators)], options)
        write_file(target, lambda out: write_table(out, labels))


def _is_classified(
    target: Path, source: str, recogniser: Recogniser, options: Options, estimators: Estimators
) -> bool:  # fmt: skip
    """Whether `target` holds the labels of these very bytes, by these options and weights; never of stdin."""
    recorded = recorded_meta(target)
    if source == "-" or not recorded:
        return False
    with open_input(source) as file:
        if sniff(file) == "npz":
            before = document(file, "").get("steps", [])
        else:
            before = [estimators.mask_step] if recogniser.look.needs_mask else []
            before += [estimators.pose_step] if recogniser.look.topology else []
        expected = [*before, classify_step(recogniser, options)]
        return recorded.get("input_sha256") == sha256(file) and recorded.get("steps") == expected
