"""Plain pose arrays (npy, npz): which joints they are, and which axis is what, is told by the bodies in them."""

from __future__ import annotations

from typing import IO

import numpy as np

from racctl.errors import DataError
from racctl.io.bounds import file_size, refuse_large
from racctl.io.npz import read_arrays, read_npy
from racctl.io.poses.base import Content, PoseFormat
from racctl.io.poses.landmarks import ImportedLandmarks, Note, check_range, scale_of
from racctl.io.poses.layouts import (
    BODY_25,
    BODY_25B,
    COCO_LAYOUT,
    D2STX_LAYOUT,
    KINECT_LAYOUT,
    POSERAC_LAYOUT,
    TRIPLES,
    Layout,
    is_planar,
    shows_bones,
    told_by_bones,
)
from racctl.skeleton.topology import NTU25

FLAT = {99: (33, 3), 132: (33, 4), 75: (25, 3)}  # numbers in a row -> joints, numbers per joint
NAMED_FLAT = FLAT | {54: (18, 3), 51: (17, 3)}  # with '--from', which says what they are
LAYOUTS_BY_JOINTS = {
    33: (POSERAC_LAYOUT,),
    25: (KINECT_LAYOUT, D2STX_LAYOUT, BODY_25, BODY_25B),
}  # joints -> what they may be
SHAPES = "(T, 99), (T, 132), (T, 33, 3), (T, 33, 4), (T, 75), (T, 25, 3) or (T, M, 25, 3)"
MAX_PEOPLE_IN_ARRAY = 16  # more than that on the second axis is an array of another order
MAX_STEP_SHARE = 0.25  # of the body's extent: what joints move from frame to frame, at most; between people it is more
ARRAY_NUMBER_BYTES = 48  # of the array and of what is made of it


def read_array(file: IO[bytes], kind: str, source: str, named: tuple[Layout, ...], note: Note) -> ImportedLandmarks:
    """Read landmarks from a plain npy or npz (`kind`).

    named: what the joints may be, the one with as many joints; () to tell by the bones.

    A row or person of zeros only is nobody. The fourth number of a joint is its visibility, and the third of OpenPose
    and COCO its confidence. Kinect's metres are turned to y down and given again hip-centred as `world`. DataError for
    pickles, damaged files, other shapes and bones that fit no layout.
    """
    flat = NAMED_FLAT if named else FLAT
    array = (
        read_npy(file, file_size(file), source)
        if kind == "npy"
        else _only_pose(read_arrays(file, source), flat, source)
    )
    people = _in_order(_with_people(array, flat, source), source, note)
    nobody = (np.nan_to_num(people[..., :3]) == 0).all((2, 3))
    people[nobody] = np.nan
    recognised = _layout(people, source, named, note)
    if recognised in TRIPLES:
        return _triples(people, recognised, source)
    xyz, score = people[..., :3], people[..., 3] if people.shape[-1] == 4 else None
    if recognised is KINECT_LAYOUT and scale_of(xyz) == "normalized" and _y_points_up(xyz):
        return _kinect(xyz)
    return ImportedLandmarks(recognised.name, recognised.topology, xyz, scale_of(xyz), score)


def _kinect(xyz: np.ndarray) -> ImportedLandmarks:
    """Turn Kinect's metres so that y points down, as in pixels; its camera looks along z with y up."""
    turned = xyz * np.array([1, -1, 1])
    hips = turned[:, :, [NTU25.index("spine_base")]]
    return ImportedLandmarks("kinect", NTU25, turned, "metres", world=turned - hips, args={"y": "turned to point down"})


def _y_points_up(xyz: np.ndarray) -> bool:
    """Return whether the head has more y than the feet, as in Kinect's metres and not in a picture.

    Where nobody is, or lies so that neither is higher, they are taken for Kinect's.
    """
    head = xyz[..., NTU25.index("head"), 1]
    feet = xyz[..., NTU25.indices(["left_foot", "right_foot"]), 1].mean(-1)
    higher = (head - feet)[np.isfinite(head - feet)]
    return not len(higher) or bool(np.median(higher) >= 0)


def _triples(people: np.ndarray, layout: Layout, source: str) -> ImportedLandmarks:
    """Make landmarks of x, y and confidence: without depth, and unknown where the confidence is 0."""
    confidence = people[..., 2]
    known = np.isfinite(people).all(-1) & (np.nan_to_num(confidence) > 0)
    if (np.nan_to_num(confidence) < 0).any():
        raise DataError(f"'{source}' has third numbers below 0; expected confidences of 0 to 1")
    people = layout.arranged(np.where(known[..., None], people, np.nan))
    plane, score = people[..., :2], people[..., 2]
    xyz = np.concatenate([plane, np.where(np.isnan(plane[..., :1]), np.nan, 0)], -1)
    args = {"layout": "BODY_25B"} if layout is BODY_25B else {}
    return ImportedLandmarks(
        "openpose" if layout is not COCO_LAYOUT else "coco",
        layout.topology,
        xyz,
        scale_of(xyz),
        score,
        dims=2,
        args=args,
        is_heat_map=layout is COCO_LAYOUT,
    )


def _only_pose(arrays: dict[str, np.ndarray], flat: dict[int, tuple[int, int]], source: str) -> np.ndarray:
    """Return the one member of an npz that has the shape of a pose."""
    fitting = [name for name, array in arrays.items() if _joints(array.shape, flat) is not None]
    if len(fitting) == 1:
        return arrays[fitting[0]]
    held = ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "nothing"
    what = "several poses" if fitting else "no pose"
    raise DataError(f"'{source}' is an npz with {what} ({held}); expected one array of shape {SHAPES}")


def _joints(shape: tuple[int, ...], flat: dict[int, tuple[int, int]]) -> tuple[int, int] | None:
    """Return (V, numbers per joint) of an array of this shape; None when it is no pose."""
    if len(shape) == 2:
        return flat.get(shape[1])
    if len(shape) not in (3, 4):
        return None
    per_person = (shape[-2], shape[-1])
    return per_person if per_person in flat.values() else None


def _with_people(array: np.ndarray, flat: dict[int, tuple[int, int]], source: str) -> np.ndarray:
    """Return (T, M, V, 3 or 4) float64 from any of SHAPES; the first two axes as they come."""
    joints = _joints(array.shape, flat)
    if joints is None:
        raise DataError(f"'{source}' holds an array of shape {array.shape}; expected {SHAPES}")
    if array.dtype.kind not in "fiu":
        raise DataError(f"'{source}' holds {array.dtype} values; expected numbers")
    if 0 in array.shape:
        raise DataError(f"'{source}' holds an empty array, of shape {array.shape}")
    refuse_large(array.size * ARRAY_NUMBER_BYTES, source, f"a pose of shape {array.shape}")
    with np.errstate(all="ignore"):  # what does not fit into float64 is infinite, see below
        people = array.reshape(len(array), -1, *joints).astype(np.float64)
    if np.isinf(people).any():
        raise DataError(f"'{source}' holds infinite values; expected NaN or a row of zeros where nobody was found")
    check_range(people, source)
    return people


def _in_order(people: np.ndarray, source: str, note: Note) -> np.ndarray:
    """Return (T, M, V, C) of an array that may be (M, T, V, C).

    Along the frames joints hardly move, from one person to the next they do.

    Raises DataError where that does not tell.
    """
    if people.shape[1] == 1:
        return people
    along = [_movement(people), _movement(people.swapaxes(0, 1))]
    frames_last = along[1] <= MAX_STEP_SHARE and (not along[0] <= MAX_STEP_SHARE or 2 * along[1] < along[0])
    frames_first = along[0] <= MAX_STEP_SHARE and (not along[1] <= MAX_STEP_SHARE or 2 * along[0] < along[1])
    if np.isnan(along[0]) and along[1] > MAX_STEP_SHARE:
        frames_first = True  # one frame, whose people are apart
    if not frames_first and not frames_last and np.isnan(along).all() and people.shape[1] <= MAX_PEOPLE_IN_ARRAY:
        frames_first = True  # nobody is anywhere
    if not frames_first and not frames_last:
        raise DataError(
            f"'{source}' has shape {people.shape}, and which of the first two axes are frames cannot be told; expected "
            "(T, M, V, 3), frames before people; save each person as (T, V, 3)"
        )
    if frames_last:
        note(
            f"'{source}' read as {people.shape[0]} people in {people.shape[1]} frames, (M, T, V, C), by their movement"
        )
        people = np.ascontiguousarray(people.swapaxes(0, 1))
    if people.shape[1] > MAX_PEOPLE_IN_ARRAY:
        raise DataError(f"'{source}' has shape {people.shape}, {people.shape[1]} people; expected {SHAPES}")
    return people


def _movement(people: np.ndarray) -> float:
    """Return how far joints are from those of the next entry on the first axis, as a share of the body's extent.

    The median; NaN where there are no two entries with somebody.
    """
    present = (np.nan_to_num(people[..., :2]) != 0).any((2, 3))  # (T, M)
    pairs = present[1:] & present[:-1]
    if not pairs.any():
        return float("nan")
    plane = people[..., :2]
    moved = np.nanmedian(np.linalg.norm(plane[1:][pairs] - plane[:-1][pairs], axis=-1), axis=-1)
    extent = np.linalg.norm(np.nanmax(plane[1:][pairs], 1) - np.nanmin(plane[1:][pairs], 1), axis=-1)
    return float(np.nanmedian(moved / np.maximum(extent, 1e-9)))


def _layout(people: np.ndarray, source: str, named: tuple[Layout, ...], note: Note) -> Layout:
    """Return which joints these are: what '--from' says, or by the bones."""
    joints, numbers = people.shape[2:]
    if named:
        fitting = [layout for layout in named if len(layout) == joints]
        if not fitting:
            has = " or ".join(str(len(layout)) for layout in named)
            raise DataError(f"'{source}' has {joints} joints, but '--from {named[0].name}' has {has}")
        return fitting[0]
    layouts = LAYOUTS_BY_JOINTS[joints] if numbers == 3 or joints == 33 else LAYOUTS_BY_JOINTS[joints][:2]
    bodies = people.reshape(-1, joints, numbers)
    bodies = np.where((bodies == 0).all(-1, keepdims=True), np.nan, bodies)  # a joint that OpenPose does not see
    if len(layouts) == 1 and not shows_bones(bodies, layouts):
        return layouts[0]
    best = told_by_bones(bodies, layouts)
    if best is None or is_planar(bodies, best):
        ways = " or ".join(f"'--from {layout.name}'" for layout in layouts)
        raise DataError(
            f"'{source}' has {joints} joints, and the bones fit no order of them that racctl knows; if you know it, "
            f"use {ways}"
        )
    if len(layouts) > 1:
        others = ", ".join(f"'--from {layout.name}'" for layout in layouts if layout is not best)
        what = "OpenPose's " + ("BODY_25B" if best is BODY_25B else "BODY_25") + " (x, y, confidence)"
        shown = what if best in TRIPLES else best.topology.name
        note(f"'{source}' read as 25 joints in the order of {shown}; if they are not, use {others}")
    return best


def array_format(layout: Layout) -> PoseFormat:
    """Return the format of plain arrays with this order of joints."""

    def read(content: Content, name: str | None, note: Note) -> ImportedLandmarks:
        named = (layout,) if name else ()
        return read_array(content.opened(), content.kind, content.where, named, note)

    shapes = "an npy or npz array of shape (T, 99), (T, 33, 3) or (T, 25, 3)"
    return PoseFormat(("npy", "npz"), shapes, lambda content: True, read)


POSERAC = array_format(POSERAC_LAYOUT)
KINECT = array_format(KINECT_LAYOUT)
D2STX_FORMAT = array_format(D2STX_LAYOUT)
