"""Video to mask: decode, outline the people, choose whose outline it is, and keep it small."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from racctl import __version__
from racctl.contracts import Mask, Meta, mask_quality, step
from racctl.errors import DataError, UsageError
from racctl.estimators import silhouettes
from racctl.estimators import workers as workers_module
from racctl.estimators.base import MASK_ESTIMATORS, ClipMaskModel, ClipMasks, MaskModel, mask_model
from racctl.estimators.reread import clip_frames
from racctl.estimators.silhouettes import Parcel, Size, mask_workers, pack, unpack
from racctl.estimators.workers import lanes_of
from racctl.io.bounds import MAX_MEMORY as MAX_BYTES
from racctl.io.npz import write_frames
from racctl.io.output import write_file
from racctl.io.spool import clip_name, display_name, open_input, sha256
from racctl.io.up_to_date import constants_digest, is_current, recorded_meta
from racctl.progress import Report, silent
from racctl.video import display, index
from racctl.video.decode import probe
from racctl.video.mask_overlay import write_mask_overlay
from racctl.video.overlay import check_target
from racctl.video.span import check_part, part_of

PERSONS = ("tracked", "largest", "central")
LOST = 1.0  # s without the person, after which the largest one is followed anew
SIZES = (8, 8192)  # pixels of a side, least and most


def parse_size(text: str) -> Size | None:
    """Return height and width from WIDTHxHEIGHT, None from "full"; UsageError for anything else."""
    if text == "full":
        return None
    shape = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if not shape or not all(SIZES[0] <= int(side) <= SIZES[1] for side in shape.groups()):
        raise UsageError(f"invalid value '{text}' for '--size'; expected 'full' or WIDTHxHEIGHT, 8 to 8192 pixels each")
    return int(shape[2]), int(shape[1])


@dataclass(frozen=True)
class MaskOptions:
    """What is asked for. model: a name or a file.  size: "full" or WIDTHxHEIGHT.  person: whose mask, of several.
    hold: missed frames in a row that keep the mask before them.  threshold: probability from which a pixel is the
    person's.  start, stop: seconds.  download: whether the model may be fetched."""

    model: str = "blazepose"
    size: str = "112x112"
    person: str = "tracked"
    hold: int = 0
    threshold: float = 0.5
    start: float | None = None
    stop: float | None = None
    stride: int = 1
    download: bool = False

    def check(self) -> MaskOptions:
        """UsageError unless everything is sound and the model is here or may be fetched; returns self."""
        check_part(self.start, self.stop)
        parse_size(self.size)
        if self.person not in PERSONS:
            raise UsageError(f"no such person '{self.person}'; expected one of {', '.join(PERSONS)}")
        if not 0 < self.threshold < 1:
            raise UsageError(
                f"invalid value '{self.threshold:g}' for '--threshold'; expected a probability between 0 and 1"
            )
        weights = self.weights
        if self.person != "tracked" and not weights.tells_apart:
            others = [name for name in MASK_ESTIMATORS.names() if MASK_ESTIMATORS.load(name).tells_apart]
            raise UsageError(
                f"'{self.model}' follows one person of its own choice; '--person {self.person}' needs one of "
                f"{', '.join(others)}"
            )
        if self.threshold != 0.5 and not weights.has_threshold:
            raise UsageError(f"'--threshold' has no effect on '{self.model}', which cuts at 0.5; leave it out")
        return self

    @cached_property
    def weights(self) -> MaskModel | ClipMaskModel:
        """The model, here."""
        return mask_model(self.model, self.download)

    @property
    def pixels(self) -> Size | None:
        """Height and width; None for the video's own."""
        return parse_size(self.size)

    @cached_property
    def step(self) -> Meta:
        """The provenance entry of masks made with these options."""
        record = self.weights.record()
        entry = step(
            "mask",
            __version__,
            model=record["name"],
            size=self.size,
            person=self.person,
            hold=self.hold,
            threshold=self.threshold,
            start=self.start,
            stop=self.stop,
            stride=self.stride,
        )
        constants = constants_digest(
            sys.modules[__name__],
            silhouettes,
            sys.modules[type(self.weights).__module__],
            workers_module,
            display,
            index,
        )
        return {**entry, "constants": constants, "weights": [record]}


@dataclass
class PackedMasks:
    """A clip's masks, each deflated.

    parcels: one for each frame, (1, H, W) or larger, see `drawn`.
    shape: (T, H, W).
    filled: (T,) share of the picture.
    frame, time, meta: as in `Mask`.
    """

    parcels: list[Parcel]
    shape: tuple[int, int, int]
    filled: np.ndarray
    frame: np.ndarray
    time: np.ndarray
    meta: Meta

    def __getitem__(self, t: int) -> np.ndarray:
        """(H, W) uint8."""
        return unpack(self.parcels[t], self.shape[1:])[0]

    @property
    def drawn(self) -> PackedMasks:
        """The same masks at the size that they were estimated at: the picture's, where they are to be drawn."""
        sizes = [parcel[0][1:] for parcel in self.parcels]
        height, width = max(sizes, default=self.shape[1:])
        return replace(self, shape=(len(sizes), height, width))

    def write(self, target: IO[bytes]) -> None:
        """Write a racctl.mask/1 npz."""
        write_frames(target, self.meta, self, self.frame, self.time)

    @property
    def mask(self) -> PackedMasks:
        """(T, H, W) frames to be indexed one by one, as those of a `Mask` are."""
        return self

    @property
    def clip(self) -> str:
        return str(self.meta.get("clip", ""))

    def unpacked(self) -> Mask:
        """Return the whole clip in memory."""
        pixels = np.zeros(self.shape, np.uint8)
        for t in range(len(pixels)):
            pixels[t] = self[t]
        return Mask(pixels, self.frame, self.time, self.meta)


def mask_lanes(
    options: MaskOptions, lanes: int, each: int, drawn: bool = False
) -> AbstractContextManager[list[ClipMasks]]:
    """Open `lanes` sets of `each` workers, threads or processes, which start when they first have something to do.

    drawn: whether their masks have all the picture's pixels, whatever size is asked for, to be drawn into it.
    """
    size = None if drawn else options.pixels
    return lanes_of(partial(mask_workers, options.weights, size, options.threshold, each), lanes)


def estimate_mask(source: str | Path, model: str = "blazepose", *, jobs: int = 1, **options: Any) -> Mask:
    """Cut the person out of every frame of a video, exactly as `racctl mask` does.

    options: those of `Options`, such as size="full". Raises `racctl.errors.RacctlError` with one line that says what is
    wrong.
    """
    chosen = MaskOptions(model, **options).check()
    with mask_lanes(chosen, 1, jobs) as (workers,):
        return mask_source(str(source), workers, options=chosen).unpacked()


def mask_source(
    source: str, workers: ClipMasks, report: Report = silent, *, options: MaskOptions, overlay: str = ""
) -> PackedMasks:
    """Run `masks_of_video` on a path, or "-" for stdin.

    overlay: an MP4 to write with the mask drawn in; with the workers of `mask_lanes(..., drawn=True)` at full size.
    """
    if overlay:
        check_target(overlay, source)
    with open_input(source) as file:
        masks = masks_of_video(file, source, options, workers, report)
        if overlay:
            write_mask_overlay(file, display_name(source), overlay, masks.drawn, masks.frame, report)
        return masks


def save_mask(source: str, workers: ClipMasks, report: Report = silent, *, folder: Path, options: MaskOptions) -> Meta:
    """Write FOLDER/<clip>.mask.npz for one video unless it is there already, made of the same bytes the same way.

    Returns its meta document."""
    target = folder / f"{clip_name(source)}.mask.npz"
    with open_input(source) as file:
        if is_current(target, sha256(file), [options.step]):
            return recorded_meta(target)
        masks = masks_of_video(file, source, options, workers, report)
        write_file(target, masks.write)
        return masks.meta


def masks_of_video(
    file: IO[bytes], name: str, options: MaskOptions, workers: ClipMasks, report: Report = silent
) -> PackedMasks:
    """One mask for every frame that the options ask for; workers: from `mask_lanes` with the same options.

    Raises DataError when the file is no video or nobody is found in any frame.
    """
    where = display_name(name)
    entry = options.step
    video = probe(file, where)
    part = part_of(file, video, entry["args"], where)
    height, width = options.pixels or (video.height, video.width)
    _refuse_too_large(part.expected, height, width, where)
    estimated = workers.run(clip_frames(file, where, video, part), report)
    time = np.array([time for _, time in part.clock])
    person = options.person if options.weights.tells_apart else "largest"  # the only one
    parcels, held = hold(list(follow(estimated, time, person, (height, width))), options.hold)
    filled = np.array([unpack(parcel, (height, width)).mean() if parcel[0][0] else 0.0 for parcel in parcels])
    if not filled.any():
        raise DataError(f"'{where}' shows no person in any of its {len(part.clock)} frames")
    blank = pack(np.zeros((1, height, width), bool))
    return PackedMasks(
        parcels=[parcel if parcel[0][0] else blank for parcel in parcels],
        shape=(len(part.clock), height, width),
        filled=filled,
        frame=np.array([number for number, _ in part.clock], np.int64),
        time=time,
        meta=_meta(name, part.source(video), entry, filled, held),
    )


def _meta(name: str, source: Meta, entry: Meta, filled: np.ndarray, held: int) -> Meta:
    about = {"clip": clip_name(name), "source": source, "steps": [entry], "resize": "nearest"}
    return {**about, **mask_quality(filled), **({"held": held} if held else {})}


def quality_line(meta: Meta) -> str:
    """The figures of a mask's quality, for a person."""
    clip, covered, empty = meta.get("clip", ""), meta.get("coverage", 0), meta.get("empty", 0)
    held = f" ({meta['held']} had one held over)" if meta.get("held") else ""
    return f"{clip}: masks cover {covered:.1%} of the picture, {empty:.1%} of the frames have none{held}"


def _refuse_too_large(frames: int, height: int, width: int, where: str) -> None:
    if frames * height * width > MAX_BYTES:
        raise DataError(
            f"'{where}' has about {frames} frames, whose {width}x{height} masks are more than one file may hold; "
            "use '--size 112x112' or '--stop'"
        )


def follow(parcels: np.ndarray, time: np.ndarray, person: str, size: Size | None = None) -> Iterator[Parcel]:
    """Of each frame's people (T,) of parcels (K, H, W), at `time` (T,) seconds, the one asked for, as (1, H, W), or
    nobody, (0, H, W). size: of the masks that are compared, where those in the parcels are larger.

    largest, central: in every frame anew, by area and by the distance of the mask's middle from the picture's. tracked:
    at first the largest, then whoever overlaps most with where the person was last; nobody while none does, for up to
    LOST seconds.
    """
    last, seen = None, -np.inf
    for parcel, now in zip(parcels, time, strict=True):
        masks = unpack(parcel, size)
        if person == "tracked":
            last = last if now - seen <= LOST else None
            k = _overlapping(masks, last) if last is not None else _largest(masks)
        else:
            k = _largest(masks) if person == "largest" else _central(masks)
        if k is None or not masks[k].any():
            yield pack(masks[:0])
            continue
        last, seen = masks[k], now
        yield parcel if len(masks) == 1 else pack(unpack(parcel)[k : k + 1])


def _largest(masks: np.ndarray) -> int | None:
    return int(masks.sum((1, 2)).argmax()) if len(masks) else None


def _central(masks: np.ndarray) -> int | None:
    if not len(masks):
        return None
    _, height, width = masks.shape
    area = np.maximum(masks.sum((1, 2)), 1)
    y = masks.sum(2) @ (np.arange(height) + 0.5) / area / height - 0.5
    x = masks.sum(1) @ (np.arange(width) + 0.5) / area / width - 0.5
    return int(np.where(masks.any((1, 2)), np.hypot(x, y), np.inf).argmin())


def _overlapping(masks: np.ndarray, last: np.ndarray) -> int | None:
    both = (masks & last).sum((1, 2))
    share = both / np.maximum((masks | last).sum((1, 2)), 1)
    return int(share.argmax()) if both.any() else None


def hold(parcels: list[Parcel], most: int) -> tuple[list[Parcel], int]:
    """Give up to `most` frames in a row without anybody the mask before them. Returns how many got one, too."""
    filled: list[Parcel] = []
    missed = held = 0
    for parcel in parcels:
        missed = 0 if parcel[0][0] else missed + 1
        if 0 < missed <= most and filled and filled[-1][0][0]:
            filled.append(filled[-1])
            held += 1
        else:
            filled.append(parcel)
    return filled, held
