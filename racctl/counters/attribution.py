"""What the dual-branch counter looks at: its joints before and after the video comes in, and the picture's places.

Supplement of D2-STX, section 9: Figure 6 draws joints as large as their weight "before and after the FSCA module", and
does not say what the weight is. The spatial stage ends in a layer normalisation, after which all features are equally
long, so their length tells nothing. Here the weight is gradient times feature (Shrikumar et al., "Not Just a Black
Box", 2016), its size summed over channels: how much of the count hangs on what the joint says at that moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor

from racctl.contracts import Pose
from racctl.density import repetitions
from racctl.encoders.tokens import Tokens
from racctl.errors import UsageError
from racctl.io.figures import AXIS_COLOUR, TEXT_COLOUR, figure_bytes, without_font_warnings
from racctl.io.output import make_folder, write_bytes
from racctl.io.spool import display_name, open_input
from racctl.models.d2stx import D2STX, SCALE, BranchDensities, D2STXConfig
from racctl.skeleton.remap import remap
from racctl.skeleton.topology import Topology, topology_named
from racctl.video.decode import Video, frames, probe, upright
from racctl.video.overlay import resized
from racctl.windows import at_or_before

Box = tuple[float, float, float, float]  # left, top, right, bottom, pixels
Area = Callable[[int, tuple[int, ...]], Box]  # as `racctl.video.crop.Cut.box`

ATTRIBUTION_DPI = 110
COLUMN = 2.0  # inches, of a moment
DOT = 34.0  # square points, of a joint with an even share
MAX_EVEN_SHARES = 3.0  # even shares; joints with more are not drawn larger
MIN_COLOUR_RANGE = 0.25  # even shares to either side of one, the narrowest range of colours
AROUND = "RdYlBu_r"
DIM = 0.5  # of a frame's contrast that stays behind a drawing
ROOM = 0.12  # on each side of the person, of its height or width, whichever is larger
NUMBERED = 25  # places, up to which each has its share written in it


@dataclass
class Attribution:
    """What a D2-STX looks at in a clip of N tokens.

    before, after: (N, J) float32, rows that sum to 1: the weight of each of J joints, or parts of the body where the
    model is of parts; before, of the pose branch's features for that branch's own count; after, of the pose-guided
    spatial attention's output for the pose-guided count.  to_places: (N, H, W) the pose-guided attention, averaged over
    joints: how much they look at each place; each sums to 1.  to_joints: (N, J) the video-guided attention, averaged
    over places; None without that guide.  density: (N,) repetitions in each token's span.
    """

    before: np.ndarray
    after: np.ndarray
    to_places: np.ndarray
    to_joints: np.ndarray | None
    density: np.ndarray

    @property
    def joints(self) -> dict[str, dict[str, np.ndarray]]:
        """What there is of the joints, in units of the even share, by kind and then by title."""
        even = self.before.shape[1]
        by_kind = {"weight": {"before fusion": self.before * even, "after fusion": self.after * even}}
        return (
            by_kind if self.to_joints is None else {**by_kind, "attention": {"the video's look": self.to_joints * even}}
        )


def check_explain_count(config: D2STXConfig, folder: str | Path) -> None:
    """Before the work: UsageError for a model without pose-guided decoupled attention, DataError for a directory that
    cannot be."""
    _refuse(config)
    make_folder(folder)


def _refuse(config: D2STXConfig) -> None:
    if config.branches != "both":
        raise UsageError(f"'--explain' shows how pose and video are fused, and this model looks at {config.branches}")
    if config.fusion != "decoupled" or config.guide == "video":
        raise UsageError("'--explain' shows the pose-guided decoupled attention, and this model has none")


def attribute(
    network: D2STX,
    video: Tensor,
    pose: Tensor,
    video_shots: list[Tensor] | None = None,
    pose_shots: list[Tensor] | None = None,
) -> Attribution:
    """Run the model, in evaluation mode, on one clip. video: (1, N, C, H, W).  pose: (1, N, C, V).  video_shots,
    pose_shots: as it takes them. UsageError for a model without pose-guided decoupled attention."""
    _refuse(network.config)
    densities, seen = _watched(network, video, pose, video_shots, pose_shots)
    fusion, branch = network.fusion, network.branches["pose"]
    fused, *others = seen["temporal"][0]
    h, w = seen["fusion"][0][1].shape[2:4]
    to_places = rearrange(seen["spatial.pose"][1][1][0].mean(1), "n (h w) -> n h w", h=h, w=w)
    to_joints = seen["spatial.video"][1][1][0].mean(1).cpu().numpy() if "spatial.video" in seen else None
    return Attribution(
        weights(branch.get_submodule("map"), seen["branch"][1][1].squeeze(3)),
        weights(lambda x: fusion.head["pose"](fusion.temporal["pose"](x, *others)), fused),
        to_places.cpu().numpy(),
        to_joints,
        densities.final[0].cpu().numpy() / SCALE,
    )


@torch.no_grad()
def _watched(network: D2STX, *streams: Tensor | list[Tensor] | None) -> tuple[BranchDensities, dict[str, tuple]]:
    """What the model says, and (inputs, output) of its parts on the way there."""
    fusion, seen = network.fusion, {}
    parts = {"branch": network.branches["pose"], "fusion": fusion, "temporal": fusion.temporal["pose"]}
    parts |= {f"spatial.{guide}": layer for guide, layer in fusion.spatial.items()}
    hooks = [
        part.register_forward_hook(lambda _, inputs, output, name=name: seen.update({name: (inputs, output)}))
        for name, part in parts.items()
    ]
    try:
        video, pose, video_shots, pose_shots = streams
        return network(video, pose, video_shots=video_shots, pose_shots=pose_shots), seen
    finally:
        for hook in hooks:
            hook.remove()


def weights(density: Callable[[Tensor], Tensor], features: Tensor) -> np.ndarray:
    """(N, J) of features (1, N, J, C), rows that sum to 1: the size of gradient times feature, summed over channels, of
    the sum of what `density` makes of them. Even where all are 0."""
    x = features.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(density(x).sum(), x)
    size = (gradient * x.detach()).abs().sum(-1)[0]
    total = size.sum(1, keepdim=True)
    return torch.where(total > 0, size / total.clamp(min=1e-30), 1 / size.shape[1]).cpu().numpy()


def join(parts: list[Attribution], cores: list[slice]) -> Attribution:
    """One clip that was read in parts, of each the tokens to keep."""

    def concatenate(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name)[core] for part, core in zip(parts, cores, strict=True)])

    return Attribution(
        before=concatenate("before"),
        after=concatenate("after"),
        to_places=concatenate("to_places"),
        to_joints=None if parts[0].to_joints is None else concatenate("to_joints"),
        density=concatenate("density"),
    )


def explain_count(
    attribution: Attribution,
    tokens: Tokens,
    pose: Pose | None,
    video_path: str | Path | None,
    folder: str | Path,
    name: str,
    most: int = 6,
    topology: str = "d2stx25",
    area: Area | None = None,
) -> list[Path]:
    """Write into `folder` NAME-weights.png, the weights of the joints over the whole clip; NAME-places.png, the places
    of the picture at up to `most` moments; and, with a pose, NAME-joints.png, the joints of its main person at those,
    as large as their weight, over the video's frames. Returns the paths.

    The moments are spread over the repetitions of `attribution.density`, or over the clip where it has none.

    topology: of the pose tokens; all joints of a part have the part's weight.
    video_path: of the clip, None to draw on white, as is done for a pose that is not in pixels.
    area: what of a frame (by number and shape) the places cover; without it they are drawn below the frames.
    Raises UsageError for weights of another number of joints than the topology's.
    """
    known, picked = topology_named(topology), moments(attribution.density, most)
    names, part = _rows_of(known, attribution.before.shape[1])
    numbers = np.floor((tokens.frame[:-1] + tokens.frame[1:]) / 2).astype(np.int64)[list(picked)]
    stills, video = _stills(video_path, numbers) if video_path else ([None] * len(numbers), None)
    titles = [_title(tokens, row, about) for row, about in picked.items()]
    pictures = {"weights": _weights(attribution, names, tokens, name)}
    if pose is not None and pose.chosen("main"):
        flat = video is None or pose.meta.get("scale", "pixels") != "pixels"
        xy = _points(pose, known, numbers, None if flat else video)
        sized = {
            kind: {title: some[list(picked)][:, part] for title, some in shown.items()}
            for kind, shown in attribution.joints.items()
        }
        pictures["joints"] = _joints(sized, xy, known, [None] * len(xy) if flat else stills, titles, name)
    boxes = [area(n, s.shape) if area and s is not None else None for n, s in zip(numbers, stills, strict=True)]
    pictures["places"] = _places(attribution.to_places[list(picked)], stills, boxes, titles, name)
    return [_write(Path(folder) / f"{name}-{kind}.png", figure) for kind, figure in pictures.items()]


def moments(density: np.ndarray, most: int) -> dict[int, str]:
    """Up to `most` tokens to show, ascending, with words about each: evenly spread repetitions from their start on, two
    moments of each or more; with no repetition, tokens evenly spread."""
    n = len(density)
    spans = repetitions(density, np.arange(n + 1.0))
    if not len(spans):
        return dict.fromkeys(_spread(n, most), "")
    chosen = _spread(len(spans), max(most // 2, 1))
    phases = np.arange(max(most // len(chosen), 1)) / max(most // len(chosen), 1)
    tokens: dict[int, str] = {}
    for k in chosen:
        for phase in phases:
            row = int(np.clip(spans[k, 0] + phase * (spans[k, 1] - spans[k, 0]), 0, n - 1))
            tokens.setdefault(row, f"{phase:.0%} of repetition {k + 1}")
    return dict(sorted(tokens.items()))


def _spread(count: int, most: int) -> list[int]:
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int)).tolist()


def _rows_of(known: Topology, count: int) -> tuple[list[str], list[int]]:
    """Names of the rows of weights, joints or parts of the body, and of each joint the row that it belongs to."""
    if count == len(known):
        return list(known.joints), list(range(count))
    if count != len(known.parts):
        raise UsageError(f"these are weights of {count} joints, and the topology '{known.name}' has {len(known)}")
    row = {joint: k for k, joints in enumerate(known.parts.values()) for joint in joints}
    return list(known.parts), [row[joint] for joint in known.joints]


def _title(tokens: Tokens, row: int, about: str) -> str:
    middle = (tokens.time[row] + tokens.time[row + 1]) / 2
    when = f"frame {middle:.0f}" if _timeless(tokens) else f"{middle:.2f} s"
    return f"{when}\n{about}"


def _timeless(tokens: Tokens) -> bool:
    """Whether only the tokens' frames are known, see `racctl.encoders.tokens.sequence`."""
    return np.array_equal(tokens.time, tokens.frame)


def _stills(video_path: str | Path, numbers: np.ndarray) -> tuple[list[np.ndarray | None], Video]:
    """Of each frame number, ascending, (H, W) uint8, upright, or None after the video's end."""
    where = display_name(str(video_path))
    stills: list[np.ndarray | None] = []
    with open_input(str(video_path)) as file:
        video = probe(file, where)
        for frame in frames(file, where):
            while len(stills) < len(numbers) and frame.number >= numbers[len(stills)]:
                stills.append(upright(frame.image.reformat(format="gray", threads=1).to_ndarray(), video.rotation))
            if len(stills) == len(numbers):
                break
    return [*stills, *[None] * (len(numbers) - len(stills))], video


def _points(pose: Pose, known: Topology, numbers: np.ndarray, video: Video | None) -> np.ndarray:
    """(K, V, 2) where the main person's joints are in these frames, pixels of the video where there is one; NaN where
    unknown."""
    rows = at_or_before(pose.frame, numbers)
    xy = remap(pose, known.name).xyz[rows, pose.chosen("main")[0], :, :2]
    return xy if video is None else xy * resized(pose, video)


def _view(xy: np.ndarray, still: np.ndarray | None) -> Box:
    """What to show of a picture: a square about the joints (K, V, 2), the same at all moments, within the picture where
    it is large enough."""
    seen = xy[np.isfinite(xy).all(-1)]
    if not len(seen):
        return 0.0, 0.0, 1.0, 1.0
    side = max(float(np.ptp(seen, 0).max()), 1e-6) * (1 + 2 * ROOM)
    corner = (seen.min(0) + seen.max(0) - side) / 2
    if still is not None:
        free = np.array(still.shape[::-1]) - side
        corner = np.where(free >= 0, corner.clip(0, np.maximum(free, 0)), corner)
    left, top = corner.tolist()
    return left, top, left + side, top + side


def _sheet(rows: dict[str, float], titles: list[str], name: str) -> tuple[Figure, np.ndarray]:
    """Empty axes, a column for each moment and a row for each kind of drawing, of which the height over width is
    given."""
    tall = list(rows.values())
    figure = Figure(
        figsize=(COLUMN * len(titles) + 1.1, COLUMN * sum(tall) + 0.9), dpi=ATTRIBUTION_DPI, layout="constrained"
    )
    axes = figure.subplots(len(rows), len(titles), squeeze=False, height_ratios=tall)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=8, color=TEXT_COLOUR)
    for axis, row in zip(axes[:, 0], rows, strict=True):
        axis.set_ylabel(row, fontsize=9, color=TEXT_COLOUR)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_color(AXIS_COLOUR)
    figure.suptitle(name, fontsize=10, fontweight="bold", color=TEXT_COLOUR, parse_math=False)
    return figure, axes


def _behind(axis: Axes, still: np.ndarray | None, view: Box) -> None:
    """A frame, dimmed, or white, and what of it to show."""
    if still is not None:
        axis.imshow(255 - (255.0 - still) * DIM, cmap="gray", vmin=0, vmax=255, interpolation="bilinear")
    left, top, right, bottom = view
    axis.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")


def _around_even(shown: Iterable[np.ndarray]) -> ScalarMappable:
    """Colours of weights in units of the even share, which is in the middle."""
    apart = max(MIN_COLOUR_RANGE, *(float(np.quantile(np.abs(weight - 1), 0.99)) for weight in shown))
    return ScalarMappable(Normalize(max(1 - apart, 0), 1 + apart), AROUND)


def _joints(
    sized: dict[str, dict[str, np.ndarray]], xy: np.ndarray, known: Topology, stills: list, titles: list[str], name: str
) -> Figure:
    """sized: by kind and title of a row of drawings (K, V), in units of the even share.  xy: (K, V, 2)."""
    rows = dict.fromkeys([title for shown in sized.values() for title in shown], 1.0)
    figure, axes = _sheet(rows, titles, f"{name}: weight of the joints")
    view, left = _view(xy, stills[0]), list(axes)
    lines = xy[:, [known.indices(edge) for edge in known.edges]]  # (K, E, 2, 2)
    for kind, shown in sized.items():
        colours, bar_axes = _around_even(shown.values()), [left.pop(0) for _ in shown]
        for row, weight in zip(bar_axes, shown.values(), strict=True):
            for axis, still, at, line, size in zip(row, stills, xy, lines, weight, strict=True):
                _behind(axis, still, view)
                axis.plot(line[..., 0].T, line[..., 1].T, color=TEXT_COLOUR, linewidth=1, alpha=0.7, zorder=2)
                order = np.argsort(-size, kind="stable")  # small ones over large ones
                area, shade = DOT * size[order].clip(0, MAX_EVEN_SHARES) ** 2, colours.to_rgba(size[order])
                axis.scatter(*at[order].T, s=area, c=shade, edgecolors=TEXT_COLOUR, linewidths=0.5, zorder=3)
        _bar(figure, colours, bar_axes, f"{kind} (1: even)")
    return figure


def _weights(attribution: Attribution, names: list[str], tokens: Tokens, name: str) -> Figure:
    tall = [1.2, *[0.5 + 0.17 * len(names) for shown in attribution.joints.values() for _ in shown]]
    figure = Figure(figsize=(10, sum(tall) + 0.8), dpi=ATTRIBUTION_DPI, layout="constrained")
    curve, *left = figure.subplots(len(tall), sharex=True, height_ratios=tall)
    curve.stairs(attribution.density, tokens.time, color="#0072b2")
    curve.set_ylabel("repetitions\nper token", fontsize=9)
    left[-1].set_xlabel("frame" if _timeless(tokens) else "time (s)", fontsize=9)
    rows = np.arange(len(names) + 1)
    for kind, shown in attribution.joints.items():
        colours, bar_axes = _around_even(shown.values()), [left.pop(0) for _ in shown]
        for axis, (title, some) in zip(bar_axes, shown.items(), strict=True):
            axis.pcolormesh(tokens.time, rows, some.T, cmap=colours.cmap, norm=colours.norm)
            axis.set_yticks(rows[:-1] + 0.5, [joint.replace("_", " ") for joint in names], fontsize=7)
            axis.set_ylabel(title, fontsize=9)
            axis.invert_yaxis()
        _bar(figure, colours, bar_axes, f"{kind} (1: even)")
    figure.suptitle(
        f"{name}: weight of the joints", fontsize=10, fontweight="bold", color=TEXT_COLOUR, parse_math=False
    )
    return figure


def _bar(figure: Figure, colours: ScalarMappable, axes: list, label: str) -> None:
    bar = figure.colorbar(colours, ax=np.ravel(axes).tolist(), pad=0.01)
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=7)


def _places(maps: np.ndarray, stills: list, boxes: list[Box | None], titles: list[str], name: str) -> Figure:
    """maps: (K, H, W). Over the frames where their boxes are known, else below them."""
    n, h, w = maps.shape
    rows = {"places": h / w}
    if stills[0] is not None and boxes[0] is None:
        rows = {"frame": stills[0].shape[0] / stills[0].shape[1], **rows}
    figure, axes = _sheet(rows, titles, f"{name}: where the joints look")
    colours = _around_even([maps * (h * w)])
    for k in range(n):
        if len(rows) > 1 and stills[k] is not None:
            _behind(axes[0, k], stills[k], (0, 0, *stills[k].shape[::-1]))
        box = boxes[k] or (0, 0, w, h)
        _behind(axes[-1, k], stills[k] if boxes[k] else None, box)
        _map(axes[-1, k], maps[k], box, colours, 0.45 if boxes[k] else 1.0)
    _bar(figure, colours, axes[-1], "attention (1: even)")
    return figure


def _map(axis: Axes, weights_map: np.ndarray, box: Box, colours: ScalarMappable, alpha: float) -> None:
    """Shares (H, W) in colours, and in per cents where there are few, over this box."""
    left, top, right, bottom = box
    x, y = np.linspace(left, right, weights_map.shape[1] + 1), np.linspace(top, bottom, weights_map.shape[0] + 1)
    axis.pcolormesh(x, y, weights_map * weights_map.size, cmap=colours.cmap, clim=colours.get_clim(), alpha=alpha)
    for (j, i), share in np.ndenumerate(weights_map) if weights_map.size <= NUMBERED else ():
        low, high = colours.get_clim()
        dark = alpha == 1 and abs((share * weights_map.size - low) / (high - low) - 0.5) > 0.35
        at = (x[i] + x[i + 1]) / 2, (y[j] + y[j + 1]) / 2
        axis.text(*at, f"{share:.0%}", ha="center", va="center", fontsize=8, color="white" if dark else TEXT_COLOUR)


def _write(path: Path, figure: Figure) -> Path:
    with without_font_warnings():
        write_bytes(path, figure_bytes(figure))
    return path
