"""What a user sets of a training run: how it learns, from which clips, and what only some models have.

Read for `racctl train ... --help`, so nothing heavy is imported here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from racctl.errors import UsageError
from racctl.kinds import Kind, fixed, setting


def refuse_value(option: str, value: object, expected: str) -> None:
    """Raise the UsageError of a value that an option does not have."""
    shown = f"{value:g}" if isinstance(value, float) else value
    raise UsageError(f"invalid value '{shown}' for '{option}'; expected {expected}")


def check_choice(option: str, value: str, choices: str) -> None:
    """Raise UsageError unless the value is one of the choices, written "each|pair"."""
    if value not in choices.split("|"):
        refuse_value(option, value, f"one of {', '.join(choices.split('|'))}")


def tempo_range(text: str) -> tuple[float, float]:
    """Read "0.5-4" as two positive numbers in order, "2" as (2, 2); UsageError for anything else."""
    low, _, high = text.partition("-")
    try:
        tempi = (float(low), float(high or low))
    except ValueError:
        tempi = (0.0, 0.0)
    if not 0 < tempi[0] <= tempi[1] < 100:
        refuse_value("--tempo", text, "LOW-HIGH, such as 0.5-4")
    return tempi


@dataclass(frozen=True)
class Recipe:
    """How to train. The defaults are those of the Mask Cross-Attention Transformer paper, section 4.2.

    rate: of AdamW at the start; it falls to 0 along a cosine over all epochs, without a warm-up.
    batch: items in a batch of each process.
    """

    PANEL: ClassVar[str] = "Options of the training run"

    epochs: int = setting(30, "Go through the training clips N times.", "N", at_least=1)
    batch: int = setting(32, "Put N items into a batch of each process.", "N", at_least=1)
    rate: float = setting(3e-4, "Set the learning rate at the start; it falls to 0 along a cosine.", "X")
    weight_decay: float = setting(1e-4, "Set the weight decay of AdamW.", "X")
    betas: tuple[float, float] = (0.9, 0.999)
    seed: int = setting(0, "Set the seed of everything random.", "N", at_least=0)
    patience: int = setting(0, "Stop after N epochs without a better score; 0: never.", "N", at_least=0)
    precision: str = setting("auto", "Set the precision of the arithmetic; auto: bf16 on CUDA.", "auto|32|bf16")

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch", 1), ("patience", 0)):
            if getattr(self, name) < least:
                refuse_value(f"--{name}", getattr(self, name), f"{least} or more")
        if not math.isfinite(self.rate) or self.rate <= 0:
            refuse_value("--rate", self.rate, "a positive number")
        if not math.isfinite(self.weight_decay) or self.weight_decay < 0:
            refuse_value("--weight-decay", self.weight_decay, "0 or a positive number")
        check_choice("--precision", self.precision, "auto|32|bf16")


@dataclass(frozen=True)
class TrainingSettings:
    """What every kind of training has.

    init: files whose weights the model begins with.
    licence: of the weights, for their header.
    """

    train_split: str = setting("train", "Train on the clips of this split.", "NAME")
    val_split: str = setting("val", "Validate on the clips of this split.", "NAME")
    init: tuple[str, ...] = setting((), "Begin with the weights of FILE, of the same model.", "FILE")
    licence: str = setting("unstated", "Write this licence of the weights into their header.", "NAME")

    def refuse_equal_splits(self) -> None:
        """Raise UsageError when the model would be validated on what it learned from."""
        if self.train_split == self.val_split:
            raise UsageError(f"'--val-split {self.val_split}' is what is trained on; name another split")


@dataclass(frozen=True)
class ClipSettings(TrainingSettings):
    """What recognisers and encoders have in common: windows of labelled clips.

    tempo: training windows are played faster or slower by a factor from this range.
    null: whether background windows are a class.
    videos, masks, poses: folders that the clips' files are in, "" for those that the data set names.
    cache: where decoded clips are kept, "" for the output directory.
    """

    width: int = setting(256, "Set the width of the tokens, a multiple of 8.", "N", at_least=8)
    tempo: tuple[float, float] = setting(
        (1.0, 1.0), "Play training windows this many times as fast.", "LOW-HIGH", parse=tempo_range
    )
    drop: float = setting(0.0, "Blank a stream of a training window with this chance.", "P", at_least=0, at_most=1)
    minmax: float = fixed(0.0)
    loop: float = fixed(0.0)
    layouts: float = fixed(0.0)
    flat: float = fixed(0.0)
    null: bool = setting(True, "Learn the background as a class, or leave it out.")
    videos: str = setting("", "Find the clips' videos here.", "DIR")
    masks: str = setting("", "Find the clips' masks here.", "DIR")
    poses: str = setting("", "Find the clips' poses here.", "DIR")
    cache: str = setting("", "Keep decoded clips here, for several runs.", "DIR")

    def __post_init__(self) -> None:
        self.refuse_equal_splits()
        if len(self.init) > 1:
            raise UsageError(f"'--init' stands {len(self.init)} times; this model begins with one file")
        if self.width % 8:
            refuse_value("--width", self.width, "a multiple of 8, for 8 attention heads")


INPUTS = "both|raw|mask"
MCAT_INPUT_CHOICES = f"{INPUTS}|pose"
FUSION_CHOICES = "cross|concat|add|none"
CROP_CHOICES = "frame|person"
MINMAX_HELP = "Scale the joints of this share of the windows to the body's box in every frame, as PoseRAC does."
STRIDE_HELP = "Set the frames from one window to the next."


@dataclass(frozen=True)
class RecogniserSettings(ClipSettings):
    """What every recogniser has; what only some have is fixed here, and an option of theirs.

    input: grayscale pictures and masks, or one of them alone.
    crop: the whole picture, or a square about the person.
    size: pixels of the square pictures.
    window, stride: frames of a window, and from one to the next.
    fps: frames a second.
    loop: share of the windows that stay within what they show.
    outliers: labels of what the model should not know.
    """

    input: str = setting("both", "Show the model grayscale pictures and masks, or one of the two.", INPUTS)
    crop: str = setting("frame", "Show the whole picture, or a square about the person.", CROP_CHOICES)
    size: int = setting(112, "Set the side of the square pictures.", "PIXELS")
    window: int = setting(16, "Set the frames in a window.", "N", at_least=2, at_most=512)
    stride: int = setting(8, STRIDE_HELP, "N", at_least=1)
    layers: int = fixed(4)
    fusion: str = fixed("cross")
    pose: bool = fixed(False)
    patch: int = fixed(1)
    fps: float = setting(30.0, "Show the model so many frames a second.", "N", at_least=1, at_most=120)
    loop: float = setting(
        0.0,
        "Play what this share of the windows shows again where it ends, as in a longer set.",
        "SHARE",
        at_least=0,
        at_most=1,
    )
    outliers: str = setting(
        "invented,unknown", "Learn these labels as what is none of the exercises, 'unknown'.", "A,B,..."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("--input", self.input, self.input_choices)
        check_choice("--crop", self.crop, CROP_CHOICES)
        if self.input != "pose" and (not 16 <= self.size <= 512 or self.size % 8):
            refuse_value("--size", self.size, "a multiple of 8 from 16 to 512")

    @property
    def input_choices(self) -> str:
        return INPUTS

    @property
    def outlier_labels(self) -> list[str]:
        """The labels that are learned as unknown."""
        return [part.strip() for part in self.outliers.split(",") if part.strip()]

    @property
    def has_joints(self) -> bool:
        """Whether the model looks at joints."""
        return self.pose or self.input == "pose"


@dataclass(frozen=True)
class LayeredSettings(RecogniserSettings):
    """Of recognisers with a number of layers to choose."""

    layers: int = setting(4, "Set the number of layers.", "N", at_least=1, at_most=64)


@dataclass(frozen=True)
class MCATSettings(LayeredSettings):
    """Of the Mask Cross-Attention Transformer; see `racctl.models.mcat`.

    minmax: share of the windows whose joints are scaled as PoseRAC's pose files are.
    layouts, flat: shares of the windows that lack joints, and depth.
    patch: frames in one token of the joints.
    """

    input: str = setting(
        "both", "Show the model grayscale pictures and masks, or one of the two; mcat: or joints.", MCAT_INPUT_CHOICES
    )
    fusion: str = setting("cross", "Choose how the streams are joined.", FUSION_CHOICES)
    pose: bool = setting(False, "Show the joints too, as a second prior.")
    minmax: float = setting(0.0, MINMAX_HELP, "SHARE", at_least=0, at_most=1)
    layouts: float = setting(
        0.0,
        "Take joints out of this share of the windows, as other skeletons and the edge of a picture do.",
        "SHARE",
        at_least=0,
        at_most=1,
    )
    flat: float = setting(0.0, "Take the depth out of this share of the windows.", "SHARE", at_least=0, at_most=1)
    patch: int = setting(1, "Put N frames of joints into one token.", "N", at_least=1, at_most=16)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.patch > 1 and self.input != "pose":
            raise UsageError("'--patch' is about joints alone; it goes with '--input pose'")
        check_choice("--fusion", self.fusion, FUSION_CHOICES)

    @property
    def input_choices(self) -> str:
        return MCAT_INPUT_CHOICES


OBJECTIVE_CHOICES = "label|density|both"


@dataclass(frozen=True)
class EncoderSettings(ClipSettings):
    """What every encoder has.

    stride: frames from one window to the next.
    objective: to name the exercise, to count, or both.
    """

    stride: int = setting(16, STRIDE_HELP, "N", at_least=1)
    objective: str = setting("both", "Learn to name the exercise, to count, or both.", OBJECTIVE_CHOICES)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("--objective", self.objective, OBJECTIVE_CHOICES)

    @property
    def counts(self) -> bool:
        """Whether it learns repetitions."""
        return self.objective != "label"


@dataclass(frozen=True)
class JointEncoderSettings(EncoderSettings):
    """Of an encoder of joints. minmax: share of the windows whose joints are scaled as PoseRAC's pose files are."""

    minmax: float = setting(0.0, MINMAX_HELP, "SHARE", at_least=0, at_most=1)


PRESET_CHOICES = "small|paper"
BRANCH_CHOICES = "both|video|pose"


@dataclass(frozen=True)
class CounterSettings(TrainingSettings):
    """What every trained counter has; what only some have is fixed here. The channels follow from the features.

    features: the folder of the features of the clips.
    val_data, val_features: another table to validate on, and the folder of its features where it is another.
    branches: of the tokens, those that it looks at.
    exemplars: shown with a clip, 0 to so many.
    chain: clips one after the other in a training sequence, 1 to so many.
    joint: train everything at once instead of the branches first, and then their fusion.
    init: files of the whole model, or of its branches by themselves.
    """

    features: str = setting("", "Find the features of the clips here. Required.", "DIR")
    val_data: str = setting("", "Validate on the clips of this table.", "TABLE")
    val_features: str = setting("", "Find the features of --val-data here, if not in --features.", "DIR")
    preset: str = setting("small", "Choose the size of the model.", PRESET_CHOICES)
    branches: str = setting("video", "Choose which tokens the model looks at.", "video|pose")
    exemplars: int = fixed(0)
    chain: int = setting(1, "Concatenate up to N clips into one training sequence.", "N", at_least=1, at_most=16)
    joint: bool = fixed(True)

    def __post_init__(self) -> None:
        check_choice("--preset", self.preset, PRESET_CHOICES)
        check_choice("--branches", self.branches, self.branch_choices)
        if not self.features:
            raise UsageError("a counter learns from features; name their folder with '--features DIR'")
        if self.val_features and not self.val_data:
            raise UsageError("'--val-features' goes with '--val-data'; name the table that they belong to")
        if not self.val_data:
            self.refuse_equal_splits()

    @property
    def branch_choices(self) -> str:
        return "video|pose"

    @property
    def sizes(self) -> dict[str, Any]:
        """What of the model's config a user chose."""
        return {"branches": self.branches}


SHOTS_HELP = "Show up to N exemplars with a clip."


@dataclass(frozen=True)
class ESCountsSettings(CounterSettings):
    """Of ESCounts."""

    exemplars: int = setting(2, SHOTS_HELP, "N", option="--shots", at_least=0, at_most=8)


@dataclass(frozen=True)
class D2STXTrainingSettings(CounterSettings):
    """Of D2-STX, see `racctl.models.d2stx.D2STXConfig`."""

    branches: str = setting("both", "Choose the branches of the model.", BRANCH_CHOICES)
    guide: str = setting("both", "Choose which branch supplies the attention queries of the fusion.", BRANCH_CHOICES)
    fusion: str = setting(
        "decoupled", "Attend over space and time one after the other, or at once.", "decoupled|coupled"
    )
    decision: str = setting("learned", "Choose how the two densities of the fusion are weighted.", "learned|fixed")
    exemplars: int = setting(2, SHOTS_HELP, "N", option="--shots", at_least=0, at_most=8)
    joint: bool = setting(False, "Train everything at once, instead of the branches first and then their fusion.")
    init: tuple[str, ...] = setting(
        (), "Begin with the weights of FILE; once for each branch to learn only their fusion.", "FILE"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("--guide", self.guide, BRANCH_CHOICES)
        check_choice("--fusion", self.fusion, "decoupled|coupled")
        check_choice("--decision", self.decision, "learned|fixed")

    @property
    def branch_choices(self) -> str:
        return BRANCH_CHOICES

    @property
    def sizes(self) -> dict[str, Any]:
        return {**super().sizes, "guide": self.guide, "fusion": self.fusion, "decision": self.decision}


@dataclass(frozen=True)
class ReleaseSettings(CounterSettings):
    """Of a system whose released code departs from its paper.

    compat: what is followed, see the model's config; validation goes by the sums of the released targets, too.
    """

    compat: str = setting("paper", "Do as the paper, or as its authors' released code.", "paper|release")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("--compat", self.compat, "paper|release")

    @property
    def sizes(self) -> dict[str, Any]:
        return {**super().sizes, "compat": self.compat}


@dataclass(frozen=True)
class TransRACSettings(ReleaseSettings):
    """Of TransRAC; what is not TransRAC's is after HTRM-Net, see `racctl.models.transrac`."""

    similarity: str = setting("self", "Correlate moments by attention, or by dual softmax too.", "self|joint")
    matrix_drop: float = setting(
        0.0, "Drop this share of the similarity matrices in training.", "SHARE", at_least=0, at_most=0.9
    )
    neighbours: int = setting(0, "Add what N neighbouring moments show; an odd number, 0 for none.", "N", at_least=0)
    scale_fusion: str = setting("concat", "Stack the matrices of the scales, or weigh and add them.", "concat|gate")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("--similarity", self.similarity, "self|joint")
        check_choice("--scale-fusion", self.scale_fusion, "concat|gate")
        if self.neighbours and not self.neighbours % 2:
            refuse_value("--neighbours", self.neighbours, "an odd number, or 0")

    @property
    def sizes(self) -> dict[str, Any]:
        chosen = ("similarity", "matrix_drop", "neighbours", "scale_fusion")
        return {**super().sizes, **{name: getattr(self, name) for name in chosen}}


class RecogniserMember(Protocol):
    """A recogniser of another package, in one class.

    Settings: a `RecogniserSettings`, what a user sets of its training.
    Config: a frozen dataclass of sizes with `classes`, which `check` looks at: it returns itself or raises ValueError.
        Of `classes`, `input`, `layers`, `width`, `fusion`, `pose`, `size` and `window` it has the fields that it needs.
    build: from a Config to a torch module with that `config`, which turns gray and mask, (b, t, h, w) in 0..1, and
        joints, (b, t, V, 4) or None, into logits (b, classes).
    """

    Settings: ClassVar[type[RecogniserSettings]]
    Config: ClassVar[type]

    @staticmethod
    def build(config: Any) -> Any: ...


@dataclass(frozen=True)
class Trainable:
    """A model that can be trained: the class of its settings."""

    Settings: type[TrainingSettings]


TRAINABLE_BASELINE = Trainable(RecogniserSettings)
TRAINABLE_LAYERED = Trainable(LayeredSettings)
TRAINABLE_MCAT = Trainable(MCATSettings)
TRAINABLE_JOINT_ENCODER = Trainable(JointEncoderSettings)
TRAINABLE_PICTURE_ENCODER = Trainable(EncoderSettings)
TRAINABLE_D2STX = Trainable(D2STXTrainingSettings)
TRAINABLE_ESCOUNTS = Trainable(ESCountsSettings)
TRAINABLE_TRANSRAC = Trainable(TransRACSettings)
TRAINABLE_SKIMFOCUS = Trainable(ReleaseSettings)

HERE = "racctl.training.train_settings"
TRAINABLE_RECOGNISERS = Kind(
    "recogniser",
    "racctl.recognisers",
    {
        "mcat": f"{HERE}:TRAINABLE_MCAT",
        "mlp": f"{HERE}:TRAINABLE_BASELINE",
        "lstm": f"{HERE}:TRAINABLE_BASELINE",
        "tcn": f"{HERE}:TRAINABLE_LAYERED",
        "transformer": f"{HERE}:TRAINABLE_LAYERED",
        "vivit": f"{HERE}:TRAINABLE_LAYERED",
    },
)
TRAINABLE_ENCODERS = Kind(
    "encoder",
    "racctl.trainable_encoders",
    {"ctrgcn": f"{HERE}:TRAINABLE_JOINT_ENCODER", "silhouette": f"{HERE}:TRAINABLE_PICTURE_ENCODER"},
)
TRAINABLE_COUNTERS = Kind(
    "counter",
    "racctl.trainable_counters",
    {
        "d2stx": f"{HERE}:TRAINABLE_D2STX",
        "escounts": f"{HERE}:TRAINABLE_ESCOUNTS",
        "transrac": f"{HERE}:TRAINABLE_TRANSRAC",
        "skimfocus": f"{HERE}:TRAINABLE_SKIMFOCUS",
    },
)
