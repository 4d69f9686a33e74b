"""The frozen video encoders: their sizes, what they are fed, whose weights they take and whose they refuse."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import shutil
import sys
import urllib.request
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from racctl.encoders import kinetics as video
from racctl.encoders.base import SKIMMED
from racctl.encoders.kinetics import NETWORKS, FrozenVideoEncoder, load_tensors, read_tensors, video_encoder
from racctl.errors import DataError, UsageError
from racctl.estimators.download import Bundle, fetch
from racctl.io.checkpoint import digest
from racctl.models.resnext3d import ResNeXt3D, ResNeXt3DConfig
from racctl.models.videomae import VideoMAE, VideoMAEConfig


@pytest.fixture(scope="module")
def torchvision():
    """PyPI's torchvision is built for CUDA. On a CPU build of torch it trips over two operators that it declares itself
    where its library loads; no encoder uses them."""
    try:
        importlib.metadata.version("torchvision")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("torchvision is not installed")
    declared = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms") if torch.version.cuda is None else ():
        if not hasattr(torch.ops.torchvision, name):
            declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its image extension, which is not used either
        import torchvision.models.video  # noqa: F401
    return declared  # which holds as long as it is referred to


needs_torchvision = pytest.mark.usefixtures("torchvision")
THEIRS = ("r2plus1d_18", "swin3d_t")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(5))


def picture(height: int, width: int) -> np.ndarray:
    """A smooth picture with edges."""
    y, x = np.mgrid[:height, :width]
    waves = [128 + 100 * np.sin(x / 9 + k) * np.cos(y / (7 + 3 * k)) for k in range(3)]
    return (np.stack(waves, -1) + 20 * ((x // 16 + y // 16) % 2)[..., None]).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def resnext() -> FrozenVideoEncoder:
    return video_encoder("resnext3d_101", random=True)


# The networks.


@pytest.mark.parametrize("name", NETWORKS)
def test_numbers_of_parameters(request, name):
    if name in (*THEIRS, "swin3d_t_skim"):
        request.getfixturevalue("torchvision")
    with torch.device("meta"):
        network = NETWORKS[name].build()
    channels = NETWORKS[name].channels - SKIMMED.get(name, 0)
    with_head = sum(p.numel() for p in network.parameters()) + 400 * (channels + 1)
    expected = {
        "r2plus1d_18": 31_505_325,  # torchvision
        "swin3d_t": 28_158_070,  # torchvision
        "swin3d_t_skim": 28_158_070,
        "resnext3d_101": 48_340_816,  # 47.5 M without the head; no count by the authors was found
        "videomae_vit_b": 86_702_224,  # PySlowFast: 87 M
    }
    assert with_head == expected[name]


@needs_torchvision
@pytest.mark.parametrize("name", THEIRS)
def test_torchvision_itself_says_the_same(name):
    from torchvision.models import get_model_weights

    published, facts = get_model_weights(name).DEFAULT, NETWORKS[name]
    assert facts.published.url == published.url
    assert facts.published.sha256 in published.url
    assert abs(facts.published.size / (1 << 20) - published.meta["_file_size"]) < 0.001
    with torch.device("meta"):
        network = facts.build()
    beside = published.meta["num_params"] - sum(p.numel() for p in network.parameters())
    assert beside == 400 * (facts.channels + 1)


@needs_torchvision
@pytest.mark.parametrize(("name", "side"), [("r2plus1d_18", 32), ("swin3d_t", 64)])
def test_the_map_is_what_torchvision_pools(name, side):
    """With its own head behind ours, the classifier is torchvision's again."""
    from torchvision.models import get_model

    torch.manual_seed(0)
    whole = get_model(name).eval()
    facts = NETWORKS[name]
    ours = facts.build().eval()
    ours.load_state_dict({k: v for k, v in whole.state_dict().items() if not k.startswith(facts.beside)})
    clip = torch.randn(1, 3, 16, side, side)
    with torch.no_grad():
        maps = ours(clip)
        head = whole.fc if name == "r2plus1d_18" else whole.head
        torch.testing.assert_close(head(maps.mean((2, 3, 4))), whole(clip), atol=1e-5, rtol=1e-4)
    look = replace(next(iter(facts.presets.values())), side=side)
    assert tuple(maps.shape[1:]) == facts.shape(look)


@needs_torchvision
def test_what_is_skimmed_stands_below_the_tokens():
    torch.manual_seed(0)
    both = NETWORKS["swin3d_t_skim"].build().eval()
    whole = NETWORKS["swin3d_t"].build().eval()
    whole.load_state_dict(both.state_dict())  # the same weights, by the same names
    clip = torch.randn(1, 3, 8, 64, 64)
    with torch.no_grad():
        maps = both(clip)
        assert maps.shape == (1, 768 + 192, 4, 2, 2)
        torch.testing.assert_close(maps[:, :768], whole(clip))
        small = nn.functional.avg_pool3d(torch.ones(1, 3, 8, 64, 64), (1, 4, 4))  # nothing to see is nothing, smaller
        first = both.layout(both.features[1](both.features[0](both.patch_embed(small))))
        torch.testing.assert_close(both(torch.ones(1, 3, 8, 64, 64))[:, 768:], first)


@pytest.mark.parametrize(
    ("name", "preset", "shape"),
    [
        ("r2plus1d_18", "torchvision", (512, 2, 7, 7)), ("r2plus1d_18", "escounts", (512, 2, 14, 14)),
        ("swin3d_t", "torchvision", (768, 8, 7, 7)), ("swin3d_t", "escounts", (768, 8, 7, 7)),
        ("resnext3d_101", "hara", (2048, 4, 4, 4)), ("resnext3d_101", "escounts", (2048, 4, 7, 7)),
        ("videomae_vit_b", "pyslowfast", (768, 8, 14, 14)), ("videomae_vit_b", "escounts", (768, 8, 14, 14)),
    ],
)  # fmt: skip
def test_shapes_of_the_tokens(name, preset, shape):
    facts = NETWORKS[name]
    assert facts.shape(facts.presets[preset]) == shape
    assert facts.presets[preset].frames == (64 if name == "resnext3d_101" else 16)


def test_the_names_in_the_resnext_are_those_of_its_checkpoint():
    with torch.device("meta"):
        held = ResNeXt3D().state_dict()
    shapes = {key: tuple(value.shape) for key, value in held.items()}
    assert shapes["conv1.weight"] == (64, 3, 7, 7, 7)
    assert shapes["layer1.0.conv1.weight"] == (128, 64, 1, 1, 1)
    assert shapes["layer1.0.conv2.weight"] == (128, 4, 3, 3, 3)  # 32 groups
    assert shapes["layer1.0.downsample.0.weight"] == (256, 64, 1, 1, 1)
    assert shapes["layer1.0.downsample.1.running_var"] == (256,)
    assert shapes["layer3.22.bn3.bias"] == (1024,)
    assert shapes["layer4.2.conv3.weight"] == (2048, 1024, 1, 1, 1)
    assert "layer4.3.conv1.weight" not in shapes and "layer1.1.downsample.0.weight" not in shapes


def test_the_names_in_the_masked_autoencoder_are_those_of_its_checkpoint():
    with torch.device("meta"):
        held = VideoMAE().state_dict()
    shapes = {key: tuple(value.shape) for key, value in held.items()}
    block = {f"blocks.11.attn.{part}.weight": (768, 768) for part in ("q", "k", "v", "proj")}
    block |= {"blocks.11.mlp.fc1.weight": (3072, 768), "blocks.11.mlp.fc2.weight": (768, 3072)}
    block |= {f"blocks.11.norm{k}.bias": (768,) for k in (1, 2)}
    outer = {"patch_embed.proj.weight": (768, 3, 2, 16, 16), "norm.weight": (768,)}
    outer |= {f"pos_embed_{part}": (1, n, 768) for part, n in (("spatial", 196), ("temporal", 8), ("class", 1))}
    assert (block | outer | {"cls_token": (1, 1, 768)}).items() <= shapes.items()
    assert len(shapes) == 12 * 16 + 8


def test_the_tokens_of_the_masked_autoencoder_stand_where_their_tubelets_were():
    torch.manual_seed(0)
    config = VideoMAEConfig(frames=4, side=32, width=24, layers=2, heads=2)
    model = VideoMAE(config).eval()
    for block in model.blocks:  # else every token sees every tubelet
        nn.init.zeros_(block.attn.proj.weight)
    clip = torch.randn(1, 3, 4, 32, 32)
    second = clip.clone()
    second[:, :, 2:, 16:, :16] += 1
    changed = (model(clip) - model(second)).abs().amax(1)[0] > 1e-6
    assert changed.nonzero().tolist() == [[1, 1, 0]]
    model.pos_embed_temporal.data[:, 1] += torch.linspace(0, 1, 24)
    assert ((model(clip) - model(clip.flip(2))).abs() > 1e-6).any()


def test_a_bottleneck_is_the_paper_s():
    torch.manual_seed(0)
    model = ResNeXt3D(ResNeXt3DConfig((1, 1), groups=4, stem=8, width=16)).eval()
    assert model(torch.randn(1, 3, 8, 24, 24)).shape == (1, 64, 2, 3, 3)
    maps, block = torch.randn(1, 32, 4, 6, 6), model.layer2[0]
    inner = torch.relu(block.bn1(block.conv1(maps)))
    inner = torch.relu(block.bn2(block.conv2(inner)))
    expected = torch.relu(block.bn3(block.conv3(inner)) + block.downsample(maps))
    torch.testing.assert_close(block(maps), expected)


# What they are fed.


@needs_torchvision
@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize("size", [(360, 480), (271, 150), (720, 1280), (90, 100)])
def test_frames_are_prepared_as_torchvision_does(name, size):
    from torchvision.models import get_model_weights

    look = NETWORKS[name].presets["torchvision"]
    image = picture(*size)
    prepared = look.prepare(image)
    assert prepared.shape == (look.side, look.side, 3) and prepared.dtype == np.uint8
    ours = look.normalise(torch.from_numpy(prepared)[None, None])[0]
    theirs = get_model_weights(name).DEFAULT.transforms()(torch.from_numpy(image).permute(2, 0, 1)[None])
    level = 1 / 255 / min(look.std)
    assert (ours - theirs).abs().max() <= 1.01 * level  # where a value lies in the middle it may be rounded otherwise
    assert ((ours - theirs).abs() > 1e-5).float().mean() < 1e-3


def test_the_look_of_hara_is_antialiased_and_on_the_scale_of_255():
    look = NETWORKS["resnext3d_101"].presets["hara"]
    fine = np.zeros((448, 600, 3), np.uint8)
    fine[::2] = 255  # stripes that vanish when the picture is made smaller
    prepared = look.prepare(fine)
    assert prepared.shape == (112, 112, 3)
    assert abs(prepared[2:-2].astype(int) - 127).max() <= 2  # at the edge there is less to average
    seen = look.normalise(torch.full((1, 1, 112, 112, 3), 120, dtype=torch.uint8))
    assert seen[0, :, 0, 0, 0].tolist() == pytest.approx([120 - 114.7748, 120 - 107.7354, 120 - 99.475], abs=1e-3)


@pytest.mark.parametrize("name", [name for name, facts in NETWORKS.items() if "escounts" in facts.presets])
def test_escounts_fed_them_all_alike(name):
    look = NETWORKS[name].presets["escounts"]
    image = picture(300, 400)
    small = torch.nn.functional.interpolate(  # as pytorchvideo's short_side_scale, before the cut
        torch.from_numpy(image).permute(2, 0, 1)[None] / 255, size=(224, 298), mode="bilinear", align_corners=False
    )
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    ours = look.normalise(torch.from_numpy(look.prepare(image))[None, None])[0, :, 0]
    theirs = (small[0, :, :, 37 : 37 + 224] - mean) / std
    assert (ours - theirs).abs().max() < 0.51 / 255 / 0.224  # they did not round to whole levels
    blank = look.normalise(torch.from_numpy(look.blank())[None, None])
    assert blank.abs().max() < 0.51 / 255 / 0.224


# The encoders.


def test_an_encoder_is_frozen_and_repeatable(resnext):
    assert (resnext.channels, resnext.frames, resnext.steps) == (2048, 64, 4)
    assert resnext.record == {"name": "resnext3d_101", "random": True, "seed": 0}
    assert not any(module.training for module in resnext.network.modules())
    assert not any(p.requires_grad for p in resnext.network.parameters())
    windows = noise(2, 16, 32, 32, 3)
    tokens = resnext(windows)
    assert tokens.shape == (2, 2048, 1, 1, 1) and tokens.dtype == torch.float32 and not tokens.requires_grad
    assert torch.equal(tokens, resnext(windows))
    torch.testing.assert_close(resnext(windows[1:]), tokens[1:], atol=1e-4, rtol=1e-4)  # on its own as in company
    assert windows.dtype == torch.uint8


@needs_torchvision
def test_a_whole_window_of_each_of_torchvision_s():
    result = video_encoder("r2plus1d_18", random=True)
    assert result(noise(1, 16, 112, 112, 3)).shape == (1, *result.shape) == (1, 512, 2, 7, 7)
    swin = video_encoder("swin3d_t", random=True, preset="escounts")
    assert swin.look.resize == (224,) and swin(noise(1, 16, 64, 64, 3)).shape == (1, 768, 8, 2, 2)


def test_random_weights_follow_the_seed_and_leave_the_generator_alone(monkeypatch):
    monkeypatch.setitem(NETWORKS, "tiny", replace(NETWORKS["resnext3d_101"], build=tiny))
    state = torch.get_rng_state()
    first, again, second = (video_encoder("tiny", random=True, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    assert digest(first.network.state_dict()) == digest(again.network.state_dict())
    assert digest(first.network.state_dict()) != digest(second.network.state_dict())
    assert second.record == {"name": "tiny", "random": True, "seed": 2}


def test_another_kind_of_look_makes_an_encoder_too():
    """Cut-outs of a person, gray and mask: (S, frames, side, side, 2)."""

    class Cutouts:
        kind, frames = "silhouette", 4

        def normalise(self, clips: torch.Tensor) -> torch.Tensor:
            return clips.permute(0, 4, 1, 2, 3) / 255

    network = nn.Conv3d(2, 6, 2, 2)
    encoder = FrozenVideoEncoder("own", Cutouts(), network, (6, 2, 4, 4), {"name": "own"})
    assert encoder(noise(3, 4, 8, 8, 2)).shape == (3, *encoder.shape)


# Weights.


def tiny() -> nn.Module:
    return ResNeXt3D(ResNeXt3DConfig((1, 1), groups=4, stem=8, width=16))


def test_the_checkpoint_of_hara_loads_whole_as_he_saved_it(tmp_path, resnext):
    """DataParallel's prefix, a wrapper with other things in it, a head, no counters."""
    tensors = {f"module.{k}": v + 1 for k, v in resnext.network.state_dict().items() if not k.endswith("tracked")}
    tensors |= {"module.fc.weight": torch.zeros(400, 2048), "module.fc.bias": torch.zeros(400)}
    path = tmp_path / "resnext-101-64f-kinetics.pth"
    torch.save({"epoch": 3, "arch": "resnext-101", "state_dict": tensors, "optimizer": {"state": {}}}, path)
    result = video_encoder("resnext3d_101", weights=str(path))
    held = result.network.state_dict()
    assert torch.equal(held["layer3.7.conv2.weight"], tensors["module.layer3.7.conv2.weight"])
    assert result.record == {"name": path.name, "sha256": digest(held), "licence": "unstated"}
    assert not result.network.training


@pytest.mark.parametrize("wrapped", ["plain", "state_dict", "model_state", "parallel", "old", "safetensors"])
def test_one_set_of_weights_in_every_wrapping(tmp_path, wrapped):
    torch.manual_seed(3)
    network, second = tiny(), tiny()
    tensors, path = network.state_dict(), tmp_path / "w.bin"
    if wrapped == "safetensors":
        from safetensors.torch import save_file

        save_file(tensors, path)
    elif wrapped == "parallel":
        torch.save({f"module.{key}": value for key, value in tensors.items()}, path)
    elif wrapped == "old":  # as before PyTorch 1.6
        torch.save({"state_dict": tensors}, path, _use_new_zipfile_serialization=False)
    else:
        torch.save(tensors if wrapped == "plain" else {"cfg": "text", wrapped: tensors}, path)
    load_tensors(second, path)
    assert digest(second.state_dict()) == digest(tensors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("bn1.weight"), "lacks 'bn1.weight', one of the"),
        (lambda t: t.update({"bn1.bias": torch.zeros(9)}), "does not fit this encoder: 'bn1.bias' is 9 instead of 8"),
        (lambda t: t.update({"conv9.weight": torch.zeros(1)}), "holds 'conv9.weight', which this encoder does not"),
        (lambda t: t.clear(), "holds no tensors by name"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_one_line_with_the_first_key(tmp_path, change, message):
    tensors = dict(tiny().state_dict())
    change(tensors)
    torch.save(tensors, tmp_path / "w.pth")
    with pytest.raises(DataError, match=message) as caught:
        load_tensors(tiny(), tmp_path / "w.pth")
    assert "\n" not in str(caught.value)


def test_files_that_are_no_weights(tmp_path):
    (tmp_path / "text.pth").write_text("hello")
    torch.save({"a": torch.zeros(100)}, tmp_path / "cut.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "cut.pth").read_bytes()[:300])
    torch.save(tiny(), tmp_path / "code.pth")  # a pickled module would run code
    (tmp_path / "cut.safetensors").write_bytes((99).to_bytes(8, "little") + b'{"a":')
    for name in ("text.pth", "cut.pth", "code.pth", "cut.safetensors"):
        with pytest.raises(DataError, match=rf"'.*{name}' is not a whole file of weights \(\w+\)$"):
            read_tensors(tmp_path / name)
    with pytest.raises(DataError, match=r"cannot open '.*none\.pth': no such file or directory"):
        read_tensors(tmp_path / "none.pth")


def test_the_masked_autoencoder_s_decoder_is_left_aside(tmp_path, monkeypatch):
    config = VideoMAEConfig(frames=4, side=32, width=24, layers=1, heads=2)
    monkeypatch.setitem(NETWORKS, "tiny", replace(NETWORKS["videomae_vit_b"], build=lambda: VideoMAE(config)))
    tensors = VideoMAE(config).state_dict()
    beside = ("decoder_embed.weight", "decoder_pos_embed", "dec_pos_embed_class", "mask_token")
    beside += ("pred_head.transforms.0.0.attn.q.weight", "head.projection.bias")
    torch.save({"epoch": 1, "model_state": {**tensors, **dict.fromkeys(beside, torch.zeros(2))}}, tmp_path / "w.pyth")
    assert video_encoder("tiny", weights=str(tmp_path / "w.pyth")).record["sha256"] == digest(tensors)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("c3d", {}, "no such video encoder 'c3d'; expected r2plus1d_18, swin3d_t, swin3d_t_skim, resnext3d_101, "
         "videomae_vit_b"),
        ("swin3d_t", {}, r"use '--weights FILE', '--download' \(121 MiB, BSD-3-Clause .*\), or '--random-weights' to"),
        ("resnext3d_101", {}, "get resnext-101-64f-kinetics.pth of .* and use '--weights FILE', or '--random-weights'"),
        ("videomae_vit_b", {"download": True}, "get https://.*VIT_B_16x4_MAE_PT.pyth and use '--weights FILE'"),
        ("swin3d_t", {"preset": "hara", "random": True}, "has no preset 'hara'; expected torchvision or escounts"),
        ("swin3d_t", {"weights": "w.pth", "random": True}, "exclude each other"),
    ],
)
def test_what_cannot_be_is_one_line(monkeypatch, tmp_path, name, options, message):
    monkeypatch.setenv("RACCTL_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match=message) as caught:
        video_encoder(name, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("remaining", "message"), [(None, "this encoder needs torchvision"), (object(), "does not fit")]
)
def test_without_a_torchvision_that_works(monkeypatch, remaining, message):
    for name in [name for name in sys.modules if name.startswith("torchvision.models")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", remaining)
    if remaining is not None:
        monkeypatch.setitem(sys.modules, "torchvision.models", remaining)
    with pytest.raises(UsageError, match=message):
        video._torchvision()


@pytest.fixture
def served(monkeypatch, tmp_path):
    """A pinned file of weights of a tiny encoder, and the bytes that the network gives for it."""
    monkeypatch.setenv("RACCTL_CACHE", str(tmp_path / "cache"))
    payload = io.BytesIO()
    torch.save(tiny().state_dict(), payload)
    answers = {"bytes": payload.getvalue(), "asked": 0}
    bundle = Bundle(
        "https://example.org/tiny-01234567.pth", len(answers["bytes"]) + 40,
        hashlib.sha256(answers["bytes"]).hexdigest()[:8], 50,
    )  # fmt: skip
    facts = replace(NETWORKS["resnext3d_101"], build=tiny, published=bundle, licence="MIT")
    monkeypatch.setitem(NETWORKS, "tiny", facts)

    def urlopen(url, timeout):
        assert url == bundle.url and timeout
        answers["asked"] += 1
        return io.BytesIO(answers["bytes"])

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return bundle, answers


def test_weights_are_fetched_when_asked_for_and_once(served):
    bundle, answers = served
    with pytest.raises(UsageError, match="no weights of 'tiny'; use '--weights FILE', '--download'"):
        video_encoder("tiny")
    assert answers["asked"] == 0
    first = video_encoder("tiny", download=True)
    assert first.record["name"] == "tiny-01234567.pth" and first.record["licence"] == "MIT"
    assert bundle.is_cached
    assert video_encoder("tiny").record == video_encoder("tiny", download=True).record == first.record
    assert answers["asked"] == 1


@pytest.mark.parametrize("harm", ["altered", "short", "long"])
def test_a_download_that_is_not_the_pinned_file_is_refused(served, harm):
    bundle, answers = served
    whole = answers["bytes"]
    answers["bytes"] = {"altered": whole[:-1] + b"?", "short": whole[:-200], "long": whole + bytes(200)}[harm]
    with pytest.raises(DataError, match="is not the file that was pinned"):
        fetch(bundle)
    assert not bundle.cached.exists()


def test_a_compiled_network_gives_the_same_tokens():
    pytest.importorskip("torch._inductor")
    if not shutil.which("g++"):
        pytest.skip("there is no C++ compiler")
    network = ResNeXt3D(ResNeXt3DConfig((1, 1), groups=4, stem=8, width=16))
    look = NETWORKS["resnext3d_101"].presets["hara"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler's own
        fast = FrozenVideoEncoder("a", look, network, (256, 1, 4, 4), {}, compiled=True)
        clips = torch.randint(0, 256, (1, 8, 32, 32, 3), dtype=torch.uint8)
        result = fast(clips)
    plain = FrozenVideoEncoder("a", look, network, (256, 1, 4, 4), {})(clips)
    assert torch.allclose(result, plain, atol=1e-4 * plain.abs().max())
