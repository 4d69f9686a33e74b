"""Algorithms 1 to 4 of the D2-STX supplement as their loops stand there, against the folded ones, gradients too."""

from __future__ import annotations

import math

import pytest
import torch
from d2stx_loops import algorithm_1, algorithm_2, algorithm_3, algorithm_4
from torch import Tensor

from racctl.models.fusion import CoupledAttention, Fusion, SpatialAttention, TemporalAttention, padding, place_code

B, T, J, H, W, C, HEADS = 2, 5, 4, 2, 3, 16, 4


@pytest.fixture
def streams() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(B, T, J, C, requires_grad=True), torch.randn(B, T, H, W, C, requires_grad=True)


def agree(folded: Tensor, literal: Tensor, inputs, layer) -> None:
    """Values and gradients to 1e-5, those of the weights too."""
    assert torch.allclose(folded, literal, atol=1e-5)
    way = torch.randn_like(literal)
    inputss = [*inputs, *layer.parameters()]
    result = torch.autograd.grad((folded * way).sum(), inputss, allow_unused=True, retain_graph=True)
    expected = torch.autograd.grad((literal * way).sum(), inputss, allow_unused=True, retain_graph=True)
    for single, another in zip(result, expected, strict=True):
        assert (single is None) == (another is None)
        assert single is None or torch.allclose(single, another, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("guide", "literal"), [("pose", algorithm_1), ("video", algorithm_3)])
def test_the_spatial_stage_is_the_algorithm(streams, guide, literal):
    pose, video = streams
    layer, code = SpatialAttention(C, HEADS, guide), place_code(H, W, C, pose)
    fused, weights = layer(pose, video.flatten(2, 3), code)
    expected, attended = literal(layer, pose, video, code)
    agree(fused, expected.reshape(fused.shape), streams, layer)
    agree(weights, attended, streams, layer)
    assert torch.allclose(weights.sum(-1), torch.ones(weights.shape[:-1]))


@pytest.mark.parametrize(("guide", "literal"), [("pose", algorithm_2), ("video", algorithm_4)])
def test_the_temporal_stage_is_the_algorithm(streams, guide, literal):
    pose, video = streams
    layer = TemporalAttention(C, HEADS)
    shape = (B, T, J, H * W) if guide == "pose" else (B, T, H * W, J)
    weights = torch.rand(shape).softmax(-1)
    flat = video.flatten(2, 3)
    folded = layer(pose, flat, weights) if guide == "pose" else layer(flat, pose, weights)
    agree(folded, literal(layer, pose, video, weights).reshape(folded.shape), streams, layer)


@pytest.mark.parametrize("guide", ["pose", "video", "both"])
@pytest.mark.parametrize("coupled", [False, True])
def test_padding_changes_nothing(streams, guide, coupled):
    pose, video = streams
    fusion = Fusion(C, HEADS, guide, coupled).eval()
    density, each = fusion(pose, video)
    assert density.shape == (B, T) and list(each) == (["pose", "video"] if guide == "both" else [guide])
    longer = [torch.cat([x, torch.randn_like(x)], 1) for x in streams]
    valid = torch.arange(2 * T)[None].expand(B, -1) < T
    padded, _ = fusion(*longer, valid)
    assert torch.allclose(padded[:, :T], density, atol=1e-5)
    assert not torch.allclose(fusion(*longer)[0][:, :T], density, atol=1e-3)


def test_the_decision_is_half_and_half_until_it_is_learnt(streams):
    for decision in ("learned", "fixed"):
        fusion = Fusion(C, HEADS, "both", decision=decision)
        density, each = fusion(*streams)
        assert torch.allclose(density, (each["pose"] + each["video"]) / 2, atol=1e-6)
        assert fusion.share.requires_grad == (decision == "learned")


def test_the_coupled_fusion_lets_all_see_all(streams):
    pose, video = streams
    layer = CoupledAttention(C, HEADS, ("pose",))
    code = place_code(H, W, C, pose)
    to_pose = layer(pose, video.flatten(2, 3), code, None)["pose"]
    (grad,) = torch.autograd.grad(to_pose[0, 0, 0, 0], video)
    assert (grad[0].abs().sum(-1) > 0).all()  # the first joint at the first moment saw every place at every moment
    spatial = SpatialAttention(C, HEADS, "pose")
    (grad,) = torch.autograd.grad(spatial(pose, video.flatten(2, 3), code)[0][0, 0, 0, 0], video)
    assert (grad[0, 0].abs().sum(-1) > 0).all() and not grad[0, 1:].any()


def test_codes_tell_places_apart():
    code = place_code(7, 7, 64, torch.zeros(1))
    assert code.shape == (49, 64) and torch.cdist(code, code).fill_diagonal_(9).min() > 0.1
    assert torch.equal(code[0], torch.tensor([0.0, 1.0, 0.0, 1.0]).repeat_interleave(16))
    assert padding(torch.tensor([[True, False]])).tolist() == [[[[0.0, -math.inf]]]]
