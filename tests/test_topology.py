"""Skeletons by name: order, edges, symmetries, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from racctl.errors import UsageError
from racctl.skeleton.topology import (
    BLAZEPOSE33,
    COCO17,
    D2STX25,
    NTU25,
    OPENPOSE18,
    OPENPOSE25,
    TOPOLOGIES,
    Topology,
    topology_named,
)

SIZES = {"blazepose33": 33, "d2stx25": 25, "ntu25": 25, "coco17": 17, "openpose25": 25, "openpose18": 18}

# D²-STX's supplement, section 6.1, in its words, with the three joints of the spine told apart.
SUPPLEMENT = """head, left shoulder, right shoulder, left elbow, right elbow, left wrist, right wrist, left hand,
right hand, left hand tip, right hand tip, left thumb, right thumb, left hip, right hip, left knee, right knee,
left ankle, right ankle, left foot, right foot, spine shoulder, spine base, neck, spine mid"""

BLAZEPOSE = """nose, left eye inner, left eye, left eye outer, right eye inner, right eye, right eye outer, left ear,
right ear, mouth left, mouth right, left shoulder, right shoulder, left elbow, right elbow, left wrist, right wrist,
left pinky, right pinky, left index, right index, left thumb, right thumb, left hip, right hip, left knee, right knee,
left ankle, right ankle, left heel, right heel, left foot index, right foot index"""


def names(text: str) -> tuple[str, ...]:
    return tuple(name.strip().replace(" ", "_") for name in text.replace("\n", " ").split(","))


def test_catalogue_is_keyed_by_name_and_has_the_sizes() -> None:
    assert {name: len(topology) for name, topology in TOPOLOGIES.items()} == SIZES
    assert all(name == topology.name for name, topology in TOPOLOGIES.items())


def test_orders_are_the_published_ones() -> None:
    assert D2STX25.joints == names(SUPPLEMENT)
    assert BLAZEPOSE33.joints == names(BLAZEPOSE)
    assert NTU25.indices(["spine_base", "spine_mid", "neck", "head"]) == [0, 1, 2, 3]
    assert NTU25.indices(["spine_shoulder", "left_hand_tip", "left_thumb", "right_hand_tip", "right_thumb"]) == [
        20, 21, 22, 23, 24,
    ]  # fmt: skip
    assert COCO17.indices(["nose", "left_shoulder", "right_ankle"]) == [0, 5, 16]
    assert OPENPOSE25.indices(["neck", "mid_hip", "left_big_toe", "right_heel"]) == [1, 8, 19, 24]
    assert OPENPOSE18.indices(["neck", "right_hip", "left_ear"]) == [1, 8, 17]


def test_d2stx_to_ntu_is_the_known_permutation() -> None:
    order = [22, 24, 23, 0, 1, 3, 5, 7, 2, 4, 6, 8, 13, 15, 17, 19, 14, 16, 18, 20, 21, 9, 11, 10, 12]
    assert D2STX25.permutation(NTU25).tolist() == order
    assert D2STX25.permutation(NTU25)[NTU25.permutation(D2STX25)].tolist() == list(range(25))
    remaining = [joint for joint in D2STX25.joints if D2STX25.index(joint) == NTU25.index(joint)]
    assert remaining == ["left_hand", "right_ankle"]


def test_d2stx_edges_are_the_authors_bone_list() -> None:
    bones = [(23, 0), (21, 1), (21, 2), (21, 23), (1, 3), (5, 3), (5, 7), (9, 7), (5, 11), (2, 4), (4, 6), (6, 8),
             (6, 12), (8, 10), (21, 24), (22, 24), (13, 22), (14, 22), (15, 13), (15, 17), (17, 19), (14, 16),
             (16, 18), (18, 20)]  # fmt: skip
    assert {frozenset(D2STX25.indices(edge)) for edge in D2STX25.edges} == {frozenset(bone) for bone in bones}


@pytest.mark.parametrize("topology", [D2STX25, NTU25], ids=lambda t: t.name)
def test_edges_run_outward_from_the_middle_of_the_shoulders(topology: Topology) -> None:
    parents = {end: start for start, end in topology.edges}
    assert len(parents) == len(topology.edges) == len(topology) - 1
    assert set(topology.joints) - set(parents) == {"spine_shoulder"}
    for joint in topology.joints:
        steps = 0
        while joint in parents:
            joint, steps = parents[joint], steps + 1
            assert steps < len(topology)


@pytest.mark.parametrize("topology", TOPOLOGIES.values(), ids=lambda t: t.name)
def test_flip_is_an_involution_that_swaps_sides(topology: Topology) -> None:
    flip = topology.flip
    assert (flip[flip] == np.arange(len(topology))).all()
    assert topology.joints[flip[topology.index("left_wrist")]] == "right_wrist"
    for joint, mirrored in zip(topology.joints, np.array(topology.joints)[flip], strict=True):
        sided = {"left", "right"} & set(joint.split("_"))
        assert (joint != mirrored) == bool(sided)
        assert joint.replace("left", "?").replace("right", "?") == mirrored.replace("left", "?").replace("right", "?")


@pytest.mark.parametrize("topology", TOPOLOGIES.values(), ids=lambda t: t.name)
def test_edges_are_symmetric_and_reach_every_joint(topology: Topology) -> None:
    flip = topology.flip
    edges = {frozenset(topology.indices(edge)) for edge in topology.edges}
    assert {frozenset(int(flip[i]) for i in edge) for edge in edges} == edges
    assert {i for edge in edges for i in edge} == set(range(len(topology)))


def test_unknown_names_raise_and_say_what_there_is() -> None:
    with pytest.raises(UsageError, match="no joint 'left_paw'"):
        COCO17.index("left_paw")
    with pytest.raises(UsageError, match="no joint 'tail'"):
        COCO17.indices(["nose", "tail"])
    with pytest.raises(UsageError, match=r"no such topology 'h36m'; expected one of blazepose33, d2stx25"):
        topology_named("h36m")
    assert "nose" in COCO17
    assert "tail" not in COCO17


@pytest.mark.parametrize(
    ("joints", "edges", "symmetries", "message"),
    [
        (("a", "b", "a"), (), (), "names 'a' twice"),
        (("a", "b"), (("a", "c"),), (), "no joint 'c'"),
        (("a", "b"), (("a", "a"),), (), "links 'a' to itself"),
        (("a", "b"), (("a", "b"), ("b", "a")), (), "links 'a - b' twice"),
        (("a", "b"), (), (("a", "c"),), "no joint 'c'"),
        (("a", "b", "c"), (), (("a", "b"), ("a", "c")), "mirrors 'a' twice"),
    ],
)
def test_a_wrong_topology_raises(joints: tuple, edges: tuple, symmetries: tuple, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Topology("t", joints, edges, symmetries)


def test_only_the_same_joints_permute() -> None:
    with pytest.raises(UsageError, match="'coco17' and 'ntu25' have different joints"):
        COCO17.permutation(NTU25)


@pytest.mark.parametrize("topology", TOPOLOGIES.values(), ids=lambda t: t.name)
def test_every_joint_is_of_one_part_and_limbs_of_one_side(topology):
    parts = topology.parts
    assert sorted(joint for joints in parts.values() for joint in joints) == sorted(topology.joints)
    assert list(parts) == ["trunk", "left_leg", "right_leg", "left_arm", "right_arm"]
    for name in ("left_leg", "left_arm"):
        assert all("left" in joint for joint in parts[name])
    assert not {"left_foot_index", "right_foot_index"} & {*parts["left_arm"], *parts["right_arm"]}
