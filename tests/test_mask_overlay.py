"""Masks drawn into the picture: at its own size, with a smooth edge, while the file stays what it is without them."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from clips import bouncing, write_clip
from commands import racctl
from hypothesis import given, settings
from hypothesis import strategies as st
from masks import estimate, written
from PIL import Image

from racctl.estimators import selfie, yolo
from racctl.estimators.blazepose.networks import SeenBody
from racctl.estimators.blazepose.outline import outline_parcel
from racctl.estimators.blazepose.region import CropSource, Region
from racctl.estimators.mask import MaskOptions, follow, mask_lanes, mask_source
from racctl.estimators.silhouettes import nearest, pack, unpack
from racctl.io.npz import read_mask
from racctl.video.decode import probe
from racctl.video.mask_overlay import MaskScene

HEIGHT = 720


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    wide = [np.pad(image, ((0, 0), (13, 13), (0, 0)), mode="edge") for image in bouncing(4, 26, HEIGHT, rise=0.4)]
    return write_clip(tmp_path_factory.mktemp("drawn") / "bounce.mp4", wide)


def drawn(path, **settings):
    """The masks as they are estimated for an overlay."""
    options = MaskOptions(**settings).check()
    with mask_lanes(options, 1, 1, drawn=True) as (workers,):
        return mask_source(str(path), workers, options=options)


def pictures(path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]


def likeness(mask: np.ndarray, second: np.ndarray) -> float:
    return (mask & second).sum() / (mask | second).sum()


@pytest.mark.parametrize("model", ["blazepose", "selfie"])
def test_the_file_is_the_same_whether_it_is_drawn_or_not(clip, model):
    for size in ("112x112", "50x33"):
        full = drawn(clip, model=model, size=size)
        assert written(full) == written(estimate(clip, model=model, size=size))
        assert full.drawn.shape == (4, HEIGHT, 640)


def test_full_size_masks_take_little_memory(clip):
    masks = drawn(clip)
    assert max(len(bits) for _, bits in masks.parcels) < 0.1 * HEIGHT * masks.drawn.shape[2] / 8


def test_the_overlay_shows_the_outline_at_the_pictures_size(tmp_path, clip):
    words = ["mask", clip, "-q", "--jobs", "1", "--size", "16x16"]
    assert racctl(*words, "--overlay", tmp_path / "o.mp4", "-o", tmp_path / "m.npz").returncode == 0
    assert (tmp_path / "m.npz").read_bytes() == racctl(*words).stdout
    small = read_mask(io.BytesIO((tmp_path / "m.npz").read_bytes()), "m").mask
    full = estimate(clip, size="full").unpacked().mask.astype(bool)
    for t, (shown, source) in enumerate(zip(pictures(tmp_path / "o.mp4"), pictures(clip), strict=True)):
        tinted = np.abs(shown - source).max(-1) > 24
        blocks = np.array(Image.fromarray(small[t]).resize(full[t].shape[::-1], Image.Resampling.NEAREST)) > 0
        assert likeness(tinted, full[t]) > 0.96
        assert likeness(tinted, blocks) < 0.94


def test_an_edge_is_smooth_and_the_rest_of_the_picture_untouched(clip):
    with clip.open("rb") as file:
        video = probe(file, "clip")
    y, x = np.mgrid[: video.height, : video.width]
    for scale in (1, 4):
        disc = ((y - 300) ** 2 + (x - 250) ** 2 < 120**2)[scale // 2 :: scale, scale // 2 :: scale].astype(np.uint8)
        scene = MaskScene(video, disc[None], np.array([0]))
        planes = [np.zeros((video.height // n, video.width // n), np.uint8) for n in (1, 2, 2)]
        scene.prepare(Canvas())
        scene.draw(planes, 0, 0.0)
        luma = planes[0].astype(int)
        along = luma[300, 80:420]  # black, the rim, the tint of the disc, the rim, black
        assert luma[300, 250] == pytest.approx(0.5 * scene.tint[0], abs=2)
        assert along.max() > 150
        assert len(np.unique(along)) > 6  # a hard edge has three
        far = (y - 300) ** 2 + (x - 250) ** 2 > 132**2
        assert not luma[far].any()


class Canvas:
    """As much of a `Picture` as a scene asks for."""

    bt709 = True
    full_range = False


def test_a_mask_at_the_border_of_an_odd_picture_is_drawn(tmp_path):
    odd = [np.ascontiguousarray(image[:239, :203]) for image in bouncing(2, 26)]
    clip = write_clip(tmp_path / "odd.mp4", odd, pixels="yuv444p")
    with clip.open("rb") as file:
        video = probe(file, "clip")
    whole = MaskScene(video, np.ones((1, 24, 20), np.uint8), np.array([0]))
    planes = [np.zeros(size, np.uint8) for size in ((240, 204), (120, 102), (120, 102))]
    whole.prepare(Canvas())
    whole.draw(planes, 0, 0.0)
    assert planes[0][:239, :203].all()


# What a smaller mask has of a larger one.


@given(
    st.integers(0, 2**32 - 1),
    st.floats(20, 400),
    st.floats(-3.2, 3.2),
    st.tuples(st.integers(60, 200), st.integers(60, 200)),
    st.tuples(st.integers(8, 250), st.integers(8, 250)),
)
@settings(max_examples=60, deadline=None)
def test_a_smaller_outline_has_some_of_the_pixels_of_a_larger_one(seed, side, angle, shape, size):
    rng = np.random.default_rng(seed)
    outline = rng.random((256, 256), np.float32)
    nothing = np.zeros(0)
    body = SeenBody(1.0, nothing, nothing, nothing, outline, None)
    region = Region(*rng.uniform(0, 200, 2), side, angle)
    picture = CropSource.of(np.zeros((*shape, 3), np.uint8))
    (full,) = unpack(outline_parcel(body, region, picture, None, 0.5))
    (small,) = unpack(outline_parcel(body, region, picture, size, 0.5))
    np.testing.assert_array_equal(small, full[nearest(shape[0], size[0])][:, nearest(shape[1], size[1])])


def test_an_outline_is_where_its_region_is():
    disc = (np.hypot(*(np.mgrid[:256, :256] - 127.5)) < 100).astype(np.float32)
    nothing = np.zeros(0)
    body = SeenBody(1.0, nothing, nothing, nothing, disc, None)
    picture = CropSource.of(np.zeros((300, 400, 3), np.uint8))
    (mask,) = unpack(outline_parcel(body, Region(250, 120, 256, 0.7), picture, None, 0.5))
    y, x = np.mgrid[:300, :400] + 0.5
    assert likeness(mask > 0, np.hypot(x - 250, y - 120) < 100) > 0.99


def test_people_told_apart_are_the_same_at_any_size():
    rng = np.random.default_rng(3)
    for shape in ((720, 1280), (113, 300), (90, 60)):
        mask = np.kron(rng.random((9, 12)) > 0.6, np.ones((-(-shape[0] // 9), -(-shape[1] // 12)))) > 0
        mask = mask[: shape[0], : shape[1]]
        full = selfie.apart(mask, np.arange(shape[0]), np.arange(shape[1]))
        for size in ((112, 112), (40, 70)):
            rows, columns = nearest(shape[0], size[0]), nearest(shape[1], size[1])
            np.testing.assert_array_equal(selfie.apart(mask, rows, columns), full[:, rows][:, :, columns])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_a_smaller_yolo_mask_has_some_of_the_pixels_of_a_larger_one(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(2, 80, 60)).astype(np.float32)
    y = np.sort(rng.uniform(-1, 81, 90))
    x = np.sort(rng.uniform(-1, 61, 110))
    chosen = rng.random(90) > 0.7
    full = yolo.logits_at(logits, y, x)
    np.testing.assert_array_equal(yolo.logits_at(logits, y[chosen], x[::7]), full[:, chosen][:, :, ::7])
    at = np.clip(y - 0.5, 0, 79)
    straight = np.interp(at, np.arange(80), logits[0, :, 0])
    np.testing.assert_allclose(yolo.logits_at(logits, y, np.array([0.5]))[0, :, 0], straight, atol=1e-5)


@pytest.mark.parametrize("person", ["tracked", "largest", "central"])
def test_whose_mask_it_is_does_not_depend_on_the_size(person):
    """Small pieces that a reduced mask loses count for nothing in a full one, too."""
    rng = np.random.default_rng(7)
    size = (16, 12)
    rows, columns = nearest(96, 16), nearest(90, 12)
    frames = [rng.random((3, 96, 90)) > rng.uniform(0.6, 0.999, (3, 1, 1)) for _ in range(40)]
    full, small = np.empty(40, object), np.empty(40, object)
    for t, masks in enumerate(frames):
        full[t] = pack(masks)
        small[t] = pack(masks[:, rows][:, :, columns])
    time = np.arange(40) / 10
    chosen = [unpack(parcel, size) for parcel in follow(full, time, person, size)]
    for mask, expected in zip(chosen, follow(small, time, person, size), strict=True):
        np.testing.assert_array_equal(mask, unpack(expected))
