"""What estimators of poses and of masks are, and which there are.

A member is a class, `Model(name, download)`: what the user called it, a name or a file, and whether it may be fetched.
It looks for its weights, and raises a UsageError with the way out where they are not here; nothing heavy is loaded. The
instance of one that looks at one frame after the other goes to worker processes, which call `start` there; of one that
looks at a clip as a whole, `open` is called, and it runs what threads or processes it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

from racctl.errors import UsageError
from racctl.kinds import Kind
from racctl.progress import Report, tell

if TYPE_CHECKING:
    import numpy as np

    from racctl.video.decode import Frame, Video

POSE_ESTIMATORS = Kind(
    "pose model",
    "racctl.pose_estimators",
    {
        "full": "racctl.estimators.blazepose.model:BlazePoseModel",
        "lite": "racctl.estimators.blazepose.model:BlazePoseModel",
        "heavy": "racctl.estimators.blazepose.model:BlazePoseModel",
        "mediapipe": "racctl.estimators.mediapipe_pose:MediaPipeModel",
        "mediapipe-lite": "racctl.estimators.mediapipe_pose:MediaPipeModel",
        "mediapipe-heavy": "racctl.estimators.mediapipe_pose:MediaPipeModel",
    },
)
BACKENDS = ("racctl", "mediapipe")  # whose pipeline runs BlazePose's networks, the default first
MASK_ESTIMATORS = Kind(
    "mask model",
    "racctl.mask_estimators",
    {
        "blazepose": "racctl.estimators.blazepose.outline:BlazePoseMaskModel",
        "blazepose-lite": "racctl.estimators.blazepose.outline:BlazePoseMaskModel",
        "blazepose-heavy": "racctl.estimators.blazepose.outline:BlazePoseMaskModel",
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


@dataclass(frozen=True)
class ClipFrames:
    """The frames of a clip, for an estimator that looks at a clip as a whole.

    frames: to be taken once.  expected: how many there will be, about.  video: that they are of.
    clock: numbers and times of those taken so far.
    reread: decodes those from one place to another, counted among the frames, again.
    """

    frames: Iterator[Frame]
    expected: int
    video: Video
    clock: list[tuple[int, float]]
    reread: Callable[[int, int], Iterator[Frame]]

    def time(self) -> np.ndarray:
        """Return (T,) seconds of the frames taken so far."""
        import numpy as np

        return np.array([time for _, time in self.clock])

    def numbers(self) -> np.ndarray:
        """Return (T,) numbers of the frames taken so far in the video."""
        import numpy as np

        return np.array([number for number, _ in self.clock])


class ClipPoses(Protocol):
    """Estimates the poses of whole clips, one after the other."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...

    def abort(self) -> None:
        """End a run in another thread at once; it fails with a DataError."""

    def run(self, clip: ClipFrames, report: Report) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return xyz, world and score as a PoseEstimator has them, with the frames (T,) as first axis.

        Pixels are those of `racctl.estimators.workers.working_image`. The first person is the one whom the clip is
        about.
        """


@runtime_checkable
class ClipPoseModel(Protocol):
    """A pose model that looks at a clip as a whole, rather than at one frame after the other."""

    topology: str

    def record(self) -> dict[str, str]:
        """Return name, sha256 and licence of the weights, for provenance."""

    def open(self, people: int, jobs: int) -> ClipPoses:
        """Return what estimates up to so many people on so many cores; it starts when it first has something to do."""


class ClipFeatures(ClipPoses, Protocol):
    """Estimates the poses of whole clips and, in the same pass, the network's inner features."""

    def run_with_features(
        self, clip: ClipFrames, report: Report
    ) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
        """Return what `run` does, and (T, C, H, W) float16 of the first person, 0 in frames without them."""


@runtime_checkable
class FeaturePoseModel(ClipPoseModel, Protocol):
    """A pose model whose network's inner features can be had.

    encoder: how files of features name the network.  feature_shape: C, H and W of a frame's.
    """

    @property
    def encoder(self) -> str: ...

    @property
    def feature_shape(self) -> tuple[int, ...]: ...

    def open_with_features(self, people: int, jobs: int, side: int = 0) -> ClipFeatures:
        """Return what estimates up to so many people on so many cores; it starts when it first has something to do.

        side: rows and columns that the features are averaged to, 0 to keep them as they are.
        """


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


class ClipMasks(Protocol):
    """Outlines the person who exercises in whole clips, one after the other."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...

    def abort(self) -> None:
        """End a run in another thread at once; it fails with a DataError."""

    def run(self, clip: ClipFrames, report: Report) -> np.ndarray:
        """Return (T,) parcels of masks, see `racctl.estimators.silhouettes`."""


@runtime_checkable
class ClipMaskModel(Protocol):
    """A mask model that looks at a clip as a whole, rather than at one frame after the other; see `MaskModel`."""

    tells_apart: bool
    has_threshold: bool

    def record(self) -> dict[str, str]:
        """Return name, sha256 and licence of the weights, for provenance."""

    def open(self, size: tuple[int, int] | None, threshold: float, jobs: int) -> ClipMasks:
        """Return what outlines people on so many cores. size: height and width of the masks, None for the picture's."""


def pose_model(name: str, download: bool) -> PoseModel | ClipPoseModel:
    """Return the pose model called `name`, or in that file, fetched if need be and `download`.

    Raises UsageError when the model is unknown, or neither here nor allowed to be fetched.
    """
    return pose_model_class(name)(name, download)


def pose_model_class(name: str) -> Callable[[str, bool], Any]:
    """Return the class of a pose model, by name or file; UsageError for one that is unknown."""
    return _member(POSE_ESTIMATORS, name, "a .task file")


def backend_model(name: str, backend: str) -> str:
    """Return the pose model that `racctl pose --backend` stands for.

    name: of a model of racctl's own pipeline. UsageError for one that the backend does not have.
    """
    if backend not in BACKENDS:
        raise UsageError(f"no such backend '{backend}'; expected one of {', '.join(BACKENDS)}")
    if backend == BACKENDS[0] or name == backend or name.startswith(f"{backend}-"):
        return name
    model = backend if name == "full" else f"{backend}-{name}"
    if model not in POSE_ESTIMATORS.targets:
        raise UsageError(f"'--backend {backend}' runs full, lite or heavy, not '{name}'; leave '--backend' out")
    return model


def mask_model(name: str, download: bool) -> MaskModel | ClipMaskModel:
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
