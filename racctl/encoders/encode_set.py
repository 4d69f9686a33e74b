"""What `racctl encode` has to do: files, or the clips of a published data set, each with its repetitions."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from racctl.contracts import Features
from racctl.data.base import DATA_SETS
from racctl.data.labelled import FILES
from racctl.data.segments import files_in
from racctl.data.truth import read_truth
from racctl.device import pick_device
from racctl.encoders.base import EncodeOptions, Files, SetOptions
from racctl.encoders.encode_clip import MASK_SIZE, encode_clip, is_encoded
from racctl.encoders.pair import Encoders, load_encoders
from racctl.encoders.reading import Part, looks_at_inner_features, looks_at_masks
from racctl.errors import DataError, UsageError
from racctl.estimators.on_demand import Estimates, Estimators
from racctl.estimators.open_clip import Clip, open_clip
from racctl.io.escounts_layout import encoder_names, import_tokens, token_file, write_tokens
from racctl.io.npz import write_features
from racctl.io.output import make_folder, write_file
from racctl.io.spool import clip_name, display_name, open_input
from racctl.io.up_to_date import has_bytes
from racctl.progress import Report, silent, tell
from racctl.video.span import Span

if TYPE_CHECKING:
    from racctl.data.published import Published


@dataclass(frozen=True)
class Job:
    """One clip to encode."""

    clip: str
    source: str
    part: Part = field(default_factory=Part)


def find_jobs(
    published: SetOptions, sources: list[str], video: str = "", reps: str = ""
) -> tuple[dict[str, Job], list[tuple[str, str]]]:
    """Return the jobs by clip, of a data set or of the inputs, and the clips that cannot be used with the reason.

    reps: a table with the repetitions of each input, as `racctl count --reps` or a data set has it.
    """
    if not published.dataset:
        return {job.clip: job for job in _file_jobs(sources, video, reps)}, []
    clips = _open_set(published)
    for line in clips.notes:
        tell(line)
    jobs, failures = jobs_of_set(clips, published.exemplars)
    return {job.clip: job for job in jobs}, failures


def saver(
    folder: Path | None, layout: str, dataset: str
) -> Callable[[Job, Clip, Encoders, EncodeOptions], None] | None:
    """Return what writes a clip's files into a folder in this layout; None without a folder."""
    if folder is None:
        return None
    return partial(save_tokens, folder, dataset) if layout == "escounts" else partial(save_features, folder)


def _file_jobs(sources: list[str], video: str = "", reps: str = "") -> list[Job]:
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


def _open_set(options: SetOptions) -> Published:
    """Return the data set that the options name; UsageError for an unknown one."""
    data_set = DATA_SETS.load(options.dataset)
    return data_set(options.root, options.split, options.annotations, options.exclude_known_bad)


def jobs_of_set(dataset: Published, exemplars: bool) -> tuple[list[Job], list[tuple[str, str]]]:
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


def encode(
    source: str | Path,
    *,
    video: str | Path = "",
    mask: str | Path = "",
    pose: str | Path = "",
    start: float | None = None,
    stop: float | None = None,
    mask_model: str = "blazepose",
    pose_model: str = "full",
    device: str = "auto",
    jobs: int = 1,
    **options: Any,
) -> Features:
    """Turn a clip into tokens of frozen encoders, exactly as `racctl encode` does.

    source: a video, a pose (`video` names its video), or inner features for encoder="blazepose".
    options: those of `racctl.encoders.base.Options`, such as encoder="none"; the other arguments are the command's.
    Raises `racctl.errors.RacctlError` with one line that says what is wrong.
    """
    settings = replace(EncodeOptions(**options), pose_model=pose_model).check()
    job = Job(clip_name(str(source)), str(source))
    files = Files(str(video), str(mask), str(pose))
    run = Run({job.clip: job}, load_encoders(settings, pick_device(device)), settings, files, Span(start, stop))
    with Estimators(run.estimates(mask_model, pose_model), jobs) as estimators:
        return run.features(job.clip, estimators)


@dataclass(frozen=True)
class Run:
    """One command's work: jobs by clip, the networks, what the user brings of the clips, and where it goes.

    save: writes one clip's files; `save_features` or `save_tokens` with a folder. None: features are returned.
    """

    jobs: dict[str, Job]
    encoders: Encoders
    options: EncodeOptions
    files: Files
    span: Span
    save: Callable[[Job, Clip, Encoders, EncodeOptions], None] | None = None

    def estimates(self, mask_model: str, pose_model: str) -> Estimates:
        """Return what has to be estimated of the clips."""
        mask = MASK_SIZE if looks_at_masks(self.encoders) and not self.files.mask else 0
        pose = self.encoders.pose is not None and not self.files.pose
        features = looks_at_inner_features(self.encoders)
        return Estimates(mask, pose, mask_model, pose_model, self.options.download, features)

    def encode(self, clip: str, estimators: Estimators, report: Report = silent) -> Features | None:
        """Encode one job: a video, or a racctl.pose/1 (with its video both), or inner features of the pose network, or
        token files, which are imported.

        Returns the features, or None where they were saved. Raises DataError when the input is none of these,
        UsageError for a pose whose video is needed and not named.
        """
        with self._open(clip, estimators, report) as opened:
            if self.save is None:
                return _encode(opened, self.jobs[clip], self.encoders, self.options)
            self.save(self.jobs[clip], opened, self.encoders, self.options)
            return None

    def features(self, clip: str, estimators: Estimators, report: Report = silent) -> Features:
        """Encode one job without saving it."""
        with self._open(clip, estimators, report) as opened:
            return _encode(opened, self.jobs[clip], self.encoders, self.options)

    def _open(self, clip: str, estimators: Estimators, report: Report) -> AbstractContextManager[Clip]:
        return open_clip(
            self.jobs[clip].source,
            video=self.files.video,
            pose=file_of_clip(self.files.pose, clip, "pose"),
            mask=file_of_clip(self.files.mask, clip, "mask"),
            span=self.span,
            reads=("pose", "video", "tokens", *(["features"] if looks_at_inner_features(self.encoders) else [])),
            estimators=estimators,
            report=report,
        )


def _encode(clip: Clip, job: Job, encoders: Encoders, options: EncodeOptions) -> Features:
    if clip.kind == "tokens":
        return _imported(clip, job, options)
    if clip.kind == "features":
        _refuse_idle_beside_features(clip, encoders)
    elif encoders.video and not clip.shows_picture and clip.pose:  # which has to be one, to begin with
        raise UsageError(f"'{clip.where}' is a pose; name its video with '--video FILE', or use '--encoder none'")
    return encode_clip(clip, encoders, options, job.part)


def _refuse_idle_beside_features(clip: Clip, encoders: Encoders) -> None:
    """Raise UsageError for files that do not go with inner features."""
    if clip.video_name:
        raise UsageError(f"'{clip.where}' holds what is looked at of the video; leave out '--video'")
    if encoders.pose and not clip.pose_path:
        raise UsageError(
            f"'{clip.where}' holds inner features alone; name the pose with '--pose FILE', or use '--pose-encoder none'"
        )


def _imported(clip: Clip, job: Job, options: EncodeOptions) -> Features:
    """Import token files in the layout of ESCounts and D2-STX: the input, and `--pose` for the other branch."""
    if job.part.cycles is not None:
        raise UsageError(f"'{clip.where}' holds tokens already; leave out '--reps'")
    typed = replace(options, window=EncodeOptions.window, stride=EncodeOptions.stride)
    idle = [entry.name for entry in fields(EncodeOptions) if getattr(typed, entry.name) != entry.default]
    idle += [name for name in ("start", "stop") if getattr(clip.span, name) is not None]
    if idle := idle + [
        name for name in ("mask", "video") if getattr(clip, f"{name}_{'path' if name == 'mask' else 'name'}")
    ]:
        raise UsageError(f"'{clip.where}' holds tokens already; leave out '--{idle[0].replace('_', '-')}'")
    with ExitStack() as stack:
        files = [(clip.file, clip.where)]
        if clip.pose_path:
            files.append((stack.enter_context(open_input(clip.pose_path)), display_name(clip.pose_path)))
        return import_tokens(files, clip_name(clip.source), options.window, options.stride)


def file_of_clip(path: str, clip: str, kind: str) -> str:
    """Return the clip's mask or pose where `path` is a folder with every clip's, else `path` itself.

    DataError where the folder has none."""
    folder = Path(path)
    if not path or not folder.is_dir():
        return path
    in_folder = _files(folder, kind).get(clip)
    if in_folder is None:
        raise DataError(f"'{folder}' has no {kind} of clip '{clip}'")
    return str(in_folder)


@lru_cache(4)
def _files(folder: Path, kind: str) -> dict[str, Path]:
    return files_in(folder, FILES[kind], kind)


def save_features(folder: Path, job: Job, clip: Clip, encoders: Encoders, options: EncodeOptions) -> None:
    """Write FOLDER/<clip>.features.npz (exemplars: <clip>.exemplars.npz) unless it is there and up to date."""
    target = folder / f"{job.clip}.{'features' if job.part.cycles is None else 'exemplars'}.npz"
    if clip.kind != "tokens" and is_encoded(clip, target, encoders, options, job.part):
        return
    features = _encode(clip, job, encoders, options)
    features.meta["clip"] = job.clip
    if clip.kind != "tokens" or not _holds(target, features):
        write_file(target, lambda out: write_features(out, features))


def _holds(target: Path, features: Features) -> bool:
    """Whether the file is there with just these features, imported from token files, which takes no time."""
    data = io.BytesIO()
    write_features(data, features)
    return has_bytes(target, data.getvalue())


def save_tokens(folder: Path, dataset: str, job: Job, clip: Clip, encoders: Encoders, options: EncodeOptions) -> None:
    """Write the token files of ESCounts' layout unless they are there and up to date."""
    names = {
        branch: encoder.name for branch, encoder in (("video", encoders.video), ("pose", encoders.pose)) if encoder
    }
    targets = {name: token_file(folder, job.clip, encoder, job.part.span, dataset) for name, encoder in names.items()}
    if clip.kind != "tokens" and all(
        is_encoded(clip, target, encoders, options, job.part) for target in targets.values()
    ):
        return
    features = _encode(clip, job, encoders, options)
    features.meta["clip"] = job.clip
    for branch, encoder in encoder_names(features).items():
        target = token_file(folder, job.clip, encoder, job.part.span, dataset)
        tokens = getattr(features, branch)
        make_folder(target.parent)
        write_file(target, partial(write_tokens, features=features, tokens=tokens))
