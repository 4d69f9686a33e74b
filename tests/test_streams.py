"""What a recogniser is fed: sizes, clocks, masks and joints in step with the pictures, the cut-out person."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from clips import write_clip
from recognisers import unpacked

from racctl.contracts import Mask, Pose
from racctl.errors import DataError
from racctl.recognisers.inputs import Look, gather
from racctl.skeleton.normalise import joint_tokens
from racctl.video.crop import person_boxes
from racctl.video.decode import Video

W, H = 96, 64
VIDEO = Video("film.mp4", "", 30.0, 20, W, H, 0.0, 0.63, 0, False)


def square_at(k: int) -> tuple[int, int]:
    """Left and top of the bright square in frame k."""
    return 20 + 2 * k, 16


def film(path, count=20, fps=30, rotation=0):
    images = []
    for k in range(count):
        image = np.full((H, W, 3), 16, np.uint8)
        x, y = square_at(k)
        image[y : y + 24, x : x + 12] = 235
        images.append(image)
    return write_clip(path, images, fps=fps, rotation=rotation)


def mask_of(count=20, fps=30, start=0) -> Mask:
    mask = np.zeros((count, H, W), np.uint8)
    for k in range(count):
        x, y = square_at(k + start)
        mask[k, y : y + 24, x : x + 12] = 1
    number = np.arange(start, start + count)
    return Mask(mask, number, number / fps, {"clip": "film", "source": {"width": W, "height": H}})


def pose_of(count=20) -> Pose:
    xyz = np.zeros((count, 1, 33, 3), np.float32)
    rng = np.random.default_rng(0)
    xyz[:, 0] = rng.uniform(0, 60, (33, 3)) + np.arange(count)[:, None, None]
    meta = {"clip": "film", "topology": "blazepose33"}
    return Pose(
        xyz, np.ones((count, 1, 33), np.float32), np.arange(count), np.arange(count) / 30, np.zeros(1, np.int32), meta
    )


def read(path, look, mask=None, pose=None, **part):
    with open(path, "rb") as file:
        return gather(file, str(path), look, mask, pose, **part)


def test_pictures_and_masks_show_the_same(tmp_path):
    streams = read(film(tmp_path / "film.mp4"), Look(size=48), mask_of())
    gray, mask = unpacked(streams.packed, 48)
    assert gray.shape == mask.shape == (20, 48, 48)
    for k in (0, 7, 19):
        bright = gray[k] > 128
        assert (bright & (mask[k] == 1)).sum() / (bright | (mask[k] == 1)).sum() > 0.8
    assert gray.max() > 225 and np.median(gray) < 25  # luminance over the full range
    assert streams.frame.tolist() == list(range(20))
    assert (streams.stop, round(streams.stop_s, 2)) == (20, 0.67)


@pytest.mark.parametrize(("fps", "frames"), [(60, [0, 2, 4]), (15, [0, 0, 1, 1, 2])])
def test_other_frame_rates_are_resampled(tmp_path, fps, frames):
    streams = read(film(tmp_path / "film.mp4", fps=fps), Look(size=16), mask_of(fps=fps))
    assert streams.frame[: len(frames)].tolist() == frames


def test_masks_of_every_second_frame_hold_until_the_next(tmp_path):
    mask = mask_of()
    every = Mask(mask.mask[::2], mask.frame[::2], mask.time[::2], mask.meta)
    _, result = unpacked(read(film(tmp_path / "film.mp4"), Look(size=48), every).packed, 48)
    assert np.array_equal(result[2], result[3])
    assert not np.array_equal(result[3], result[4])


def test_without_masks_there_are_none(tmp_path):
    streams = read(film(tmp_path / "film.mp4"), Look(size=16, mask=False))
    assert streams.packed.shape == (20, 16, 16)
    assert not unpacked(streams.packed, 16)[1].any()


def test_a_turned_video_is_upright(tmp_path):
    streams = read(film(tmp_path / "film.mp4", rotation=90), Look(size=48, mask=False))
    rows, columns = np.nonzero(unpacked(streams.packed, 48)[0][0] > 128)
    assert np.ptp(columns) > np.ptp(rows)  # the tall square lies now, squeezed from 64 x 96 to a square


def test_the_person_is_cut_out(tmp_path):
    mask = mask_of()
    boxes = person_boxes(mask.mask, mask.frame, VIDEO)
    assert np.ptp(boxes, axis=0).max() < 0.02  # steady
    streams = read(film(tmp_path / "film.mp4"), Look(size=48, crop="person"), mask)
    _, result = unpacked(streams.packed, 48)
    seen = result.any(0)
    assert seen.any(1).sum() / 48 == pytest.approx(24 / (50 * 1.24), abs=0.06)  # its path is 50 wide, it is 24 tall
    assert seen.any(0).sum() / 48 == pytest.approx(1 / 1.24, abs=0.06)
    gray, _ = unpacked(streams.packed, 48)
    assert ((gray[3] > 128) == result[3]).mean() > 0.9


@pytest.mark.parametrize("height", [64, 32, 16])
def test_squeezed_masks_stay_on_the_person(tmp_path, height):
    """Whatever the mask's size, picture and mask are cut out of the same place."""
    mask = mask_of()
    rows, columns = (np.arange(height) * H) // height, (np.arange(height) * W) // height
    small = Mask(np.ascontiguousarray(mask.mask[:, rows][:, :, columns]), mask.frame, mask.time, {})
    streams = read(film(tmp_path / "film.mp4"), Look(size=48, crop="person"), small)
    gray, result = unpacked(streams.packed, 48)
    for k in (2, 10, 18):
        middles = [np.argwhere(part).mean(0) for part in (gray[k] > 128, result[k] == 1)]
        assert np.abs(middles[0] - middles[1]).max() < 0.5 + 0.8 * W / height  # one pixel of the mask


def test_nobody_anywhere_leaves_the_whole_picture():
    mask = Mask(np.zeros((4, H, W), np.uint8), np.arange(4), np.arange(4) / 30, {})
    assert person_boxes(mask.mask, mask.frame, VIDEO).tolist() == [[0.5, 0.5, 1.0]] * 4


def test_joints_do_not_depend_on_place_and_size():
    pose = pose_of()
    tokens = joint_tokens(pose)
    assert tokens.shape == (20, 33, 4)
    moved = pose_of()
    moved.xyz[..., :2] = moved.xyz[..., :2] * 3 + 100
    moved.xyz[..., 2] *= 3
    np.testing.assert_allclose(joint_tokens(moved), tokens, atol=1e-4)


def test_unseen_joints_are_zero():
    pose = pose_of()
    pose.xyz[3, 0, 5], pose.score[3, 0, 5] = np.nan, 0
    pose.xyz[4], pose.score[4] = np.nan, 0
    tokens = joint_tokens(pose)
    assert tokens[3, 5].tolist() == [0, 0, 0, 0]
    assert not tokens[4].any()
    assert np.isfinite(tokens).all()


def test_smoothed_joints_lose_jumps_and_jitter_but_not_the_movement():
    time = np.arange(240) / 30
    way = np.zeros((240, 1, 33, 3), np.float32)
    way[:, 0] = np.random.default_rng(0).normal(0, 50, (33, 3))
    way[:, 0, 3:9, 1] += 40 * np.sin(2 * np.pi * 0.5 * time)[:, None]
    clean = Pose(way, np.ones(way.shape[:3], np.float32), np.arange(240), time, np.zeros(1, np.int32), pose_of().meta)
    result = replace(clean, xyz=(way + np.random.default_rng(1).normal(0, 6, way.shape)).astype(np.float32))
    result.xyz[100, 0] += 200
    result.xyz[50:53], result.score[50:53] = np.nan, 0
    expected, raw, smooth = joint_tokens(clean), joint_tokens(result), joint_tokens(result, 0.067)
    assert not smooth[50:53].any() and np.array_equal(smooth[..., 3], raw[..., 3])
    seen = smooth[..., 3] > 0
    error = [np.sqrt(((tokens - expected)[seen][:, :3] ** 2).mean()) for tokens in (raw, smooth)]
    assert error[1] < 0.5 * error[0]
    assert np.abs((smooth - expected)[99:102]).max() < 0.3 < np.abs((raw - expected)[100]).max()


def test_joints_come_in_the_topology_asked_for(tmp_path):
    streams = read(film(tmp_path / "film.mp4"), Look(size=16, topology="d2stx25"), mask_of(), pose_of())
    assert streams.joints.shape == (20, 25, 4)


@pytest.mark.parametrize(
    ("look", "mask", "message"),
    [
        (Look(), None, "needs a mask"),
        (Look(mask=False, topology="d2stx25"), None, "needs a pose"),
        (Look(), mask_of(start=200), "covers frames 200 to 219 of 0 to 19"),
        (Look(), mask_of(count=2), "covers frames 0 to 1 of 0 to 19"),
    ],
)
def test_what_is_missing_is_said(tmp_path, look, mask, message):
    with pytest.raises(DataError, match=message):
        read(film(tmp_path / "film.mp4"), look, mask)


def test_a_look_survives_its_header():
    look = Look(64, crop="person", topology="d2stx25")
    assert Look.of(look.header(), "model") == look
    for wrong in ({"size": 2}, {"crop": "tight"}, {"colour": True}, {"size": "big"}, {"rate": 0}):
        with pytest.raises(DataError, match="wants an input"):
            Look.of({**look.header(), **wrong}, "model")
