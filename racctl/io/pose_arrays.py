"""Plain pose arrays (npy, npz): BlazePose's 33 joints as PoseRAC stores them, and 25 joints of Kinect or D²-STX."""

from __future__ import annotations

from typing import IO

import numpy as np

from racctl.errors import DataError
from racctl.io.landmarks import Landmarks, Note, check_range, scale_of
from racctl.io.npz import read_arrays, read_npy
from racctl.topology import BLAZEPOSE33, D2STX25, NTU25, Topology

FLAT = {99: (33, 3), 132: (33, 4), 75: (25, 3)}  # numbers in a row -> joints, numbers per joint
JOINTS = {"poserac": BLAZEPOSE33, "kinect": NTU25, "d2stx": D2STX25}  # what '--from' can call an array
SHAPES = "(T, 99), (T, 132), (T, 33, 3), (T, 33, 4), (T, 75), (T, 25, 3) or (T, M, 25, 3)"
MOST_PEOPLE = 16  # more than that on the second axis is an array of another order


def read_array(file: IO[bytes], kind: str, source: str, layout: str | None, note: Note) -> Landmarks:
    """Landmarks from a plain npy or npz (`kind`), whose `layout` is a key of JOINTS or None: told from the shape.

    A row or person of zeros only is nobody. The fourth number of a joint is its visibility. Kinect's metres are turned
    to y down and given again hip-centred as `world`. DataError for pickles, damaged files and other shapes."""
    array = read_npy(file, _length(file), source) if kind == "npy" else _only_pose(read_arrays(file, source), source)
    people = _with_people(array, source)
    topology = _topology(people, source, layout, note)
    nobody = (np.nan_to_num(people[..., :3]) == 0).all((2, 3))
    people = np.where(nobody[..., None, None], np.nan, people)
    xyz, score = people[..., :3], people[..., 3] if people.shape[-1] == 4 else None
    if topology is NTU25 and scale_of(xyz) == "normalized":
        return _kinect(xyz)
    name = next(name for name, joints in JOINTS.items() if joints is topology)
    return Landmarks(name, topology, xyz, scale_of(xyz), score)


def _kinect(xyz: np.ndarray) -> Landmarks:
    """Kinect's camera looks along z with y up; here y is down, in metres as in pixels."""
    turned = xyz * np.array([1, -1, 1])
    hips = turned[:, :, [NTU25.index("spine_base")]]
    return Landmarks("kinect", NTU25, turned, "metres", world=turned - hips, args={"y": "turned to point down"})


def _length(file: IO[bytes]) -> int:
    length = file.seek(0, 2)
    file.seek(0)
    return length


def _only_pose(arrays: dict[str, np.ndarray], source: str) -> np.ndarray:
    """The one member of an npz that has the shape of a pose."""
    fitting = [name for name, array in arrays.items() if _joints(array.shape) is not None]
    if len(fitting) == 1:
        return arrays[fitting[0]]
    found = ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "nothing"
    what = "several poses" if fitting else "no pose"
    raise DataError(f"'{source}' is an npz with {what} ({found}); expected one array of shape {SHAPES}")


def _joints(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """(V, numbers per joint) of an array of this shape; None when it is no pose."""
    if len(shape) == 2:
        return FLAT.get(shape[1])
    return shape[-2:] if len(shape) in (3, 4) and shape[-2:] in FLAT.values() else None


def _with_people(array: np.ndarray, source: str) -> np.ndarray:
    """(T, M, V, 3 or 4) float64 from any of SHAPES."""
    joints = _joints(array.shape)
    if joints is None:
        raise DataError(f"'{source}' holds an array of shape {array.shape}; expected {SHAPES}")
    if array.dtype.kind not in "fiu":
        raise DataError(f"'{source}' holds {array.dtype} values; expected numbers")
    if 0 in array.shape:
        raise DataError(f"'{source}' holds an empty array, of shape {array.shape}")
    with np.errstate(all="ignore"):  # what does not fit into float64 is infinite, see below
        people = array.reshape(len(array), -1, *joints).astype(np.float64)
    if people.shape[1] > MOST_PEOPLE:
        raise DataError(f"'{source}' has shape {array.shape}, {people.shape[1]} people; expected {SHAPES}")
    if np.isinf(people).any():
        raise DataError(f"'{source}' holds infinite values; expected NaN or a row of zeros where nobody was found")
    check_range(people, source)
    return people


def _topology(people: np.ndarray, source: str, layout: str | None, note: Note) -> Topology:
    """Which joints these are: by number, and for 25 by the order that gives the shorter bones."""
    wanted = None if layout is None else JOINTS[layout]
    if wanted is not None and len(wanted) != people.shape[2]:
        raise DataError(f"'{source}' has {people.shape[2]} joints, but '--from {layout}' has {len(wanted)}")
    if wanted is not None or people.shape[2] == len(BLAZEPOSE33):
        return wanted or BLAZEPOSE33
    found = D2STX25 if _bones(people, D2STX25) < 0.7 * _bones(people, NTU25) else NTU25
    other = "kinect" if found is D2STX25 else "d2stx"
    note(f"'{source}' read as 25 joints in the order of {found.name}; if they are not, use '--from {other}'")
    return found


def _bones(people: np.ndarray, topology: Topology) -> float:
    """The mean length of a bone, were these joints in the order of `topology`. In the wrong one of the two orders
    limbs cross the body: on real poses they come out 2.4 to 4 times as long."""
    starts = people[:, :, topology.indices(start for start, _ in topology.edges), :3]
    ends = people[:, :, topology.indices(end for _, end in topology.edges), :3]
    return float(np.nan_to_num(np.linalg.norm(starts - ends, axis=-1)).mean())
