"""Frozen video encoders: windows of frames to maps of tokens, each with the preprocessing that its weights expect.

R(2+1)D-18 and Swin-T are torchvision's, ResNeXt-101 and the masked autoencoder's ViT-B are in racctl/models; all were
trained on Kinetics-400 and end at their last feature map, before pooling. An encoder of another kind (of cut-out people
rather than whole frames, say) is a `FrozenVideoEncoder` too: it brings a look of its own, with another `kind`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from einops import rearrange
from einops.layers.torch import Rearrange
from PIL import Image
from torch import Tensor, nn

from racctl.contracts import Meta
from racctl.encoders.base import SKIMMED, EncodeOptions, VideoLook
from racctl.errors import DataError, UsageError
from racctl.estimators.download import Bundle, fetch
from racctl.io.checkpoint import digest
from racctl.io.sniff import sniff
from racctl.models.resnext3d import ResNeXt3D
from racctl.models.videomae import VideoMAE
from racctl.video.decode import Frame, Video, upright

RGB = "rgb"
WRAPPERS = ("state_dict", "model_state", "model_state_dict", "model")  # keys that a checkpoint's tensors stand under
SKIM_REDUCTION = 4  # how many times smaller the pictures are that `SkimmedSwin` skims
COUNTER = "num_batches_tracked"  # of batch normalisation: not used here, and older checkpoints lack it


class EncoderLook(VideoLook, Protocol):
    """What a `FrozenVideoEncoder` needs of its preprocessing, too."""

    def normalise(self, clips: Tensor) -> Tensor:
        """(S, frames, ...) uint8 as prepared to what the network takes, (S, channels, frames, side, side) float32."""


@dataclass(frozen=True)
class KineticsLook:
    """What a network wants to see of a video; goes into the features file's header.

    resize: pixels; one number is the short side, two are height and width whatever the picture's shape.  side: of the
    square in the middle that is kept.  mean, std: of R, G, B on the scale 0 to 1.  frames: into the network, for each
    window.  antialias: whether the picture is low-passed before it is made smaller.  rate: frames per second that
    windows are taken at; 0 for the video's own.  turned: whether the picture's rows and columns are changed over.
    """

    resize: tuple[int, ...]
    side: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    frames: int = 16
    antialias: bool = False
    rate: float = 0.0
    kind: str = RGB
    turned: bool = False
    needs_mask: ClassVar[bool] = False
    windows_at_once: ClassVar[int] = 1  # with more, the large networks fall out of a CPU's caches

    def header(self) -> Meta:
        values = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        if not self.turned:
            del values["turned"]  # which features that are older lack
        return values

    def pictures(self, video: Video, masks: object) -> Callable[[Frame], np.ndarray]:
        """Return what turns a clip's decoded frames into what the network sees."""
        del masks

        def seen(frame: Frame) -> np.ndarray:
            picture = self.prepare(upright(frame.image.to_ndarray(format="rgb24"), video.rotation))
            return np.ascontiguousarray(picture.swapaxes(0, 1)) if self.turned else picture

        return seen

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """image: (H, W, 3) uint8, upright. Returns (side, side, 3) uint8, resized bilinearly, the middle cut out. Apart
        from `normalise` so that windows that overlap share it."""
        size = self._resized(*image.shape[:2])
        top, left = (round((length - self.side) / 2) for length in size)  # as torchvision's center_crop
        if not self.antialias:
            return _sampled(image, size, top, left, self.side)
        small = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
        return np.array(small.crop((left, top, left + self.side, top + self.side)))

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width before the cut."""
        if len(self.resize) == 2:
            return self.resize
        short = self.resize[0]
        return (short, short * width // height) if height <= width else (short * height // width, short)

    def blank(self) -> np.ndarray:
        """(side, side, 3) uint8, the frame nearest to zero after `normalise`: what ESCounts pads videos with."""
        return np.full((self.side, self.side, 3), np.rint(np.array(self.mean) * 255), np.uint8)

    def normalise(self, clips: Tensor) -> Tensor:
        """(S, frames, side, side, 3) uint8 to (S, 3, frames, side, side) float32, less the mean, over the deviation."""
        mean, std = (torch.tensor(values, device=clips.device) for values in (self.mean, self.std))
        scaled = clips.float().div_(255).sub_(mean).div_(std)
        return rearrange(scaled, "s t h w c -> s c t h w")


def _sampled(image: np.ndarray, size: tuple[int, int], top: int, left: int, side: int) -> np.ndarray:
    """The cut of `side` pixels at top, left of the image as resized to `size`: each pixel from its four neighbours,
    without a low-pass before (torch.nn.functional.interpolate, bilinear), and none computed that is cut off."""
    (above, below, down), (before, after, along) = (
        _neighbours(length, total, first, side)
        for length, total, first in zip(image.shape[:2], size, (top, left), strict=True)
    )
    down, along = down[:, None, None], along[:, None]
    upper = image[above[:, None], before] * (1 - along) + image[above[:, None], after] * along
    lower = image[below[:, None], before] * (1 - along) + image[below[:, None], after] * along
    return np.rint(upper * (1 - down) + lower * down).astype(np.uint8)


def _neighbours(length: int, total: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For `count` of `total` places from `first` on: the two of `length` pixels about each, and the second's share."""
    at = np.clip((np.arange(first, first + count) + 0.5) * length / total - 0.5, 0, length - 1)
    lower = at.astype(int)
    return lower, np.minimum(lower + 1, length - 1), (at - lower).astype(np.float32)


class FrozenVideoEncoder:
    """A frozen network, in eval mode, with the look that it wants.

    shape: C, T', h, w of a window's tokens.  record: of its weights, for provenance: name, sha256 of the tensors and
    licence, or {"name", "random": True, "seed"}.
    """

    def __init__(
        self,
        name: str,
        look: EncoderLook,
        network: nn.Module,
        shape: tuple[int, int, int, int],
        record: Meta,
        device: torch.device | str = "cpu",
        compiled: bool = False,
    ) -> None:
        """network: takes what `look.normalise` gives to (S, C, T', h, w).  compiled: translate it first, which takes
        a while and a C++ compiler; the tokens are the same to 1e-5."""
        self.name, self.look, self.shape, self.record = name, look, shape, record
        self.device = torch.device(device)
        self.network = network.eval().requires_grad_(False).to(self.device)
        self._run = _translated(self.network) if compiled else self.network

    @property
    def channels(self) -> int:
        return self.shape[0]

    @property
    def frames(self) -> int:
        """Into the network, for each window."""
        return self.look.frames

    @property
    def steps(self) -> int:
        """T', tokens in time for each window."""
        return self.shape[1]

    @torch.no_grad()
    def __call__(self, clips: Tensor) -> Tensor:
        """clips: (S, frames, side, side, 3) uint8 as `look.prepare` gives each frame, on any device. Returns
        (S, C, T', h, w) float32 on the encoder's. All S go through at once; who has many gives them in parts."""
        seen = self.look.normalise(clips.to(self.device)).contiguous()  # channels last is no faster on CPUs
        on_gpu = self.device.type == "cuda"  # on CPUs half precision is slower
        half = torch.float16 if on_gpu and not torch.cuda.is_bf16_supported() else torch.bfloat16
        with torch.autocast(self.device.type, half, enabled=on_gpu):
            return self._run(seen).float().contiguous()


def _translated(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """The network compiled for weights that stay as they are, which is what makes convolutions faster."""
    import torch._inductor.config as inductor

    compiled = torch.compile(network)

    def run(clips: Tensor) -> Tensor:
        with inductor.patch(freezing=True):  # as an option of torch.compile it has no effect (torch 2.13)
            return compiled(clips)

    return run


@dataclass(frozen=True)
class Facts:
    """About one architecture.

    presets: by name, the first is what its weights were trained with.  step, cell: frames and pixels of the input for
    one token.  beside: how names start of what its checkpoints hold besides the encoder.  published: its weights, or
    where they are when they cannot be fetched with a check.  licence: of those that can.
    """

    build: Callable[[], nn.Module]
    presets: dict[str, KineticsLook]
    channels: int
    step: int
    cell: int
    beside: tuple[str, ...]
    published: Bundle | str
    licence: str = "unstated"

    def shape(self, look: KineticsLook) -> tuple[int, int, int, int]:
        """C, T', h, w of the tokens."""
        side = -(-look.side // self.cell)
        return self.channels, -(-look.frames // self.step), side, side


def _r2plus1d_18() -> nn.Module:
    model = _torchvision().r2plus1d_18()
    parts = ("stem", "layer1", "layer2", "layer3", "layer4")  # up to its pooling
    return nn.Sequential(OrderedDict((part, getattr(model, part)) for part in parts))


def _swin3d_t() -> nn.Module:
    model = _torchvision().swin3d_t()
    parts = [(part, getattr(model, part)) for part in ("patch_embed", "features", "norm")]
    return nn.Sequential(OrderedDict([*parts, ("layout", Rearrange("s t h w c -> s c t h w"))]))


class SkimmedSwin(nn.Sequential):
    """Swin-T's tokens, and below them in the channels those of its first stage at a quarter of the size.

    Zhao et al., SkimFocusNet, IJCV 2025: the skim branch looks at what the first stage, up to its merging of patches,
    makes of 56 pixels; it lies on the same places as what the whole network makes of 224.
    """

    def forward(self, clips: Tensor) -> Tensor:
        """(S, 3, frames, side, side) to (S, 768 + SKIMMED["swin3d_t_skim"], frames / 2, side / 32, side / 32)."""
        side = clips.shape[-1] // SKIM_REDUCTION
        small = nn.functional.interpolate(clips, (clips.shape[2], side, side), mode="trilinear")
        parts: Any = self
        skimmed = parts.layout(parts.features[1](parts.features[0](parts.patch_embed(small))))
        return torch.cat([super().forward(clips), skimmed], dim=1)


def _swin3d_t_skim() -> nn.Module:
    return SkimmedSwin(OrderedDict(_swin3d_t().named_children()))


def _torchvision() -> Any:
    try:
        from torchvision.models import video
    except ModuleNotFoundError:
        raise UsageError("this encoder needs torchvision; install it from the index that torch came from") from None
    except (ImportError, RuntimeError):
        raise UsageError("torchvision does not fit this torch; install both from the same index") from None
    return video


_KINETICS = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_PYSLOWFAST = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)
_TRANSRAC = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
_HARA = (114.7748 / 255, 107.7354 / 255, 99.4750 / 255), (1 / 255, 1 / 255, 1 / 255)  # on 0 to 255, no deviation


def _presets(name: str, look: KineticsLook) -> dict[str, KineticsLook]:
    """The look that the weights were trained with, and that of ESCounts and D2-STX, the same for all encoders."""
    return {name: look, "escounts": KineticsLook((224,), 224, *_IMAGENET, look.frames)}


# torchvision: "The pre-trained models provided in this library may have their own licenses or terms and conditions
# derived from the dataset used for training."
_TORCHVISION = "BSD-3-Clause (torchvision); terms may derive from Kinetics-400"
_HOST = "https://download.pytorch.org/models"
_MIB = 1 << 20  # torchvision states sizes in these, to three decimals, and the hash's first 8 digits in the name
_SWIN_T = Bundle(f"{_HOST}/swin3d_t-7615ae03.pth", round(121.543 * _MIB), "7615ae03", _MIB // 1000)

NETWORKS = {
    "r2plus1d_18": Facts(
        _r2plus1d_18,
        _presets("torchvision", KineticsLook((128, 171), 112, *_KINETICS)),
        channels=512,
        step=8,
        cell=16,
        beside=("fc.",),
        licence=_TORCHVISION,
        published=Bundle(f"{_HOST}/r2plus1d_18-91a641e6.pth", round(120.318 * _MIB), "91a641e6", _MIB // 1000),
    ),
    "swin3d_t": Facts(
        _swin3d_t,
        _presets("torchvision", KineticsLook((256,), 224, *_IMAGENET))
        | {"transrac": KineticsLook((224, 224), 224, *_TRANSRAC, turned=True)},
        channels=768,
        step=2,
        cell=32,
        beside=("head.",),
        licence=_TORCHVISION,
        published=_SWIN_T,
    ),
    "swin3d_t_skim": Facts(
        _swin3d_t_skim,
        {"skimfocus": KineticsLook((224, 224), 224, *_TRANSRAC, frames=64, turned=True)},
        channels=768 + SKIMMED["swin3d_t_skim"],
        step=2,
        cell=32,
        beside=("head.",),
        licence=_TORCHVISION,
        published=_SWIN_T,
    ),
    "resnext3d_101": Facts(
        ResNeXt3D,
        _presets("hara", KineticsLook((112,), 112, *_HARA, frames=64, antialias=True)),
        channels=2048,
        step=16,
        cell=32,
        beside=("fc.",),
        published="resnext-101-64f-kinetics.pth of github.com/kenshohara/video-classification-3d-cnn-pytorch",
    ),
    "videomae_vit_b": Facts(
        VideoMAE,
        _presets("pyslowfast", KineticsLook((224,), 224, *_PYSLOWFAST)),
        channels=768,
        step=2,
        cell=16,
        beside=("decoder_", "dec_pos_embed_", "mask_token", "pred_head.", "head."),
        published="https://dl.fbaipublicfiles.com/pyslowfast/masked_models/VIT_B_16x4_MAE_PT.pyth",
    ),
}


class KineticsMember:
    """An encoder of whole frames, trained on Kinetics: which, `options.encoder` says."""

    looks_at_masks = False
    takes: ClassVar[tuple[str, ...]] = ("preset", "compiled")

    @staticmethod
    def open(options: EncodeOptions, device: torch.device) -> FrozenVideoEncoder:
        """Return the encoder with the weights that the options name."""
        return _opened(options, device)


class SwinMember(KineticsMember):
    """Video Swin-T, which takes windows of any length."""

    takes: ClassVar[tuple[str, ...]] = (*KineticsMember.takes, "moments")


def _opened(options: EncodeOptions, device: torch.device) -> FrozenVideoEncoder:
    fetch_weights = options.download and not options.weights and not options.random
    return video_encoder(
        options.encoder,
        options.weights,
        fetch_weights,
        options.random,
        device,
        options.preset,
        options.seed,
        options.compiled,
    )


def video_encoder(
    name: str,
    weights: str = "",
    download: bool = False,
    random: bool = False,
    device: torch.device | str = "cpu",
    preset: str = "",
    seed: int = 0,
    compiled: bool = False,
) -> FrozenVideoEncoder:
    """The encoder called `name`, one of NETWORKS.

    weights: a file, .pth or safetensors, with or without its head.  download: fetch the published weights unless they
    are in the cache.  random: no training at all, which the record says.  preset: what frames look like to it, of the
    encoder's `presets`; "" for what its weights were trained with.  compiled: see `FrozenVideoEncoder`.

    Raises UsageError for a name or preset that is none, and where there are no weights or two sources of them;
    DataError for weights that do not fit.
    """
    facts = NETWORKS.get(name)
    if facts is None:
        raise UsageError(f"no such video encoder '{name}'; expected {', '.join(NETWORKS)}")
    preset = preset or next(iter(facts.presets))
    if preset not in facts.presets:
        raise UsageError(f"'{name}' has no preset '{preset}'; expected {' or '.join(facts.presets)}")
    if bool(weights) + download + random > 1:
        raise UsageError("'--weights', '--download' and '--random-weights' exclude each other")
    path = None if random else Path(weights) if weights else _published(name, facts, download)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # and no GPU's, which would stay seeded
        network = facts.build()
    if path is None:
        record = {"name": name, "random": True, "seed": seed}
    else:
        load_tensors(network, path, facts.beside)
        licence = "unstated" if weights else facts.licence
        record = {"name": path.name, "sha256": digest(network.state_dict()), "licence": licence}
    look = facts.presets[preset]
    return FrozenVideoEncoder(name, look, network, facts.shape(look), record, device, compiled)


def _published(name: str, facts: Facts, download: bool) -> Path:
    """The published weights, in the cache."""
    bundle, trial = facts.published, "or '--random-weights' to try things out"
    if isinstance(bundle, str):
        raise UsageError(f"no weights of '{name}'; get {bundle} and use '--weights FILE', {trial}")
    if bundle.is_cached:
        return bundle.cached
    if not download:
        size = f"{bundle.size >> 20} MiB, {facts.licence}"
        raise UsageError(f"no weights of '{name}'; use '--weights FILE', '--download' ({size}), {trial}")
    return fetch(bundle)


def load_tensors(network: nn.Module, path: Path, beside: tuple[str, ...] = ()) -> None:
    """Put the tensors of a file into a network, all of them and no others but those whose names start with one of
    `beside`. DataError names the first that is missing, is too many or has another shape."""
    tensors = {key: value for key, value in read_tensors(path).items() if not key.startswith(beside)}
    expected = network.state_dict()
    for key, tensor in expected.items():
        if key not in tensors and not key.endswith(COUNTER):
            raise DataError(f"'{path}' lacks '{key}', one of the {len(expected)} tensors that this encoder needs")
        if key in tensors and tensors[key].shape != tensor.shape:
            shapes = " instead of ".join("x".join(map(str, t.shape)) or "one number" for t in (tensors[key], tensor))
            raise DataError(f"'{path}' does not fit this encoder: '{key}' is {shapes}")
    for key in tensors:
        if key not in expected:
            raise DataError(f"'{path}' holds '{key}', which this encoder does not have")
    network.load_state_dict(expected | tensors)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors by name of a PyTorch checkpoint or a safetensors file, out of what wraps them and without the prefix that
    parallel training gives them. DataError when it is neither."""
    try:
        with open(path, "rb") as file:
            kind = sniff(file)
        if kind == "safetensors":
            from safetensors.torch import load_file

            held: Any = load_file(path)
        else:
            held = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"cannot open '{path}': {(error.strerror or str(error)).lower()}") from None
    except Exception as error:  # torch raises whatever the damage leads to
        raise DataError(f"'{path}' is not a whole file of weights ({type(error).__name__})") from None
    while isinstance(held, dict) and (inner := next((key for key in WRAPPERS if isinstance(held.get(key), dict)), "")):
        held = held[inner]
    tensors = {key: value for key, value in held.items() if isinstance(value, Tensor)} if isinstance(held, dict) else {}
    if not tensors:
        raise DataError(f"'{path}' holds no tensors by name; expected a state dict")
    return {str(key).removeprefix("module."): value for key, value in tensors.items()}
