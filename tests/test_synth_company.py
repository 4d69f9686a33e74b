"""Other people in a drawn clip: where they are, what they do, what is true of them, and that nothing else changes."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("numba", reason="the generator is the extra racctl[synth]")
pytest.importorskip("torch", reason="the generator is the extra racctl[synth]")
if importlib.util.find_spec("anny") is None:
    pytest.skip("the generator is the extra racctl[synth]", allow_module_level=True)

from two_people import HIP_LANDMARKS, KINDS, TINY, drawn_pair, followed, in_picture, scene_of

from racctl.skeleton.topology import BLAZEPOSE33
from racctl.synth.clip import play, render_clip
from racctl.synth.company import Ensemble, enter, play_scene, reflect, render_scene
from racctl.synth.plan import plan_clip

SMALL = {"size": (96, 96), "fps": 10.0, "repetitions": (2, 2)}
STEP = 2.5  # m/s that hips move at most


@pytest.fixture(scope="module")
def both():
    return drawn_pair("both")


def moved(kind: str, number: int = 0):
    """The exerciser and the second person of a scene, without pictures."""
    scene = scene_of(kind, number, seed=16, size=TINY)
    played = play_scene(scene)
    (companion,) = scene.company
    return scene, played, reflect(companion, played) if companion.reflection else enter(scene, 0, played)


def shares(played) -> np.ndarray:
    """(T,) where the hips are across the picture, 0 left to 1 right."""
    return played.pixels[:, HIP_LANDMARKS, 0].mean(1) / TINY.width


def test_a_scene_without_company_is_the_plans_clip():
    plan = plan_clip(5, 1, "squat", clean=True, alone=True, **SMALL)
    clip = render_clip(plan, "x")
    scene = render_scene(Ensemble(plan), "x")
    assert scene.video == clip.video
    assert scene.company == [] and scene.pose.xyz.shape[1] == 1


def test_company_changes_nothing_of_the_exerciser(both):
    alone, accompanied = both.alone.pose, both.accompanied.pose
    assert accompanied.xyz.shape[1] == 2 and accompanied.track.tolist() == [0, 1]
    assert np.array_equal(accompanied.xyz[:, :1], alone.xyz) and np.array_equal(accompanied.world[:, :1], alone.world)
    assert np.array_equal(both.accompanied.mask, both.alone.mask)  # nobody stands in front of them here
    assert both.alone.video != both.accompanied.video


def test_each_exerciser_has_a_count_of_their_own(both):
    assert both.counts[0] == len(both.scene.plan.bouts[0].repetitions) == both.alone.count
    assert both.counts[1] == len(both.scene.company[0].bouts[0].repetitions)
    assert abs(both.counts[0] - both.counts[1]) >= 2


def test_what_is_visible_of_company_is_drawn_there(both):
    score = both.accompanied.pose.score[:, 1]
    assert (score == 1).mean() > 0.5
    apart = replace(both.scene, plan=replace(both.scene.plan, picture=replace(both.scene.plan.picture, crf=1)))
    frames = [pixels_of(render_scene(scene, "x").video) for scene in (apart, replace(apart, company=()))]
    change = np.abs(frames[0].astype(int) - frames[1]).max(-1)
    at = np.clip(both.accompanied.pose.xyz[:, 1, :, :2].astype(int), 0, [TINY.width - 1, TINY.height - 1])
    on = np.take_along_axis(change.reshape(len(at), -1), at[..., 1] * TINY.width + at[..., 0], 1)
    assert (on[score == 1] > 10).mean() > 0.9


def pixels_of(video: bytes) -> np.ndarray:
    """(T, H, W, 3) uint8."""
    import io

    import av

    with av.open(io.BytesIO(video)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.mark.parametrize("kind", KINDS)
def test_company_is_where_it_was_planned(kind):
    scene, played, company = moved(kind)
    (companion,) = scene.company
    row = min(round(companion.at * scene.plan.picture.fps), len(played.world) - 1)
    where = shares(company).mean() if companion.reflection else shares(company)[row]
    assert where == pytest.approx(companion.across, abs=0.05)
    depth = company.pixels[row, HIP_LANDMARKS, 2].mean() / played.pixels[row, HIP_LANDMARKS, 2].mean()
    assert depth == pytest.approx(companion.away, abs=0.12)


@pytest.mark.parametrize("kind", ["still", "passing", "joining", "leaving"])
def test_nobody_jumps(kind):
    scene, *people = moved(kind)
    for person in people:
        strides = np.diff(person.world[:, HIP_LANDMARKS, :2].mean(1), axis=0)
        speed = np.linalg.norm(strides, axis=-1) * scene.plan.picture.fps
        assert speed.max() < STEP


def test_a_passer_by_is_in_the_picture_in_the_middle_alone():
    _, _, passer = moved("passing")
    across = shares(passer)
    third = len(across) // 3
    assert not ((across > 0) & (across < 1))[[0, -1]].any()
    assert ((across > 0) & (across < 1))[third : 2 * third].any()
    assert abs(across[0] - across[-1]) > 1


def test_somebody_who_joins_comes_in_and_stays():
    _, _, joiner = moved("joining")
    inside = (shares(joiner) > 0) & (shares(joiner) < 1)
    half = len(inside) // 2
    assert not inside[: half // 2].any() and inside[half + half // 2 :].all()
    assert np.count_nonzero(np.diff(inside.astype(int))) == 1


def test_a_mirror_image_is_a_reflection_of_the_same_body():
    _, played, image = moved("mirrored")
    pairs = dict([*BLAZEPOSE33.symmetries, *(pair[::-1] for pair in BLAZEPOSE33.symmetries)])
    swapped = BLAZEPOSE33.indices([pairs.get(joint, joint) for joint in BLAZEPOSE33.joints])
    apart = image.world[:, swapped] - played.world
    normal = apart[0, 0] / np.linalg.norm(apart[0, 0])
    assert np.allclose(apart, (apart @ normal)[..., None] * normal, atol=1e-6)  # all cross the mirror at right angles
    middle = (image.world[:, swapped] + played.world) / 2 @ normal
    assert np.ptp(middle) < 1e-6  # and half-way lies one plane


def test_the_exerciser_leaves_and_comes_back():
    scene, played, bystander = moved("leaving")
    across = shares(played)
    outside = (across < 0) | (across > 1)
    gone = np.flatnonzero(outside)
    assert 0.05 < outside.mean() < 0.6 and np.ptp(gone) <= len(gone)
    assert across[: gone[0] // 3].mean() == pytest.approx(across[-10:].mean(), abs=0.12)
    assert ((shares(bystander) > 0) & (shares(bystander) < 1)).all()
    counted = [row for row in played.timeline.reps if row[2] == scene.plan.label]
    assert len(counted) == 3
    fps = scene.plan.picture.fps
    assert not any(outside[round(start * fps) : round(stop * fps)].any() for start, stop, *_ in counted)


def test_the_camera_is_set_up_for_where_the_exerciser_is_not_walking():
    scene = scene_of("leaving", 0, seed=16, size=TINY)
    staying = replace(scene.plan, bouts=(scene.plan.bouts[0],))
    height = [np.ptp(played.pixels[0, :, 1]) for played in (play_scene(scene), play(staying))]
    assert height[0] == pytest.approx(height[1], rel=0.1)


def test_whom_a_track_follows(both):
    truth = both.accompanied.pose
    assert in_picture(truth).all()
    for person in (0, 1):
        track = replace(truth, xyz=truth.xyz[:, [person]] + 2, score=truth.score[:, [person]])
        track.xyz[3] = np.nan
        frames = followed(track, truth)
        assert frames[3] == -1 and set(np.delete(frames, 3)) == {person}
