"""Movements as data: every entry is sound, and the classes that data sets need are there."""

from __future__ import annotations

import numpy as np
import pytest

from racctl.errors import DataError, UsageError
from racctl.synth.channels import CHANNELS, INDEX, MAX_ANGLES, MIN_ANGLES, pose_vector, swap_sides
from racctl.synth.movement import Movement, Step, sides
from racctl.synth.movements import catalog, exercises, movement_named
from racctl.synth.styles import ARMS, arm_styles, arms_named

MM_FIT = {"squat", "lunge", "bicep_curl", "sit_up", "push_up", "tricep_extension", "dumbbell_row", "jump_jack",
          "dumbbell_shoulder_press", "lateral_shoulder_raise"}  # fmt: skip
REPCOUNT = {"bench_pressing", "front_raise", "pull_up", "sit_up", "squat", "jump_jack", "push_up", "pommel_horse"}
PUSH_UPS = {"push_up", "wide_push_up", "diamond_push_up", "knee_push_up", "pike_push_up"}


def test_the_classes_of_the_data_sets_are_there():
    classes = {movement.kind for movement in exercises().values()}
    assert len(exercises()) >= 24
    assert classes >= MM_FIT | REPCOUNT | PUSH_UPS | {"plank", "burpee"}
    assert sum(movement.kind == "background" for movement in catalog().values()) >= 6


def test_labels_are_those_of_the_project():
    from racctl.data.class_names import exercise

    for movement in exercises().values():
        assert exercise(movement.kind) == movement.kind


@pytest.mark.parametrize("name", list(catalog()))
def test_a_movement_ends_where_it_began_and_keeps_to_the_joints_limits(name):
    keys = catalog()[name].keys()
    assert np.array_equal(keys[0], keys[-1])
    assert (keys >= MIN_ANGLES).all() and (keys <= MAX_ANGLES).all()
    assert all(step.seconds > 0 for step in catalog()[name].steps)


def test_styles_of_the_arms_are_poses_and_fit_something():
    free = [movement for movement in catalog().values() if movement.arms]
    assert {"squat", "lunge", "calf_raise", "sit_up", "glute_bridge"} <= {movement.name for movement in free}
    for stance, styles in ARMS.items():
        for name, arms in styles.items():
            pose_vector(arms.keys, pose_vector(arms.start))
            assert set(arms.fits) <= {movement.name for movement in free if movement.stance == stance}
            assert any(name in arm_styles(movement) for movement in free)


def test_an_entry_that_cannot_be_is_refused():
    with pytest.raises(DataError, match="no such joint angle 'knees'"):
        Movement("x", {}, (Step(1, {"knees": 90}), Step(1)), "never")
    with pytest.raises(DataError, match="beyond the joint's limits"):
        Movement("x", {}, (Step(1, {"knee": 190}), Step(1)), "never")
    with pytest.raises(DataError, match="contact 'nose'"):
        Movement("x", {}, (Step(1),), "never", touch=("nose",))
    with pytest.raises(DataError, match="cannot have free arms: the stance is 'bar'"):
        Movement("x", {}, (Step(1),), "never", stance="bar", arms=True)
    with pytest.raises(DataError, match="no such style of the arms for 'bicep_curl': 'hips'"):
        arms_named(movement_named("bicep_curl"), "hips")
    with pytest.raises(UsageError, match="no such movement 'flying'"):
        movement_named("flying")


def test_a_mirror_image_twice_is_the_pose_itself():
    pose = pose_vector({"left_knee": 90, "yaw": 20, "chest_side": 5, "right_elbow": 40})
    another = swap_sides(pose)
    assert another[INDEX["right_knee"]] == 90 and another[INDEX["yaw"]] == -20 and another[INDEX["left_elbow"]] == 40
    assert np.array_equal(swap_sides(another), pose)
    assert len(CHANNELS) == len(pose)


def test_contact_groups_are_spelled_out():
    assert sides(("feet", "left_hand")) == ("left_foot", "right_foot", "left_hand")
