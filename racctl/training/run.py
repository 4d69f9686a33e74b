"""`racctl train`: from a labelled data set to the checkpoint of a recogniser or an encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from racctl.contracts import BACKGROUND, Meta
from racctl.data.labelled import LabelledClip, read_labelled, split_clips
from racctl.data.repetitions import read_repetitions
from racctl.device import set_threads
from racctl.errors import DataError, UsageError
from racctl.models.catalog import ENCODER_MODELS, MODELS, Config, built, configured
from racctl.progress import Report, silent
from racctl.recognisers.cache import StoredClip, store
from racctl.recognisers.inputs import CROPS, Look
from racctl.training.augment import Augmentation
from racctl.training.encoders import EncoderTraining, EncoderWindows, encoder_config, encoder_look
from racctl.training.loop import Recipe, Task, fit, placed
from racctl.training.recognise import Recognition, WindowSet, class_list
from racctl.weights.load import load_trained
from racctl.windows import FRAME_RATE

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What to train on what. data: as `read_labelled` takes it.  videos, masks, poses: folders to find files in.

    train, val: names of the splits.  null: whether background windows are a class.  input, fusion, layers, width,
    pose: see `racctl.models.mcat`.  objective: of an encoder, see `racctl.training.encoders`.  cache: where decoded
    clips are kept, by default in the output directory.  licence: of the weights, for the header.  init: a model of the
    same kind and size whose weights it begins with, "" for random ones.
    """

    data: str
    model: str = "mcat"
    input: str = "both"
    fusion: str = "cross"
    layers: int = 4
    width: int = 256
    pose: bool = False
    objective: str = "both"
    look: Look = field(default_factory=Look)
    train: str = "train"
    val: str = "val"
    null: bool = True
    videos: str | None = None
    masks: str | None = None
    poses: str | None = None
    cache: str | None = None
    licence: str = "unstated"
    init: str = ""

    def check(self) -> Wanted:
        """UsageError for a value that means nothing; returns self."""
        if self.train == self.val:
            raise UsageError(
                f"'--val-split {self.val}' is what is trained on; name another one, or one that is not there"
            )
        if self.model not in MODELS:
            raise UsageError(f"no such model '{self.model}'; expected one of {', '.join(MODELS)}")
        if self.look.crop not in CROPS:
            raise UsageError(f"'--crop {self.look.crop}' means nothing; expected one of {', '.join(CROPS)}")
        if self.look.needs_picture and (not 16 <= self.look.size <= 512 or self.look.size % 8):
            raise UsageError(f"'--size {self.look.size}' does not fit; expected a multiple of 8 from 16 to 512")
        if self.width % 8:
            raise UsageError(f"'--width {self.width}' does not fit 8 attention heads; expected a multiple of 8")
        if self.model != "mcat" and (self.fusion != "cross" or self.pose or self.input == "pose"):
            raise UsageError(f"'--fusion', '--pose' and '--input pose' are options of mcat; '{self.model}' has none")
        if self.encodes and self.input != "both":
            raise UsageError(f"'--input' is an option of recognisers; '{self.model}' has one input")
        if not self.encodes and self.objective != "both":
            raise UsageError(
                f"'--objective' is an option of {' and '.join(ENCODER_MODELS)}; '{self.model}' learns labels"
            )
        self.config(2)
        return self

    @property
    def encodes(self) -> bool:
        return self.model in ENCODER_MODELS

    @property
    def counts(self) -> bool:
        """Whether it learns repetitions."""
        return self.encodes and self.objective != "label"

    def config(self, classes: int) -> Config:
        """Of the model. UsageError for values that do not go together."""
        if self.encodes:
            return encoder_config(self.model, classes, self.width, self.objective)
        fusion = "none" if (self.input, self.fusion) == ("pose", "cross") else self.fusion  # the default
        given = {"classes": classes, "input": self.input, "layers": self.layers, "width": self.width, "fusion": fusion,
                 "pose": self.pose, "size": self.look.size, "window": self.look.window}  # fmt: skip
        try:
            return configured(self.model, given)
        except ValueError as error:
            raise UsageError(str(error)) from None


def look_for(
    model: str, input: str = "both", pose: bool = False, crop: str = "", size: int = 112, window: int = 0,
    stride: int = 0,
) -> Look:  # fmt: skip
    """What a model is fed. 0 and "" stand for a recogniser's own: 16 frames, 8 from window to window, the whole
    picture. An encoder's is settled, but for the stride; UsageError for another."""
    if model in ENCODER_MODELS:
        if crop or window or size != Look.size:
            raise UsageError(f"'--crop', '--size' and '--window' are options of recognisers; '{model}' has its own")
        return encoder_look(model, stride)
    joints = "d2stx25" if pose or input == "pose" else ""
    size = 0 if input == "pose" else size
    return Look(size, FRAME_RATE, window or 16, stride or 8, crop or "frame", joints, input in ("both", "mask"))


def train_model(
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
        cycles = read_repetitions(wanted.data) if wanted.counts else None
        cache = Path(wanted.cache) if wanted.cache else out / "cache"
        lost: list[tuple[str, str]] = []
        kept = store([*parts[0], *parts[1]], cache, wanted.look, threads, decoding, lambda *row: lost.append(row))
        if not kept:
            raise DataError(f"not one clip of '{wanted.data}' could be read; the first: {lost[0][1]}")
        for clip, reason in lost:
            quiet(f"left out: {clip}: {reason}")
        torch.manual_seed(recipe.seed)  # of the first weights
        task = _task(wanted, recipe, augmentation, kept, cycles, quiet)
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
    wanted: Wanted, recipe: Recipe, augmentation: Augmentation, kept: list[StoredClip],
    cycles: dict[str, np.ndarray] | None, say: Say,
) -> Task:  # fmt: skip
    train = [clip for clip in kept if clip.split == wanted.train]
    val = [clip for clip in kept if clip.split == wanted.val]
    classes = [name for name in class_list(train) if wanted.null or name != BACKGROUND]
    more = {"name": wanted.model, "cycles": cycles} if wanted.encodes else {}
    kind = EncoderWindows if wanted.encodes else WindowSet
    windows, checked = (kind(part, wanted.look, classes, wanted.null, **more) for part in (train, val))
    data: Meta = {"clips": len(train), "val_clips": len(val), "null": wanted.null, "digest": _digest([*train, *val])}
    if cycles is not None:
        data["repetitions"] = sum(len(cycles.get(clip.name, ())) for clip in train)
    about: Meta = {"seed": recipe.seed, "licence": wanted.licence, "data": data}
    config = wanted.config(len(classes))
    if wanted.encodes:
        about["objective"] = wanted.objective
        task = EncoderTraining(wanted.model, config, windows, checked, augmentation, about)
    else:
        task = Recognition(wanted.model, config, wanted.look, windows, checked, augmentation, about)
    if wanted.init:
        begin_with(task.objective.model, wanted.model, wanted.init, data, classes)
    count = sum(p.numel() for p in task.objective.model.parameters())
    say(
        f"{wanted.model}: {count / 1e6:.2f} M parameters, {len(classes)} classes, {len(windows)} windows of "
        f"{len(train)} clips, {len(checked)} to validate on"
    )
    if checked.unknown:
        say(f"left out: {checked.unknown} windows to validate on, of classes that are not in the training clips")
    return task


def begin_with(model: nn.Module, name: str, init: str, data: Meta, classes: list[str]) -> None:
    """Weights of another run, noted in `data`. Where that one knows other classes, what tells classes apart is learnt
    anew. DataError when they are of another model or size."""
    found, meta, record = load_trained(Path(init), (name,))
    given = found.state_dict()
    if meta["classes"] and classes and meta["classes"] != classes:
        wider = configured(name, {**meta["config"], "classes": len(meta["classes"]) + 1})
        more = built(name, wider).state_dict()
        heads = {key for key, value in given.items() if value.shape != more[key].shape}
        given |= {key: value for key, value in model.state_dict().items() if key in heads}
    try:
        model.load_state_dict(given)
    except RuntimeError:
        raise DataError(f"'{init}' has another size than what is to be trained; leave out the options for it") from None
    data["begun_with"] = record["sha256"]


def _digest(clips: list[StoredClip]) -> str:
    """Of which clips there are, how long, and what they are labelled."""
    total = hashlib.sha256()
    for clip in clips:
        total.update(f"{clip.name} {clip.split} {len(clip)} {' '.join(clip.labels)}".encode())
    return total.hexdigest()[:16]
