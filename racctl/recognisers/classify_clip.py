"""Which exercise when: from a video to a timeline of labelled segments."""

from __future__ import annotations

import sys
import tempfile
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from racctl import __version__, windows
from racctl.contracts import BACKGROUND, UNKNOWN_LABEL, Meta, Pose, step
from racctl.data.labelled import read_labelled
from racctl.device import pick_device
from racctl.errors import DataError, UsageError
from racctl.estimators.on_demand import Estimates, Estimators
from racctl.estimators.open_clip import Clip, open_clip
from racctl.io.output import write_file
from racctl.io.parquet import table_from_rows, write_table
from racctl.io.spool import clip_name
from racctl.io.up_to_date import constants_digest, recorded_meta
from racctl.progress import Report, silent
from racctl.recognisers import inputs, timeline
from racctl.recognisers import recogniser as recogniser_module
from racctl.recognisers import rejection as rejection_module
from racctl.recognisers.base import LabelledSet
from racctl.recognisers.cache import store
from racctl.recognisers.inputs import Look, Streams, gather, gather_joints
from racctl.recognisers.recogniser import Judgement, Recogniser
from racctl.recognisers.rejection import Evidence, Rejection, read_unknown
from racctl.recognisers.timeline import (
    Segment,
    clip_label,
    clip_weights,
    joined_to_neighbours,
    relabelled,
    segments,
    smoothed,
)
from racctl.skeleton import normalise
from racctl.skeleton.normalise import refuse_scaled, tell_missing_joints
from racctl.video import crop
from racctl.video.span import Span
from racctl.windows import tell_gaps

SHOWN = 3  # the most probable exercises in a row
CROP_MASK_SIZE = 256  # pixels of the masks that the person is cut out by


@dataclass(frozen=True)
class ClassifyOptions:
    """How to classify.

    unit: rows for each "segment", "window" or "clip".
    smooth: seconds to either side over which windows are averaged, 0 for not at all.
    span: which part of the clip.  video: the clip's, where the input is a mask.  pose: a pose to use.
    keep_pictures: they are looked at again.  unknown: "auto", "off" or the share of known exercises to lose.
    """

    unit: str = "segment"
    smooth: float = 1.0
    span: Span = field(default_factory=Span)
    video: str = ""
    pose: str = ""
    keep_pictures: bool = False
    unknown: str = "auto"

    def check(self) -> ClassifyOptions:
        """Raise UsageError for a value that is not valid; return self."""
        self.span.check()
        read_unknown(self.unknown)
        if not 0 <= self.smooth < 3600:
            raise UsageError(f"invalid value '{self.smooth:g}' for '--smooth'; expected seconds, 0 for none")
        return self


@dataclass(frozen=True)
class Classification:
    """One clip's windows.

    probs: (S, K + 1), of the classes and of everything else.
    rows: (S, T) ticks of each window, into `streams`.
    look: what they were made for.  classes: K names.
    energy: (S,), see `racctl.recognisers.rejection`.
    rejection: when the label is "unknown", None for never.
    """

    clip: str
    look: Look
    probs: np.ndarray
    rows: np.ndarray
    streams: Streams
    classes: list[str]
    meta: Meta
    energy: np.ndarray
    rejection: Rejection | None = None

    @property
    def background(self) -> int | None:
        """The class of no exercise, where there is one."""
        return self.classes.index(BACKGROUND) if BACKGROUND in self.classes else None


def estimates(look: Look, mask_model: str = "blazepose", download: bool = False) -> Estimates:
    """Return what has to be estimated of a clip before a model with this look can see it."""
    side = look.size if look.crop == "frame" else CROP_MASK_SIZE
    return Estimates(side if look.needs_mask else 0, bool(look.topology), mask_model, download=download)


def classify(
    source: str | Path,
    model: str = "joints",
    *,
    unit: str = "segment",
    smooth: float = 1.0,
    unknown: str = "auto",
    start: float | None = None,
    stop: float | None = None,
    video: str | Path = "",
    pose: str | Path = "",
    mask_model: str = "blazepose",
    download: bool = False,
    device: str = "auto",
    jobs: int = 1,
) -> list[dict[str, Any]]:
    """Say which exercise is done when, exactly as `racctl classify` does: the rows of its table.

    source: a video, or a pose or mask where the model reads those.  model: a name, or a file of `racctl train`.
    unit: rows for each "segment", "window" or "clip"; the other arguments are the command's options.
    Raises `racctl.errors.RacctlError` with one line that says what is wrong.
    """
    options = ClassifyOptions(unit, smooth, Span(start, stop), str(video), str(pose), unknown=unknown).check()
    recogniser = Recogniser(model, pick_device(device))
    with Estimators(estimates(recogniser.look, mask_model, download), jobs) as estimators:
        clip = classify_source(str(source), estimators, recogniser=recogniser, options=options)
    return labels_table([clip], options).to_pylist()


def classify_source(
    source: str, estimators: Estimators, report: Report = silent, *, recogniser: Recogniser, options: ClassifyOptions
) -> Classification:
    """Classify a video, a racctl.mask/1 with its video or, where the model looks at joints alone, a racctl.pose/1.

    source: a path, or "-" for stdin. Raises DataError when the input is none of these, or nobody is in the picture.
    """
    with _open(source, recogniser, options, estimators, report) as clip:
        return classify_clip(clip, recogniser, options)


def _open(
    source: str, recogniser: Recogniser, options: ClassifyOptions, estimators: Estimators, report: Report
) -> AbstractContextManager[Clip]:
    return open_clip(
        source,
        video=options.video,
        pose=options.pose,
        span=options.span,
        reads=("mask", "video") if recogniser.look.needs_picture else ("pose", "video"),
        estimators=estimators,
        report=report,
    )


def classify_clip(clip: Clip, recogniser: Recogniser, options: ClassifyOptions) -> Classification:
    """Classify an open clip."""
    if clip.kind == "pose" and clip.video_name:
        raise UsageError("'--video' names the clip of a mask, and the input is a pose; leave it out")
    streams, steps = _streams(clip, recogniser)
    judgement = recogniser.judge(streams)
    if not options.keep_pictures:
        streams.packed = streams.packed[:, :0]  # of many clips they would fill the memory
    meta = {
        "clip": clip.name,
        "classes": recogniser.classes,
        "unit": options.unit,
        "input_sha256": clip.digest,
        "steps": [*steps, classify_step(recogniser, options)],
    }
    return _classification(streams, judgement, recogniser, options, meta)


def _classification(
    streams: Streams, judgement: Judgement, recogniser: Recogniser, options: ClassifyOptions, meta: Meta
) -> Classification:
    """Return what the model says of a clip; where it may not say "unknown", the last probability is 0."""
    joint, rejection = judgement.joint, recogniser.rejection
    if rejection is None or options.unknown == "off":
        known = np.maximum(joint[:, :-1], 1e-12)
        joint, rejection = np.column_stack([known / known.sum(1, keepdims=True), np.zeros(len(joint))]), None
    return Classification(
        clip=meta["clip"],
        look=recogniser.look,
        probs=joint,
        rows=judgement.rows,
        streams=streams,
        classes=recogniser.classes,
        meta=meta,
        energy=judgement.energy,
        rejection=rejection,
    )


def classify_step(recogniser: Recogniser, options: ClassifyOptions, split: str = "") -> Meta:
    """Return the provenance entry of labels made with these options. split: of a data set."""
    entry = step(
        "classify",
        __version__,
        model=recogniser.record["name"],
        smooth=options.smooth,
        unit=options.unit,
        unknown=None if options.unknown == "auto" else options.unknown,
        start=options.span.start,
        stop=options.span.stop,
        split=split or None,
    )
    modules = (inputs, recogniser_module, normalise, crop, timeline, windows, rejection_module)
    constants = constants_digest(sys.modules[__name__], *modules)
    return {**entry, "constants": constants, "weights": [recogniser.record]}


def classify_set(
    labelled: LabelledSet, recogniser: Recogniser, options: ClassifyOptions, threads: int, report: Report = silent
) -> tuple[list[Classification], list[tuple[str, str]]]:
    """Classify a data set's clips with the masks and poses that it has; nothing is estimated.

    Returns also the clips that failed, with reasons.
    """
    look = recogniser.look
    clips = read_labelled(labelled.dataset, need=look.files, lenient=True, **labelled.folders)
    clips = [clip for clip in clips if labelled.split in ("", clip.split)]
    if not clips:
        raise DataError(f"'{labelled.dataset}' has no clip in the split '{labelled.split}'")
    steps = [classify_step(recogniser, options, labelled.split)]
    about = {"classes": recogniser.classes, "unit": options.unit, "steps": steps}
    classifications: list[Classification] = []
    failures: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory(prefix="racctl-") as scratch:
        folder = Path(labelled.cache or scratch)
        for clip in store(clips, folder, look, threads, report, lambda *row: failures.append(row)):
            meta = {"clip": clip.name, **about}
            judgement = recogniser.judge(clip.streams)
            classifications.append(_classification(clip.streams, judgement, recogniser, options, meta))
    return classifications, failures


def _streams(clip: Clip, recogniser: Recogniser) -> tuple[Streams, list[Meta]]:
    """Return the clip as the model sees it, and the provenance of its mask and pose."""
    look, span = recogniser.look, clip.span
    mask = clip.mask if look.needs_mask else None
    pose = clip.pose if look.topology else None
    if pose is not None:
        _check_pose(pose, recogniser)
    if not look.needs_picture:
        streams = gather_joints(clip.pose, look, span.start, span.stop)
    else:
        streams = gather(clip.picture, clip.video_where, look, mask, pose, span.start, span.stop, clip.report)
    tell_gaps(clip.name, streams.time)
    return streams, [entry for part in (mask, pose) if part is not None for entry in part.meta.get("steps", [])]


def _check_pose(pose: Pose, recogniser: Recogniser) -> None:
    if recogniser.knows_lacking:
        tell_missing_joints(pose, recogniser.look.topology, "the model says less where less is left to tell by")
    else:
        tell_missing_joints(pose, recogniser.look.topology)
    if not recogniser.knows_scaled:
        refuse_scaled(pose)


def labels_table(clips: list[Classification], options: ClassifyOptions) -> pa.Table:
    """racctl.labels/1 of these clips: segments, windows or one row each, as the options say."""
    rows = [row for clip in clips for row in ROWS[options.unit](clip, options)]
    metas = {clip.clip: {"steps": clip.meta["steps"]} for clip in clips}
    meta = clips[0].meta if len(clips) == 1 else {"classes": clips[0].classes, "unit": options.unit, "clips": metas}
    return table_from_rows("racctl.labels/1", rows, meta)


def _row(clip: Classification, start: int, stop: int, label: int, probs: np.ndarray) -> dict[str, Any]:
    """start, stop: ticks, half-open.  label: K for what is unknown.  probs: (K + 1,)."""
    s = clip.streams
    after = max(stop, int(np.searchsorted(s.frame, s.frame[stop - 1], "right")))  # a long frame has several ticks
    last = after >= len(s.frame)
    return {
        "clip": clip.clip,
        "start": int(s.frame[start]),
        "stop": s.stop if last else int(s.frame[after]),
        "start_s": float(s.time[start]),
        "stop_s": s.stop_s if last else float(s.time[after]),
        "label": [*clip.classes, UNKNOWN_LABEL][label],
        "prob": float(probs[label]),
        "unknown": None if clip.rejection is None else float(probs[-1]),
        "top": ", ".join(f"{clip.classes[k]} {probs[k]:.2f}" for k in np.argsort(-probs[:-1])[:SHOWN]),
        "probs": [float(p) for p in probs[:-1] / max(probs[:-1].sum(), 1e-12)],
    }


def _decided(clip: Classification, options: ClassifyOptions, label: int, evidence: Evidence) -> int:
    """Return the label, or K where it is not sure enough.  label: of the K + 1."""
    if clip.rejection is None:
        return label
    return clip.rejection.decide(evidence, label, clip.background, read_unknown(options.unknown))


def _segments(clip: Classification, options: ClassifyOptions) -> list[dict[str, Any]]:
    smooth = smoothed(clip.probs, round(options.smooth * clip.look.rate / clip.look.stride))
    middle = clip.rows[:, clip.rows.shape[1] // 2]
    spans = segments(clip.probs, smooth, middle, len(clip.streams.frame))

    def decide(span: Segment) -> int:
        evidence = Evidence(span.probs, float(clip.energy[span.first : span.last].mean()), span.last - span.first)
        return _decided(clip, options, span.label, evidence)

    spans = joined_to_neighbours(relabelled(spans, decide), len(clip.classes), clip.background)
    rows = [_row(clip, s.start, s.stop, s.label, s.probs) for s in spans if s.stop > s.start]
    for row, following in pairwise(rows):  # a frame that is shown for several ticks belongs to one segment
        row["stop"] = min(row["stop"], following["start"])
        row["stop_s"] = min(row["stop_s"], following["start_s"])
    return [row for row in rows if row["stop"] > row["start"]]


def _windows(clip: Classification, options: ClassifyOptions) -> list[dict[str, Any]]:
    table = []
    for rows, probs, energy in zip(clip.rows, clip.probs, clip.energy, strict=True):
        label = _decided(clip, options, int(probs.argmax()), Evidence(probs, float(energy)))
        table.append(_row(clip, int(rows[0]), int(rows[-1]) + 1, label, probs))
    return table


def _whole(clip: Classification, options: ClassifyOptions) -> list[dict[str, Any]]:
    label, probs = clip_label(clip.probs, clip.background)
    energy = float(np.average(clip.energy, weights=clip_weights(clip.probs, clip.background)))
    label = _decided(clip, options, label, Evidence(probs, energy, len(clip.probs)))
    return [_row(clip, 0, len(clip.streams.frame), label, probs)]


ROWS = {"segment": _segments, "window": _windows, "clip": _whole}


def save_labels(
    source: str,
    estimators: Estimators,
    report: Report = silent,
    *,
    folder: Path,
    recogniser: Recogniser,
    options: ClassifyOptions,
) -> None:
    """Write FOLDER/<clip>.labels.parquet unless it is there already, made of the same bytes the same way."""
    target = folder / f"{clip_name(source)}.labels.parquet"
    with _open(source, recogniser, options, estimators, report) as clip:
        if not _is_classified(target, clip, recogniser, options):
            labels = labels_table([classify_clip(clip, recogniser, options)], options)
            write_file(target, lambda out: write_table(out, labels))


def _is_classified(target: Path, clip: Clip, recogniser: Recogniser, options: ClassifyOptions) -> bool:
    """Whether `target` holds the labels of these very bytes, by these options and weights; never of stdin."""
    recorded = recorded_meta(target)
    if clip.source == "-" or not recorded:
        return False
    steps = clip.recorded_steps()
    if clip.kind == "video":
        steps = [clip.estimators.mask_step(clip.span)] if recogniser.look.needs_mask else []
        steps += [clip.estimators.pose_step(clip.span)] if recogniser.look.topology else []
    expected = [*steps, classify_step(recogniser, options)]
    return recorded.get("input_sha256") == clip.digest and recorded.get("steps") == expected
