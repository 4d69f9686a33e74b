"""TransRAC, SkimFocusNet and ESCounts: their published sizes, what they do with a clip, and that they learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from racctl.density import overwritten_map
from racctl.models.branch import Branch
from racctl.models.catalog import COUNTER_MODELS, built, configured
from racctl.models.d2stx import D2STX, parameters
from racctl.models.escounts import SMALL_ESCOUNTS, ESCountsConfig
from racctl.models.release import transrac_from_release
from racctl.models.skimfocus import SMALL_SKIMFOCUS, SkimFocus, SkimFocusConfig
from racctl.models.transrac import EARLY, SMALL_TRANSRAC, Similarity, TransRAC, TransRACConfig, bins_of, windowed
from racctl.training.token_batches import TokenClip

SMALL = {"escounts": SMALL_ESCOUNTS, "transrac": SMALL_TRANSRAC, "skimfocus": SMALL_SKIMFOCUS}
SWIN_T = 27.85  # M, Video-Swin-T without its head


def a_small(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return built(name, replace(SMALL[name], video=8)).eval()


def test_the_published_sizes():
    transrac = TransRAC(TransRACConfig(compat="release"))
    assert parameters(transrac) / 1e6 == pytest.approx(14.434, abs=5e-4)  # trainable
    assert parameters(transrac) / 1e6 + SWIN_T == pytest.approx(42.28, abs=5e-3)
    unused = sum(layer.value.weight.numel() + 512 for layer in transrac.correlation.similarities)
    assert parameters(TransRAC(TransRACConfig())) == parameters(transrac) - unused
    skimfocus = SkimFocus(SkimFocusConfig(skimmed=192, compat="release"))
    assert parameters(skimfocus) / 1e6 == pytest.approx(33.651, abs=5e-4)
    assert parameters(skimfocus) / 1e6 + SWIN_T == pytest.approx(61.50, abs=5e-3)
    skim, gate, mixing = (parameters(part) / 1e6 for part in (skimfocus.skim, skimfocus.gate, skimfocus.mixing))
    assert (skim, gate, mixing) == pytest.approx((0.789, 1.051, 17.379), abs=5e-4)


def released_transrac() -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint as the authors' code names and shapes them; the encoder's are cut short."""
    shapes = {
        "backbone.patch_embed.proj.weight": (96, 3, 2, 4, 4),
        "conv3D.weight": (512, 768, 3, 3, 3),
        "conv3D.bias": (512,),
        **{f"bn1.{name}": (512,) for name in ("weight", "bias", "running_mean", "running_var")},
        "bn1.num_batches_tracked": (),
        **{f"sims.linear_{part}.weight": (512, 512) for part in "qkv"},
        **{f"sims.linear_{part}.bias": (512,) for part in "qkv"},
        "conv3x3.weight": (32, 12, 3, 3),
        "conv3x3.bias": (32,),
        **{f"bn2.{name}": (32,) for name in ("weight", "bias", "running_mean", "running_var")},
        "bn2.num_batches_tracked": (),
        "input_projection.weight": (512, 2048),
        "input_projection.bias": (512,),
        "ln1.weight": (512,),
        "ln1.bias": (512,),
        "transEncoder.pos_encoder.pe": (64, 1, 512),
        "FC.layers.0.weight": (512, 512),
        "FC.layers.0.bias": (512,),
        "FC.layers.1.weight": (512,),
        "FC.layers.1.bias": (512,),
        "FC.layers.4.weight": (256, 512),
        "FC.layers.4.bias": (256,),
        "FC.layers.7.weight": (1, 256),
        "FC.layers.7.bias": (1,),
    }
    layer = torch.nn.TransformerEncoderLayer(512, 4, 512)
    later = torch.nn.TransformerEncoder(layer, 1, torch.nn.LayerNorm(512), enable_nested_tensor=False)
    tensors = {f"module.{name}": torch.rand(shape) for name, shape in shapes.items()}
    return tensors | {f"module.transEncoder.trans_encoder.{name}": t for name, t in later.state_dict().items()}


def test_a_checkpoint_of_transracs_authors_loads_strictly():
    released = released_transrac()
    model = TransRAC(TransRACConfig(compat="release", stacked=True, video=3 * 768))
    model.load_state_dict(transrac_from_release(released))
    assert torch.equal(model.head[4].weight, released["module.FC.layers.4.weight"])
    assert torch.equal(model.correlation.similarities[0].key.bias, released["module.sims.linear_k.bias"])
    with torch.no_grad():
        assert model.eval()(video=torch.randn(1, 64, 3 * 768, 1, 1)).final.shape == (1, 64)
    with pytest.raises(KeyError, match=r"head\.weight"):
        transrac_from_release({**released, "head.weight": torch.zeros(1)})


def test_the_last_channels_are_skimmed_where_the_encoder_says_so():
    torch.manual_seed(0)
    config = replace(SMALL_SKIMFOCUS, video=8, skimmed=6, grid=0)
    model, tokens = SkimFocus(config).eval(), torch.randn(1, 40, 14, 2, 2)
    with torch.no_grad():
        expected = model(video=tokens[:, :, :8], context=tokens[:, :, 8:])
        result = model(video=tokens)
    assert torch.equal(result.final, expected.final) and torch.equal(result.skimmed, expected.skimmed)


def test_the_authors_third_scale_begins_early():
    ramp = torch.arange(20, dtype=torch.float32).reshape(1, 20, 1, 1, 1)
    clean, early = windowed(ramp, 8)[0, :, 0, 0, 0], windowed(ramp, 8, EARLY)[0, :, 0, 0, 0]
    assert torch.allclose(early[2:], clean[:-2])
    torch.manual_seed(0)
    model = TransRAC(replace(SMALL_TRANSRAC, video=8, grid=0)).eval()
    release = TransRAC(replace(SMALL_TRANSRAC, video=8, grid=0, compat="release")).eval()
    release.load_state_dict(model.state_dict(), strict=False)
    tokens = torch.randn(1, 64, 8, 2, 2)
    with torch.no_grad():
        expected = release.density([windowed(tokens, 1), windowed(tokens, 4), windowed(tokens, 8, EARLY)])
        assert torch.allclose(release(video=tokens).final, expected, atol=1e-4)


def test_the_map_of_the_release_loses_repetitions():
    edges = np.arange(0, 641, 10.0)  # 64 tokens of ten frames
    wide = np.array([[0, 200], [220, 400], [420, 600]])
    assert overwritten_map(wide, edges, 64).sum() == pytest.approx(3, abs=0.02)
    whole = np.stack([np.arange(0, 640, 16), np.arange(16, 641, 16)], 1)  # 40 of them, less than two bins each
    drawn = overwritten_map(whole, edges, 64)
    assert drawn.sum() < 36 and drawn.shape == (64,)
    assert overwritten_map(np.array([[101, 109]]), edges, 64).tolist()[11] == 1
    clip = TokenClip("c", None, None, edges, whole, 40.0)
    assert clip.count_of_map(64) == np.rint(drawn.sum()) and clip.count_of_map(0) > clip.count_of_map(64)


def test_stacked_scales_are_seen_one_by_one():
    torch.manual_seed(0)
    config = replace(SMALL_TRANSRAC, video=3 * 8, bins=16, stacked=True, grid=0)
    model, tokens = TransRAC(config).eval(), torch.randn(2, 16, 24, 2, 2)
    with torch.no_grad():
        expected = model.density([tokens[:, :, :8], tokens[:, :, 8:16], tokens[:, :, 16:]])
        assert torch.equal(model(video=tokens).final, expected)
        with pytest.raises(ValueError, match="16 moments, not at 15"):
            model(video=tokens[:, :15])
    with pytest.raises(ValueError, match="multiple of them"):
        replace(config, video=25).check()


def test_escounts_is_one_branch_of_d2stx():
    model = a_small("escounts")
    assert (
        isinstance(model, D2STX) and list(model.branches) == ["video"] and isinstance(model.branches["video"], Branch)
    )
    with pytest.raises(ValueError, match="one of video, pose"):
        ESCountsConfig(branches="both").check()


@pytest.mark.parametrize("name", SMALL)
def test_padding_has_no_say(name):
    model, video = a_small(name), torch.randn(2, 40, 8, 4, 4)
    valid = torch.arange(40)[None] < torch.tensor([[40], [25]])
    with torch.no_grad():
        both, alone = model(video, valid=valid).final, model(video[1:, :25]).final
    assert both.shape == (2, 40)
    assert torch.allclose(both[1, :25], alone[0], atol=1e-3)


@pytest.mark.parametrize("name", SMALL)
def test_joints_are_places_too(name):
    model = built(name, replace(SMALL[name], branches="pose", pose=6)).eval()
    assert model(pose=torch.randn(1, 30, 6, 25)).final.shape == (1, 30)
    if name != "escounts":
        with pytest.raises(ValueError, match="looks at pose"):
            model(video=torch.randn(1, 30, 6, 4, 4))


@pytest.mark.parametrize("name", COUNTER_MODELS)
def test_a_config_survives_a_header(name):
    config = COUNTER_MODELS[name][0]()
    stored = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(config).items()}
    assert configured(name, stored) == config


@pytest.mark.parametrize("tokens", [10, 64, 100])
def test_bins_share_the_clip_evenly(tokens):
    shares = bins_of(torch.zeros(1, tokens, 1), None, 64)[0]
    assert torch.allclose(shares.sum(1), torch.ones(64), atol=1e-5)
    ramp = torch.arange(tokens) + 0.5
    expected = (torch.arange(64) + 0.5) * tokens / 64
    assert torch.allclose(shares @ ramp, expected, atol=0.51)  # within half a token of each bin's middle
    density = torch.rand(64)
    assert torch.einsum("kt,k->t", shares, density).sum() == pytest.approx(float(density.sum()), rel=1e-5)


def test_a_window_is_the_mean_of_its_moments():
    ramp = torch.arange(12.0).reshape(1, 12, 1, 1, 1)
    assert torch.equal(windowed(ramp, 1), ramp)
    assert windowed(ramp, 4)[0, 3:9, 0, 0, 0].tolist() == [3.5, 4.5, 5.5, 6.5, 7.5, 8.5]
    assert windowed(ramp, 4)[0, 0, 0, 0, 0] == pytest.approx((0 + 0 + 1 + 2) / 4)


def test_matrices_of_likeness():
    features = torch.randn(1, 12, 16)
    plain, dual = Similarity(16, 4)(features), Similarity(16, 4, dual=True)(features)
    assert plain.shape == dual.shape == (1, 4, 12, 12)
    assert torch.allclose(plain.sum(-1), torch.ones(1, 4, 12), atol=1e-5)
    assert (dual.sum(-1) < 1).all() and (dual.sum(-2) < 1).all()
    torch.manual_seed(1)
    wide = Similarity(512, 4, "release")
    scores = (wide.query(torch.ones(1, 2, 512))[..., :128] * wide.key(torch.ones(1, 2, 512))[..., :128]).sum(-1)
    assert wide.per_head == 64 and Similarity(512, 4).per_head == 128 and torch.isfinite(scores).all()


def test_the_parts_of_htrm_net_are_switches():
    plain = TransRAC(replace(SMALL_TRANSRAC, video=8))
    changed = {"similarity": "joint", "matrix_drop": 0.3, "neighbours": 3, "scale_fusion": "gate"}
    every = TransRAC(replace(SMALL_TRANSRAC, video=8, **changed))
    assert every.correlation.convolution.in_channels == 8  # two kinds of four heads, whatever the scales
    assert plain.correlation.convolution.in_channels == 12 and plain.correlation.context is None
    video = torch.randn(2, 30, 8, 4, 4)
    torch.manual_seed(0)
    first, second = every(video).final, every(video).final
    assert not torch.allclose(first, second)  # matrices are dropped in training
    for wrong in ({"neighbours": 2}, {"matrix_drop": 1.0}, {"similarity": "x"}, {"scale_fusion": "x"}, {"compat": "x"}):
        with pytest.raises(ValueError):
            replace(SMALL_TRANSRAC, **wrong).check()


def test_what_is_skimmed_and_what_is_chosen():
    model = a_small("skimfocus")
    model.config = replace(model.config, chosen=2)
    tokens, scores = torch.randn(1, 6, 8, 2, 2), torch.tensor([[0.1, 0.9, 0.2, 0.3, 0.8, 5.0]])
    valid = torch.tensor([[True] * 5 + [False]])
    with torch.no_grad():
        important = model.important(tokens, scores, valid)
        assert torch.allclose(important, model.frames(tokens[:, [1, 4]]).amax(1))  # the last is past the clip's end
        video = torch.randn(1, 150, 8, 4, 4)  # of three blocks
        result = model(video)
        assert result.final.shape == (1, 150) and result.skimmed.shape == (1, 150) and (result.skimmed >= 0).all()
        usual, shifted = model.focus(video, important), model.focus(video, important + 5)
    assert not torch.allclose(usual[:, :64], shifted[:, :64])  # what matters in the whole clip changes every block
