"""What a recogniser is fed: grayscale pictures, person masks and joints of one clip, on one clock at one small size.

Section 4.2 of the Mask Cross-Attention Transformer paper: luminance, bilinear for pictures and nearest neighbour for
masks, 30 frames/s. The picture is squeezed to a square, as the paper's are, or (`crop="person"`, this project's
addition) a square about the person is cut out first, so that framing and the shape of the picture matter less.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from racctl.contracts import Mask, Meta, Pose
from racctl.errors import DataError
from racctl.estimators.coverage import refuse_other_part
from racctl.progress import Report, silent
from racctl.skeleton.normalise import joint_tokens, within_picture
from racctl.skeleton.remap import remap
from racctl.video.crop import PersonCrop, crop_picture
from racctl.video.losses import Losses
from racctl.windows import FRAME_RATE, Windows, at_or_before, frame_duration, frame_step, resampled

if TYPE_CHECKING:
    from racctl.estimators.mask import PackedMasks
    from racctl.video.decode import Video

CROPS = ("frame", "person")


@dataclass(frozen=True)
class Look:
    """What a model wants to see; the `input` part of a checkpoint's header.

    size: pixels of the square, 0 for a model of joints alone.  rate: frames per second.  window, stride: frames.
    crop: "frame" or "person".  topology: of the joints, "" where none are wanted.  mask: whether masks are looked at.
    smooth: seconds, see `joint_tokens`.  inside: joints beyond the edges of the picture are taken for unseen.
    """

    size: int = 112
    rate: float = FRAME_RATE
    window: int = 16
    stride: int = 8
    crop: str = "frame"
    topology: str = ""
    mask: bool = True
    smooth: float = 0.0
    inside: bool = False

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
        """Without `smooth` and `inside` where they do nothing, so that versions that do not know them read it."""
        return {name: value for name, value in asdict(self).items() if name not in ("smooth", "inside") or value}

    def joints_of(self, pose: Pose) -> np.ndarray:
        """Return (T, V, 4) float32, the joints of every frame of a pose as this look wants them."""
        seen = within_picture(pose) if self.inside else pose
        return joint_tokens(remap(seen, self.topology), self.smooth)

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
        return [name for name, is_needed in needed.items() if is_needed]


class Packed(Protocol):
    """Rows of pictures: an array, or a file that is read when it is needed."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> np.ndarray: ...


@dataclass
class Streams:
    """One clip as a recogniser sees it, N ticks at the look's rate.

    packed: (N, size, size + size / 8) uint8, grayscale and the mask's bits side by side.  joints: (N, V, 4) float32 as
    `joint_tokens` gives them, or None.  frame: (N,) int64 source frames.  time: (N,) seconds, of those frames.
    stop: one past the last source frame; stop_s: its end, seconds.
    """

    packed: Packed
    joints: np.ndarray | None
    frame: np.ndarray
    time: np.ndarray
    stop: int
    stop_s: float


def gather(
    file: IO[bytes],
    where: str,
    look: Look,
    mask: Mask | PackedMasks | None = None,
    pose: Pose | None = None,
    start: float | None = None,
    stop: float | None = None,
    report: Report = silent,
) -> Streams:
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
    cut = PersonCrop.of(mask.mask, mask.frame, video) if mask is not None and look.crop == "person" else None
    pictures, number, time = _pictures(file, where, video, look.size, cut, start, stop, report)
    for part in (mask if look.needs_mask else None, pose if look.topology else None):
        if part is not None:
            refuse_other_part(part, number, where)
    rows = resampled(time, look.rate)
    packed = np.empty((len(rows), look.size, look.size + (-(-look.size // 8) if look.mask else 0)), np.uint8)
    for k, row in enumerate(rows):
        packed[k, :, : look.size] = pictures[row]
    if look.mask and mask is not None:
        packed[:, :, look.size :] = _mask_bits(mask, cut, number[rows], look.size)
    joints = None
    if look.topology and pose is not None:
        joints = look.joints_of(pose)[at_or_before(pose.frame, number[rows])]
    end = float(time[-1]) + frame_duration(time, 1 / look.rate)
    return Streams(packed, joints, number[rows], time[rows], int(number[-1]) + 1, end)


def gather_joints(pose: Pose, look: Look, start: float | None = None, stop: float | None = None) -> Streams:
    """The streams of a model of joints alone, on the pose's own clock; DataError when no frame is in the part."""
    begin, end = -np.inf if start is None else start, np.inf if stop is None else stop
    inside = np.flatnonzero((pose.time >= begin) & (pose.time < end))
    if not len(inside):
        raise DataError(f"clip '{pose.clip}' has no frame in the part asked for")
    rows = inside[resampled(pose.time[inside], look.rate)]
    joints = look.joints_of(pose)[rows]
    packed = np.zeros((len(rows), 0, 0), np.uint8)
    stop = int(pose.frame[inside[-1]]) + frame_step(pose.frame)
    stop_s = float(pose.time[inside[-1]]) + frame_duration(pose.time, 1 / look.rate)
    return Streams(packed, joints, pose.frame[rows], pose.time[rows], stop, stop_s)


def _pictures(
    file: IO[bytes],
    where: str,
    video: Video,
    size: int,
    cut: PersonCrop | None,
    start: float | None,
    stop: float | None,
    report: Report,
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Every frame as (size, size) uint8 luminance, upright, with its number and time, each (T,)."""
    from racctl.video.decode import frames, upright
    from racctl.video.span import no_frame, told

    pictures, clock = [], []
    losses = Losses(remarks=video.ending.remarks)
    for frame in told(frames(file, where, start, stop, losses=losses), losses, where):
        whole = upright(frame.image.reformat(format="gray", threads=1).to_ndarray(), video.rotation)
        pictures.append(
            crop_picture(whole, size, cut.box(frame.number, whole.shape) if cut else None, Image.Resampling.BILINEAR)
        )
        clock.append((frame.number, frame.time))
        report(len(clock), video.frames)
    if not clock:
        raise DataError(no_frame(file, video, losses, where))
    return pictures, np.array([n for n, _ in clock]), np.array([t for _, t in clock])


def _mask_bits(mask: Mask | PackedMasks, cut: PersonCrop | None, number: np.ndarray, size: int) -> np.ndarray:
    """(N, size, size / 8) uint8 for these frames."""
    at = at_or_before(mask.frame, number)
    small = {}
    for k in np.unique(at):
        whole = mask.mask[k]
        box = cut.box(int(mask.frame[k]), whole.shape) if cut else None
        small[k] = np.packbits(crop_picture(whole, size, box, Image.Resampling.NEAREST), axis=-1)
    return np.stack([small[k] for k in at])
