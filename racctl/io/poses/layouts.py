"""Which skeleton an array of joints is, told by its bones.

Many layouts have the same number of joints, and none says its name: 25 are Kinect's, D²-STX's, OpenPose's BODY_25 or
its BODY_25B. In the right order bones are short beside the body; in a wrong one limbs cross it. Only x and y are looked
at, for the third number may be a depth or a confidence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from racctl.skeleton.topology import BLAZEPOSE33, COCO17, D2STX25, NTU25, OPENPOSE18, OPENPOSE25, Topology

MIN_BONES = 4  # known in a frame for it to count, and half as many as are in the frame that shows most
# Of a layout's bones: people who show fewer, the legs or a side, can have any share of long bones
MIN_BONE_SHARE_TO_REFUSE = 0.5
MAX_SAMPLED_POSES = 2000  # that are looked at, spread over the clip
MIN_LENGTH_RATIO = 1.2  # times as long are the bones of the next best layout, at least


@dataclass(frozen=True)
class Layout:
    """One order of joints in files.

    name: what '--from' calls it.
    topology: what the joints become.
    joints: their names in the file's order, where that is another one.
    bones: pairs of joints.
    longest: the mean bone's share of the body's extent, at most.

    On 46 real clips, each scaled to a square, which makes it longest, the mean bone of the right order is up to 0.16
    (33 joints), 0.21 (25) and 0.27 (17 and 18); of a wrong or shuffled one from 0.21, 0.19 and 0.28 on, and 1.3 times
    as long as that of the right one at least.
    """

    name: str
    topology: Topology
    longest: float
    joints: tuple[str, ...] = ()
    bones: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.joints or self.topology.joints)

    def bone_ends(self) -> tuple[list[int], list[int]]:
        """Return the places of the bones' two ends."""
        names = self.joints or self.topology.joints
        bones = self.bones or self.topology.edges
        return [names.index(start) for start, _ in bones], [names.index(end) for _, end in bones]

    def arranged(self, people: np.ndarray) -> np.ndarray:
        """Return (..., V, C) in the file's order to the topology's.

        Joints that only the topology has are the middle of BODY_25_MIDPOINTS's.
        """
        if not self.joints:
            return people
        places = [self.joints.index(name) if name in self.joints else -1 for name in self.topology.joints]
        arranged = people[..., places, :]
        for joint, ends in BODY_25_MIDPOINTS.items():
            middle = people[..., [self.joints.index(end) for end in ends], :].mean(-2)
            arranged[..., self.topology.index(joint), :] = middle
        return arranged


BODY_25B_JOINTS = (
    *COCO17.joints,
    "upper_neck",
    "head_top",
    "left_big_toe",
    "left_small_toe",
    "left_heel",
    "right_big_toe",
    "right_small_toe",
    "right_heel",
)
BODY_25B_BONES = (
    *COCO17.edges,
    ("nose", "upper_neck"),
    ("upper_neck", "head_top"),
    ("left_ankle", "left_heel"),
    ("left_ankle", "left_big_toe"),
    ("left_big_toe", "left_small_toe"),
    ("right_ankle", "right_heel"),
    ("right_ankle", "right_big_toe"),
    ("right_big_toe", "right_small_toe"),
)
BODY_25_MIDPOINTS = {
    "neck": ("left_shoulder", "right_shoulder"),
    "mid_hip": ("left_hip", "right_hip"),
}  # as BODY_25 has them

POSERAC_LAYOUT = Layout("poserac", BLAZEPOSE33, 0.2)
KINECT_LAYOUT = Layout("kinect", NTU25, 0.22)
D2STX_LAYOUT = Layout("d2stx", D2STX25, 0.22)
BODY_25 = Layout("openpose", OPENPOSE25, 0.22)
BODY_25B = Layout("openpose25b", OPENPOSE25, 0.22, BODY_25B_JOINTS, BODY_25B_BONES)
BODY_18 = Layout("openpose", OPENPOSE18, 0.28)
COCO_LAYOUT = Layout("coco", COCO17, 0.28)
TRIPLES = (BODY_25, BODY_25B, BODY_18, COCO_LAYOUT)  # x, y, confidence


def bone_share(people: np.ndarray, layout: Layout) -> float:
    """Return the mean bone's share of the body's extent.

    It is the median over (N, V, 2 or more) poses, which are NaN where a joint is missing; NaN when no pose shows
    MIN_BONES.
    """
    plane = people[:: -(-len(people) // MAX_SAMPLED_POSES) or 1, :, :2].astype(np.float64)
    plane = np.where(np.isfinite(plane).all(-1, keepdims=True), plane, np.nan)
    starts, ends = layout.bone_ends()
    lengths = np.linalg.norm(plane[:, starts] - plane[:, ends], axis=-1)
    known = np.isfinite(lengths)
    lowest = np.where(np.isnan(plane), np.inf, plane).min(1, initial=np.inf)
    highest = np.where(np.isnan(plane), -np.inf, plane).max(1, initial=-np.inf)
    with np.errstate(invalid="ignore"):
        extent = np.linalg.norm(highest - lowest, axis=-1)
    enough = max(MIN_BONES, known.sum(1).max(initial=0) / 2)
    usable = (known.sum(1) >= enough) & np.isfinite(extent) & (extent > 0)
    if not usable.any():
        return float("nan")
    means = np.where(known, lengths, 0).sum(1)[usable] / known.sum(1)[usable]
    return float(np.median(means / extent[usable]))


def told_by_bones(people: np.ndarray, layouts: tuple[Layout, ...], slack: float = 1.0) -> Layout | None:
    """Return the one of these layouts that the bones of (N, V, 2 or more) poses fit.

    None when they fit none, or more than one, or too few are known.

    slack: how much longer than `longest` they may be, for partial views of a body.
    """
    shares = {layout: bone_share(people, layout) for layout in layouts}
    order = sorted(layouts, key=lambda layout: np.nan_to_num(shares[layout], nan=np.inf))
    best = order[0]
    if not shares[best] <= slack * best.longest:
        return None
    if len(order) > 1 and not shares[order[1]] >= MIN_LENGTH_RATIO * shares[best]:
        return None
    return best


def shows_bones(people: np.ndarray, layouts: tuple[Layout, ...]) -> bool:
    """Return whether enough joints are known, in some pose, to say that it is none of these layouts."""
    known = np.isfinite(people[..., :2]).all(-1)
    for layout in layouts:
        starts, ends = layout.bone_ends()
        most = (known[:, starts] & known[:, ends]).sum(1).max(initial=0)
        if most >= MIN_BONE_SHARE_TO_REFUSE * len(starts) and np.isfinite(bone_share(people, layout)):
            return True
    return False


def is_planar(people: np.ndarray, layout: Layout) -> bool:
    """Return whether (N, V, C) are more like a body when each row is read as all x, then all y, then all z."""
    numbers = people.shape[2]
    planar = people.reshape(len(people), numbers, -1).swapaxes(1, 2)
    return bool(MIN_LENGTH_RATIO * bone_share(planar, layout) < bone_share(people, layout))
