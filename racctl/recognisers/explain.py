"""What a recogniser looks at: Grad-CAM on its frame encoders and, for cross-attention, the weights alpha(t, s).

Grad-CAM is Captum's (Selvaraju et al. 2017), on the last convolution of each encoder, as in the paper's Fig. 2.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from racctl.errors import UsageError
from racctl.io.output import make_folder, write_bytes
from racctl.models.mcat import MCAT
from racctl.recognisers.classify_clip import Classification
from racctl.recognisers.recogniser import Recogniser

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_FRAMES_SHOWN = 8  # frames of a window in a picture
EXPLAIN_DPI = 110


def check_explain(recogniser: Recogniser, folder: str) -> None:
    """Before the work: UsageError without Captum and for a model without frame encoders, DataError for a directory that
    cannot be."""
    try:
        import captum.attr  # noqa: F401
    except ImportError:
        raise UsageError("'--explain' needs Captum; pip install 'racctl[explain]'") from None
    if not last_convolutions(recogniser.model):
        raise UsageError("'--explain' shows frame encoders, and this model has none")
    make_folder(folder)


def explain_clip(clip: Classification, recogniser: Recogniser, folder: str, most: int = 6) -> list[Path]:
    """Write pictures of up to `most` windows, evenly spread over the clip, into `folder`: NAME-window-K.png with the
    frames, masks and Grad-CAM of the predicted class, and NAME-attention-K.png with alpha(t, s) where the model has
    cross-attention. Returns the paths. `check_explain` says before whether it can."""
    from captum.attr import LayerGradCam

    model = recogniser.model
    convolutions = last_convolutions(model)
    chosen = np.unique(np.linspace(0, len(clip.rows) - 1, min(most, len(clip.rows))).round().astype(int))
    written = []
    for k in chosen:
        gray, mask, joints = recogniser.inputs(clip.streams, clip.rows[k : k + 1])
        label = int(clip.probs[k, :-1].argmax())  # of what it knows
        maps = {}
        for name, layer in convolutions.items():
            cam = LayerGradCam(_Logits(model, joints), layer).attribute((gray, mask), target=label)
            maps[name] = heat(cam, gray.shape[1:])
        about = f"{clip.clip}, {clip.streams.time[clip.rows[k, 0]]:.2f} s: {clip.classes[label]}"
        written.append(_write(Path(folder) / f"{clip.clip}-window-{k}.png", _frames(gray, mask, maps, about)))
        alpha = attention(model, gray, mask, joints)
        if alpha is not None:
            written.append(_write(Path(folder) / f"{clip.clip}-attention-{k}.png", _alpha(alpha, about)))
    return written


class _Logits(nn.Module):
    """The model with its joints fixed: Captum differentiates pictures only."""

    def __init__(self, model: nn.Module, joints: Tensor | None) -> None:
        super().__init__()
        self.model, self.joints = model, joints

    def forward(self, gray: Tensor, mask: Tensor) -> Tensor:
        return self.model(gray, mask, self.joints)


def last_convolutions(model: nn.Module) -> dict[str, nn.Module]:
    """Name of the stream -> the last convolution of its frame encoder; of two that see the same, the first."""
    config: Any = model.config
    names = {"raw": ("picture", "picture"), "mask": ("mask", "mask")}.get(config.input, ("picture", "mask"))
    layers: dict[str, nn.Module] = {}
    for attribute, shown in zip(("tokens", "prior"), names, strict=True):
        part = getattr(model, attribute, None)
        if part is not None and shown not in layers:
            layers[shown] = [layer for layer in part.encoder if isinstance(layer, nn.Conv2d)][-1]
    return layers


def heat(cam: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    """(T, H, W) float32 in 0..1 of a layer's Grad-CAM (T, 1, h, w): its positive part, enlarged, over its maximum."""
    positive = F.interpolate(cam.detach().clamp(min=0), shape[1:], mode="bilinear", align_corners=False)[:, 0]
    return (positive / positive.max().clamp(min=1e-12)).cpu().numpy()


@torch.no_grad()
def attention(model: nn.Module, gray: Tensor, mask: Tensor, joints: Tensor | None) -> np.ndarray | None:
    """alpha(t, s), section 3.4: (heads, T, S) float32, how much frame t's appearance takes from prior token s (the
    masks of T frames, then the joints of T frames where the model has them); None without cross-attention."""
    if not isinstance(model, MCAT) or model.config.fusion != "cross":
        return None
    layer = model.cross.attention
    layer.keep = True
    try:
        model.fuse(gray, mask, joints)
    finally:
        layer.keep = False
    weights, layer.weights = layer.weights, None
    return None if weights is None else weights[0].cpu().numpy()


def _frames(gray: Tensor, mask: Tensor, maps: dict[str, np.ndarray], title: str) -> Figure:
    from matplotlib.figure import Figure

    ticks = np.linspace(0, gray.shape[1] - 1, min(MAX_FRAMES_SHOWN, gray.shape[1])).round().astype(int)
    pictures = {"picture": gray[0].cpu().numpy(), "mask": mask[0].cpu().numpy()}
    figure = Figure(figsize=(1.6 * len(ticks), 1.7 * (1 + len(maps)) + 0.4), layout="constrained")
    axes = figure.subplots(1 + len(maps), len(ticks), squeeze=False)
    for column, t in enumerate(ticks):
        axes[0, column].imshow(pictures["picture"][t], cmap="gray", vmin=0, vmax=1)
        axes[0, column].set_title(f"t = {t}", fontsize=8)
        for row, (name, heat_map) in enumerate(maps.items(), 1):
            axes[row, column].imshow(pictures[name][t], cmap="gray", vmin=0, vmax=1)
            axes[row, column].imshow(heat_map[t], cmap="inferno", alpha=0.55, vmin=0, vmax=1)
    for row, name in enumerate(["clip", *(f"Grad-CAM, {name}" for name in maps)]):
        axes[row, 0].set_ylabel(name, fontsize=8)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.suptitle(title, fontsize=10)
    return figure


def _alpha(alpha: np.ndarray, title: str) -> Figure:
    from matplotlib.figure import Figure

    heads, t, s = alpha.shape
    figure = Figure(figsize=(7 if s == t else 10, 5), layout="constrained")
    axis = figure.subplots()
    shown = axis.imshow(alpha.mean(0), cmap="viridis", vmin=0, aspect="auto", interpolation="nearest")
    if s > t:
        axis.axvline(t - 0.5, color="white", linewidth=1)
    axis.set_xlabel("prior token s" + (" (masks, then joints)" if s > t else " (mask of frame s)"))
    axis.set_ylabel("frame t")
    figure.colorbar(shown, label=f"alpha(t, s), mean of {heads} heads")
    axis.set_title(title, fontsize=10)
    return figure


def _write(path: Path, figure: Figure) -> Path:
    from racctl.io.figures import figure_bytes

    write_bytes(path, figure_bytes(figure, dpi=EXPLAIN_DPI))
    return path
