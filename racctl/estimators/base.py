"""What estimators of poses and of masks are, and which there are.

A member is a class, `Model(name, download)`: what the user called it, a name or a file, and whether it may be fetched.
It looks for its weights, and raises a UsageError with the way out where they are not here; nothing heavy is loaded. The
instance goes to worker processes, which call `start` there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from racctl.errors import UsageError
from racctl.kinds import Kind
from racctl.progress import tell

if TYPE_CHECKING:
    import numpy as np

POSE_ESTIMATORS = Kind(
    "pose model",
    "racctl.pose_estimators",
    {
        "full": "racctl.estimators.blazepose:BlazePoseModel",
        "lite": "racctl.estimators.blazepose:BlazePoseModel",
        "heavy": "racctl.estimators.blazepose:BlazePoseModel",
    },
)
MASK_ESTIMATORS = Kind(
    "mask model",
    "racctl.mask_estimators",
    {
        "blazepose": "racctl.estimators.selfie:BlazePoseMaskModel",
        "blazepose-lite": "racctl.estimators.selfie:BlazePoseMaskModel",
        "blazepose-heavy": "racctl.estimators.selfie:BlazePoseMaskModel",
        "selfie": "racctl.estimators.selfie:SelfieModel",
        "yolov8n-seg": "racctl.estimators.yolo:YoloModel",
        "yolov8s-seg": "racctl.estimators.yolo:YoloModel",
        "yolov8m-seg": "racctl.estimators.yolo:YoloModel",
    },
)


class PoseEstimator(Protocol):
    """Looks at the frames of a clip, one after the other, in a worker process."""

    def reset(self) -> None:
        """Forget what was seen: another clip, or another part of it, begins."""

    def __call__(self, rgb: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the people in a frame, (H, W, 3) uint8, upright, at `time`, seconds, ascending.

        xyz: (M, V, 3) float32 pixels.  world: (M, V, 3) float32 metres.  score: (M, V) float32 in 0..1.
        M is always how many people were looked for; a joint that is not found is NaN with score 0.
        """


class PoseModel(Protocol):
    """A pose model that is here.

    topology: a name in `racctl.skeleton.topology.TOPOLOGIES`.
    warm_up: frames that it should see before those that count, 0 where it carries nothing from one to the next.
    """

    topology: ClassVar[str]
    warm_up: ClassVar[int]

    def __init__(self, name: str, download: bool) -> None: ...

    @classmethod
    def claims(cls, path: Path) -> bool:
        """Whether a file is a model of this kind."""

    def record(self) -> dict[str, str]:
        """Return name, sha256 and licence of the weights, for provenance."""

    def start(self, people: int) -> PoseEstimator:
        """Return an estimator of up to so many people; called in the worker."""


class MaskEstimator(Protocol):
    """Outlines the people in the frames of a clip, one after the other, in a worker process."""

    def reset(self) -> None:
        """Forget what was seen: another clip, or another part of it, begins."""

    def __call__(self, rgb: np.ndarray, time: float, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return (K, h, w) bool, a mask of each person in a frame, (H, W, 3) uint8, upright, at `time`, seconds.

        rows: (h,), columns: (w,) which pixels of the frame are wanted.
        """


class MaskModel(Protocol):
    """A mask model that is here.

    tells_apart: whether it gives several people, each with a mask.
    has_threshold: whether it gives probabilities, which a threshold cuts.
    warm_up: frames that it should see before those that count, 0 where it carries nothing from one to the next.
    """

    tells_apart: ClassVar[bool]
    warm_up: ClassVar[int]

    def __init__(self, name: str, download: bool) -> None: ...

    @classmethod
    def claims(cls, path: Path) -> bool:
        """Whether a file is a model of this kind."""

    @property
    def has_threshold(self) -> bool: ...

    def record(self) -> dict[str, str]:
        """Return name, sha256 and licence of the weights, for provenance."""

    def start(self, threshold: float) -> MaskEstimator:
        """Return an estimator that takes a pixel for a person's from this probability on; called in the worker."""


def pose_model(name: str, download: bool) -> PoseModel:
    """Return the pose model called `name`, or in that file, fetched if need be and `download`.

    Raises UsageError when the model is unknown, or neither here nor allowed to be fetched.
    """
    return _member(POSE_ESTIMATORS, name, "a .task file")(name, download)


def mask_model(name: str, download: bool) -> MaskModel:
    """Return the mask model called `name`, or in that file, as `pose_model` does."""
    return _member(MASK_ESTIMATORS, name, "a .task, .tflite, .onnx or .pt file")(name, download)


def _member(kind: Kind, name: str, files: str) -> Callable[[str, bool], Any]:
    """Return the class of a name, or of the first that claims a file, those of other packages first."""
    if name in kind.targets:
        return kind.load(name)
    path = Path(name)
    if path.is_file():
        for model in _models(kind):
            if model.claims(path):
                return model
    raise UsageError(f"no such {kind.noun} '{name}'; expected {', '.join(kind.names())} or {files}")


def _models(kind: Kind) -> Iterator[Any]:
    """Yield the classes of a kind. The user is told of one that cannot be loaded; it takes nothing from the others."""
    for name in sorted(kind.names(), key=lambda name: name in kind.builtin):
        try:
            yield kind.load(name)
        except UsageError as error:
            tell(str(error))
