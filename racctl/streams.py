"""What a recogniser is fed: grayscale pictures, person masks and joints of one clip, on one clock at one small size.

Section 4.2 of the Mask Cross-Attention Transformer paper: luminance, bilinear for pictures and nearest neighbour for
masks, 30 frames/s. The picture is squeezed to a square, as the paper's are, or (`crop="person"`, this project's
addition) a square about the person is cut out first, so that framing and the shape of the picture matter less.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import IO

import numpy as np
from PIL import Image
from scipy.ndimage import maximum_filter1d, minimum_filter1d, uniform_filter1d

from racctl.contracts import Mask, Meta, Pose
from racctl.errors import DataError
from racctl.progress import Report, silent
from racctl.remap import remap
from racctl.video.decode import Video, frames, probe, upright
from racctl.windows import RATE, Windows, resampled

CROPS = ("frame", "person")
MARGIN = 0.12  # of the person's box, on each side
STEADY = 3.0  # s to either side whose boxes are joined, so that the cut-out does not follow the movement


@dataclass(frozen=True)
class Look:
    """What a model wants to see; the `input` part of a checkpoint's header.

    size: pixels of the square, 0 for a model of joints alone.  rate: frames per second.  window, stride: frames.
    crop: "frame" or "person".  topology: of the joints, "" where none are wanted.  mask: whether masks are looked at.
    """

    size: int = 112
    rate: float = RATE
    window: int = 16
    stride: int = 8
    crop: str = "frame"
    topology: str = ""
    mask: bool = True

    @classmethod
    def of(cls, header: Meta, where: str) -> Look:
        """From a header; DataError when it asks for something that this version cannot give."""
        try:
            look = cls(**header)
            sound = (
                (look.size == 0 or 8 <= look.size <= 1024)
                and 0 < look.rate <= 1000
                and 0 < look.window <= 4096
                and look.stride > 0
            )
        except TypeError:
            sound = False
        if not sound or look.crop not in CROPS:
            raise DataError(f"'{where}' wants an input that this version cannot give; upgrade racctl")
        return look

    def header(self) -> Meta:
        return asdict(self)

    @property
    def windows(self) -> Windows:
        return Windows(self.window, self.stride, self.rate)

    @property
    def needs_picture(self) -> bool:
        return self.size > 0

    @property
    def needs_mask(self) -> bool:
        return self.needs_picture and (self.mask or self.crop == "person")


@dataclass
class Streams:
    """One clip as a recogniser sees it, N ticks at the look's rate.

    packed: (N, size, size + size / 8) uint8, grayscale and the mask's bits side by side.  joints: (N, V, 4) float32 as
    `joint_tokens` gives them, or None.  frame: (N,) int64 source frames.  time: (N,) seconds, of those frames.
    stop: one past the last source frame; stop_s: its end, seconds.
    """

    packed: np.ndarray
    joints: np.ndarray | None
    frame: np.ndarray
    time: np.ndarray
    stop: int
    stop_s: float


def gather(
    file: IO[bytes], where: str, look: Look, mask: Mask | None = None, pose: Pose | None = None,
    start: float | None = None, stop: float | None = None, report: Report = silent,
) -> Streams:  # fmt: skip
    """Read a clip once and put its streams on one clock.

    Raises DataError when there is no frame, or mask or pose belong to another clip or begin after it ends.
    """
    if look.needs_mask and mask is None:
        raise DataError(f"'{where}' needs a mask; 'racctl mask' makes one")
    if look.topology and pose is None:
        raise DataError(f"'{where}' needs a pose; 'racctl pose' makes one")
    video = probe(file, where)
    boxes = person_boxes(mask, video.fps) if look.crop == "person" else None
    gray, number, time = _pictures(file, where, video, look.size, mask, boxes, start, stop, report)
    rows = resampled(time, look.rate)
    packed, joints = gray[rows], None
    if look.mask:
        packed = np.concatenate([packed, _mask_bits(mask, boxes, number[rows], look)], axis=2)
    if look.topology:
        joints = joint_tokens(remap(pose, look.topology))[_at(pose.frame, number[rows], where)]
    beat = float(np.median(np.diff(time))) if len(time) > 1 else 1 / look.rate
    return Streams(packed, joints, number[rows], time[rows], int(number[-1]) + 1, float(time[-1]) + beat)


def gather_joints(
    pose: Pose, look: Look, start: float | None = None, stop: float | None = None
) -> Streams:  # fmt: skip
    """The streams of a model of joints alone, on the pose's own clock; DataError when no frame is in the part."""
    begin, end = -np.inf if start is None else start, np.inf if stop is None else stop
    kept = np.flatnonzero((pose.time >= begin) & (pose.time < end))
    if not len(kept):
        raise DataError(f"clip '{pose.clip}' has no frame in the part asked for")
    rows = kept[resampled(pose.time[kept], look.rate)]
    last, time = kept[-1], pose.time
    beat = float(np.median(np.diff(time))) if len(time) > 1 else 1 / look.rate
    joints = joint_tokens(remap(pose, look.topology))[rows]
    packed = np.zeros((len(rows), 0, 0), np.uint8)
    return Streams(packed, joints, pose.frame[rows], time[rows], int(pose.frame[last]) + 1, float(time[last]) + beat)


def _pictures(
    file: IO[bytes], where: str, video: Video, size: int, mask: Mask | None, boxes: np.ndarray | None,
    start: float | None, stop: float | None, report: Report,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Every frame as (T, size, size) uint8 luminance, upright, with its number and time, each (T,)."""
    pictures, clock = [], []
    for frame in frames(file, where, start, stop):
        whole = upright(frame.image.reformat(format="gray").to_ndarray(), video.rotation)
        pictures.append(picture(whole, size, _box(boxes, mask, frame.number, whole.shape), Image.BILINEAR))
        clock.append((frame.number, frame.time))
        report(len(clock), video.frames)
    if not clock:
        raise DataError(f"'{where}' has no frame in the part asked for")
    return np.stack(pictures), np.array([n for n, _ in clock]), np.array([t for _, t in clock])


def picture(whole: np.ndarray, size: int, box: tuple[int, int, int, int] | None, how: int) -> np.ndarray:
    """(H, W) uint8 to (size, size), all of it or the box (left, top, right, bottom); black beyond its edges."""
    image = Image.fromarray(np.ascontiguousarray(whole))
    return np.asarray((image.crop(box) if box else image).resize((size, size), how))


def person_boxes(mask: Mask, fps: float) -> np.ndarray:
    """(T, 3) float: middle x, middle y and side of a square about the person, in shares of the picture's width, height
    and width, steady over `STEADY` seconds. Frames without a mask take their neighbours' box; without any, the whole
    picture."""
    t, h, w = mask.mask.shape
    across, down = mask.mask.any(1), mask.mask.any(2)
    seen = across.any(1)
    if not seen.any():
        return np.tile([0.5, 0.5, 1.0], (t, 1))
    left, right = across.argmax(1) / w, 1 - across[:, ::-1].argmax(1) / w
    top, bottom = down.argmax(1) / h, 1 - down[:, ::-1].argmax(1) / h
    span = 2 * max(1, round(STEADY * fps * t / max(int(mask.frame[-1]) - int(mask.frame[0]) + 1, 1))) + 1
    known = np.flatnonzero(seen)
    edges = [np.interp(np.arange(t), known, edge[known]) for edge in (left, right, top, bottom)]
    outer = (minimum_filter1d, maximum_filter1d, minimum_filter1d, maximum_filter1d)
    joined = [widest(edge, span) for widest, edge in zip(outer, edges, strict=True)]
    left, right, top, bottom = (uniform_filter1d(edge, span, mode="nearest") for edge in joined)
    shape = mask.meta.get("source", {})
    tall = shape.get("height", h) / max(shape.get("width", w), 1)  # heights in units of widths
    side = np.maximum(right - left, (bottom - top) * tall) * (1 + 2 * MARGIN)
    return np.stack([(left + right) / 2, (top + bottom) / 2, side], axis=1)


def joint_tokens(pose: Pose) -> np.ndarray:
    """(T, V, 4) float32 of the main person: x and y from where its joints are on the whole, z from the hips, and the
    score; zeros where unseen, and for a z that is not known.

    The unit is the clip's median distance of a seen joint from the middle of its frame's joints, so the person's size
    in the picture does not matter; where the person goes is kept.
    """
    t, _, v = pose.score.shape
    tokens = np.zeros((t, v, 4), np.float32)
    main = pose.chosen("main")
    if not main:
        return tokens
    xy, score = pose.xyz[:, main[0], :, :2].astype(np.float64), pose.score[:, main[0]]
    depth = np.nan_to_num(pose.xyz[:, main[0], :, 2])
    known = np.isfinite(xy).all(-1) & (score > 0)
    if not known.any():
        return tokens
    weight = known[..., None]
    middle = np.where(weight, xy, 0).sum(1, keepdims=True) / np.maximum(weight.sum(1, keepdims=True), 1)
    unit = float(np.median(np.hypot(*np.moveaxis(xy - middle, -1, 0))[known]))
    tokens[known, :2] = ((xy - np.median(middle[known.any(1)], axis=0)) / max(unit, 1e-6)).clip(-50, 50)[known]
    tokens[..., 2] = np.where(known, (depth / max(unit, 1e-6)).clip(-20, 20), 0)
    tokens[..., 3] = np.where(known, score, 0)
    return tokens


def unpacked(packed: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Grayscale and mask, both (..., size, size) uint8 (mask 0 or 1, all 0 where none was packed)."""
    gray = packed[..., :size]
    if packed.shape[-1] == size:
        return gray, np.zeros_like(gray)
    return gray, np.unpackbits(packed[..., size:], axis=-1, count=size)


def _mask_bits(mask: Mask, boxes: np.ndarray | None, number: np.ndarray, look: Look) -> np.ndarray:
    """(N, size, size / 8) uint8."""
    at = _at(mask.frame, number, mask.clip)
    small = {}
    for k in np.unique(at):
        whole = mask.mask[k]
        box = None
        if boxes is not None:
            box = _square(boxes[k], whole.shape, mask.meta.get("source", {}))
        small[k] = np.packbits(picture(whole, look.size, box, Image.NEAREST), axis=-1)
    return np.stack([small[k] for k in at])


def _at(known: np.ndarray, wanted: np.ndarray, where: str) -> np.ndarray:
    """Rows of `known` frames at or before the wanted ones; DataError when they do not overlap at all."""
    if not len(known) or known[0] > wanted[-1] or known[-1] < wanted[0]:
        raise DataError(f"the mask or pose given with '{where}' covers other frames; is it of another clip?")
    return (np.searchsorted(known, wanted, side="right") - 1).clip(0)


def _box(boxes: np.ndarray | None, mask: Mask | None, number: int, shape: tuple[int, ...]):
    if boxes is None:
        return None
    k = int((np.searchsorted(mask.frame, number, side="right") - 1).clip(0))
    return _square(boxes[k], shape, {"width": shape[1], "height": shape[0]})


def _square(box: np.ndarray, shape: tuple[int, ...], source: Meta) -> tuple[int, int, int, int]:
    """The box in the pixels of an (H, W) picture of a source with this width and height, which it may be squeezed."""
    h, w = shape[:2]
    x, y, side = box
    wide = side * w
    high = side * source.get("width", w) / max(source.get("height", h), 1) * h
    left, top = x * w - wide / 2, y * h - high / 2
    return round(left), round(top), max(round(left + wide), round(left) + 1), max(round(top + high), round(top) + 1)
