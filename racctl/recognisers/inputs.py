"""What a recogniser is fed: grayscale pictures, person masks and joints of one clip, on one clock at one small size.

Section 4.2 of the Mask Cross-Attention Transformer paper: luminance, bilinear for pictures and nearest neighbour for
masks, 30 frames/s. The picture is squeezed to a square, as the paper's are, or (`crop="person"`, this project's
addition) a square about the person is cut out first, so that framing and the shape of the picture matter less.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, median_filter, minimum_filter1d, uniform_filter1d

from racctl.contracts import Mask, Meta, Pose
from racctl.errors import DataError
from racctl.io.npz import Frames
from racctl.progress import Report, silent, tell
from racctl.skeleton.remap import remap, unknown_joints
from racctl.skeleton.topology import topology_named
from racctl.video.losses import Losses
from racctl.windows import MAX_GAP, RATE, Windows, apart, resampled, shown_for

if TYPE_CHECKING:
    from racctl.video.decode import Video

CROPS = ("frame", "person")
MARGIN = 0.12  # of the person's box, on each side
SLACK = 15  # frames at either end of a clip that a mask or pose may lack
GLITCH = 2.5  # standard deviations of the smoothing that the median before it spans
STEADY = 3.0  # s to either side whose boxes are joined, so that the cut-out does not follow the movement


@dataclass(frozen=True)
class Look:
    """What a model wants to see; the `input` part of a checkpoint's header.

    size: pixels of the square, 0 for a model of joints alone.  rate: frames per second.  window, stride: frames.
    crop: "frame" or "person".  topology: of the joints, "" where none are wanted.  mask: whether masks are looked at.
    smooth: seconds, see `joint_tokens`.
    """

    size: int = 112
    rate: float = RATE
    window: int = 16
    stride: int = 8
    crop: str = "frame"
    topology: str = ""
    mask: bool = True
    smooth: float = 0.0

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
                and 0 <= look.smooth < 10
            )
        except TypeError:
            sound = False
        if not sound or look.crop not in CROPS:
            raise DataError(f"'{where}' wants an input that this version cannot give; upgrade racctl")
        return look

    def header(self) -> Meta:
        """Without `smooth` where nothing is smoothed, so that versions that do not know it read it."""
        return {name: value for name, value in asdict(self).items() if name != "smooth" or value}

    @property
    def windows(self) -> Windows:
        return Windows(self.window, self.stride, self.rate)

    @property
    def needs_picture(self) -> bool:
        return self.size > 0

    @property
    def needs_mask(self) -> bool:
        return self.needs_picture and (self.mask or self.crop == "person")

    @property
    def files(self) -> list[str]:
        """Of "video", "mask", "pose", what it is made from."""
        needed = {"video": self.needs_picture, "mask": self.needs_mask, "pose": bool(self.topology)}
        return [name for name, wanted in needed.items() if wanted]


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
    from racctl.video.decode import probe  # needs PyAV, which training on what is drawn does not
    from racctl.video.span import refuse_cut_short

    if look.needs_mask and mask is None:
        raise DataError(f"'{where}' needs a mask; 'racctl mask' makes one")
    if look.topology and pose is None:
        raise DataError(f"'{where}' needs a pose; 'racctl pose' makes one")
    video = probe(file, where)
    refuse_cut_short(video, start, stop, where)
    cut = Cut.of(mask.mask, mask.frame, video) if look.crop == "person" else None
    pictures, number, time = _pictures(file, where, video, look.size, cut, start, stop, report)
    for part in (mask if look.needs_mask else None, pose if look.topology else None):
        if part is not None:
            refuse_other_part(part, number, where)
    rows = resampled(time, look.rate)
    packed = np.empty((len(rows), look.size, look.size + (-(-look.size // 8) if look.mask else 0)), np.uint8)
    for k, row in enumerate(rows):
        packed[k, :, : look.size] = pictures[row]
    if look.mask:
        packed[:, :, look.size :] = _mask_bits(mask, cut, number[rows], look.size)
    joints = None
    if look.topology:
        joints = joint_tokens(remap(pose, look.topology), look.smooth)[at_or_before(pose.frame, number[rows])]
    end = float(time[-1]) + shown_for(time, 1 / look.rate)
    return Streams(packed, joints, number[rows], time[rows], int(number[-1]) + 1, end)


def refuse_other_part(part: Mask | Pose, number: np.ndarray, where: str) -> None:
    """DataError unless a mask or pose covers the frames `number` of a clip, but for moments at its ends."""
    kind = "pose" if isinstance(part, Pose) else "mask"
    slack = apart(part.frame) + SLACK
    if not len(part.frame) or part.frame[0] > number[0] + slack or part.frame[-1] < number[-1] - slack:
        covered = f"{part.frame[0]} to {part.frame[-1]}" if len(part.frame) else "none"
        raise DataError(
            f"the {kind} given with '{where}' covers frames {covered} of {number[0]} to {number[-1]}; is it of another "
            "clip? '--start' and '--stop' take a part"
        )


def gather_joints(
    pose: Pose, look: Look, start: float | None = None, stop: float | None = None
) -> Streams:  # fmt: skip
    """The streams of a model of joints alone, on the pose's own clock; DataError when no frame is in the part."""
    begin, end = -np.inf if start is None else start, np.inf if stop is None else stop
    kept = np.flatnonzero((pose.time >= begin) & (pose.time < end))
    if not len(kept):
        raise DataError(f"clip '{pose.clip}' has no frame in the part asked for")
    rows = kept[resampled(pose.time[kept], look.rate)]
    joints = joint_tokens(remap(pose, look.topology), look.smooth)[rows]
    packed = np.zeros((len(rows), 0, 0), np.uint8)
    stop = int(pose.frame[kept[-1]]) + apart(pose.frame)
    stop_s = float(pose.time[kept[-1]]) + shown_for(pose.time, 1 / look.rate)
    return Streams(packed, joints, pose.frame[rows], pose.time[rows], stop, stop_s)


@dataclass(frozen=True)
class Cut:
    """Where the person is cut out. boxes: (T, 3) as `person_boxes` gives them, for the frames (T,) `number`."""

    boxes: np.ndarray
    number: np.ndarray
    video: Video

    @classmethod
    def of(cls, masks: Frames, number: np.ndarray, video: Video) -> Cut:
        """About the person in masks (T, H, W) of these frames (T,)."""
        return cls(person_boxes(masks, number, video), number, video)

    def box(self, number: int, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in pixels of an (H, W) picture of that frame, which may be squeezed."""
        x, y, side = self.boxes[at_or_before(self.number, np.array([number]))[0]]
        high = side * self.video.width / self.video.height
        h, w = shape[:2]
        return (x - side / 2) * w, (y - high / 2) * h, (x + side / 2) * w, (y + high / 2) * h


def _pictures(
    file: IO[bytes], where: str, video: Video, size: int, cut: Cut | None, start: float | None, stop: float | None,
    report: Report,
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:  # fmt: skip
    """Every frame as (size, size) uint8 luminance, upright, with its number and time, each (T,)."""
    from racctl.video.decode import frames, upright
    from racctl.video.span import no_frame, told

    pictures, clock = [], []
    losses = Losses(remarks=video.ending.remarks)
    for frame in told(frames(file, where, start, stop, losses=losses), losses, where):
        whole = upright(frame.image.reformat(format="gray").to_ndarray(), video.rotation)
        pictures.append(picture(whole, size, cut.box(frame.number, whole.shape) if cut else None, Image.BILINEAR))
        clock.append((frame.number, frame.time))
        report(len(clock), video.frames)
    if not clock:
        raise DataError(no_frame(file, video, losses, where))
    return pictures, np.array([n for n, _ in clock]), np.array([t for _, t in clock])


def picture(whole: np.ndarray, size: int, box: tuple[float, float, float, float] | None, how: int) -> np.ndarray:
    """(H, W) uint8 to (size, size), all of it or the box (left, top, right, bottom) in pixels; black beyond its
    edges."""
    if box is None:
        return np.asarray(Image.fromarray(np.ascontiguousarray(whole)).resize((size, size), how))
    left, top, right, bottom = box
    h, w = whole.shape
    before = [max(0, math.ceil(-top)), max(0, math.ceil(-left))]
    after = [max(0, math.ceil(bottom - h)), max(0, math.ceil(right - w))]
    padded = np.pad(whole, list(zip(before, after, strict=True)))
    inside = (left + before[1], top + before[0], right + before[1], bottom + before[0])
    return np.asarray(Image.fromarray(padded).resize((size, size), how, box=inside))


def person_boxes(masks: Frames, frame: np.ndarray, video: Video) -> np.ndarray:
    """Squares about the person, steady over `STEADY` seconds.

    masks: (T, H, W), of the frames (T,). Returns (T, 3) float: middle x, middle y and side, in shares of the picture's
    width, height and width. Frames without a mask take their neighbours' box; without any, the whole picture.
    """
    t, h, w = masks.shape
    sides = [(one.any(0), one.any(1)) for one in (masks[k] for k in range(t))]  # one at a time, they may be many
    across, down = (np.array([side[k] for side in sides], bool).reshape(t, n) for k, n in enumerate((w, h)))
    seen = across.any(1)
    if not seen.any():
        return np.tile([0.5, 0.5, 1.0], (t, 1))
    left, right = across.argmax(1) / w, 1 - across[:, ::-1].argmax(1) / w
    top, bottom = down.argmax(1) / h, 1 - down[:, ::-1].argmax(1) / h
    span = 2 * max(1, round(STEADY * video.fps * t / max(int(frame[-1]) - int(frame[0]) + 1, 1))) + 1
    known = np.flatnonzero(seen)
    edges = [np.interp(np.arange(t), known, edge[known]) for edge in (left, right, top, bottom)]
    outer = (minimum_filter1d, maximum_filter1d, minimum_filter1d, maximum_filter1d)
    joined = [widest(edge, span) for widest, edge in zip(outer, edges, strict=True)]
    left, right, top, bottom = (uniform_filter1d(edge, span, mode="nearest") for edge in joined)
    tall = video.height / video.width  # heights in units of widths
    side = np.maximum(right - left, (bottom - top) * tall) * (1 + 2 * MARGIN)
    return np.stack([(left + right) / 2, (top + bottom) / 2, side], axis=1)


def joint_tokens(pose: Pose, smooth: float = 0.0) -> np.ndarray:
    """(T, V, 4) float32 of the main person: x and y from where its joints are on the whole, z from the hips, and the
    score; zeros where unseen, and for a z that is not known.

    The unit is the clip's median distance of a seen joint from the middle of its frame's joints, so the person's size
    in the picture does not matter; where the person goes is kept.  smooth: s, standard deviation of a Gaussian over
    time, after a running median that takes out jumps; 0 for none.
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
    if smooth:
        tokens[..., :3] = np.where(known[..., None], smoothed(tokens[..., :3], known, pose.time, smooth), 0)
    tokens[..., 3] = np.where(known, score, 0)
    return tokens


def tell_missing_joints(pose: Pose, topology: str) -> None:
    """Tell in one line which joints of `topology`, that of a model, the pose cannot give, or that it has no depth."""
    missing = unknown_joints(remap(pose, topology))
    seen = np.isfinite(pose.xyz[..., :2]).all(-1)
    lacks = []
    if missing:
        joints = len(topology_named(topology).joints)
        lacks.append(f"{len(missing)} of the {joints} joints that the model needs ({', '.join(missing)})")
    if seen.any() and not np.nan_to_num(pose.xyz[..., 2][seen]).any():
        lacks.append("depth")
    if lacks:
        tell(f"clip '{pose.clip}' lacks {' and '.join(lacks)}; what the model says of it is unreliable")


def refuse_scaled(pose: Pose) -> None:
    """DataError for a pose that is scaled anew in every frame: the proportions of the body are lost."""
    if pose.meta.get("scale") == "minmax":
        raise DataError(
            f"clip '{pose.clip}' is scaled to the body's box in every frame, as PoseRAC's poses are, and this model "
            "needs the body's proportions; make the pose with 'racctl pose'"
        )


def tell_gaps(clip: str, time: np.ndarray) -> None:
    """Tell in one line where (T,) ascending seconds jump by more than MAX_GAP: nothing is looked at there."""
    jumps = np.diff(time)
    long = np.flatnonzero(jumps > MAX_GAP)
    if len(long):
        first = time[long[0]]
        more = f", and {len(long) - 1} more gaps" if len(long) > 1 else ""
        tell(f"the clock of clip '{clip}' jumps by {jumps[long[0]]:g} s at {first:.2f} s{more}; nothing lies between")


def smoothed(place: np.ndarray, known: np.ndarray, time: np.ndarray, smooth: float) -> np.ndarray:
    """(T, V, C) without jumps and jitter, what is not known (T, V) being filled in between; see `joint_tokens`."""
    beat = float(np.median(np.diff(time))) if len(time) > 1 else 1 / RATE
    filled = np.zeros(place.shape)
    for joint in np.flatnonzero(known.any(0)):
        rows = np.flatnonzero(known[:, joint])
        for channel in range(place.shape[2]):
            filled[:, joint, channel] = np.interp(np.arange(len(place)), rows, place[rows, joint, channel])
    width = 2 * max(1, round(GLITCH * smooth / beat / 2)) + 1
    return gaussian_filter1d(median_filter(filled, (width, 1, 1), mode="nearest"), smooth / beat, 0, mode="nearest")


def _mask_bits(mask: Mask, cut: Cut | None, number: np.ndarray, size: int) -> np.ndarray:
    """(N, size, size / 8) uint8 for these frames."""
    at = at_or_before(mask.frame, number)
    small = {}
    for k in np.unique(at):
        whole = mask.mask[k]
        box = cut.box(int(mask.frame[k]), whole.shape) if cut else None
        small[k] = np.packbits(picture(whole, size, box, Image.NEAREST), axis=-1)
    return np.stack([small[k] for k in at])


def at_or_before(known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Rows of `known` frames, the last at or before each wanted one."""
    return (np.searchsorted(known, wanted, side="right") - 1).clip(0)
