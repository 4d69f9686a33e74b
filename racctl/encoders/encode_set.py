"""What `racctl encode` has to do: files, or the clips of a published data set, each with its repetitions."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from racctl.contracts import Features
from racctl.data.labelled import FILES
from racctl.data.published import DATASETS, Published
from racctl.data.segments import files_in
from racctl.data.truth import read_truth
from racctl.encoders.encode_clip import Part, encode_source, is_encoded
from racctl.encoders.pair import Encoders, Options
from racctl.errors import DataError, UsageError
from racctl.estimators.on_demand import Estimators
from racctl.io.escounts import token_files, write_tokens
from racctl.io.npz import write_features
from racctl.io.output import make_folder, write_file
from racctl.io.spool import clip_name, display_name
from racctl.io.up_to_date import holds
from racctl.progress import Report, silent

LAYOUTS = ("racctl", "escounts")


@dataclass(frozen=True)
class Job:
    """One clip to encode."""

    clip: str
    source: str
    part: Part = field(default_factory=Part)


def file_jobs(sources: list[str], video: str = "", reps: str = "") -> list[Job]:
    """The inputs as they come. reps: a table with the repetitions of each, as `racctl count --reps` or a data set has
    it; DataError for a clip that it does not know."""
    if not reps:
        return [Job(clip_name(source), source) for source in sources]
    known = {row.clip: row.cycles for row in read_truth(reps)}
    jobs = []
    for source in sources:
        clip = clip_name(video or source)
        cycles = known.get(clip)
        if cycles is None and len(known) == 1 and source == "-" and not video:
            cycles = next(iter(known.values()))  # stdin has no name
        if cycles is None:
            raise DataError(f"'{display_name(reps)}' marks no repetitions of '{clip}'")
        jobs.append(Job(clip, source, Part(cycles)))
    return jobs


def open_set(name: str, root: str, split: str, annotations: str = "", exclude_known_bad: bool = False) -> Published:
    """The data set of that name; UsageError for an unknown one, or without a root and a split."""
    if name not in DATASETS:
        raise UsageError(f"no such data set '{name}'; expected one of {', '.join(DATASETS)}")
    if not root or not split:
        raise UsageError("'--dataset' needs '--root DIR' and '--split train|val|test'")
    return DATASETS[name](root, split, annotations, exclude_known_bad)


def set_jobs(dataset: Published, exemplars: bool) -> tuple[list[Job], list[tuple[str, str]]]:
    """The usable clips of a data set, each once, and the others with the reason why they are not."""
    jobs, failures = {}, []
    for clip in dataset:
        name = clip.truth.clip
        if name in jobs:
            continue
        reason = clip.unusable or ("no repetition is marked" if exemplars and not len(clip.repetitions) else "")
        if reason:
            failures.append((name, str(reason)))
        else:
            jobs[name] = Job(name, str(clip.video), Part(clip.repetitions if exemplars else None, clip.segment))
    return list(jobs.values()), failures


def encode_job(job: Job, encoders: Encoders, options: Options, estimators: Estimators, report: Report) -> Features:
    """`encode_source` of one job."""
    return encode_source(job.source, encoders, its_own(options, job.clip), estimators, report, job.part)


def its_own(options: Options, clip: str) -> Options:
    """The options with the clip's own mask and pose where they name folders; DataError where a folder has none."""
    found = {}
    for kind in ("mask", "pose"):
        folder = Path(getattr(options, kind))
        if getattr(options, kind) and folder.is_dir():
            path = _files(folder, kind).get(clip)
            if path is None:
                raise DataError(f"'{folder}' has no {kind} of clip '{clip}'")
            found[kind] = str(path)
    return replace(options, **found)


@lru_cache(4)
def _files(folder: Path, kind: str) -> dict[str, Path]:
    return files_in(folder, FILES[kind], kind)


def save_job(
    job: Job, folder: Path, layout: str, dataset: str, encoders: Encoders, options: Options, estimators: Estimators
) -> None:
    """Write FOLDER/<clip>.features.npz (exemplars: <clip>.exemplars.npz), or the token files of ESCounts' layout,
    unless they are there, made of the same bytes the same way."""
    if layout == "escounts":
        return _save_escounts(job, folder, dataset, encoders, options, estimators)
    target = folder / f"{job.clip}.{'features' if job.part.cycles is None else 'exemplars'}.npz"
    own = its_own(options, job.clip)
    if not is_encoded(job.source, target, encoders, own, job.part):
        found = encode_job(job, encoders, own, estimators, silent)
        found.meta["clip"] = job.clip
        if not _holds(target, found):
            write_file(target, lambda out: write_features(out, found))


def _holds(target: Path, features: Features) -> bool:
    """Whether the file is there with just these features, imported from token files, which takes no time."""
    if "inputs" not in features.meta["steps"][-1]:
        return False
    data = io.BytesIO()
    write_features(data, features)
    return holds(target, data.getvalue())


def _save_escounts(
    job: Job, folder: Path, dataset: str, encoders: Encoders, options: Options, estimators: Estimators
) -> None:
    about = Features(np.zeros(0), np.zeros(0), {"clip": job.clip, "span": job.part.span})
    for branch, encoder in (("video", encoders.video), ("pose", encoders.pose)):
        if encoder is not None:
            about.meta[branch] = {"encoder": encoder.name}
            setattr(about, branch, np.zeros(0))
    targets = token_files(folder, about, dataset)
    own = its_own(options, job.clip)
    if all(is_encoded(job.source, target, encoders, own, job.part) for target in targets):
        return
    found = encode_job(job, encoders, own, estimators, silent)
    found.meta["clip"] = job.clip
    for target, tokens in token_files(folder, found, dataset).items():
        make_folder(target.parent)
        write_file(target, lambda out, tokens=tokens: write_tokens(out, found, tokens))
