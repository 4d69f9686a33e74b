"""The dual-branch counter: shapes, sizes, branches that are absent, padding, exemplars, the authors' checkpoints."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from racctl.models.branch import Branch, BranchConfig, from_windows, into_windows
from racctl.models.d2stx import D2STX, SMALL_D2STX, D2STXConfig, counted, parameters, release
from racctl.models.release import from_release

TINY = D2STXConfig(video=12, pose=8, joints=5, grid=2, width=16, heads=4, shot_tokens=3, window=(4, 3, 3))


def streams(t: int = 9, b: int = 2, config: D2STXConfig = TINY, side: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(t)
    return torch.randn(b, t, config.video, side, side), torch.randn(b, t, config.pose, config.joints)


@pytest.fixture
def model() -> D2STX:
    torch.manual_seed(0)
    return D2STX(TINY).eval()


def test_both_branches_and_either_alone(model):
    video, pose = streams()
    both, seen, felt = model(video, pose), model(video=video), model(pose=pose)
    assert both.final is both.fused and both.fused.shape == (2, 9) and set(both.guides) == {"pose", "video"}
    assert torch.allclose(both.video, seen.video) and torch.allclose(both.pose, felt.pose)
    assert seen.final is seen.video and seen.pose is None and seen.fused is None
    assert felt.final is felt.pose and felt.video is None
    assert counted(both.final).shape == (2,)
    with pytest.raises(ValueError, match="it was given neither"):
        model()
    with pytest.raises(ValueError, match="looks at pose"):
        D2STX(dataclasses.replace(TINY, branches="pose"))(video=video)


@pytest.mark.parametrize("inputs", ["both", "video", "pose"])
@pytest.mark.parametrize("fusion", ["decoupled", "coupled"])
def test_a_batch_of_clips_of_several_lengths_is_each_alone(inputs, fusion):
    torch.manual_seed(0)
    model = D2STX(dataclasses.replace(TINY, fusion=fusion)).eval()
    lengths, longest = (5, 12, 9), 12
    clips = [streams(t, 1) for t in lengths]
    use = {"both": (0, 1), "video": (0,), "pose": (1,)}[inputs]
    padded = [
        torch.cat([torch.cat([clip[k], torch.randn(1, longest - t, *clip[k].shape[2:])], 1)
                   for clip, t in zip(clips, lengths, strict=True)])
        for k in (0, 1)
    ]  # fmt: skip
    valid = torch.arange(longest)[None] < torch.tensor(lengths)[:, None]
    together = model(*(padded[k] if k in use else None for k in (0, 1)), valid=valid).final
    for row, (clip, t) in enumerate(zip(clips, lengths, strict=True)):
        alone = model(*(clip[k] if k in use else None for k in (0, 1))).final
        assert torch.allclose(together[row, :t], alone[0], atol=1e-5)
    assert torch.allclose(counted(together, valid)[0], together[0, :5].sum() / 100)


def test_exemplars_take_the_place_of_the_learnt_one(model):
    video, pose = streams()
    shots = [torch.randn(2, 4, TINY.video, 3, 3) for _ in range(2)]
    single, two, swapped, none = (
        model(video=video, video_shots=some).video for some in (shots[:1], shots, shots[::-1], [])
    )
    assert not torch.allclose(single, none, atol=1e-4) and not torch.allclose(single, two, atol=1e-4)
    assert torch.allclose(two, swapped, atol=1e-5)  # their order does not matter
    assert torch.allclose(model(video=video).video, none)
    shot = torch.randn(2, 4, TINY.pose, TINY.joints)
    assert not torch.allclose(model(pose=pose, pose_shots=[shot]).pose, model(pose=pose).pose, atol=1e-4)


def test_any_size_of_clip_and_picture(model):
    for t, side in ((1, 1), (2, 7), (33, 4)):
        video, pose = streams(t, 1, side=side)
        assert model(video, pose).final.shape == (1, t)
    no_pooling = D2STX(dataclasses.replace(TINY, grid=0)).eval()
    assert no_pooling(*streams(6, 1, side=7)).final.shape == (1, 6)


def test_a_joint_keeps_its_code_over_time():
    branch = Branch(BranchConfig(8, 5, 16, 4, window=(4, 3, 3), shot_tokens=2))
    codes = branch.positions(7, 5, 1, torch.zeros(1))
    moving = codes - codes[:1]
    assert torch.allclose(moving, moving[:, :1].expand_as(moving), atol=1e-6)


def test_windows_go_there_and_back():
    x = torch.arange(2 * 8 * 6 * 4 * 3.0).view(2, 8, 6, 4, 3)
    windows = into_windows(x, [4, 3, 2])
    assert windows.shape == (2 * 2 * 2 * 2, 24, 3) and torch.equal(from_windows(windows, [4, 3, 2], (8, 6, 4)), x)


def test_a_windowed_block_sees_its_window_and_the_next_one_its_shift():
    torch.manual_seed(0)
    branch = Branch(BranchConfig(8, 5, 16, 4, window=(4, 5, 1), shot_tokens=2)).eval()
    x = torch.randn(1, 12, 5, 1, 16, requires_grad=True)

    def reach(block, t: int) -> list[int]:
        (grad,) = torch.autograd.grad(block.mixed(x, None)[0, t, 0, 0, 0], x)
        return torch.nonzero(grad[0].abs().sum((1, 2, 3)) > 0).flatten().tolist()

    plain, shifted = branch.windows[0], branch.windows[1]
    assert reach(plain, 0) == [0, 1, 2, 3] and reach(plain, 6) == [4, 5, 6, 7]
    assert reach(shifted, 3) == [2, 3, 4, 5] and reach(shifted, 0) == [0, 1] and reach(shifted, 11) == [10, 11]


def test_the_papers_size():
    """Table 6: 52.12 M. That is what the authors' modules hold, with 9 M parameters that nothing uses; see
    tests/benchmarks/d2stx_cost.py for the account."""
    model = D2STX(D2STXConfig(pose=768))
    used = {"video": 19_093_000, "pose": 19_105_000}
    for name, expected in used.items():
        assert parameters(model.branches[name]) == pytest.approx(expected, rel=2e-3)
    assert parameters(model.fusion) == pytest.approx(5_273_602 - 276_480, abs=2)  # less joint codes and dead parts
    assert parameters(D2STX(SMALL_D2STX)) < 2_000_000


@pytest.mark.parametrize("change", [
    {"branches": "none"}, {"guide": "x"}, {"fusion": "x"}, {"decision": "x"}, {"width": 30}, {"heads": 3}, {"video": 0},
])  # fmt: skip
def test_configs_that_mean_nothing_are_refused(change):
    with pytest.raises(ValueError, match=r"is one of|multiple|positive"):
        D2STX(dataclasses.replace(TINY, **change))


def released(width: int, channels: int, places: int, shots: int, window=(4, 7, 7)) -> dict[str, torch.Tensor]:
    """A branch as the authors' code saves it: names and shapes."""
    table = (2 * window[0] - 1) * (2 * window[1] - 1) * (2 * window[2] - 1)

    def linear(name: str, out: int, into: int, bias: bool = True) -> dict:
        return {f"{name}.weight": (out, into)} | ({f"{name}.bias": (out,)} if bias else {})

    def norm(name: str) -> dict:
        return {f"{name}.weight": (width,), f"{name}.bias": (width,)}

    shapes = {"decoder_spatial_pos_embed": (places, width), "shot_token": (shots, width), "cls_token": (1, 1, 768)}
    shapes |= linear("decoder_embed", width, channels) | norm("decoder_norm") | linear("map", 1, width)
    for k in range(2):
        at = f"decoder_blocks.{k}"
        for name in ("norm0", "norm1", "norm2", "selfattn.norm", "attn.norm", "mlp.net.0"):
            shapes |= norm(f"{at}.{name}")
        shapes |= linear(f"{at}.selfattn.to_qkv", 3 * width, width, False)
        shapes |= linear(f"{at}.selfattn.to_out.0", width, width) | linear(f"{at}.attn.to_q", width, width, False)
        shapes |= linear(f"{at}.attn.to_kv", 2 * width, width, False) | linear(f"{at}.attn.to_out.0", width, width)
        shapes |= linear(f"{at}.mlp.net.1", 4 * width, width) | linear(f"{at}.mlp.net.4", width, 4 * width)
    for k in range(3):
        at = f"decode_heads.{k}"
        shapes |= norm(f"{at}.norm1") | norm(f"{at}.norm2") | linear(f"{at}.attn.qkv", 3 * width, width)
        shapes |= linear(f"{at}.attn.proj", width, width) | linear(f"{at}.mlp.fc1", 4 * width, width)
        shapes |= linear(f"{at}.mlp.fc2", width, 4 * width)
        shapes |= {f"{at}.attn.relative_position_bias_table": (table, 8)}
    return {name: torch.randn(shape) * 0.1 for name, shape in shapes.items()}


def released_fusion(width: int) -> dict[str, torch.Tensor]:
    shapes: dict[str, tuple[int, ...]] = {"joint_position_embedding": (25, width)}
    for stage in ("spatial", "temporal"):
        shapes |= {f"{stage}_fusion_weight": ()}
        for way, guide in (("pose_to_video", "pose"), ("video_to_pose", "video")):
            at = f"{stage}_{way}_attn"
            shapes |= {f"{at}.in_proj_weight": (3 * width, width), f"{at}.in_proj_bias": (3 * width,)}
            shapes |= {f"{at}.out_proj.weight": (width, width), f"{at}.out_proj.bias": (width,)}
            shapes |= {f"{stage}_{guide}_norm.weight": (width,), f"{stage}_{guide}_norm.bias": (width,)}
    for name in ("pose", "video"):
        shapes |= {f"input_{name}_norm.weight": (width,), f"input_{name}_norm.bias": (width,)}
        shapes |= {f"{name}_proj.weight": (width, width), f"{name}_proj.bias": (width,)}
        shapes |= {f"{name}_output.0.weight": (width // 2, width), f"{name}_output.0.bias": (width // 2,)}
        shapes |= {f"{name}_output.2.weight": (1, width // 2), f"{name}_output.2.bias": (1,)}
    return {name: torch.randn(shape) * 0.1 for name, shape in shapes.items()}


@pytest.mark.parametrize("guide", ["both", "pose", "video"])
def test_the_authors_checkpoints_load(guide):
    config = release(D2STXConfig(width=32, video=24, shot_tokens=6, guide=guide))
    torch.manual_seed(0)
    video, pose = released(32, 24, 9, 6), released(32, 768, 25, 6)
    state = from_release(video, pose, released_fusion(32), guide)
    model = D2STX(config).eval()
    model.load_state_dict(state)  # strict
    assert config.pose == 768 and config.release
    result = model(torch.randn(1, 10, 24, 7, 7), torch.randn(1, 10, 768, 25))
    assert result.final.shape == (1, 10) and torch.isfinite(result.final).all()
    assert torch.equal(model.branches["video"].blocks[0].itself.value.weight,
                       video["decoder_blocks.0.selfattn.to_qkv.weight"][64:])  # fmt: skip


def test_the_release_multiplies_as_torchs_own_attention():
    theirs = torch.nn.MultiheadAttention(32, 8, batch_first=True).eval()
    saved = released_fusion(32)
    for name, tensor in theirs.state_dict().items():
        saved[f"spatial_pose_to_video_attn.{name}"] = tensor
    model = D2STX(release(D2STXConfig(width=32, video=24, shot_tokens=6)))
    model.load_state_dict(from_release(released(32, 24, 9, 6), released(32, 768, 25, 6), saved))
    q, k = torch.randn(2, 25, 32), torch.randn(2, 9, 32)
    out, weights = model.fusion.spatial["pose"].attention.with_weights(q, k, k)
    expected, attended = theirs(q, k, k)
    assert torch.allclose(out, expected, atol=1e-5) and torch.allclose(weights, attended, atol=1e-6)
