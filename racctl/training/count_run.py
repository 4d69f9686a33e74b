"""`racctl train --model d2stx`: from features of a counted data set to a checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from racctl.contracts import Meta, clip_stem
from racctl.data.counted import CountedClip, read_counted
from racctl.device import set_threads
from racctl.encoders.tokens import Tokens, fed_by, sequence
from racctl.errors import DataError, RacctlError, UsageError
from racctl.io.npz import read_features
from racctl.models.d2stx import D2STX, SMALL_D2STX, D2STXConfig, grouped, parameters, pooled
from racctl.progress import Report, silent
from racctl.training.counting import Counting, Teaching, TokenClip
from racctl.training.loop import Recipe, fit, placed
from racctl.weights.load import load_trained

PRESETS = {"small": SMALL_D2STX, "paper": D2STXConfig()}
STEPS = {"small": 4, "paper": 8}  # ticks for a token


@dataclass(frozen=True)
class CounterWanted:
    """What to train on what. data, features: as `read_counted` takes them.  val_data: another table to validate on,
    where the data has no splits.  preset: "small" or "paper"; the channels follow from the features.  branches, guide,
    fusion, decision: see `D2STXConfig`.  licence: of the weights.  init: files whose weights it begins with, see
    `begin`."""

    data: str
    features: str
    val_data: str = ""
    val_features: str = ""
    preset: str = "small"
    branches: str = "both"
    guide: str = "both"
    fusion: str = "decoupled"
    decision: str = "learned"
    train: str = "train"
    val: str = "val"
    teaching: Teaching = field(default_factory=Teaching)
    licence: str = "unstated"
    init: tuple[str, ...] = ()

    def check(self) -> CounterWanted:
        """UsageError for a value that means nothing; returns self."""
        if self.preset not in PRESETS:
            raise UsageError(f"no such preset '{self.preset}'; expected one of {', '.join(PRESETS)}")
        if self.train == self.val and not self.val_data:
            raise UsageError(f"'--val-split {self.val}' is what is trained on; name another one")
        if self.val_features and not self.val_data:
            raise UsageError("'--val-features' are those of '--val-data'")
        if not self.features:
            raise UsageError("'--model d2stx' learns from features; name their folder with '--features DIR'")
        self.config()
        return self

    def config(self, **more: int | str) -> D2STXConfig:
        """Of the model. UsageError for values that do not go together."""
        own = {"branches": self.branches, "guide": self.guide, "fusion": self.fusion, "decision": self.decision}
        try:
            return replace(PRESETS[self.preset], **own, **more).check()
        except ValueError as error:
            raise UsageError(str(error)) from None


def train_counter(
    wanted: CounterWanted, recipe: Recipe, out: Path, device: str, threads: int, say: Callable[[str], None],
    reading: Report = silent, training: Report = silent,
) -> list[dict[str, float]]:  # fmt: skip
    """Train and write `out`/model.safetensors; see `racctl.training.loop.fit` for the rest of what is written.

    Raises DataError for a data set that cannot be used, UsageError for settings that cannot."""
    wanted.check()
    recipe.check()
    set_threads(threads)
    with placed(device) as place:
        quiet = say if place.leads else (lambda line: None)
        train, val = _parts(wanted)
        clips, about = load_clips([*train, *val], wanted, quiet, reading)
        kept = [[clips[row.clip] for row in rows if row.clip in clips] for rows in (train, val)]
        data: Meta = {"clips": len(kept[0]), "val_clips": len(kept[1]), "digest": _digest(kept[0] + kept[1]),
                      "repetitions": sum(len(clip.cycles) for clip in kept[0])}  # fmt: skip
        about = {**about, "seed": recipe.seed, "licence": wanted.licence, "data": data}
        config = _fitting(wanted, kept[0], about["input"])
        torch.manual_seed(recipe.seed)  # of the first weights
        task = Counting(config, *kept, wanted.teaching, recipe.epochs, about)
        if wanted.init and begin(task.objective.model, wanted.init, data, about["input"]):
            task.fuse_only()
            quiet("the branches stand still; their fusion learns")
        quiet(
            f"d2stx: {parameters(task.objective.model) / 1e6:.2f} M parameters, {data['repetitions']} repetitions in "
            f"{len(kept[0])} clips, {len(kept[1])} to validate on"
        )
        history = fit(task, recipe, out, place, quiet, training if place.leads else silent)
        quiet(f"'{out / 'model.safetensors'}' holds the weights")
        return history


def _parts(wanted: CounterWanted) -> tuple[list[CountedClip], list[CountedClip]]:
    clips = read_counted(wanted.data, wanted.features, wanted.train)
    train, val = ([clip for clip in clips if clip.split == name] for name in (wanted.train, wanted.val))
    if wanted.val_data:
        val = read_counted(wanted.val_data, wanted.val_features or wanted.features, wanted.val)
    if not train:
        there = ", ".join(sorted({clip.split for clip in clips}))
        raise DataError(f"'{wanted.data}' has no clip in the split '{wanted.train}'; it has {there}")
    both = {clip.clip for clip in train} & {clip.clip for clip in val}
    if both:
        raise DataError(f"clip '{sorted(both)[0]}' is trained on and validated on")
    return train, val


def begin(model: D2STX, files: tuple[str, ...], data: Meta, fed: Meta) -> bool:
    """Weights of other runs, noted in `data`: of the same model, or of its branches by themselves, a file each. Returns
    whether the branches are there and their fusion is not. fed: what the features are made by. DataError for weights of
    another size, or that learned from tokens of other encoders."""
    own, given, noted = model.state_dict(), {}, []
    for file in files:
        found, meta, record = load_trained(Path(file), ("d2stx",))
        for name in ("video", "pose"):
            if name in fed and name in meta["input"] and meta["input"][name] != fed[name]:
                raise DataError(f"'{file}' learned from tokens of another {name} encoder than these features are of")
        given |= found.state_dict()
        noted.append(record["sha256"])
        if any(key not in own or own[key].shape != value.shape for key, value in given.items()):
            raise DataError(f"'{file}' has another size than what is to be trained; leave out the options for it")
    model.load_state_dict(given, strict=False)
    data["begun_with"] = noted[0] if len(noted) == 1 else noted
    return {key.split(".")[0] for key in own.keys() - given.keys()} == {"fusion"}


def load_clips(
    rows: list[CountedClip], wanted: CounterWanted, say: Callable[[str], None], report: Report = silent
) -> tuple[dict[str, TokenClip], Meta]:
    """The clips' tokens, averaged to the places that the model looks at, and what made them. Clips that cannot be read
    or are of other encoders than the first are said and left out; DataError when none is left."""
    step = STEPS[wanted.preset]
    found: dict[str, TokenClip] = {}
    seen, stride = {}, None
    for done, row in enumerate(rows, 1):
        try:
            with open(row.features, "rb") as file:
                features = read_features(file, str(row.features))
            made = fed_by(features.meta, wanted.branches, str(row.features))
            if seen and made != seen:
                raise DataError(f"'{row.features}' is of other encoders or windows than the first features")
            if features.clip and clip_stem(features.clip) != row.clip:
                raise DataError(f"'{row.features}' is of the clip '{features.clip}'")
            found[row.clip] = _clip(row, sequence(features, step, str(row.features)), wanted, made)
            seen, stride = made, features.meta.get("stride")
        except (RacctlError, OSError) as error:
            say(f"left out: {row.clip}: {error}")
        report(done, len(rows))
    if not found:
        raise DataError(f"not one clip of '{wanted.data}' has features that can be used")
    return found, {"input": {**seen, "stride": stride, "step": step}}


def _clip(row: CountedClip, tokens: Tokens, wanted: CounterWanted, made: Meta) -> TokenClip:
    config, video, pose = _looking(wanted, made), None, None
    if wanted.branches != "pose":
        video = pooled(torch.from_numpy(tokens.video).float()[None], config.grid)[0].half().numpy()
    if wanted.branches != "video":
        pose = grouped(torch.from_numpy(tokens.pose).float()[None], config.parts)[0].half().numpy()
    return TokenClip(row.clip, video, pose, tokens.frame, row.cycles, row.count)


def _looking(wanted: CounterWanted, made: Meta) -> D2STXConfig:
    """The config with the joints that the features have."""
    grouping = wanted.preset == "small" and "pose" in made
    return wanted.config(parts=made["pose"]["topology"]) if grouping else wanted.config()


def _fitting(wanted: CounterWanted, clips: list[TokenClip], made: Meta) -> D2STXConfig:
    """The config with the channels that the features have."""
    if not clips:
        raise DataError("not one clip to train on has features that can be used")
    more: dict[str, int] = {}
    if clips[0].video is not None:
        more["video"] = clips[0].video.shape[1]
    if clips[0].pose is not None:
        more |= {"pose": clips[0].pose.shape[1], "joints": clips[0].pose.shape[2]}
    return replace(_looking(wanted, made), **more).check()


def _digest(clips: list[TokenClip]) -> str:
    total = hashlib.sha256()
    for clip in clips:
        total.update(f"{clip.name} {len(clip)} {np.asarray(clip.cycles).tolist()}".encode())
    return total.hexdigest()[:16]
