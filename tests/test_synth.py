"""The generator from end to end: bodies stand on the floor, truth fits the pictures, a seed gives the same clips."""

from __future__ import annotations

import importlib.util
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import maximum_filter

pytest.importorskip("numba", reason="the generator is the extra racctl[synth]")
pytest.importorskip("torch", reason="the generator is the extra racctl[synth]")
if importlib.util.find_spec("anny") is None:
    pytest.skip("the generator is the extra racctl[synth]", allow_module_level=True)

from racctl.errors import UsageError
from racctl.io.npz import read_npz, read_pose
from racctl.io.parquet import read_table
from racctl.skeleton.topology import BLAZEPOSE33
from racctl.synth.ask import parse_split, read_request
from racctl.synth.body import make_body
from racctl.synth.channels import INDEX
from racctl.synth.clip import play, render_clip
from racctl.synth.dataset import generate, plans
from racctl.synth.ground import HELD_AT, lowest, stand
from racctl.synth.motion import Bout, Repetition, timeline
from racctl.synth.movement import sides
from racctl.synth.movements import catalog, movement_named
from racctl.synth.noise import BLAZEPOSE_ERRORS, LOWER, estimate, group_of, varied
from racctl.synth.plan import FRAME_RATES, PICTURE_SIZES, generator, plan_clip
from racctl.synth.protocol import PROTOCOL_CLASSES, class_shares, divergence, protocol_jobs
from racctl.synth.render import PERSON_LABEL, actor, shots
from racctl.synth.sequence import pose_clip, sequences
from racctl.synth.styles import ARM_CHANNELS, AS_WRITTEN_SHARE, arm_styles, draw_lean, draw_reach, draw_style, key_poses
from racctl.video.decode import probe

SIZE = {"size": (96, 96), "fps": 10.0, "repetitions": (2, 2)}
FLOOR = 0.03  # m that a fingertip or a toe may sink in
STYLED = 0.04  # m for people who are unlike the one that the movement was written for
SLIDE = 0.06  # m that a foot on the floor may move


@pytest.fixture(scope="module")
def body():
    return make_body({"gender": 0.1, "age": 0.6})


def test_a_plan_is_recorded_under_the_names_of_earlier_data_sets():
    record = plan_clip(3, 4, "squat").record()
    assert {"other", "other_bout"} <= record.keys() and "bystander" not in record
    repetition = record["bouts"][0]["repetitions"][0]
    assert set(repetition) == {"pace", "depth", "kind", "rest"}


def standing(body, name: str, repetitions: int = 2, fps: float = 20.0, **options):
    moves = timeline([Bout(name, (Repetition(),) * repetitions, **options)], fps, generator(3))
    return moves, stand(body, moves.track)


def as_people_do_it(body, name: str):
    """The movement in each style of the arms, and as written, each with somebody's own angles."""
    movement = movement_named(name)
    for number, arms in enumerate(["", "", *arm_styles(movement)]):
        rng = generator(number, 8)
        ours = {
            "style": draw_style(rng, movement),
            "reach": draw_reach(rng, movement),
            "lean": draw_lean(rng, movement),
        }
        yield standing(body, name, fps=8.0, arms=arms, **ours)[1]


@pytest.mark.parametrize("name", list(catalog()))
def test_nobody_sinks_into_the_floor(body, name):
    _, placed = standing(body, name)
    low = lowest(body, body.hull, placed.turns, placed.places)
    assert low.min() > -FLOOR
    assert np.isfinite(placed.places).all()


@pytest.mark.parametrize("name", list(catalog()))
def test_nobody_sinks_or_slides_whatever_the_style(body, name):
    held = {
        "foot": name in PLANTED,
        "hand": name.endswith("push_up") or name == "mountain_climber",
        "fingers": name == "pull_up",
    }
    for placed in as_people_do_it(body, name):
        assert lowest(body, body.hull, placed.turns, placed.places).min() > -STYLED
        for part in (part for part, holds in held.items() if holds):
            for side in ("left", "right"):
                assert np.ptp(placed.places[:, body.bones.joint[f"{side}_{part}"]], axis=0).max() < SLIDE


PLANTED = [name for name, m in catalog().items() if m.touch == ("feet",) and not any(step.touch for step in m.steps)]


@pytest.mark.parametrize("name", PLANTED)
def test_planted_feet_stay(body, name):
    _, placed = standing(body, name)
    for side in ("left", "right"):
        ankle = placed.places[:, body.bones.joint[f"{side}_foot"], :2]
        assert np.ptp(ankle, axis=0).max() < SLIDE


def test_a_gymnast_takes_hold_of_the_same_pommels_again_and_clears_the_horse(body):
    moves, placed = standing(body, "pommel_horse", 4)
    for side in ("left", "right"):
        hand = placed.places[:, body.bones.joint[f"{side}_fingers"]]
        on = np.array([f"{side}_grip" in sides(touch) for touch in moves.track.touches])[moves.track.touch]
        held = on & np.roll(on, 4) & np.roll(on, -4)
        assert np.ptp(hand[held], axis=0).max() < SLIDE
    feet = placed.places[:, [body.bones.joint[f"{side}_foot"] for side in ("left", "right")]]
    grips = [np.median(placed.places[:, body.bones.joint[f"{side}_fingers"], :2], 0) for side in ("left", "right")]
    middle = np.mean(grips, 0)
    over = (np.abs(feet[..., :2] - middle) < [0.8, 0.18]).all(-1)
    assert feet[over][:, 2].min(initial=9) > HELD_AT["horse"] - 0.1


@pytest.mark.parametrize(
    "name", ["push_up", "wide_push_up", "diamond_push_up", "pike_push_up", "pull_up", "mountain_climber"]
)
def test_hands_stay_where_they_are_put(body, name):
    _, placed = standing(body, name)
    hand = "fingers" if name == "pull_up" else "hand"
    for side in ("left", "right"):
        assert np.ptp(placed.places[:, body.bones.joint[f"{side}_{hand}"]], axis=0).max() < SLIDE


def test_bones_keep_their_lengths(body):
    _, placed = standing(body, "burpee")
    for first, second in (("left_thigh", "left_shin"), ("left_shin", "left_foot"), ("right_upperarm", "right_forearm")):
        a, b = body.bones.joint[first], body.bones.joint[second]
        gap = np.linalg.norm(placed.places[:, a] - placed.places[:, b], axis=-1)
        assert np.ptp(gap) < 0.012


def test_repetitions_are_those_that_were_planned():
    bout = Bout("squat", (Repetition(), Repetition(depth=0.2, kind="aborted"), Repetition(pace=2.0, pause=1.0)))
    moves = timeline([Bout("stand", (Repetition(),)), bout], 30.0, generator(0))
    ours = [row for row in moves.reps if row[2] == "squat"]
    assert [kind for *_, kind in ours] == ["full", "aborted", "full"]
    assert ours[2][1] - ours[2][0] == pytest.approx(2 * movement_named("squat").seconds())
    assert all(stop > start for start, stop, *_ in moves.reps)


def test_a_rendered_clip_agrees_with_itself(tmp_path):
    clip = render_clip(plan_clip(5, 1, "squat", clean=True, alone=True, **SIZE), "one")
    assert clip.count == 2 and len(clip.reps) == 2
    (tmp_path / "one.mp4").write_bytes(clip.video)
    with open(tmp_path / "one.mp4", "rb") as file:
        video = probe(file, "one.mp4")
    assert (video.frames, video.width, video.height) == (len(clip.pose.frame), 96, 96)
    assert video.sha256 == clip.pose.meta["source"]["sha256"]
    assert clip.mask.shape == (video.frames, 96, 96) and set(np.unique(clip.mask)) <= {0, 1}
    inside = clip.pose.score[:, 0] > 0.5
    at = np.clip(clip.pose.xyz[:, 0, :, :2].astype(int), 0, 95)
    on = np.take_along_axis(clip.mask.reshape(len(at), -1), at[..., 1] * 96 + at[..., 0], 1)
    assert on[inside].mean() > 0.9  # what is visible lies on the person


def test_a_clip_is_the_same_to_the_last_byte():
    plan = plan_clip(3, 1, "burpee", **SIZE)
    assert render_clip(plan, "x").video == render_clip(plan, "x").video


def test_world_is_the_picture_seen_through_the_camera():
    played = play(plan_clip(5, 2, "push_up", **SIZE))
    seen = np.einsum("tij,tpj->tpi", played.view.turns, played.world - played.view.places[:, None])
    flat = seen[..., :2] / seen[..., 2:] * played.view.focal + 48
    assert np.allclose(flat, played.pixels[..., :2])


def test_the_same_seed_gives_the_same_plan_and_truth():
    single, two = (plan_clip(7, 3, "lunge", speed="fast", **SIZE) for _ in range(2))
    assert single == two and json.dumps(single.record())
    assert plan_clip(8, 3, "lunge", **SIZE).person != single.person
    first, second = (pose_clip(single, "x").pose for _ in range(2))
    assert np.array_equal(first.xyz, second.xyz, equal_nan=True) and first.meta == second.meta


def test_noise_leaves_gaps_as_the_contract_wants_them():
    pose = pose_clip(plan_clip(7, 4, "squat", **SIZE), "x", errors="none").pose
    result = estimate(pose, generator(1))
    gone = ~np.isfinite(result.xyz).all(-1)
    assert (result.score[gone] == 0).all()
    error = np.linalg.norm((result.xyz - pose.xyz)[..., :2], axis=-1)[:, 0, BLAZEPOSE33.index("left_hip")]
    assert 0 < np.nanmedian(error) < 10


def test_legs_behind_a_trunk_that_points_at_the_camera_are_guessed():
    plan = plan_clip(7, 4, "push_up", **SIZE)
    groups = np.array([group_of(joint) for joint in BLAZEPOSE33.joints])
    for azimuth, worse in ((0.0, True), (90.0, False)):
        camera = replace(plan.camera, azimuth=azimuth, height=0.2, pan=0.0, shake=0.0, roll=0.0, shift=(0.0, 0.0))
        pose = pose_clip(replace(plan, camera=camera), "x", errors="none").pose
        as_ever = estimate(pose, generator(1), replace(BLAZEPOSE_ERRORS, end_on=(0.38, 0.0))).xyz - pose.xyz
        now = estimate(pose, generator(1)).xyz - pose.xyz
        changed = (np.nan_to_num(np.abs(now - as_ever))[:, 0, :, :2] > 1e-3).any((0, 2))
        assert set(groups[changed]) == (set(LOWER) if worse else set())


def test_sequences_go_on_for_ever():
    some = itertools.islice(sequences(["squat", "lunge"], 0, shapes=1, **SIZE), 3)
    assert [clip.plan.label for clip in some] == ["squat", "lunge", "squat"]


def test_a_data_set_is_made_once_and_completed(tmp_path):
    jobs = plans(["squat", "plank"], 4, parse_split("train=1,test=1"), 0, drawn=False, errors="blazepose", **SIZE)
    rows = generate(jobs, tmp_path, 1)
    remaining = (tmp_path / "pose/squat_00000.npz").stat().st_mtime_ns
    (tmp_path / "pose/plank_00001.npz").unlink()
    assert generate(jobs, tmp_path, 1) == rows
    assert (tmp_path / "pose/squat_00000.npz").stat().st_mtime_ns == remaining
    with open(tmp_path / "manifest.parquet", "rb") as file:
        meta, table = read_table(file, "manifest")
    assert meta["schema"] == "racctl.manifest/1"
    assert sorted(table["split"].to_pylist()) == ["test", "test", "train", "train"]
    assert dict(zip(table["label"].to_pylist(), table["count"].to_pylist(), strict=True))["plank"] == 0
    with open(tmp_path / "reps.parquet", "rb") as file:
        assert set(read_table(file, "reps")[1]["label"].to_pylist()) == {"squat"}
    with open(tmp_path / "joints25/squat_00000.npz", "rb") as file:
        assert read_pose(file, "25").topology == "d2stx25"


def test_masks_are_contracts(tmp_path):
    generate(plans(["push_up"], 1, {"all": 1.0}, 2, clean=True, alone=True, **SIZE), tmp_path, 1)
    with open(tmp_path / "mask/push_up_00000.npz", "rb") as file:
        meta, arrays = read_npz(file, "mask")
    assert meta["schema"] == "racctl.mask/1" and 0 < meta["coverage"] < 0.6
    assert arrays["mask"].shape[0] == len(arrays["frame"])


def test_the_protocol_has_its_class_distribution():
    assert divergence(class_shares(False), class_shares(True)) == pytest.approx(0.08, abs=0.01)
    jobs, remarks = protocol_jobs(2, 60.0, 0, (96, 96), 10.0, drawn=False)
    assert {job.split for job in jobs} == {"train", "test", "test_0_5x", "test_1x", "test_1_5x", "test_3x", "test_4x"}
    assert "nats" in remarks[0]


def written_shares(folder, split: str) -> dict[str, float]:
    """Class -> share of the frames of a split, from the tables that were written."""
    frames: dict[str, float] = {}
    with open(folder / "manifest.parquet", "rb") as file:
        splits = {row["clip"]: row["split"] for row in read_table(file, "manifest")[1].to_pylist()}
    with open(folder / "labels.parquet", "rb") as file:
        for row in read_table(file, "labels")[1].to_pylist():
            if splits[row["clip"]] == split:
                frames[row["label"]] = frames.get(row["label"], 0) + row["stop"] - row["start"]
    return {name: count / sum(frames.values()) for name, count in frames.items()}


def test_the_protocols_written_labels_are_as_far_apart_as_is_printed(tmp_path):
    jobs, remarks = protocol_jobs(6, 180.0, 0, (96, 96), 4.0, drawn=False)
    generate([job for job in jobs if job.split in ("train", "test")], tmp_path, 1)
    train, test = (written_shares(tmp_path, split) for split in ("train", "test"))
    assert set(train) == set(test) == set(PROTOCOL_CLASSES) and len(train) == 17
    assert divergence(train, test) == pytest.approx(float(remarks[0].split("= ")[1].split()[0]), abs=0.01)
    assert max(train, key=train.__getitem__) == max(test, key=test.__getitem__) == "background"
    assert train["push_up"] == max(share for name, share in train.items() if name != "background")
    assert sum(share < 0.03 for share in train.values()) >= 3  # several classes are rare


def test_what_varies_is_drawn_and_recorded():
    some = [plan_clip(3, number, "lunge") for number in range(400)]

    def spread(get) -> int:
        return len({json.dumps(get(plan)) for plan in some})

    for part, least in (("person", 300), ("camera", 300), ("room", 300), ("picture", 300), ("bouts", 300)):
        assert spread(lambda plan, part=part: plan.record()[part]) > least
    pictures = [plan.picture for plan in some]
    assert {p.fps for p in pictures} == set(FRAME_RATES) and {(p.width, p.height) for p in pictures} == set(
        PICTURE_SIZES
    )
    assert {repetition.kind for plan in some for bout in plan.bouts for repetition in bout.repetitions} == {
        "full", "partial", "aborted",
    }  # fmt: skip
    for seen in (
        lambda p: p.bystander, lambda p: p.room.occluders, lambda p: p.room.distractors, lambda p: p.camera.pan,
        lambda p: p.camera.shake, lambda p: p.camera.roll, lambda p: p.picture.dropped, lambda p: p.picture.shutter,
        lambda p: p.picture.blur, lambda p: p.picture.noise, lambda p: p.bouts[0].asymmetry, lambda p: p.bouts[0].drift,
        lambda p: any(r.pause for b in p.bouts for r in b.repetitions), lambda p: p.room.style == "gym",
    ):  # fmt: skip
        assert sum(bool(seen(plan)) for plan in some) > 0
    assert np.ptp([plan.camera.azimuth for plan in some]) > 340


def test_free_arms_are_held_in_every_style_and_a_bout_says_which():
    bouts = [b for k in range(400) for b in plan_clip(3, k, "squat", clean=True).bouts]
    drawn = [bout.arms for bout in bouts]
    assert set(drawn) == {"", *arm_styles(movement_named("squat"))}
    assert drawn.count("") / len(drawn) == pytest.approx(AS_WRITTEN_SHARE, abs=0.08)
    assert len({json.dumps(bout.style) for bout in bouts}) == len({json.dumps(bout.reach) for bout in bouts}) == 400
    assert {bout.arms for k in range(40) for bout in plan_clip(3, k, "bicep_curl", clean=True).bouts} == {""}


def test_a_style_moves_the_arms_and_nothing_else():
    squat = movement_named("squat")
    arms = [INDEX[f"{side}_{name}"] for side in ("left", "right") for name in ARM_CHANNELS]
    for name in arm_styles(squat):
        keys = key_poses(squat, name, {}, 0.0)
        assert np.array_equal(np.delete(keys, arms, 1), np.delete(squat.keys(), arms, 1))
        assert np.array_equal(keys[0], keys[-1])


@pytest.mark.parametrize("name", ["push_up", "plank", "mountain_climber"])
def test_people_on_hands_and_feet_are_filmed_from_in_front_too(name):
    cameras = [plan_clip(3, number, name).camera for number in range(400)]
    front = [camera for camera in cameras if abs(camera.azimuth) < 35]
    close = [camera for camera in front if camera.height < 0.7 and camera.focal < 0.95]
    assert len(front) > 0.2 * len(cameras) and len(close) > 0.12 * len(cameras)
    assert sum(abs(camera.azimuth) > 150 for camera in cameras) > 5


def test_the_lens_keeps_away_from_a_head():
    plan = plan_clip(5, 2, "push_up", **SIZE)
    near = replace(plan.camera, azimuth=0.0, height=0.2, focal=0.5, fill=0.98)
    played = play(replace(plan, camera=near))
    assert np.linalg.norm(played.world - played.view.places[:, None], axis=-1).min() > 0.3


def test_an_open_shutter_blurs_what_moves_and_nothing_else():
    plan = plan_clip(5, 1, "jump_jack", clean=True, alone=True, **SIZE)
    still = replace(plan, picture=replace(plan.picture, shutter=0.0, noise=0.0, blur=0.0))
    open_ = replace(still, picture=replace(still.picture, shutter=0.9))
    (sharp, mask), (soft, same) = (pictures(single) for single in (still, open_))
    assert np.array_equal(mask, same)  # the truth is that of the middle of the exposure
    apart = np.abs(sharp - soft).mean(-1)
    near = np.stack([maximum_filter(frame, 25) for frame in mask]).astype(bool)
    assert apart[near].mean() > 0.5 and apart[~near].max() == 0


def pictures(plan) -> tuple[np.ndarray, np.ndarray]:
    """(T, H, W, 3) images before the encoder, and masks."""
    played = play(plan, seconds=1.0)
    actors = [actor(played.body, played.placed, plan.person, PERSON_LABEL)]
    result = list(shots(plan, actors, played.view, played.timeline.props, played.pixels))
    return np.stack([shot.image for shot in result]).astype(float), np.stack([shot.mask for shot in result])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": "flying"}, "no such movement"), ({"split": "train"}, "invalid value 'train' for '--split'"),
        ({"size": "97x96"}, "odd side"), ({"reps": "9-3"}, "backwards"),
        ({"errors": "some"}, "expected one of blazepose, varied"),
    ],
)  # fmt: skip
def test_requests_that_make_no_sense_are_refused(change, message):
    requested = {"classes": "squat", "split": "all=1", "size": "96x96", "reps": "2", "pose_only": False, "errors": ""}
    with pytest.raises(UsageError, match=message):
        read_request(**{**requested, "protocol": False, **change})


def test_invented_movements_are_each_clips_own_and_end_where_they_began(body):
    result = {movement_named(f"invented_5_{k}").stance for k in range(40)}
    assert result == {"standing", "supine", "prone"}
    for k in range(12):
        plan = plan_clip(5, k, "invented", clean=True, **SIZE)
        movement = movement_named(plan.bouts[0].movement)
        assert plan.bouts[0].movement == f"invented_5_{k}" and plan.label == "invented"
        assert np.allclose(movement.keys()[0], movement.keys()[-1]) and np.ptp(movement.keys(), axis=0).max() >= 30
        clip = pose_clip(plan, "x", errors="none", body=body)
        assert np.isfinite(clip.pose.world).all() and np.ptp(clip.pose.world, axis=(0, 1, 2)).max() < 4
        assert clip.count == len(plan.bouts[0].repetitions)


def test_invented_movements_take_every_second_clip():
    jobs = plans(["squat", "lunge", "invented"], 8, {"train": 1.0}, 2, drawn=False)
    labels = sorted((job.plan.number, job.plan.label) for job in jobs)
    assert [label for _, label in labels] == ["squat", "invented", "lunge", "invented"] * 2
    assert len({job.plan.bouts[0].movement for job in jobs if job.plan.label == "invented"}) == 4
    assert [job.plan.label for job in plans(["invented"], 2, {"train": 1.0}, 2)] == ["invented", "invented"]


def test_background_is_idle_motions_and_gestures_none_of_which_is_counted(body):
    names = []
    for k in range(6):
        plan = plan_clip(5, k, "background", **SIZE)
        clip = pose_clip(plan, "x", errors="none", body=body)
        assert plan.label == "background" and 3 <= len(plan.bouts) <= 6
        assert clip.count == 0 and set(clip.label) == {"background"}
        names += [bout.movement for bout in plan.bouts]
    result = [pose_clip(plan_clip(5, k, "background", **SIZE), "x", errors="varied", body=body).pose for k in range(12)]
    assert 2 <= sum(np.isfinite(pose.xyz).any() for pose in result) <= 10  # in the others nobody is found
    assert any(name.startswith("gesture_5_") for name in names) and set(names) & set(catalog())
    labels = [job.plan.label for job in sorted(plans(["squat", "invented", "background"], 16, {"train": 1.0}, 2),
                                               key=lambda job: job.plan.number)]  # fmt: skip
    assert labels == [*["squat", "invented"] * 3, "squat", "background"] * 2


def test_varied_errors_reach_from_few_to_many():
    plan, truth = plan_clip(7, 4, "squat", **SIZE), pose_clip(plan_clip(7, 4, "squat", **SIZE), "x", errors="none").pose
    result, scored = [], []
    for k in range(30):
        rng = np.random.default_rng(k)
        pose = estimate(truth, rng, varied(rng))
        result.append(np.nanmedian(np.linalg.norm((pose.xyz - truth.xyz)[..., :2], axis=-1)))
        scored.append(bool(np.ptp(pose.score[np.isfinite(pose.xyz).all(-1)]) > 0))
    usual = estimate(truth, np.random.default_rng(0))
    usual = np.nanmedian(np.linalg.norm((usual.xyz - truth.xyz)[..., :2], axis=-1))
    assert min(result) < 0.6 * usual and max(result) > 1.5 * usual
    assert 5 < sum(scored) < 25
    assert pose_clip(plan, "x", errors="varied").pose.xyz.tobytes() != pose_clip(plan, "x").pose.xyz.tobytes()
