"""Train a counter of tokens: from the features of a counted data set to D2-STX and the systems it is compared with.

D2-STX takes targets, masking and losses over from ESCounts (Sinha et al., ACCV 2024). TransRAC and SkimFocusNet learn
from their own: Gaussians as wide as a sixth of a repetition, and the squared error alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from racctl.contracts import Meta, clip_stem
from racctl.data.counted import CountedClip, evenly_spread, held_apart, read_counted
from racctl.encoders.base import SKIMMED
from racctl.encoders.tokens import Tokens, fed_by, sequence
from racctl.errors import DataError, RacctlError, UsageError
from racctl.io.npz import read_features
from racctl.models.catalog import CounterConfig, built
from racctl.models.d2stx import SCALE, SMALL_D2STX, BranchDensities, D2STXConfig, counted, grouped, pooled
from racctl.models.escounts import SMALL_ESCOUNTS, ESCountsConfig
from racctl.models.skimfocus import SMALL_SKIMFOCUS, SkimFocusConfig
from racctl.models.transrac import SMALL_TRANSRAC, TransRACConfig
from racctl.progress import Report
from racctl.scoring.count_metrics import exact, mae, round_half_up, within_one
from racctl.training.lent_weights import decoder_lent, model_part
from racctl.training.task import Batch, EarlierWeights, Objective, Origin, Task, shares_of
from racctl.training.token_batches import STREAMS, TokenClip, batch_of, jittered, joined
from racctl.training.train_model import VAL_SHARE, Loaded, RunSettings, Training, split_by_name
from racctl.training.train_settings import CounterSettings

PRESETS: dict[str, dict[str, CounterConfig]] = {
    "d2stx": {"small": SMALL_D2STX, "paper": D2STXConfig()},
    "escounts": {"small": SMALL_ESCOUNTS, "paper": ESCountsConfig()},
    "transrac": {"small": SMALL_TRANSRAC, "paper": TransRACConfig()},
    "skimfocus": {"small": SMALL_SKIMFOCUS, "paper": SkimFocusConfig()},
}
BY_EXEMPLARS = ("d2stx", "escounts")  # the others have targets and losses of TransRAC's
SKIM_SHARE = 0.1  # of the loss of what is skimmed (SkimFocusNet)
TICKS_OF_TOKEN = {"small": 4, "paper": 8}
REPEATS = 1e-3  # repetitions in a token where something is repeated
COUNTED_SHARE = 0.8  # of the tokens have a part in the loss, drawn anew each time (ESCounts)


@dataclass(frozen=True)
class Teaching:
    """How D2-STX learns.

    longest: tokens of a clip in a batch; a part of a longer one is drawn.
    chain: clips one after the other, one to so many; with exemplars of the first, only its repetitions count.
    shots: exemplars, 0 to so many.
    sigma: width of a repetition in the target, in tokens; 0 for a sixth of its own length.
    relative: whether the relative error of the count has a part in the loss, and a share of the tokens none.
    jitter: how far the channels of a clip's tokens are scaled, and noise is added to them; see `jittered`.
    staged: first the branches, each by its own loss, then the fusion on branches that stand still (the paper);
        otherwise all at once.
    ready: the branches have learned already.
    """

    longest: int = 150
    chain: int = 1
    shots: int = 2
    sigma: float = 1.0
    relative: bool = True
    jitter: float = 0.15
    staged: bool = True
    ready: bool = False

    def fusing(self, epoch: int, epochs: int) -> bool:
        """Return whether this epoch trains the fusion alone: the last 3 of 8 (50 of 135 in the paper)."""
        return self.ready or (self.staged and epoch >= max(1, (epochs * 5) // 8))


class CountingObjective(Objective):
    """A batch to its loss: of each branch by itself, and of the fusion; see `counting_loss`.

    staged: branches and fusion learn one after the other.
    relative: see `Teaching`.
    fusing: it is the fusion's turn.
    """

    def __init__(self, model: nn.Module, staged: bool, relative: bool = True) -> None:
        super().__init__()
        self.model = model
        self.staged = staged
        self.relative = relative
        self.fusing = False

    def forward(self, batch: Batch) -> Tensor:
        densities = self.densities(batch)
        branches = [density for name in STREAMS if (density := getattr(densities, name)) is not None]
        if densities.fused is None:
            learning = branches
        elif self.staged:
            learning = [densities.fused] if self.fusing else branches
        else:
            learning = [*branches, densities.fused]
        loss = counting_loss if self.relative else density_loss
        losses = [loss(density, batch["target"], batch["valid"], self.training) for density in learning]
        if densities.skimmed is not None:
            losses.append(SKIM_SHARE * SCALE * skimming_loss(densities.skimmed, batch["target"], batch["valid"]))
        return sum(losses[1:], start=losses[0])

    def densities(self, batch: Batch) -> BranchDensities:
        """Return what each branch and the fusion say."""
        inputs: dict[str, Any] = {name: batch[name].float() if name in batch else None for name in STREAMS}
        for name in (f"{stream}_shots" for stream in STREAMS):
            inputs[name] = list(batch[name].float().unbind(1)) if name in batch else None
        densities: BranchDensities = self.model(valid=batch["valid"], still=self.staged and self.fusing, **inputs)
        return densities


def counting_loss(density: Tensor, target: Tensor, valid: Tensor, training: bool) -> Tensor:
    """Return the loss of a density (b, T).

    It is the mean over tokens of the squared difference from `SCALE` times the target, a share of the tokens left out;
    and the relative error of the count, |c' - c| / (c + 0.1).
    """
    counts = valid * (torch.rand_like(density) < COUNTED_SHARE) if training else valid
    squared = ((density - SCALE * target) ** 2 * counts).sum(1) / valid.sum(1)
    count = target.sum(1)
    return squared.mean() + ((counted(density, valid) - count).abs() / (count + 0.1)).mean()


def density_loss(density: Tensor, target: Tensor, valid: Tensor, training: bool) -> Tensor:
    """Return the mean over tokens of the squared difference from `SCALE` times the target (b, T), of all tokens."""
    del training
    return (((density - SCALE * target) ** 2 * valid).sum(1) / valid.sum(1)).mean()


def skimming_loss(scores: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Return the mean squared difference of scores (b, T) from 1 where something is repeated, and 0 elsewhere."""
    seen = valid[:, : scores.shape[1]]
    repeats = (target[:, : scores.shape[1]] > REPEATS).float()
    return (((scores - repeats) ** 2 * seen).sum(1) / seen.sum(1)).mean()


class CounterTask(Task):
    """Learn to count the repetitions of clips."""

    leaves_parameters_out: ClassVar[bool] = True  # branches and fusion learn by turns

    objective: CountingObjective

    def __init__(
        self,
        name: str,
        config: CounterConfig,
        train: list[TokenClip],
        val: list[TokenClip],
        teaching: Teaching,
        epochs: int,
        origin: Origin,
    ) -> None:
        """name: of the model.  epochs: of the whole run."""
        if not train:
            raise DataError("there is no clip to train on")
        self.name = name
        self.config: CounterConfig = config
        self.train = train
        self.val = val
        self.teaching = teaching
        self.epochs = epochs
        self.origin = origin
        self.objective = CountingObjective(built(name, config), teaching.staged, teaching.relative)

    @property
    def items(self) -> int:
        return -(-len(self.train) // self.teaching.chain)

    @property
    def classes(self) -> list[str]:
        return []

    def batches(self, epoch: int, size: int, rank: int, world: int) -> Iterator[Batch]:
        """Yield every clip once, in an order that (seed, epoch) settles; not all clips of a chain may come.

        The part of a clip that is shown and its exemplars are settled likewise.
        """
        self.objective.fusing = self.teaching.fusing(epoch, self.epochs)
        rng = np.random.default_rng([self.origin.seed, epoch])
        order = rng.permutation(len(self.train))
        draws = rng.random((self.items, 4))
        for chosen in shares_of(torch.arange(self.items), size, rank, world):
            yield self._batch([self._chain(order, k, draws[k, 2]) for k in chosen.tolist()], draws[chosen.numpy()])

    def _chain(self, order: np.ndarray, item: int, draw: float) -> list[TokenClip]:
        whole = order[item * self.teaching.chain : (item + 1) * self.teaching.chain]
        return [self.train[k] for k in whole[: 1 + int(draw * len(whole))]]

    def _batch(self, chains: list[list[TokenClip]], draws: np.ndarray) -> Batch:
        """Return a batch with as many exemplars for each item as the first draw says and every first clip has."""
        firsts = [chain[0] for chain in chains]
        count = min(int(draws[0, 1] * (self.teaching.shots + 1)), min(len(clip.cycles) for clip in firsts))
        clips = [joined(chain, only_first=count > 0) for chain in chains]
        if self.teaching.jitter:
            clips = [jittered(clip, draw, self.teaching.jitter) for clip, draw in zip(clips, draws[:, 3], strict=True)]
        parts = [self.model_part(clip, draw) for clip, draw in zip(clips, draws[:, 0], strict=True)]
        exemplars = [clip.exemplars(count, draw) for clip, draw in zip(firsts, draws[:, 1], strict=True)]
        return batch_of(clips, parts, self.teaching.sigma, exemplars)

    def model_part(self, clip: TokenClip, draw: float) -> slice:
        spare = max(len(clip) - self.teaching.longest, 0)
        start = int(draw * (spare + 1))
        return slice(start, start + min(len(clip), self.teaching.longest))

    def evaluate(self, device: torch.device) -> dict[str, float]:
        """Return MAE, OBO and OBZ of the rounded counts of the validation clips, whole and without exemplars.

        The score to keep weights by is OBO less MAE. Before the fusion has begun to learn there is none to compare.
        """
        if not self.val:
            return {}
        counts = round_half_up(predict_counts(self.objective, self.val, device).clip(0))
        true = np.array([self.truth(clip) for clip in self.val])
        metrics = {
            "val_mae": mae(counts, true),
            "val_obo": float(within_one(counts, true).mean()),
            "val_obz": float(exact(counts, true).mean()),
        }
        if self.objective.staged and self.config.branches == "both" and not self.objective.fusing:
            return metrics
        return {**metrics, "score": metrics["val_obo"] - float(np.nan_to_num(metrics["val_mae"]))}

    def truth(self, clip: TokenClip) -> float:
        """Return what a clip is validated by: its count, or the map's where that is what the authors' code does."""
        if getattr(self.config, "compat", "") != "release":
            return clip.count
        return clip.count_of_map(getattr(self.config, "bins", 0))

    def begin_with(self, weights: Sequence[EarlierWeights]) -> str:
        """Take over the weights of the same model, or of its branches, a file each; what it has no part for is left.

        Where the branches are there and their fusion is not, only the fusion learns. A branch that is not there begins
        with the decoder of one that is. DataError for weights of another size, or that learned from tokens of other
        encoders.
        """
        fresh = self.objective.model.state_dict()
        tensors: dict[str, Tensor] = {}
        for earlier in weights:
            self._refuse_other_encoders(earlier)
            lent = decoder_lent(earlier.tensors, fresh)
            fitting = {
                key: value for key, value in earlier.tensors.items() if model_part(key) in map(model_part, fresh)
            }
            fits = all(key in fresh and fresh[key].shape == value.shape for key, value in fitting.items())
            if not fits or not (fitting or lent):
                raise earlier.size_error()
            tensors = lent | tensors | fitting
        self.objective.model.load_state_dict(tensors, strict=False)
        if {key.split(".")[0] for key in fresh.keys() - tensors.keys()} != {"fusion"}:
            return ""
        self.teaching = replace(self.teaching, staged=True, ready=True)
        self.objective.staged = True
        return "the branches stand still; their fusion learns"

    def _refuse_other_encoders(self, earlier: EarlierWeights) -> None:
        fed = self.input_contract()
        for name in STREAMS:
            if name in fed and earlier.header["input"].get(name, fed[name]) != fed[name]:
                raise DataError(
                    f"'{earlier.file}' learned from tokens of another {name} encoder than these features are of"
                )

    def summary(self) -> str:
        repetitions = sum(len(clip.cycles) for clip in self.train)
        return f"{repetitions} repetitions in {len(self.train)} clips, {len(self.val)} to validate on"

    def input_contract(self) -> Meta:
        return [*self.train, *self.val][-1].made_by

    def training_record(self) -> Meta:
        return {"teaching": asdict(self.teaching)}


@torch.no_grad()
def predict_counts(objective: CountingObjective, clips: list[TokenClip], device: torch.device) -> np.ndarray:
    """Return (n,) counts, unrounded, of whole clips."""
    objective.eval()
    counts = []
    for clip in clips:
        batch = batch_of([clip], [slice(0, len(clip))], 1.0, [[]])
        densities = objective.densities({name: tensor.to(device) for name, tensor in batch.items()})
        counts.append(float(counted(densities.final)))
    return np.array(counts)


@dataclass
class CounterTraining(Training[CountedClip, TokenClip]):
    """From the features of a counted data set to a counter.

    data: as `read_counted` takes it.
    model: its name.
    """

    data: str
    model: str
    settings: CounterSettings

    def __post_init__(self) -> None:
        self.config()

    def config(self, **sizes: int | str) -> CounterConfig:
        """Return the config of the model; UsageError for values that do not go together."""
        preset = replace(PRESETS[self.model][self.settings.preset], **self.settings.sizes)
        try:
            return replace(preset, **sizes).check()  # type: ignore[arg-type]
        except ValueError as error:
            raise UsageError(str(error)) from None

    def read_splits(self, seed: int) -> tuple[list[CountedClip], list[CountedClip]]:
        chosen = self.settings
        names = (chosen.train_split, chosen.val_split)
        rows = read_counted(self.data, chosen.features, names[0])
        if chosen.val_data:
            val = read_counted(chosen.val_data, chosen.val_features or chosen.features, names[1])
            train, _ = split_by_name(rows, names, self.data)
        elif Path(self.data).is_dir():
            train, val = split_by_name(rows, names, self.data)
        else:
            train, val = held_apart(rows, 0.0 if names[1] == "none" else VAL_SHARE, seed)
        shared = {clip.clip for clip in train} & {clip.clip for clip in val}
        if shared:
            raise DataError(f"clip '{min(shared)}' is trained on and validated on")
        return train, val

    def load(self, rows: list[CountedClip], run: RunSettings, report: Report) -> Loaded[TokenClip]:
        """Read the clips' tokens; those of other encoders than the first cannot be used."""
        del run
        clips: dict[str, TokenClip] = {}
        failures = []
        for done, row in enumerate(rows, 1):
            try:
                first = next(iter(clips.values()), None)
                clips[row.clip] = self._read(row, first.made_by if first else None)
            except (RacctlError, OSError) as error:
                failures.append((row.clip, str(error)))
            report(done, len(rows))
        return Loaded(clips, failures)

    def _read(self, row: CountedClip, expected: Meta | None) -> TokenClip:
        """Read a clip's tokens. expected: what made those of the clips before."""
        with open(row.features, "rb") as file:
            features = read_features(file, str(row.features))
        encoders = fed_by(features.meta, self.settings.branches, str(row.features))
        if expected and any(expected[key] != value for key, value in encoders.items()):
            raise DataError(f"'{row.features}' is of other encoders or windows than the first features")
        if features.clip and clip_stem(features.clip) != row.clip:
            raise DataError(f"'{row.features}' is of the clip '{features.clip}'")
        ticks = TICKS_OF_TOKEN[self.settings.preset]
        made_by = {**encoders, "stride": features.meta.get("stride"), "step": ticks}
        return self._averaged(row, sequence(features, ticks, str(row.features)), made_by)

    def _averaged(self, row: CountedClip, tokens: Tokens, made_by: Meta) -> TokenClip:
        """Return a clip's tokens averaged to the places that the model looks at."""
        config = self._config_of_joints(made_by)
        video = pose = None
        if self.settings.branches != "pose":
            video = pooled(torch.from_numpy(tokens.video).float()[None], config.grid)[0].half().numpy()
        if self.settings.branches != "video":
            pose = grouped(torch.from_numpy(tokens.pose).float()[None], config.parts)[0].half().numpy()
        spread = not len(row.cycles) and row.count > 0
        cycles = evenly_spread(row.count, tokens.frame) if spread else row.cycles
        return TokenClip(row.clip, video, pose, tokens.frame, cycles, row.count, made_by, spread)

    def _config_of_joints(self, made_by: Meta) -> CounterConfig:
        """Return the config with the joints that the features have."""
        if self.settings.preset == "small" and "pose" in made_by:
            return self.config(parts=made_by["pose"]["topology"])
        return self.config()

    def _config_of_clips(self, clips: list[TokenClip]) -> CounterConfig:
        """Return the config with the channels that the features have."""
        if not clips:
            raise DataError("not one clip to train on has features that can be used")
        first = clips[0]
        sizes: dict[str, Any] = {}
        if first.video is not None:
            sizes["video"] = first.video.shape[1]
        if first.pose is not None:
            sizes["pose"] = first.pose.shape[1]
            sizes["joints"] = first.pose.shape[2]
        skimmed = SKIMMED.get(first.made_by.get("video", {}).get("encoder"), 0)
        if skimmed and self.model == "skimfocus":
            sizes |= {"video": sizes["video"] - skimmed, "skimmed": skimmed}
        if "moments" in first.made_by:
            if self.model != "transrac" or self.settings.chain > 1:
                raise UsageError("features of '--moments' are for '--model transrac', without '--chain'")
            sizes |= {"stacked": True, "bins": first.made_by["moments"], "scales": tuple(first.made_by["scales"])}
        return replace(self._config_of_joints(first.made_by), **sizes).check()

    def digest_text(self, clip: TokenClip) -> str:
        return f"{clip.name} {len(clip)} {np.asarray(clip.cycles).tolist()}"

    def data_record(self, train: list[TokenClip]) -> Meta:
        return {"repetitions": sum(len(clip.cycles) for clip in train)}

    def warnings(self, task: Task) -> list[str]:
        assert isinstance(task, CounterTask)
        spread = sum(clip.spread for clip in task.train)
        if not spread:
            return []
        return [f"{spread} clips have a count alone; their repetitions are taken to fill the clip evenly"]

    def task(self, train: list[TokenClip], val: list[TokenClip], origin: Origin, epochs: int) -> Task:
        chosen = self.settings
        teaching = Teaching(chain=chosen.chain, shots=chosen.exemplars, staged=not chosen.joint)
        if self.model not in BY_EXEMPLARS:
            teaching = replace(teaching, sigma=0.0, relative=False)
        return CounterTask(self.model, self._config_of_clips(train), train, val, teaching, epochs, origin)
