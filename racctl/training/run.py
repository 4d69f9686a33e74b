"""`racctl train` for recognisers: from a labelled data set to a checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from racctl.contracts import Meta
from racctl.data.labelled import BACKGROUND, LabelledClip, read_labelled, split_clips
from racctl.errors import DataError, UsageError
from racctl.models.catalog import RECOGNISERS, configured
from racctl.progress import Report, silent
from racctl.streams import CROPS, Look
from racctl.training.augment import Augmentation
from racctl.training.loop import Recipe, fit, placed, set_threads
from racctl.training.recognise import Recognition, WindowSet, class_list
from racctl.training.store import StoredClip, store

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What to train on what. data: as `read_labelled` takes it.  videos, masks, poses: folders to find files in.

    train, val: names of the splits.  null: whether background windows are a class.  input, fusion, layers, width,
    pose: see `racctl.models.mcat`.  cache: where decoded clips are kept, by default in the output directory.
    licence: of the weights, for the header.
    """

    data: str
    model: str = "mcat"
    input: str = "both"
    fusion: str = "cross"
    layers: int = 4
    width: int = 256
    pose: bool = False
    look: Look = field(default_factory=Look)
    train: str = "train"
    val: str = "val"
    null: bool = True
    videos: str | None = None
    masks: str | None = None
    poses: str | None = None
    cache: str | None = None
    licence: str = "unstated"

    def check(self) -> Wanted:
        """UsageError for a value that means nothing; returns self."""
        if self.train == self.val:
            raise UsageError(
                f"'--val-split {self.val}' is what is trained on; name another one, or one that is not there"
            )
        if self.model not in RECOGNISERS:
            raise UsageError(f"no such model '{self.model}'; expected one of {', '.join(RECOGNISERS)}")
        if self.look.crop not in CROPS:
            raise UsageError(f"'--crop {self.look.crop}' means nothing; expected one of {', '.join(CROPS)}")
        if self.look.needs_picture and (not 16 <= self.look.size <= 512 or self.look.size % 8):
            raise UsageError(f"'--size {self.look.size}' does not fit; expected a multiple of 8 from 16 to 512")
        if self.width % 8:
            raise UsageError(f"'--width {self.width}' does not fit 8 attention heads; expected a multiple of 8")
        if self.model != "mcat" and (self.fusion != "cross" or self.pose or self.input == "pose"):
            raise UsageError(f"'--fusion', '--pose' and '--input pose' are options of mcat; '{self.model}' has none")
        self.config(2)
        return self

    def config(self, classes: int):
        """Of the model. UsageError for values that do not go together."""
        fusion = "none" if (self.input, self.fusion) == ("pose", "cross") else self.fusion  # the default
        given = {"classes": classes, "input": self.input, "layers": self.layers, "width": self.width, "fusion": fusion,
                 "pose": self.pose, "size": self.look.size, "window": self.look.window}  # fmt: skip
        try:
            return configured(self.model, given)
        except ValueError as error:
            raise UsageError(str(error)) from None


def train_recogniser(
    wanted: Wanted, recipe: Recipe, augmentation: Augmentation, out: Path, device: str, threads: int, say: Say,
    decoding: Report = silent, training: Report = silent,
) -> list[dict[str, float]]:  # fmt: skip
    """Train and write `out`/model.safetensors; see `racctl.training.loop.fit` for the rest of what is written.

    Raises DataError for a data set that cannot be used, UsageError for settings that cannot."""
    wanted.check()
    recipe.check()
    set_threads(threads)
    with placed(device) as place:
        quiet = say if place.leads else (lambda line: None)
        parts = _splits(wanted, recipe.seed)
        cache = Path(wanted.cache) if wanted.cache else out / "cache"
        lost: list[tuple[str, str]] = []
        kept = store([*parts[0], *parts[1]], cache, wanted.look, threads, decoding, lambda *row: lost.append(row))
        if not kept:
            raise DataError(f"not one clip of '{wanted.data}' could be read; the first: {lost[0][1]}")
        for clip, reason in lost:
            quiet(f"left out: {clip}: {reason}")
        torch.manual_seed(recipe.seed)  # of the first weights
        task = _task(wanted, recipe, augmentation, kept, quiet)
        history = fit(task, recipe, out, place, quiet, training if place.leads else silent)
        quiet(f"'{out / 'model.safetensors'}' holds the weights")
        return history


def _splits(wanted: Wanted, seed: int) -> tuple[list[LabelledClip], list[LabelledClip]]:
    folders = {"videos": wanted.videos, "masks": wanted.masks, "poses": wanted.poses}
    clips = read_labelled(wanted.data, need=wanted.look.files, lenient=True, **folders)
    if not any(clip.split for clip in clips):
        clips = split_clips(clips, {wanted.train: 0.85, wanted.val: 0.15}, seed)
    train, val = ([clip for clip in clips if clip.split == name] for name in (wanted.train, wanted.val))
    if not train:
        there = ", ".join(sorted({clip.split for clip in clips}))
        raise DataError(f"'{wanted.data}' has no clip in the split '{wanted.train}'; it has {there}")
    return train, val


def _task(
    wanted: Wanted, recipe: Recipe, augmentation: Augmentation, kept: list[StoredClip], say: Say
) -> Recognition:  # fmt: skip
    train = [clip for clip in kept if clip.split == wanted.train]
    val = [clip for clip in kept if clip.split == wanted.val]
    classes = [name for name in class_list(train) if wanted.null or name != BACKGROUND]
    windows = WindowSet(train, wanted.look, classes, wanted.null)
    checked = WindowSet(val, wanted.look, classes, wanted.null) if val else None
    about: Meta = {
        "seed": recipe.seed, "licence": wanted.licence,
        "data": {"clips": len(train), "val_clips": len(val), "null": wanted.null, "digest": _digest([*train, *val])},
    }  # fmt: skip
    task = Recognition(wanted.model, wanted.config(len(classes)), wanted.look, windows, checked, augmentation, about)
    count = sum(p.numel() for p in task.objective.model.parameters())
    say(
        f"{wanted.model}: {count / 1e6:.2f} M parameters, {len(classes)} classes, {len(windows)} windows of "
        f"{len(train)} clips, {len(checked) if checked else 0} to validate on"
    )
    if checked and checked.unknown:
        say(f"left out: {checked.unknown} windows to validate on, of classes that are not in the training clips")
    return task


def _digest(clips: list[StoredClip]) -> str:
    """Of which clips there are, how long, and what they are labelled."""
    total = hashlib.sha256()
    for clip in clips:
        total.update(f"{clip.name} {clip.split} {len(clip)} {' '.join(clip.labels)}".encode())
    return total.hexdigest()[:16]


def read_range(text: str) -> tuple[float, float]:
    """ "0.5-4" as two positive numbers in order; UsageError otherwise."""
    try:
        low, _, high = text.partition("-")
        found = float(low), float(high or low)
    except ValueError:
        found = (0.0, 0.0)
    if not 0 < found[0] <= found[1] < 100:
        raise UsageError(f"'{text}' is no range; expected LOW-HIGH, for instance 0.5-4")
    return found
