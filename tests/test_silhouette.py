"""SilhouetteNet: shapes, size, that it looks at everything it is given, and what it costs."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from racctl.models.catalog import as_dict, built, configured
from racctl.models.silhouette import SilhouetteConfig, SilhouetteNet, SpaceTimeBlock


def network(**options) -> SilhouetteNet:
    torch.manual_seed(0)
    return SilhouetteNet(SilhouetteConfig(**options)).eval()


def test_a_token_is_two_frames_and_a_patch():
    output = network(classes=5, density=True)
    tokens = output.tokens(torch.rand(2, 2, 16, 112, 112))
    assert tokens.shape == (2, 192, 8, 4, 4)
    assert output.classify(tokens).shape == (2, 5)
    assert output.repetitions(tokens).shape == (2, 8) and (output.repetitions(tokens) > 0).all()
    assert torch.equal(output(torch.zeros(1, 2, 16, 112, 112)), output(torch.zeros(1, 2, 16, 112, 112)))


def test_it_is_small():
    output = network()
    assert sum(p.numel() for p in output.parameters()) < 1.0e6
    with FlopCounterMode(display=False) as counter:
        output.tokens(torch.zeros(1, 2, 16, 112, 112))
    assert counter.get_total_flops() < 0.9e9


def test_both_streams_and_all_frames_count():
    output, clips = network(base=8), torch.rand(1, 2, 16, 56, 56, requires_grad=True)
    output.tokens(clips).square().sum().backward()
    touched = clips.grad.abs().sum((0, 3, 4))
    assert (touched > 0).all()


def test_time_is_kept_apart_where_nothing_joins_it():
    """A block sees one frame to either side."""
    block, clips = SpaceTimeBlock(8, 8).eval(), torch.rand(1, 8, 9, 6, 6)
    changed = clips.clone()
    changed[:, :, 4] += 1
    differs = (block(clips) != block(changed)).any(1).flatten(2).any(2)[0]
    assert differs.tolist() == [k in (3, 4, 5) for k in range(9)]


def test_strides():
    output = SpaceTimeBlock(8, 16, stride=2, step=2).eval()(torch.rand(2, 8, 7, 7, 9))
    assert output.shape == (2, 16, 4, 4, 5)


def test_everything_learns():
    output = network(classes=3, density=True, base=8).train()
    tokens = output.tokens(torch.rand(4, 2, 4, 64, 64))
    (output.classify(tokens).square().sum() + output.repetitions(tokens).sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in output.parameters())


@pytest.mark.parametrize("name", ["ctrgcn", "silhouette"])
def test_a_header_builds_it_again(name):
    first = configured(name, {"classes": 3, "base": 16, "density": True, "unknown": 1})
    assert configured(name, as_dict(first)) == first
    assert set(built(name, first).state_dict()) == set(built(name, configured(name, as_dict(first))).state_dict())


@pytest.mark.parametrize("wrong", [{"base": 4}, {"base": 20}, {"classes": -1}, {"channels": 0}])
def test_what_means_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match="multiple of 8"):
        SilhouetteConfig(**wrong).check()
