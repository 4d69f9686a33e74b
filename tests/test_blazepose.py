"""BlazePose's networks and their arithmetic: cut graphs, crops, refinement, suppression, the filter."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from clips import portrait
from networks import networks

from racctl.errors import DataError
from racctl.estimators.blazepose import networks as networks_module
from racctl.estimators.blazepose.graph import cut_graph, last_sum, output_tensors
from racctl.estimators.blazepose.networks import (
    HEATMAP,
    LANDMARKS,
    MAX_OVERLAP,
    PRESENCE,
    WORLD,
    LandmarkNetwork,
    PersonDetector,
    Runner,
    feature_tensor,
    refine,
)
from racctl.estimators.blazepose.region import CropSource, Region
from racctl.estimators.blazepose.smoothing import SHORTEST_STEP, OneEuro, smooth
from racctl.estimators.model_files import MODEL_FILES


@pytest.fixture(scope="module")
def files():
    return networks()


def square_of_portrait() -> np.ndarray:
    """Return (256, 256, 3) float32 0..1 of the portrait, as the landmark network sees it."""
    square = np.zeros((256, 256, 3), np.float32)
    CropSource.of(portrait()).crop_into(square, Region(260.0, 560.0, 1100.0, 0.0), replicate=True)
    return square


# Graphs.


def operations(model: bytes) -> int:
    from ai_edge_litert.schema_py_generated import Model

    return Model.GetRootAsModel(model, 0).Subgraphs(0).OperatorsLength()


def test_a_cut_graph_gives_the_same_bits_by_fewer_operations(files):
    outputs = output_tensors(files.landmarks)
    roles = [WORLD, PRESENCE, LANDMARKS, HEATMAP]
    cut = cut_graph(files.landmarks, [outputs[role] for role in roles])
    assert operations(cut) < operations(files.landmarks) - 10
    assert output_tensors(cut) == [outputs[role] for role in roles]
    whole_runner = Runner(files.landmarks)
    cut_runner = Runner(cut)
    cut_runner.input[0] = whole_runner.input[0] = square_of_portrait()
    whole = whole_runner()
    for role, tensor in zip(roles, cut_runner(), strict=True):
        assert tensor.tobytes() == whole[role].tobytes()
    assert whole[PRESENCE].ravel()[0] > 0.9, "the network saw nobody: nothing was compared"


def test_a_graph_with_all_its_outputs_keeps_all_its_operations(files):
    outputs = output_tensors(files.landmarks)
    assert operations(cut_graph(files.landmarks, outputs)) == operations(files.landmarks)


def test_the_features_are_the_last_layer_of_the_backbone(files):
    """No output of the network depends on which tensor this is; only the whole network can say that it is right."""
    from ai_edge_litert.interpreter import Interpreter

    if hashlib.sha256(files.landmarks).hexdigest() != MODEL_FILES["full"].sha256:
        pytest.skip("the network here comes from a .task file, whose tensors have other numbers")
    outputs = output_tensors(files.landmarks)
    number = feature_tensor(files.landmarks, outputs)
    assert number == 269
    with pytest.warns(UserWarning, match="for debugging"):
        whole = Interpreter(model_content=files.landmarks, num_threads=1, experimental_preserve_all_tensors=True)
    whole.allocate_tensors()
    whole.set_tensor(whole.get_input_details()[0]["index"], square_of_portrait()[None])
    whole.invoke()
    network = LandmarkNetwork(files.landmarks, features=True)
    network.pixels[:] = square_of_portrait()
    body = network.run()
    assert body.features.shape == (8, 8, 144)
    assert body.features.std() > 0.1
    np.testing.assert_array_equal(body.features, whole.get_tensor(number)[0])
    assert body.outline is None


def test_the_outline_and_the_features_change_no_landmark(files):
    bodies = []
    for outline, features in ((False, False), (True, True)):
        network = LandmarkNetwork(files.landmarks, outline, features)
        network.pixels[:] = square_of_portrait()
        bodies.append(network.run())
    plain, everything = bodies
    assert plain.points.tobytes() == everything.points.tobytes()
    assert plain.world.tobytes() == everything.world.tobytes()
    assert plain.outline is None and plain.features is None
    assert 0.2 < (everything.outline > 0.5).mean() < 0.8
    assert everything.outline.shape == (256, 256)


def test_what_is_no_network_of_blazepose_is_a_data_error(files):
    with pytest.raises(DataError, match="the network is not a TFLite file"):
        cut_graph(b"nothing of the kind", [0])
    with pytest.raises(DataError, match="the network is not a TFLite file"):
        LandmarkNetwork(b"")
    with pytest.raises(DataError, match="has 2 outputs, expected 5; it is not BlazePose's"):
        LandmarkNetwork(files.detector)
    with pytest.raises(DataError, match="has no sum of 5 x 5 cells"):
        last_sum(files.landmarks, 5)


def test_the_remark_of_litert_does_not_reach_stderr():
    """LiteRT makes it once in a process, on the file descriptor."""
    prepare = (
        "import sys\nsys.path.insert(0, sys.argv[1])\nfrom networks import networks\nmodel = networks().detector\n"
    )
    runs = {
        "from ai_edge_litert.interpreter import Interpreter; Interpreter(model_content=model).allocate_tensors()": True,
        "from racctl.estimators.blazepose.networks import Runner; Runner(model)": False,
        "from racctl.estimators.blazepose.networks import Runner; Runner(model); sys.stderr.write('XNNPACK')": True,
    }
    for code, is_heard in runs.items():
        command = [sys.executable, "-c", prepare + code, str(Path(__file__).parent)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert ("XNNPACK" in done.stderr) == is_heard, done.stderr


# Crops.


def places(region: Region, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y in the picture, (side, side) each, of the pixels of a crop, by the definition."""
    x = np.zeros((side, side))
    y = np.zeros((side, side))
    cosine, sine = math.cos(region.angle), math.sin(region.angle)
    for row in range(side):
        for column in range(side):
            across = (column / side - 0.5) * region.side
            down = (row / side - 0.5) * region.side
            x[row, column] = region.x + cosine * across - sine * down
            y[row, column] = region.y + sine * across + cosine * down
    return x, y


def bilinear(picture: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N, 3) of places (N,) inside (H, W, 3) uint8, 0..1."""
    left = np.minimum(np.floor(x).astype(int), picture.shape[1] - 2)
    top = np.minimum(np.floor(y).astype(int), picture.shape[0] - 2)
    right_share = (x - left)[:, None]
    low_share = (y - top)[:, None]
    upper = picture[top, left] * (1 - right_share) + picture[top, left + 1] * right_share
    lower = picture[top + 1, left] * (1 - right_share) + picture[top + 1, left + 1] * right_share
    return (upper * (1 - low_share) + lower * low_share) / 255


REGIONS = {
    "inside": Region(70.3, 51.8, 60.0, 0.4),
    "larger than the picture": Region(64.0, 48.0, 200.0, 0.0),
    "beyond a corner, turned": Region(10.5, 88.0, 90.0, 2.2),
    "enlarged": Region(60.0, 40.0, 21.0, -1.0),
}


@pytest.mark.parametrize("name", REGIONS)
def test_a_crop_is_bilinear_inside_and_goes_on_with_the_border_outside(name):
    picture = np.random.default_rng(3).integers(0, 256, (97, 130, 3), np.uint8)
    region = REGIONS[name]
    side = 64
    x, y = places(region, side)
    inside = (x >= 0) & (x <= 129) & (y >= 0) & (y <= 96)
    assert inside.all() == (name in ("inside", "enlarged"))
    crops = {}
    for replicate in (True, False):
        crops[replicate] = np.full((side, side, 3), np.nan, np.float32)
        CropSource.of(picture).crop_into(crops[replicate], region, replicate)
        expected = bilinear(picture, x[inside], y[inside])
        assert np.abs(crops[replicate][inside] - expected).max() < 1.5 / 255
    near_x = np.clip(x, 0, 129)
    near_y = np.clip(y, 0, 96)
    sure = (np.abs(near_x % 1 - 0.5) > 0.01) & (np.abs(near_y % 1 - 0.5) > 0.01)
    nearest = picture[near_y.round().astype(int), near_x.round().astype(int)] / 255
    outside = sure & ~inside
    assert np.abs(crops[True] - nearest)[outside].max(initial=0) < 0.01 / 255
    far = (x < -1) | (x > 130) | (y < -1) | (y > 97)
    assert not crops[False][far].any()


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("width", [64, 66, 70, 854])
def test_a_frame_of_any_width_and_rotation_is_cropped_as_its_pixels_are(width, rotation):
    pixels = np.random.default_rng(width).integers(0, 256, (48, width, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
    of_frame = CropSource(frame, VideoReformatter(), rotation)
    of_pixels = CropSource.of(np.ascontiguousarray(np.rot90(pixels, rotation // 90)))
    assert (of_frame.width, of_frame.height) == (of_pixels.width, of_pixels.height)
    crops = []
    for picture in (of_frame, of_pixels):
        crops.append(np.zeros((96, 96, 3), np.float32))
        picture.crop_into(crops[-1], picture.whole(0.3), replicate=True)
    np.testing.assert_array_equal(*crops)
    assert crops[0].std() > 0.1


def test_a_region_is_the_square_about_a_body():
    upright = Region.about(np.array([100.0, 200.0]), np.array([100.0, 120.0]))
    assert (upright.x, upright.y, upright.side) == (100, 200, 200)
    assert upright.angle == pytest.approx(0)
    lying = Region.about(np.array([100.0, 200.0]), np.array([180.0, 200.0]))  # the head is on the right
    assert lying.angle == pytest.approx(math.pi / 2)
    np.testing.assert_allclose(lying.to_picture(np.array([0.5, 0.1])), [180, 200])
    np.testing.assert_allclose(upright.corners(), [[0, 100], [200, 100], [200, 300], [0, 300]])


# What the networks give, made into landmarks.


def naive_refine(points: np.ndarray, heatmap: np.ndarray) -> None:
    """Refine as MediaPipe's calculator does, one landmark and one cell after the other."""
    side = heatmap.shape[0]
    for k in range(35):
        column = points[k, 0] / 256 * side
        row = points[k, 1] / 256 * side
        if not (0 <= column < side and 0 <= row < side):
            continue
        total = x = y = peak = 0.0
        for r in range(max(0, int(row) - 4), min(side, int(row) + 5)):
            for c in range(max(0, int(column) - 4), min(side, int(column) + 5)):
                mass = 1 / (1 + math.exp(-heatmap[r, c, k]))
                total += mass
                x += mass * c
                y += mass * r
                peak = max(peak, mass)
        if peak >= 0.5:
            points[k, 0] = x / total / side * 256
            points[k, 1] = y / total / side * 256


def test_refinement_is_the_naive_one():
    rng = np.random.default_rng(5)
    points = rng.uniform(-20, 280, (39, 3)).astype(np.float32)
    points[:4, :2] = [[0, 0], [255.9, 255.9], [3, 250], [130, 130]]
    heatmap = rng.normal(-6, 2, (64, 64, 39)).astype(np.float32)
    for k in range(0, 39, 2):  # the odd ones have no peak
        column, row = np.clip(points[k, :2] / 4 + rng.uniform(-3, 3, 2), 0, 63).astype(int)
        heatmap[row, column, k] = 4
    expected = points.copy()
    naive_refine(expected, heatmap)
    result = points.copy()
    refine(result, heatmap)
    np.testing.assert_allclose(result, expected, atol=1e-3)
    moved = np.abs(result - points)[:, :2].max(1) > 0
    assert 8 < moved[:35].sum() < 30
    assert not moved[35:].any() and (result[:, 2] == points[:, 2]).all()


def box(x: float, y: float, width: float, height: float) -> list[float]:
    return [x, y, x + width, y + height]


def test_boxes_that_overlap_are_one_person_at_their_mean():
    scores = np.array([0.6, 0.9, 0.8])
    corners = np.array([box(0.1, 0.1, 0.4, 0.4), box(0.12, 0.1, 0.4, 0.4), box(0.7, 0.1, 0.2, 0.2)])
    points = np.array([[[0.3, 0.3], [0.3, 0.0]], [[0.36, 0.3], [0.33, 0.0]], [[0.8, 0.2], [0.8, 0.1]]])
    (first, mean), (second, alone) = networks_module._merge(scores, corners, points)
    assert (first, second) == (0.9, 0.8)
    np.testing.assert_allclose(mean, (0.6 * points[0] + 0.9 * points[1]) / 1.5)
    np.testing.assert_allclose(alone, points[2])


@pytest.mark.parametrize(("overlap", "count"), [(MAX_OVERLAP - 0.02, 2), (MAX_OVERLAP + 0.02, 1)])
def test_boxes_that_overlap_a_little_are_two_people(overlap, count):
    shared = 2 * overlap / (1 + overlap)  # of each of two boxes of one size
    corners = np.array([box(0, 0, 1, 1), box(1 - shared, 0, 1, 1)])
    people = networks_module._merge(np.array([0.9, 0.9]), corners, np.zeros((2, 2, 2)))
    assert len(people) == count


def test_a_box_without_an_area_is_somebody():
    corners = np.array([box(0.5, 0.5, 0, 0), box(0.5, 0.5, 0, 0)])
    assert len(networks_module._merge(np.array([0.9, 0.8]), corners, np.zeros((2, 2, 2)))) == 2


@pytest.mark.parametrize("angle", [0.0, 0.3])
def test_the_detector_finds_the_person_where_she_is(files, angle):
    detector = PersonDetector(files.detector)
    picture = CropSource.of(portrait())
    ((score, region),) = detector(picture, picture.whole(angle))
    assert score > 0.5
    assert abs(region.x - 0.5 * 512) < 90 and region.y > 400  # the hips are at the lower edge or below
    assert abs(region.angle) < 0.35
    assert detector(CropSource.of(np.zeros((100, 120, 3), np.uint8)), Region(60, 50, 120, 0)) == []


def test_who_is_painted_over_is_not_found(files):
    detector = PersonDetector(files.detector)
    picture = CropSource.of(np.concatenate([portrait(), np.full_like(portrait(), 90)], 1))
    assert len(detector(picture, picture.whole())) == 1
    left_half = np.array([0.0, 0.0, picture.width / 2, picture.height])
    assert detector(picture, picture.whole(), [left_half]) == []
    right_half = np.array([picture.width / 2, 0.0, picture.width, picture.height])
    assert len(detector(picture, picture.whole(), [right_half])) == 1


# The filter.


def scalar_one_euro(values, times, scales, cutoff, beta):
    """Yield the smoothed values of one number, as the paper has it but for MediaPipe's derivative, of the raw input."""
    last = None
    for value, time, scale in zip(values, times, scales, strict=True):
        if last is None:
            slope = 0.0
            smoothed = value
        else:
            step = max(time - last[1], SHORTEST_STEP)
            share = 1 / (1 + 1 / (2 * math.pi * 1.0 * step))
            slope = share * (value - last[0]) / step * scale + (1 - share) * slope
            share = 1 / (1 + 1 / (2 * math.pi * (cutoff + beta * abs(slope)) * step))
            smoothed = share * value + (1 - share) * smoothed
        last = value, time
        yield smoothed


def test_the_filter_is_the_papers():
    rng = np.random.default_rng(7)
    times = np.cumsum(rng.uniform(0.01, 0.2, 40))
    times[20] = times[19]  # two pictures of one time
    values = np.cumsum(rng.normal(0, 20, (40, 3)), 0)
    scales = rng.uniform(0.002, 0.01, 40)
    one_euro = OneEuro(cutoff=0.05, beta=80.0)
    result = np.array([one_euro(*arguments) for arguments in zip(values, times, scales, strict=True)])
    for column in range(3):
        expected = list(scalar_one_euro(values[:, column], times, scales, 0.05, 80.0))
        np.testing.assert_allclose(result[:, column], expected, rtol=1e-9)
    assert np.abs(result - values).max() > 1


def test_smoothing_holds_what_is_still_and_follows_what_moves():
    rng = np.random.default_rng(11)
    time = np.arange(60) / 30
    still = np.tile(rng.uniform(0, 200, (33, 3)), (60, 1, 1)).astype(np.float32)
    noisy = (still + rng.normal(0, 1, still.shape)).astype(np.float32)
    moving = (still + 400 * time[:, None, None]).astype(np.float32)
    sizes = np.full(60, 200.0)
    spread = noisy[30:].std(0).mean()
    score = np.ones((60, 33), np.float32)
    score[10] = 0
    smooth(noisy, noisy.copy(), score, time, sizes)
    assert noisy[30:].std(0).mean() < 0.6 * spread
    followed = moving.copy()
    smooth(followed, moving.copy(), np.ones((60, 33), np.float32), time, sizes)
    assert np.abs(followed - moving)[5:].max() < 0.03 * 200
    assert score[10, 0] == pytest.approx(0.9) and score[11, 0] == pytest.approx(0.91)
