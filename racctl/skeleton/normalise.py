"""Joints on one scale about one origin, smoothed over time: what networks that read joints are fed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter1d, median_filter

from racctl.contracts import Pose
from racctl.errors import DataError
from racctl.progress import tell
from racctl.skeleton.remap import remap, unknown_joints
from racctl.skeleton.topology import topology_named
from racctl.windows import FRAME_RATE

PICTURE_EDGE = 0.02  # of the picture's width or height, how far beyond its edge a joint may lie and still be seen
GLITCH = 2.5  # standard deviations of the smoothing that the median before it spans


def joint_tokens(pose: Pose, smooth: float = 0.0) -> np.ndarray:
    """Return (T, V, 4) float32 of the main person.

    X and y from where its joints are on the whole, z from the hips, and the score; zeros where unseen, and for a z that
    is not known.

    The unit is the clip's median distance of a seen joint from the middle of its frame's joints, so the person's size
    in the picture does not matter; where the person goes is kept.

    smooth: s, standard deviation of a Gaussian over time, after a running median that takes out jumps; 0 for none.
    """
    t, _, v = pose.score.shape
    tokens = np.zeros((t, v, 4), np.float32)
    main = pose.chosen("main")
    if not main:
        return tokens
    xy, score = pose.xyz[:, main[0], :, :2].astype(np.float64), pose.score[:, main[0]]
    depth = np.nan_to_num(pose.xyz[:, main[0], :, 2])
    known = np.isfinite(xy).all(-1) & (score > 0)
    if not known.any():
        return tokens
    weight = known[..., None]
    middle = np.where(weight, xy, 0).sum(1, keepdims=True) / np.maximum(weight.sum(1, keepdims=True), 1)
    unit = float(np.median(np.hypot(*np.moveaxis(xy - middle, -1, 0))[known]))
    tokens[known, :2] = ((xy - np.median(middle[known.any(1)], axis=0)) / max(unit, 1e-6)).clip(-50, 50)[known]
    tokens[..., 2] = np.where(known, (depth / max(unit, 1e-6)).clip(-20, 20), 0)
    if smooth:
        tokens[..., :3] = np.where(known[..., None], smooth_joints(tokens[..., :3], known, pose.time, smooth), 0)
    tokens[..., 3] = np.where(known, score, 0)
    return tokens


def within_picture(pose: Pose) -> Pose:
    """Return the pose with joints beyond the edges of the picture unseen: an estimator can only guess at them.

    A pose that does not tell the size of its picture in pixels stays as it is.
    """
    source = pose.meta.get("source", {})
    size = [source.get("width"), source.get("height")]
    if pose.meta.get("scale", "pixels") != "pixels" or not all(isinstance(side, int) and side > 1 for side in size):
        return pose
    edge = np.array(size, np.float64)
    xy = pose.xyz[..., :2]
    with np.errstate(invalid="ignore"):
        beyond = ((xy < -PICTURE_EDGE * edge) | (xy > (1 + PICTURE_EDGE) * edge)).any(-1)
    if not beyond.any():
        return pose
    xyz = np.where(beyond[..., None], np.nan, pose.xyz).astype(np.float32)
    return replace(pose, xyz=xyz, score=np.where(beyond, 0, pose.score).astype(np.float32))


def tell_missing_joints(
    pose: Pose, topology: str, consequence: str = "what the model says of it is unreliable"
) -> None:
    """Tell in one line which joints of `topology`, that of a model, the pose cannot give, or that it has no depth.

    consequence: of it, in words.
    """
    missing = unknown_joints(remap(pose, topology))
    seen = np.isfinite(pose.xyz[..., :2]).all(-1)
    lacks = []
    if missing:
        joints = len(topology_named(topology).joints)
        lacks.append(f"{len(missing)} of the {joints} joints that the model needs ({', '.join(missing)})")
    if seen.any() and not np.nan_to_num(pose.xyz[..., 2][seen]).any():
        lacks.append("depth")
    if lacks:
        tell(f"clip '{pose.clip}' lacks {' and '.join(lacks)}; {consequence}")


def refuse_scaled(pose: Pose) -> None:
    """Raise DataError for a pose that is scaled anew in every frame: the proportions of the body are lost."""
    if pose.meta.get("scale") == "minmax":
        raise DataError(
            f"clip '{pose.clip}' is scaled to the body's box in every frame, as PoseRAC's poses are, and this model "
            "needs the body's proportions; make the pose with 'racctl pose'"
        )


def smooth_joints(place: np.ndarray, known: np.ndarray, time: np.ndarray, smooth: float) -> np.ndarray:
    """Return (T, V, C) without jumps and jitter, what is not known (T, V) being filled in between.

    See `joint_tokens`.
    """
    beat = float(np.median(np.diff(time))) if len(time) > 1 else 1 / FRAME_RATE
    filled = np.zeros(place.shape)
    for joint in np.flatnonzero(known.any(0)):
        rows = np.flatnonzero(known[:, joint])
        for channel in range(place.shape[2]):
            filled[:, joint, channel] = np.interp(np.arange(len(place)), rows, place[rows, joint, channel])
    width = 2 * max(1, round(GLITCH * smooth / beat / 2)) + 1
    return gaussian_filter1d(median_filter(filled, (width, 1, 1), mode="nearest"), smooth / beat, 0, mode="nearest")
