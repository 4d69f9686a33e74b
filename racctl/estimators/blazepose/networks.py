"""The two networks of BlazePose, run by LiteRT: where people are, and the landmarks of one of them.

Bazarevsky et al., BlazePose: On-device Real-time Body Pose Tracking, 2020. Both networks are Apache-2.0.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from racctl.errors import DataError
from racctl.estimators.blazepose.graph import cut_graph, last_sum, output_tensors
from racctl.estimators.blazepose.region import CropSource, Region
from racctl.skeleton.topology import BLAZEPOSE33

LANDMARK_SIDE = 256  # pixels of the square that the landmark network sees
DETECTOR_SIDE = 224  # pixels of the square that the detector sees
FEATURE_SIDE = 8  # cells
JOINTS = len(BLAZEPOSE33.joints)
# The joints, the middle of the hips and the end of the circle about the body, and four that nobody reads.
ALL_POINTS = 39
MIN_DETECTION = 0.5  # score from which the detector's answer is a person, MediaPipe's own
MAX_OVERLAP = 0.3  # of two boxes of different people; more are taken together, MediaPipe's own
MIN_PEAK = 0.5  # of the heatmap in a landmark's window, from which it refines the landmark, MediaPipe's own
# Logistic regression on 2,832 frames of 60 drawn clips, whole and cut to the legs or the upper body: whether the mean
# error of the trunk and limbs is below 0.35 of the trunk's length. With each exercise left out in turn: area under the
# curve 0.91 (the network's own presence 0.82, mean visibility 0.71), calibration error 0.02.
TRUST_SLOPE = 13.8
TRUST_OFFSET = 6.1
BODY_JOINTS = np.array(  # of the trunk and the limbs, in the order of the skeleton
    [
        number
        for number, name in enumerate(BLAZEPOSE33.joints)
        if name.endswith(("shoulder", "elbow", "wrist", "hip", "knee", "ankle"))
    ]
)
HEATMAP_WINDOW = np.arange(-4, 5)  # pixels of the heatmap about a landmark, MediaPipe's kernel of 9

LANDMARKS, PRESENCE, OUTLINE, HEATMAP, WORLD = range(5)  # the outputs of the landmark network, in its own order


@dataclass(frozen=True)
class SeenBody:
    """What the landmark network says of the square that it saw.

    presence: 0..1, how sure it is that a body is there.
    points: (39, 3) float32 pixels of the square, the first 33 the joints.
    score: (33,) 0..1, visibility times `trust` in the frame.
    world: (33, 3) float32 metres, about the hips, turned as the square is.
    outline: (256, 256) float32 0..1, or None where it was cut off.
    features: the inner features (C,), or None.
    """

    presence: float
    points: np.ndarray
    score: np.ndarray
    world: np.ndarray
    outline: np.ndarray | None
    features: np.ndarray | None


class LandmarkNetwork:
    """The landmark network, without its head for outlines unless asked for: that costs a third of the rest."""

    def __init__(self, model: bytes, outline: bool = False, features: bool = False) -> None:
        """model: a TFLite file. outline: whether to compute it. features: whether to give the backbone's last layer."""
        outputs = output_tensors(model)
        if len(outputs) != 5:
            raise DataError(f"the landmark network has {len(outputs)} outputs, expected 5; it is not BlazePose's")
        roles = [LANDMARKS, PRESENCE, HEATMAP, WORLD, *([OUTLINE] if outline else [])]
        tensors = [outputs[role] for role in roles]
        if features:
            tensors.append(feature_tensor(model, outputs))
        self._runner = Runner(cut_graph(model, tensors))
        self._outline = outline
        self._features = features

    def __call__(self, picture: CropSource, region: Region) -> SeenBody:
        picture.crop_into(self._runner.input[0], region, replicate=True)
        return self.run()

    def run(self) -> SeenBody:
        """Run on what lies in the input."""
        landmarks, presence, heatmap, world, *more = self._runner()
        table = landmarks.reshape(ALL_POINTS, 5)
        points = table[:, :3].copy()
        peak = refine(points, heatmap[0])
        visibility = _sigmoid(table[:JOINTS, 3])
        return SeenBody(
            presence=float(presence.ravel()[0]),
            points=points,
            score=visibility * trust(peak[:JOINTS], visibility),
            world=world.reshape(ALL_POINTS, 3)[:JOINTS].copy(),
            outline=_sigmoid(more[0][0, :, :, 0]) if self._outline else None,
            features=more[-1][0].copy() if self._features else None,
        )

    @property
    def pixels(self) -> np.ndarray:
        """(256, 256, 3) float32 0..1, the square that was last seen."""
        return self._runner.input[0]


def feature_tensor(model: bytes, outputs: list[int]) -> int:
    """Return the number of the backbone's last layer, which the heatmap is computed from; in "full": 269."""
    return last_sum(cut_graph(model, [outputs[HEATMAP]]), FEATURE_SIDE)


class PersonDetector:
    """Finds people in a square of the picture, by the middle of their hips and the circle about their body."""

    def __init__(self, model: bytes) -> None:
        self._runner = Runner(model)
        self._anchors = _anchors()

    def __call__(
        self, picture: CropSource, square: Region, hidden: Sequence[np.ndarray] = ()
    ) -> list[tuple[float, Region]]:
        """Return score and region of everybody in the square, the surest first.

        hidden: boxes (left, top, right, bottom), pixels of the picture, to paint over. The detector tends to see one
        person where there are two; the second shows when the first is out of sight. The square must be upright then.
        """
        pixels = self._runner.input[0]
        picture.crop_into(pixels, square, replicate=False)
        pixels *= 2
        pixels -= 1
        corner = np.array([square.x, square.y]) - square.side / 2
        for box in hidden:
            places = (box.reshape(2, 2) - corner) * (DETECTOR_SIDE / square.side)
            (left, top), (right, bottom) = np.clip(places, 0, DETECTOR_SIDE).round().astype(int)
            pixels[top:bottom, left:right] = 0
        boxes, logits = sorted(self._runner(), key=lambda tensor: -tensor.shape[-1])
        logits = logits[0, :, 0]
        likely = np.flatnonzero(logits > np.log(MIN_DETECTION / (1 - MIN_DETECTION)))
        if not len(likely):
            return []
        scores = _sigmoid(logits[likely])
        values = boxes[0, likely].reshape(-1, 6, 2) / DETECTOR_SIDE
        centre = values[:, 0] + self._anchors[likely]
        corners = np.concatenate([centre - values[:, 1] / 2, centre + values[:, 1] / 2], 1)
        hips_and_end = values[:, 2:4] + self._anchors[likely, None]
        people = _merge(scores, corners, hips_and_end)
        return [(score, Region.about(*square.to_picture(points))) for score, points in people]


def _merge(scores: np.ndarray, corners: np.ndarray, points: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Take boxes that overlap for one person, whose points are the mean by score (MediaPipe's weighted suppression)."""
    people = []
    remaining = np.argsort(-scores, kind="stable")
    while len(remaining):
        best = remaining[0]
        near = _overlap(corners[best], corners[remaining]) > MAX_OVERLAP
        near[0] = True
        group = remaining[near]
        people.append((float(scores[best]), np.average(points[group], axis=0, weights=scores[group])))
        remaining = remaining[~near]
    return people


def _overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    low = np.maximum(box[:2], boxes[:, :2])
    high = np.minimum(box[2:], boxes[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    union = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(1) - shared
    return shared / np.maximum(union, 1e-9)


def refine(points: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """Move each of the first 35 points to the centre of mass of its heatmap in the window about it, where that is sure.

    points: (39, 3) pixels of the square, changed.  heatmap: (64, 64, 39) logits. Returns (35,) the heatmap's peak in
    the window, 0..1.
    """
    side = heatmap.shape[0]
    scale = LANDMARK_SIDE / side
    number = np.arange(35)
    place = (points[number, :2] / scale).astype(int)
    inside = ((points[number, :2] >= 0) & (place < side)).all(1)
    columns = place[:, :1] + HEATMAP_WINDOW
    rows = place[:, 1:] + HEATMAP_WINDOW
    column_in = (columns >= 0) & (columns < side)
    row_in = (rows >= 0) & (rows < side)
    logits = heatmap[rows.clip(0, side - 1)[:, :, None], columns.clip(0, side - 1)[:, None, :], number[:, None, None]]
    mass = _sigmoid(logits) * (row_in[:, :, None] & column_in[:, None, :])
    total = mass.sum((1, 2))
    peak = np.where(inside, mass.max((1, 2)), 0.0)
    sure = (peak >= MIN_PEAK) & (total > 0)
    weight = np.maximum(total, 1e-9)
    x = (mass.sum(1) * columns).sum(1) / weight
    y = (mass.sum(2) * rows).sum(1) / weight
    points[:35][sure, 0] = (x * scale)[sure]
    points[:35][sure, 1] = (y * scale)[sure]
    return peak


def trust(peak: np.ndarray, visibility: np.ndarray) -> float:
    """Return how probably the body is where the landmarks say. peak: (33,) of the heatmaps.  visibility: (33,).

    Visibility alone does not tell: where the legs are all that is in view, the network puts a small body on them with a
    mean visibility of 0.6, and heatmaps that peak at 0.34.
    """
    weight = visibility[BODY_JOINTS]
    mean = float((peak[BODY_JOINTS] * weight).sum() / max(float(weight.sum()), 1e-6))
    return 1 / (1 + math.exp(TRUST_OFFSET - TRUST_SLOPE * mean))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -80, 80)))


def _anchors() -> np.ndarray:
    """(2254, 2) centres of the detector's cells, 0..1: strides 8, 16 and three layers of 32, two anchors in a layer."""
    layers = []
    for stride, anchors in ((8, 2), (16, 2), (32, 6)):
        side = DETECTOR_SIDE // stride
        rows, columns = np.mgrid[:side, :side]
        centres = np.stack([columns + 0.5, rows + 0.5], -1).reshape(-1, 2) / side
        layers.append(np.repeat(centres, anchors, 0))
    return np.concatenate(layers).astype(np.float32)


_STARTING = threading.Lock()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep LiteRT, which has no switch for it, from telling on stderr that it uses its fast kernels."""
    with _STARTING:
        try:
            saved = os.dup(2)
        except OSError:  # there is no stderr
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


class Runner:
    """A TFLite model on one thread."""

    def __init__(self, model: bytes) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise DataError(f"LiteRT cannot be imported ({error}); pip install 'ai-edge-litert>=2,<3'") from None
        with _quiet():
            self._interpreter = Interpreter(model_content=bytes(model), num_threads=1)
            self._interpreter.allocate_tensors()
        details: Any = self._interpreter.get_input_details()[0]
        self.input = np.zeros(details["shape"], np.float32)
        self._place = details["index"]
        self._outputs = [output["index"] for output in self._interpreter.get_output_details()]

    def __call__(self) -> list[np.ndarray]:
        self._interpreter.set_tensor(self._place, self.input)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(output) for output in self._outputs]
