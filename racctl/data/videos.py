"""The videos that an annotation is about: found by clip name, looked at, and held against what it says of them."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from racctl.contracts import VIDEO_SUFFIXES, clip_stem
from racctl.data.clips import ClipTruth, Problem, cycles_that, quoted
from racctl.errors import DataError, UsageError, reason
from racctl.io.spool import open_input
from racctl.video.decode import Video, probe
from racctl.video.losses import Losses
from racctl.video.span import losses_of

SLACK_FRAMES = 1  # readers of video differ by one in how they count the last frame
SLACK_RATE = 0.02  # 29.97 and 30 frames/s are the same to a table


@dataclass(frozen=True)
class VideoFolder:
    """The videos in a folder, at any depth.

    files: clip name -> paths, sorted.
    folded: the same by the name without case, because UCF-101's videos and lists do not agree on 'HandstandPushups'.
    """

    root: Path
    files: dict[str, list[Path]]
    folded: dict[str, list[Path]]

    def of(self, clip: str, prefer: Collection[str] = ()) -> list[Path]:
        """Return the files of a clip, links to one file taken as one.

        Of several those below a folder that is called one of `prefer`, if there are any.
        """
        paths = self.files.get(clip) or self.folded.get(clip.casefold(), [])
        if len(paths) < 2:
            return paths
        paths = list({os.path.realpath(path): path for path in paths}.values())
        below = [{part.lower() for part in path.parent.relative_to(self.root).parts} for path in paths]
        return [path for path, parts in zip(paths, below, strict=True) if parts & set(prefer)] or paths


def find_videos(folder: str | Path) -> VideoFolder:
    """Return all files under `folder` that are called like videos.

    Raises DataError when it is no folder that can be listed.
    """
    files: dict[str, list[Path]] = {}
    folded: dict[str, list[Path]] = {}
    for path in files_under(folder):
        if path.suffix.lower() in VIDEO_SUFFIXES:
            stem = clip_stem(path.name)
            files.setdefault(stem, []).append(path)
            folded.setdefault(stem.casefold(), []).append(path)
    return VideoFolder(Path(folder), files, folded)


def files_under(folder: str | Path) -> list[Path]:
    """Return all files in a folder at any depth, sorted; each folder is entered once, links or not.

    What is hidden or may not be entered is passed over.

    Raises DataError when `folder` itself is no folder that can be listed.
    """
    try:
        os.listdir(folder)
    except OSError as error:
        raise DataError(f"cannot look into '{folder}': {reason(error)}") from None
    files, entered = [], set()
    for here, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if name[0] != ".")
        files += [Path(here, name) for name in names if name[0] != "."]
    return sorted(files)


def look_at(truth: ClipTruth, paths: list[Path], decode: bool = False) -> tuple[Video | None, list[Problem]]:
    """Return the video of a clip, None where it cannot be used, and what is wrong with it.

    None or several files, an empty or damaged one, one that is cut short, has another length or rate than the
    annotation says, or ends before it; with `decode` also pictures that cannot be decoded.

    An odd one can be used: its size changes, its clock starts over or pauses, or its end is not as its header says.
    """
    if not paths:
        return None, [Problem(f"no video is called '{truth.clip}'", "missing video")]
    if len(paths) > 1:
        return None, [Problem(f"several videos are called so: {quoted([str(p) for p in paths])}", "several videos")]
    try:
        if not paths[0].stat().st_size:
            return None, [Problem("the video has 0 bytes", "empty video")]
        with open_input(str(paths[0])) as file:
            video = probe(file, paths[0].name)
            losses = (
                losses_of(file, video, paths[0].name)
                if decode
                else Losses(remarks=(*video.ending.remarks, *video.remarks))
            )
    except (DataError, UsageError) as error:
        return None, [Problem(str(error), "corrupt video")]
    except OSError as error:
        return None, [Problem(f"'{paths[0].name}': {reason(error)}", "corrupt video")]
    kind = "damaged video" if losses.lost or losses.absent else "odd video"
    damaged = [Problem(losses.line(), kind)] if losses else []
    return video, [*damaged, *_unlike(truth, video), *_past_the_end(truth, video)]


def _unlike(truth: ClipTruth, video: Video) -> list[Problem]:
    problems = []
    if video.ending.missing:
        problems.append(Problem(f"the file lacks the last {video.ending.line()} of the video", "cut short"))
    if truth.num_frames is not None and abs(video.frames - truth.num_frames) > SLACK_FRAMES:
        text = f"the video has {video.frames} frames, the annotation says {truth.num_frames}"
        problems.append(Problem(text, "other length"))
    if truth.fps and abs(video.fps / truth.fps - 1) > SLACK_RATE:
        text = f"the video has {video.fps:g} frames/s, the annotation says {truth.fps:g}"
        problems.append(Problem(text, "other rate"))
    return problems


def _past_the_end(truth: ClipTruth, video: Video) -> list[Problem]:
    """Return what is annotated after the last frame of the video, unless the annotation alone tells that."""
    problems = []
    if truth.segment and truth.num_frames is None and truth.segment[1] > video.frames:
        text = f"annotated up to frame {truth.segment[1]}, the video has {video.frames}"
        problems.append(Problem(text, "past the end"))
    if truth.cycles is not None:
        stop = truth.cycles[:, 1]
        known = stop > (truth.segment[1] if truth.segment else np.inf)
        late = (stop > video.frames) & ~known
        problems += cycles_that(late, f"past the last of the video's {video.frames} frames", "past the end")
    return problems
