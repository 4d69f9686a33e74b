"""Pictures of what the dual-branch counter looks at: its weights are the model's own, and they are drawn."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from clips import plain, write_clip
from PIL import Image

from racctl.contracts import Pose
from racctl.counters.attribution import (
    ATTRIBUTION_DPI,
    COLUMN,
    Attribution,
    attribute,
    check_explain_count,
    explain_count,
    join,
    moments,
    weights,
)
from racctl.density import density
from racctl.encoders.tokens import Tokens
from racctl.errors import DataError, UsageError
from racctl.models.d2stx import D2STX, SCALE, D2STXConfig
from racctl.skeleton.topology import D2STX25

TINY = D2STXConfig(video=12, pose=8, grid=2, width=16, heads=4, shot_tokens=3, window=(4, 3, 3))
PARTS = dataclasses.replace(TINY, parts="d2stx25")
N = 24  # tokens, of 4 frames each


def network(config: D2STXConfig = TINY) -> D2STX:
    torch.manual_seed(0)
    return D2STX(config).eval()


def streams(n: int = N) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(n)
    return torch.randn(1, n, 12, 3, 4), torch.randn(1, n, 8, 25)


def tokens(n: int = N) -> Tokens:
    frame = 4.0 * np.arange(n + 1)
    return Tokens(None, None, frame, frame / 25)


def made_up(n: int = N, heavy: int | None = None, count: int = 3) -> Attribution:
    """Even weights, or all on one joint, after fusion."""
    even = np.full((n, 25), 1 / 25, np.float32)
    after = even if heavy is None else np.tile(np.eye(25, dtype=np.float32)[heavy], (n, 1))
    cycles = np.stack([np.arange(count), np.arange(count) + 1], 1) * n / max(count, 1)
    return Attribution(even, after, np.full((n, 2, 2), 0.25, np.float32), even, density(cycles, np.arange(n + 1)))


def standing(frames: int = 4 * N, width: int = 64, height: int = 48) -> Pose:
    """Somebody whose joints are on a circle in the middle of the picture, and somebody small."""
    angle = 2 * np.pi * np.arange(25) / 25
    xy = np.stack([width / 2 + 15 * np.cos(angle), height / 2 + 15 * np.sin(angle)], -1)
    xyz = np.zeros((frames, 2, 25, 3), np.float32)
    xyz[:, 1, :, :2], xyz[:, 0, :, :2] = xy, 1 + 0.01 * xy
    meta = {"clip": "a", "topology": "d2stx25", "source": {"width": width, "height": height}}
    score, track = np.ones((frames, 2, 25), np.float32), np.arange(2, dtype=np.int32)
    return Pose(xyz, score, np.arange(frames), np.arange(frames) / 25, track, meta)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("film") / "a.mp4", plain(4 * N))


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def coloured(path) -> int:
    """Pixels that are no grey."""
    return int((np.ptp(pixels(path), axis=-1) > 30).sum())


@pytest.mark.parametrize(("config", "joints"), [(TINY, 25), (PARTS, 5), (dataclasses.replace(TINY, guide="pose"), 25)])
def test_shares_of_every_moment_sum_to_one(config, joints):
    result = attribute(network(config), *streams())
    assert result.before.shape == result.after.shape == (N, joints) and result.to_places.shape == (N, 2, 2)
    assert (result.to_joints is None) == (config.guide == "pose")
    shares = [result.before, result.after, result.to_places.reshape(N, 4)]
    for item in shares if result.to_joints is None else [*shares, result.to_joints]:
        assert np.allclose(item.sum(1), 1, atol=1e-5) and (item >= 0).all()
    assert not np.allclose(result.before, result.after, atol=1e-3)


def test_the_attention_is_the_models_own_and_nothing_is_left_behind():
    model, (video, pose) = network(), streams()
    seen = {}
    hooks = [
        part.register_forward_hook(lambda _, inputs, output, guide=guide: seen.update({guide: (inputs, output)}))
        for guide, part in model.fusion.spatial.items()
    ]
    result, output = attribute(model, video, pose), model(video, pose)
    for hook in hooks:
        hook.remove()
    for guide, attention in (("pose", result.to_places.reshape(N, 4)), ("video", result.to_joints)):
        inputs, (_, mine) = seen[guide]
        assert np.allclose(attention, mine[0].mean(1).detach(), atol=1e-6)
        assert torch.allclose(model.fusion.spatial[guide](*inputs)[1], mine)
    assert np.allclose(result.density, output.final[0].detach() / SCALE, atol=1e-6)
    assert not any(part._forward_hooks for part in model.modules())
    assert all(p.grad is None for p in model.parameters())


def test_shots_are_looked_at_too():
    model, (video, pose) = network(), streams()
    shots = [torch.randn(1, 4, 12, 2, 2)], [torch.randn(1, 4, 8, 25)]
    assert not np.allclose(
        attribute(model, video, pose).density, attribute(model, video, pose, *shots).density, atol=1e-5
    )


def test_a_weight_is_gradient_times_feature():
    features = torch.tensor([[[[1.0, -2.0], [3.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]])
    factor = torch.tensor([1.0, 4.0])
    result = weights(lambda x: (x * factor).sum(-1), features)
    assert np.allclose(result, [[9 / 12, 3 / 12], [0.5, 0.5]])


def test_the_length_of_features_tells_nothing_after_fusion():
    """Why the weight is something else."""
    model, lengths = network(), []
    hook = model.fusion.spatial["pose"].register_forward_hook(
        lambda _, inputs, output: lengths.append(output[0].norm(dim=-1))
    )
    model(*streams())
    hook.remove()
    assert lengths[0].std() < 1e-3 * lengths[0].mean()


def test_a_clip_read_in_parts_is_one():
    item, another = made_up(10, heavy=1), made_up(8)
    result = join([item, another], [slice(0, 9), slice(1, 8)])
    assert result.after.shape == (16, 25) and result.density.shape == (16,) and result.to_places.shape == (16, 2, 2)
    assert (result.after[:9, 1] == 1).all() and (result.after[9:] == 1 / np.float32(25)).all()
    without = [dataclasses.replace(part, to_joints=None) for part in (item, another)]
    assert join(without, [slice(0, 9), slice(1, 8)]).to_joints is None


def test_moments_are_the_starts_and_middles_of_repetitions():
    result = moments(made_up(24, count=3).density, 6)
    assert list(result.values()) == [f"{phase} of repetition {k}" for k in (1, 2, 3) for phase in ("0%", "50%")]
    assert np.abs(np.array(list(result)) - [0, 4, 8, 12, 16, 20]).max() <= 1
    assert [about[-1] for about in moments(made_up(200, count=5).density, 6).values()] == list("113355")
    assert len(moments(made_up(60, count=1).density, 6)) == 6 and len(moments(made_up(200, count=9).density, 1)) == 1
    assert moments(np.zeros(11), 3) == {0: "", 5: "", 10: ""} and moments(np.zeros(1), 6) == {0: ""}


@pytest.mark.parametrize("config", [TINY, PARTS])
def test_pictures_of_a_clip(tmp_path, film, config):
    result = dataclasses.replace(attribute(network(config), *streams()), density=made_up().density)
    written = explain_count(result, tokens(), standing(), film, tmp_path, "a $x$", most=4)
    assert [path.name for path in written] == ["a $x$-weights.png", "a $x$-joints.png", "a $x$-places.png"]
    wide, high = (COLUMN * 4 + 1.1) * ATTRIBUTION_DPI, (COLUMN * 3 + 0.9) * ATTRIBUTION_DPI
    assert np.abs(np.subtract(pixels(written[1]).shape[:2], (high, wide))).max() <= 1
    assert all(coloured(path) > 1000 for path in written)


def test_equal_looks_give_equal_bytes(tmp_path, film):
    first, second = (
        [path.read_bytes() for path in explain_count(made_up(), tokens(), standing(), film, tmp_path, "a", most=2)]
        for _ in range(2)
    )
    assert first == second


def test_another_weight_gives_another_size(tmp_path):
    sizes = {}
    for heavy in (None, D2STX25.index("left_knee"), D2STX25.index("right_hand")):
        (_, picture, _) = explain_count(made_up(heavy=heavy), tokens(), standing(), None, tmp_path, f"a{heavy}", most=2)
        below = pixels(picture)[int((COLUMN + 0.6) * ATTRIBUTION_DPI) :][
            : int(COLUMN * ATTRIBUTION_DPI)
        ]  # the row "after fusion"
        red = (below[..., 0] > 120) & (below[..., 1] < 60) & (below[..., 2] < 80)
        red[:, int(2 * COLUMN * ATTRIBUTION_DPI) :] = False  # without the scale of colours
        sizes[heavy] = (red.sum(), np.argwhere(red).mean(0) if red.any() else None)
    (even, _), (knee, at_knee), (hand, at_hand) = sizes.values()
    assert even == 0 and knee > 200 and hand == pytest.approx(knee, rel=0.2)
    assert np.abs(at_knee - at_hand).max() > 10


@pytest.mark.parametrize("scale", ["pixels", "metres"])
def test_without_a_film_or_pixels_it_is_drawn_on_white(tmp_path, film, scale):
    pose = standing()
    pose.meta["scale"] = scale
    used = None if scale == "pixels" else film
    (_, picture, _) = explain_count(made_up(), tokens(), pose, used, tmp_path, "white", most=2)
    (_, over, _) = explain_count(made_up(), tokens(), standing(), film, tmp_path, "film", most=2)
    white, grey = ((pixels(item) == 255).all(-1).mean() for item in (picture, over))
    assert white > 0.8 > grey


def test_without_a_pose_there_are_no_joints_to_draw(tmp_path, film):
    written = explain_count(made_up(), tokens(), None, film, tmp_path, "a", most=2)
    assert [path.stem for path in written] == ["a-weights", "a-places"]
    nobody = standing()
    nobody.xyz[:] = np.nan
    assert len(explain_count(made_up(), tokens(), nobody, film, tmp_path, "nobody", most=2)) == 3
    empty = dataclasses.replace(nobody, xyz=nobody.xyz[:, :0], score=nobody.score[:, :0], track=nobody.track[:0])
    assert len(explain_count(made_up(), tokens(), empty, film, tmp_path, "empty", most=2)) == 2


def test_places_are_laid_over_what_they_cover(tmp_path, film):
    options = []

    def area(number, shape):
        options.append((int(number), shape))
        return 10.0, 5.0, 50.0, 45.0

    result, clock = made_up(), tokens()
    (*_, below) = explain_count(result, clock, None, film, tmp_path, "below", most=2)
    (*_, over) = explain_count(result, clock, None, film, tmp_path, "over", most=2, area=area)
    assert options == [(4 * row + 2, (48, 64)) for row in moments(result.density, 2)]
    assert pixels(over).shape[0] < pixels(below).shape[0] and coloured(over) > 1000


def test_films_that_are_turned_smaller_or_shorter(tmp_path):
    turned = write_clip(tmp_path / "turned.mp4", plain(4 * N, 48, 64), rotation=90)
    short = write_clip(tmp_path / "short.mp4", plain(30, 32, 24))
    shapes = []

    def area(_, shape):
        shapes.append(shape)
        return 0.0, 0.0, 1.0, 1.0

    for film in (turned, short):
        assert len(explain_count(made_up(), tokens(), standing(), film, tmp_path, film.stem, most=4, area=area)) == 3
    assert shapes == [(48, 64)] * 4 + [(24, 32)] * 2


def test_a_clip_without_seconds_is_drawn_over_frames(tmp_path):
    clock = tokens()
    clock.time = clock.frame
    assert len(explain_count(made_up(count=0), clock, standing(), None, tmp_path, "frames", most=2)) == 3


@pytest.mark.parametrize(("change", "says"), [
    ({"branches": "pose"}, "looks at pose"), ({"fusion": "coupled"}, "has none"), ({"guide": "video"}, "has none"),
])  # fmt: skip
def test_models_without_pose_guided_attention_are_refused(tmp_path, change, says):
    config = dataclasses.replace(TINY, **change)
    with pytest.raises(UsageError, match=says):
        check_explain_count(config, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(UsageError, match=says):
        attribute(network(config), *streams())


def test_what_cannot_be_is_said_before(tmp_path):
    check_explain_count(TINY, tmp_path / "new")
    assert (tmp_path / "new").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot make the directory"):
        check_explain_count(TINY, tmp_path / "file")
    result = attribute(network(dataclasses.replace(TINY, joints=7)), streams()[0], torch.randn(1, N, 8, 7))
    with pytest.raises(UsageError, match="weights of 7 joints"):
        explain_count(result, tokens(), None, None, tmp_path, "a")
