"""Which person a mask is of, on made-up people; and YOLO, its numbers, its files, its packages."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from clips import bouncing, portrait, write_clip
from hypothesis import given
from hypothesis import strategies as st
from masks import estimate, written

from racctl.errors import DataError, UsageError
from racctl.estimators import selfie, yolo
from racctl.estimators.base import mask_model
from racctl.estimators.mask import MaskOptions, follow, hold
from racctl.estimators.silhouettes import Silhouettes, nearest, pack, unpack

TFLITE = Path(os.environ.get("RACCTL_TEST_DATA", ""), "weights", "yolov8n-seg_int8.tflite")
needs_tflite = pytest.mark.skipif(
    "RACCTL_TEST_DATA" not in os.environ or not TFLITE.is_file(), reason="RACCTL_TEST_DATA names no YOLO model"
)


# Made-up people: squares on an empty ground.


def square(y, x, side, height=40, width=60):
    mask = np.zeros((height, width), bool)
    mask[y : y + side, x : x + side] = True
    return mask


def parcels(*frames):
    cells = np.empty(len(frames), object)
    for t, people in enumerate(frames):
        cells[t] = pack(np.array(people, bool).reshape(-1, 40, 60))
    return cells


def chosen(frames, person, fps=10):
    result = list(follow(parcels(*frames), np.arange(len(frames)) / fps, person))
    return [unpack(parcel)[0].astype(bool) if parcel[0][0] else None for parcel in result]


def test_largest_and_central_choose_in_every_frame():
    near, far = square(0, 0, 12), square(15, 25, 8)
    for frame in ([near, far], [far, near]):
        assert (chosen([frame], "largest")[0] == near).all()
        assert (chosen([frame], "central")[0] == far).all()
    for person in ("largest", "central", "tracked"):
        assert chosen([[]], person) == [None]
        assert chosen([[square(0, 0, 0)]], person) == [None]


def test_tracked_stays_with_the_first_person():
    walk = [square(10, x, 8) for x in range(0, 40, 4)]
    second = square(28, 40, 11)
    frames = [[walk[0]], *([second, step] for step in walk[1:])]
    for got, step in zip(chosen(frames, "tracked"), walk, strict=True):
        assert (got == step).all()
    assert (chosen([[second, walk[0]]], "tracked")[0] == second).all()


def test_tracked_waits_a_second_for_a_person_who_is_gone():
    me, second = square(10, 0, 8), square(28, 40, 11)
    frames = [[me], *[[second]] * 15, [me, second]]
    got = chosen(frames, "tracked")
    assert [first is None for first in got] == [False, *[True] * 10, *[False] * 6]
    assert (got[-1] == second).all()
    assert (chosen([[me], [second], [second, me]], "tracked")[2] == me).all()


def test_hold_fills_short_gaps():
    first, nobody = pack(square(0, 0, 5)[None]), pack(np.zeros((0, 40, 60), bool))
    clip = [nobody, first, nobody, nobody, nobody, first, nobody]
    for most, expected in ((0, "0100010"), (1, "0110011"), (2, "0111011"), (9, "0111111")):
        remaining, held = hold(clip, most)
        assert "".join(str(parcel[0][0]) for parcel in remaining) == expected
        assert held == expected.count("1") - 2


def test_people_are_told_apart_by_what_hangs_together():
    two = square(5, 5, 12) | square(20, 40, 18)
    everywhere = np.arange(two.shape[0]), np.arange(two.shape[1])
    result = selfie.apart(two, *everywhere)
    assert len(result) == 2
    assert (result[0] == square(20, 40, 18)).all() and (result[1] == square(5, 5, 12)).all()
    cut = square(5, 5, 20)
    cut[:, 12:15] = False  # a bar in front
    assert len(selfie.apart(cut, *everywhere)) == 1
    assert selfie.apart(np.zeros(two.shape, bool), *everywhere).shape == (0, *two.shape)


@given(st.integers(1, 3000), st.integers(1, 500))
def test_nearest_takes_the_pixel_whose_middle_is_nearest(length, target):
    at = nearest(length, target)
    middle = (np.arange(target) + 0.5) * length / target
    assert (np.abs(at + 0.5 - middle) <= 0.5).all() and at.min() >= 0 and at.max() < length


# YOLO.


def anchors(*people, count=6):
    """(count, 4 + 80 + 32): each (cx, cy, w, h, class, score); the coefficients pick the prototype of that number."""
    result = np.zeros((count, 116), np.float32)
    for k, (*box, kind, score) in enumerate(people):
        result[k, :4] = box
        result[k, 4 + kind] = score
        result[k, 84 + k] = 1
    return result


def test_people_are_the_sure_ones_of_their_class_and_each_once():
    result = anchors(
        (100, 100, 50, 80, 0, 0.5), (101, 100, 50, 80, 0, 0.9), (300, 300, 40, 40, 0, 0.3), (300, 100, 9, 9, 7, 0.9),
        (500, 500, 40, 40, 0, 0.2),
    )  # fmt: skip
    boxes, weights = yolo.people(result, (640, 640))
    np.testing.assert_allclose(boxes, [[76, 60, 126, 140], [280, 280, 320, 320]])
    assert weights.argmax(1).tolist() == [1, 2]
    result[:, :4] /= 640
    np.testing.assert_allclose(yolo.people(result, (640, 640))[0], boxes, atol=1e-3)
    assert len(yolo.people(anchors(), (640, 640))[0]) == 0


def test_a_letterbox_and_its_masks_lead_back_to_the_picture():
    rgb = np.zeros((50, 100, 3), np.uint8)
    rgb[10:30, 20:60] = 255
    image, scale, top, left = yolo.letterbox(rgb, (320, 320))
    assert (image[:80] == yolo.GREY).all() and (image[-80:] == yolo.GREY).all()
    assert (scale, top, left) == (3.2, 80, 0)
    prototypes = np.zeros((32, 80, 80), np.float32)
    prototypes[0] = np.where(image[::4, ::4, 0] == 255, 9, -9)
    y, x = (np.arange(50) + 0.5) * scale + top, (np.arange(100) + 0.5) * scale + left
    boxes, weights = np.array([[0, 0, 320, 320.0]]), np.eye(1, 32)
    (mask,) = yolo.outlines(boxes, weights, prototypes, (320, 320), y, x, 0.5)
    truth = rgb[..., 0] > 0
    assert (mask & truth).sum() / (mask | truth).sum() > 0.9
    (cut,) = yolo.outlines(np.array([[0, 0, 96, 320.0]]), weights, prototypes, (320, 320), y, x, 0.5)
    assert not cut[:, 31:].any() and (cut[:, :29] == mask[:, :29]).all()


def test_a_file_that_is_no_model(tmp_path):
    (tmp_path / "a.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(100))
    model = mask_model(str(tmp_path / "a.tflite"), download=False)
    assert model.has_threshold
    with pytest.raises((DataError, UsageError)) as caught:
        Silhouettes(model, None, 0.5)
    assert "\n" not in str(caught.value)
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(UsageError, match="no such mask model"):
        mask_model(str(tmp_path / "a.txt"), download=False)


@pytest.mark.parametrize(
    ("content", "module", "error", "message"),
    [
        (
            b"\x1c\0\0\0TFL3",
            "ai_edge_litert.interpreter",
            DataError,
            r"ai_edge_litert cannot be imported \(.*\); pip install --force-reinstall ai-edge-litert",
        ),
        (b"", "ultralytics", UsageError, r"needs Ultralytics \(AGPL-3.0\); pip install 'racctl\[yolo\]'"),
    ],
)
def test_a_missing_package_says_what_to_install(monkeypatch, tmp_path, content, module, error, message):
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(error, match=message):
        Silhouettes(mask_model(str(tmp_path / "m.pt"), download=False), None, 0.5)


def test_ultralytics_is_imported_in_one_place_only():
    root = Path(__file__).parent.parent
    users = [path.name for path in (root / "racctl").rglob("*.py") if "ultralytics import" in path.read_text()]
    assert users == ["yolo.py"]


@needs_tflite
def test_the_real_yolo_model_finds_her_too(tmp_path):
    clip = write_clip(tmp_path / "bounce.mp4", bouncing(5, 26))
    result = estimate(clip, model=str(TFLITE), stop=0.2)
    (weights,) = result.meta["steps"][0]["weights"]
    assert weights["licence"] == "AGPL-3.0" and weights["name"] == TFLITE.name
    mask, second = result.unpacked().mask, estimate(clip, stop=0.2).unpacked().mask
    assert (mask & second).sum() / (mask | second).sum() > 0.85
    assert written(estimate(clip, 2, model=str(TFLITE), stop=0.2)) == written(result)


@needs_tflite
def test_the_real_yolo_model_tells_two_people_apart(tmp_path):
    first = bouncing(1, 26)[0]
    two = np.concatenate([first[::2, ::2], first[::2, ::2]], 1)
    two = np.concatenate([np.full_like(two, 200), two])
    clip = write_clip(tmp_path / "two.mp4", [two] * 3)
    mask = estimate(clip, model=str(TFLITE)).unpacked().mask
    halves = mask[..., :56].sum(), mask[..., 56:].sum()
    assert max(halves) > 20 * min(halves)


def outlining_yolo(folder):
    """A YOLOv8n-seg with random weights that takes everything for a person."""
    pytest.importorskip("ultralytics", reason="racctl[yolo] is not installed")
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError) as error:  # PyPI's torchvision does not import on a CPU build of torch
        pytest.skip(f"torchvision does not import here ({str(error).splitlines()[0]})")
    yolo._prepare_import()
    from ultralytics import YOLO

    model = YOLO("yolov8n-seg.yaml")
    model.model.names = {k: "person" if k == 0 else str(k) for k in range(80)}
    for branch in model.model.model[-1].cv3:
        branch[-1].bias.data[0] = 5.0
    model.save(str(folder / "random.pt"))
    return folder / "random.pt"


def test_a_model_of_ultralytics_runs_offline(monkeypatch, tmp_path):
    monkeypatch.setenv("RACCTL_CACHE", str(tmp_path))
    path = outlining_yolo(tmp_path)
    look = Silhouettes(mask_model(str(path), download=False), (56, 84), 0.5)
    (cell,) = look(portrait(), 0.0)
    people = unpack(cell[()])
    assert people.shape == (8, 56, 84) and people.any()
    with pytest.raises(UsageError, match=r"'--threshold' has no effect on .*, which cuts at 0.5"):
        MaskOptions(model=str(path), threshold=0.4).check()
    (tmp_path / "bad.pt").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="is not a model that ultralytics loads"):
        Silhouettes(mask_model(str(tmp_path / "bad.pt"), download=False), None, 0.5)
