"""The recognisers: sizes, the equations of the paper, what each input and fusion means."""

from __future__ import annotations

import math

import pytest
import torch

from racctl.models.baselines import BaselineConfig, ViViTConfig
from racctl.models.catalog import RECOGNISER_MODELS, as_dict, built, configured
from racctl.models.layers import Attention, CrossBlock, FrameEncoder, sinusoidal
from racctl.models.mcat import MCAT, MCATConfig


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def clips(batch: int = 2, size: int = 32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    gray, mask = torch.rand(batch, 16, size, size), (torch.rand(batch, 16, size, size) > 0.5).float()
    return gray, mask, torch.randn(batch, 16, 25, 4)


def test_the_model_has_the_size_of_table_4():
    assert parameters(FrameEncoder()) == 23_520
    assert parameters(MCAT(MCATConfig())) == 4_034_513  # the paper: 4.0 M at L = 4
    per_layer = parameters(MCAT(MCATConfig(layers=5))) - parameters(MCAT(MCATConfig(layers=4)))
    assert per_layer == 789_760  # which is why the table's 2.9, 5.2 and 6.4 M at L = 2, 6, 8 cannot be met


@pytest.mark.parametrize("name", RECOGNISER_MODELS)
@pytest.mark.parametrize("chosen", ["raw", "both", "mask"])
def test_every_model_takes_every_input(name, chosen):
    fusion = {"fusion": "cross"} if name == "mcat" else {}
    config = configured(name, {"classes": 5, "input": chosen, "size": 32, "layers": 2, **fusion})
    model = built(name, config).eval()
    gray, mask, _ = clips()
    logits = model(gray, mask)
    assert logits.shape == (2, 5)
    unused = model(torch.rand_like(gray), mask) if chosen == "mask" else model(gray, torch.rand_like(mask).round())
    assert torch.allclose(logits, unused, atol=1e-6) == (chosen != "both")


@pytest.mark.parametrize(
    ("fusion", "chosen"), [("cross", "both"), ("concat", "both"), ("add", "both"), ("none", "raw")]
)
def test_every_fusion_learns(fusion, chosen):
    model = MCAT(MCATConfig(3, chosen, fusion, layers=1))
    gray, mask, _ = clips()
    model(gray, mask).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    "wrong", [{"fusion": "none"}, {"fusion": "add", "input": "raw"}, {"input": "rgb"}, {"pose": True, "fusion": "add"}]
)
def test_what_means_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match=r"expected|one of|prior"):
        MCATConfig(**wrong).check()


def test_the_transformer_baseline_is_the_model_without_its_cross_attention():
    """Table 3's rows "none" and "channel concatenation" are Table 2's Transformer RAW and BOTH."""
    assert parameters(built("transformer", BaselineConfig())) == parameters(MCAT(MCATConfig(fusion="concat")))


def test_attention_is_equation_7():
    torch.manual_seed(0)
    layer = Attention(16, 4, 0.1).eval()
    queries, keys = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    layer.keep = True
    result = layer(queries, keys)
    q, k, v = layer.query(queries), layer.key(keys), layer.value(keys)
    mixed = torch.zeros(2, 5, 16)
    for h in range(4):
        part = slice(4 * h, 4 * h + 4)
        alpha = torch.softmax(q[..., part] @ k[..., part].transpose(1, 2) / math.sqrt(16 / 4), -1)
        assert torch.allclose(layer.weights[:, h], alpha, atol=1e-6)
        mixed[..., part] = alpha @ v[..., part]
    assert torch.allclose(result, layer.out(mixed), atol=1e-5)


def test_the_residual_takes_what_is_not_normalised():
    """Section 3.4: Z + Attn + MLP(LN(Z + Attn))."""
    torch.manual_seed(0)
    block = CrossBlock(16, 4, 4.0, 0.1).eval()
    rgb, mask = 5 + 3 * torch.randn(1, 6, 16), torch.randn(1, 6, 16)
    attended = block.attention(block.norm_queries(rgb), block.norm_keys(mask))
    norm, feed = block.feed
    assert torch.allclose(block(rgb, mask), rgb + attended + feed(norm(rgb + attended)), atol=1e-5)


def test_positions_are_equation_9():
    table = sinusoidal(16, 256, torch.zeros(1))
    for t, i in [(0, 0), (3, 5), (15, 127)]:
        assert table[t, 2 * i] == pytest.approx(math.sin(t / 10000 ** (2 * i / 256)), abs=1e-5)
        assert table[t, 2 * i + 1] == pytest.approx(math.cos(t / 10000 ** (2 * i / 256)), abs=1e-5)


def test_order_matters_to_the_model_and_not_to_the_mlp():
    gray, mask, _ = clips()
    for name, differs in (("mcat", True), ("mlp", False)):
        torch.manual_seed(0)
        model = built(name, configured(name, {"classes": 5})).eval()
        assert torch.allclose(model(gray, mask), model(gray.flip(1), mask.flip(1)), atol=1e-5) != differs


def test_joints_are_a_second_prior():
    model = MCAT(MCATConfig(4, pose=True, layers=1)).eval()
    gray, mask, joints = clips()
    assert not torch.allclose(model(gray, mask, joints), model(gray, mask, joints + 1))
    model.cross.attention.keep = True
    model(gray, mask, joints)
    assert model.cross.attention.weights.shape == (2, 8, 16, 32)


def test_a_config_survives_its_header():
    config = ViViTConfig(classes=3, size=64)
    assert configured("vivit", as_dict(config)) == config
