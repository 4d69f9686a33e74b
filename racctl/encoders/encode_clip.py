"""From a video, a pose or both to tokens of frozen encoders, window by window or repetition by repetition.

D2-STX, supplement 6.2: windows of 64 frames, 16 of them shown to the video encoder (`save_tokens`); for exemplars 16
frames evenly from each annotated repetition (`save_exemplar`), all of them. Video and pose see the same windows.

A clip is decoded once, only the frames that some window shows are converted, and each only once; the tokens go to disk
as they come, so memory does not grow with the clip.
"""

from __future__ import annotations

import hashlib
import itertools
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import IO

import numpy as np
import torch

from racctl import __version__
from racctl import windows as windows_module
from racctl.contracts import Features, Mask, Meta, Pose, step
from racctl.encoders import ctrgcn as pose_tokens
from racctl.encoders import silhouette
from racctl.encoders.ctrgcn import SHOWN, STEP, PoseEncoder
from racctl.encoders.kinetics import VideoEncoder
from racctl.encoders.pair import Encoders, Options
from racctl.encoders.silhouette import SILHOUETTE, Cutter
from racctl.errors import DataError, UsageError
from racctl.estimators.mask import MaskFilm
from racctl.estimators.on_demand import (
    Estimates,
    Estimators,
    given_pose,
    refuse_other_clip,
    refuse_other_part,
    refuse_other_source,
)
from racctl.io.escounts import holds_tokens, import_tokens
from racctl.io.npz import read_mask, read_pose
from racctl.io.prefetch import ahead
from racctl.io.sniff import sniff
from racctl.io.spool import ArraySpool, clip_name, display_name, file_digest, open_input, sha256
from racctl.io.up_to_date import constants_digest, recorded_meta
from racctl.progress import Report, silent
from racctl.skeleton import normalise
from racctl.video import crop
from racctl.video import sampling as ticks
from racctl.video.crop import Cut
from racctl.video.decode import Frame, Video, frames, probe, upright
from racctl.video.losses import Losses
from racctl.video.sampling import Clock, Shots, batched, cut, on_clock
from racctl.video.span import no_frame, refuse_cut_short, told
from racctl.windows import RATE, apart, at_or_before, shown_for, tell_gaps

LARGEST = 65504.0  # of float16


@dataclass(frozen=True)
class Part:
    """Which part of a clip. cycles: (R, 2) repetitions in source frames, for exemplars; None for windows.  segment:
    source frames to keep to, half-open; None for all."""

    cycles: np.ndarray | None = None
    segment: tuple[int, int] | None = None

    @property
    def span(self) -> str:
        return "windows" if self.cycles is None else "repetitions"


def estimates(encoders: Encoders, options: Options) -> Estimates:
    """What has to be estimated of a video before it can be encoded."""
    mask = bool(encoders.video) and encoders.video.look.kind == SILHOUETTE and not options.mask
    pose = encoders.pose is not None and not options.pose
    return Estimates(256 if mask else 0, pose, options.start, options.stop, options.mask_model, options.pose_model,
                     options.download)  # fmt: skip


def made_by(encoders: Encoders, options: Options, part: Part, pose: str = "") -> Meta:
    """The provenance entry of features that these make. pose: digest of a pose that is the input itself."""
    wanted, cycles = estimates(encoders, options), part.cycles
    windows = {"window": options.window, "stride": options.stride, "rate": encoders.rate(options)}
    asked = step(
        "encode", __version__, span=part.span, encoder=encoders.video.name if encoders.video else None,
        pose_encoder=encoders.pose.name if encoders.pose else None, preset=options.preset or None,
        **(windows if cycles is None else {"repetitions": short_digest(cycles.astype("<i8").tobytes())}),
        zeros=options.zeros or None, start=options.start, stop=options.stop,
        segment=list(part.segment) if part.segment else None,
        mask_model=options.mask_model if wanted.mask else None,
        pose_model=options.pose_model if wanted.pose and not pose else None,
        mask=file_digest(options.mask), pose=pose or file_digest(options.pose),
    )  # fmt: skip
    constants = constants_digest(sys.modules[__name__], pose_tokens, silhouette, crop, normalise, ticks, windows_module)
    weights = [branch.record for branch in (encoders.video, encoders.pose) if branch]
    return {**asked, "constants": constants, "weights": weights}


@dataclass
class Clip:
    """One clip, opened. file, video: None where only a pose is known.  part: what of it is wanted.  losses: what of it
    could not be decoded, once it was read."""

    name: str
    where: str
    file: IO[bytes] | None = None
    video: Video | None = None
    pose: Pose | None = None
    mask: Mask | MaskFilm | None = None
    part: Part = field(default_factory=Part)
    meta: Meta = field(default_factory=dict)
    losses: Losses = field(default_factory=Losses)

    @property
    def end(self) -> tuple[int, float]:
        """One past its last frame, and where that ends, seconds."""
        if self.video:
            return self.video.frames, self.video.start_time + self.video.duration + 1 / self.video.fps
        frame, time = self.pose.frame, self.pose.time
        return int(frame[-1]) + apart(frame), float(time[-1]) + shown_for(time, 1 / RATE)

    def frames(self, options: Options) -> Iterator[Frame]:
        """The frames that are wanted, from the video or (without pictures) from the pose's clock."""
        if self.file is not None:
            found = frames(self.file, self.where, options.start, options.stop, losses=self.losses)
            found = told(found, self.losses, self.where)
        else:
            begin = -np.inf if options.start is None else options.start
            end = np.inf if options.stop is None else options.stop
            found = (
                Frame(int(number), float(time), None)
                for number, time in zip(self.pose.frame, self.pose.time, strict=True)
                if begin <= time < end
            )
        low, high = self.part.segment or (0, np.inf)
        return itertools.takewhile(lambda f: f.number < high, itertools.dropwhile(lambda f: f.number < low, found))


def encode_clip(clip: Clip, encoders: Encoders, options: Options, report: Report = silent) -> Features:
    """Tokens of every window of a clip, or of every repetition in `clip.part`.

    The arrays are memory maps of temporary files. Raises DataError, naming the clip, when it has no frame in the part
    asked for, a repetition lies outside it, mask or pose cover another part, or the tokens are not finite.
    """
    source = clip.frames(options)
    first = next(source, None)
    if first is None:
        raise DataError(_no_frame(clip))
    cycles = None if clip.part.cycles is None else _within(clip, first.number)
    rate = 0.0 if cycles is not None else encoders.rate(options)
    clock, expected = Clock([], []), clip.video.frames if clip.video else len(clip.pose.frame)
    clocked = _counted(on_clock(itertools.chain([first], source), rate), expected, report)
    made: dict[str, np.ndarray] = {}
    if encoders.video:
        shots = Shots(options.window, options.stride, encoders.video.frames, cycles)
        made["video"] = _encode_video(clip, encoders.video, shots, clocked, clock, options)
    else:
        for tick in clocked:
            clock.frame.append(tick.number)
            clock.time.append(tick.time)
        _refuse_beyond(clip, cycles, clock)
    if rate:
        tell_gaps(clip.name, np.array(clock.time))
    covered = np.array([clock.frame[0], clock.frame[-1]])
    for part in (clip.mask, clip.pose if clip.file is not None else None):
        if part is not None:
            refuse_other_part(part, covered, clip.where)
    spans = _spans(options, len(clock.frame), cycles)
    if encoders.pose:
        made["pose"] = _encode_pose(clip, encoders.pose.seen(clip.pose, rate), encoders.pose, spans, clock, options)
    start, stop, start_s, stop_s = clock.spans(spans[:, 0], spans[:, 1])
    stop, stop_s = np.minimum(stop, clip.end[0]), np.minimum(stop_s, clip.end[1])
    if clip.losses:
        clip.meta["source"] = {**clip.meta["source"], **clip.losses.record()}
    meta = {**clip.meta, **_about(encoders, options, rate, cycles is not None)}
    meta |= {} if cycles is not None else {"ticks": len(clock.frame)}
    return Features(start, stop, meta, made.get("video"), made.get("pose"), start_s, stop_s).check(clip.where)


def _no_frame(clip: Clip) -> str:
    if clip.video is None:
        return f"'{clip.where}' has no frame in the part asked for"
    return no_frame(clip.file, clip.video, clip.losses, clip.where)


def _within(clip: Clip, first: int) -> np.ndarray:
    """(R, 2) ticks of the clip's repetitions, by their beginning; DataError for one that lies outside."""
    cycles = clip.part.cycles[np.argsort(clip.part.cycles[:, 0], kind="stable")] - first
    if not len(cycles):
        raise DataError(f"clip '{clip.name}' has no repetition to encode")
    if (cycles[:, 0] < 0).any() or (cycles[:, 1] <= cycles[:, 0]).any() or (cycles[:, 1] > clip.end[0] - first).any():
        raise DataError(f"clip '{clip.name}' has repetitions that are empty or outside it; see 'racctl check-labels'")
    return cycles


def _refuse_beyond(clip: Clip, cycles: np.ndarray | None, clock: Clock) -> None:
    """DataError when a repetition ends after the last frame that there was."""
    if cycles is not None and cycles[:, 1].max() > len(clock.frame):
        raise DataError(
            f"clip '{clip.name}' has repetitions after frame {clock.frame[-1]}, the last that there is ('--stop'?)"
        )


def _counted(ticks: Iterator[Frame], expected: int, report: Report) -> Iterator[Frame]:
    for frame in ticks:
        yield frame
        report(frame.number, expected)


def _spans(options: Options, total: int, cycles: np.ndarray | None) -> np.ndarray:
    """(S, 2) ticks of the windows."""
    if cycles is not None:
        return cycles
    starts = np.arange(0, total, options.stride)
    return np.stack([starts, starts + options.window], axis=1)


def _encode_video(
    clip: Clip, encoder: VideoEncoder, shots: Shots, ticks: Iterator[Frame], clock: Clock, options: Options
) -> np.ndarray:
    """(S, C, T', h, w) float16. Decoding goes on while the network computes."""
    prepare = _prepare(clip, encoder)
    blank = encoder.look.blank() if options.zeros else None
    windows = cut(ticks, shots, prepare, clock, blank)
    with ArraySpool() as spool:
        for batch in ahead(batched(windows, options.batch or _fastest(encoder)), 2):
            spool.add(_halved(encoder(torch.from_numpy(batch)), clip, "video"))
        _refuse_beyond(clip, shots.cycles, clock)
        return spool.array()


def _fastest(encoder: VideoEncoder) -> int:
    """Windows at a time: on a CPU the large networks fall out of its caches with more than one."""
    return 8 if encoder.device.type != "cpu" or encoder.look.kind == SILHOUETTE else 1


def cut_out(clip: Clip) -> Cut | None:
    """Where the silhouette encoder cuts out the person; None for a clip without a mask."""
    if clip.mask is None or clip.video is None:
        return None
    return Cut.of(_masks(clip), clip.mask.frame, clip.video)


def _masks(clip: Clip):
    return clip.mask.mask if isinstance(clip.mask, Mask) else clip.mask


def _prepare(clip: Clip, encoder: VideoEncoder):
    """What makes a frame's picture of this encoder's kind."""
    if encoder.look.kind == SILHOUETTE:
        return Cutter(_masks(clip), clip.mask.frame, clip.video, encoder.look.side)
    rotation = clip.video.rotation
    return lambda frame: encoder.look.prepare(upright(frame.image.to_ndarray(format="rgb24"), rotation))


def _encode_pose(
    clip: Clip, seen: np.ndarray, encoder: PoseEncoder, spans: np.ndarray, clock: Clock, options: Options
) -> np.ndarray:
    """(S, C, T', V, 1) float16. seen: what the encoder is shown of each frame of the pose."""
    frame = np.array(clock.frame)
    with ArraySpool() as spool:
        for part in np.array_split(spans, -(-len(spans) // (options.batch or 32))):
            ticks = np.linspace(part[:, 0], part[:, 1], SHOWN + 1, axis=1)[:, :-1].astype(np.int64)
            joints = seen[at_or_before(clip.pose.frame, frame[ticks.clip(0, len(frame) - 1)])]
            if options.zeros:
                joints[ticks >= len(frame)] = 0
            spool.add(_halved(encoder(joints), clip, "pose"))
        return spool.array()


def _halved(tokens: torch.Tensor, clip: Clip, branch: str) -> np.ndarray:
    """float16 of finite tokens; DataError otherwise, and for what float16 cannot hold."""
    largest = tokens.abs().max()
    if not torch.isfinite(largest):
        raise DataError(f"clip '{clip.name}': the {branch} encoder gives values that are not finite; check its weights")
    if largest > LARGEST:
        raise DataError(f"clip '{clip.name}': the {branch} encoder gives values up to {largest:.3g}, beyond float16")
    return tokens.cpu().to(torch.float16).numpy()


def _about(encoders: Encoders, options: Options, rate: float, exemplars: bool) -> Meta:
    """The part of the meta document that says what the tokens are."""
    about: Meta = {"span": "repetitions" if exemplars else "windows", "rate": rate}
    if not exemplars:
        about |= {"window": options.window, "stride": options.stride}
    if (video := encoders.video) is not None:
        about["video"] = {"encoder": video.name, "weights": video.record, "look": video.look.header(),
                          "sampled": video.frames}  # fmt: skip
    if (pose := encoders.pose) is not None:
        about["pose"] = {"encoder": pose.name, "weights": pose.record, "topology": pose.topology,
                         "sampled": SHOWN}  # fmt: skip
    for name, steps in (("video", video.steps if video else 0), ("pose", SHOWN // STEP)):
        if name in about and not exemplars:
            about[name]["frames_per_token"] = options.window / steps
    return about


def encode_source(
    source: str, encoders: Encoders, options: Options, estimators: Estimators, report: Report = silent,
    part: Part | None = None,
) -> Features:  # fmt: skip
    """Encode a video, or a racctl.pose/1 (with `options.video` both). source: a path, or "-" for stdin.  part: of it.

    Raises DataError when the input is neither, UsageError for a pose whose video is needed and not named.
    """
    with open_input(source) as file, ExitStack() as stack:
        where, name, pose, given = display_name(source), source, None, ""
        if holds_tokens(file):
            if part and part.cycles is not None:
                raise UsageError(f"'{where}' holds tokens already; leave out '--reps'")
            return _imported(file, source, options, stack)
        if sniff(file) == "npz":
            if options.pose:
                raise UsageError(f"'{where}' is a pose itself; leave out '--pose'")
            pose, given = read_pose(file, where), sha256(file)
            name, file = options.video, None
            if name:
                file = stack.enter_context(open_input(name))
                refuse_other_clip(pose.clip, name)
            elif encoders.video:
                raise UsageError(f"'{where}' is a pose; name its video with '--video FILE', or use '--encoder none'")
        elif options.video:
            raise UsageError("'--video' names the clip of a pose; the input is a video itself")
        clip = opened(file, name, where, pose, encoders, options, estimators, report, part, given)
        return encode_clip(clip, encoders, options, report)


def _imported(file: IO[bytes], source: str, options: Options, stack: ExitStack) -> Features:
    """Import token files in the layout of ESCounts and D2-STX: the input, and `options.pose` for the other branch."""
    files = [(file, display_name(source))]
    if options.pose:
        files.append((stack.enter_context(open_input(options.pose)), display_name(options.pose)))
    typed = replace(options, window=Options.window, stride=Options.stride, pose="")
    if idle := [field.name for field in fields(Options) if getattr(typed, field.name) != field.default]:
        raise UsageError(f"'{display_name(source)}' holds tokens already; leave out '--{idle[0].replace('_', '-')}'")
    return import_tokens(files, clip_name(source), options.window, options.stride)


def opened(
    file: IO[bytes] | None, name: str, where: str, pose: Pose | None, encoders: Encoders, options: Options,
    estimators: Estimators, report: Report = silent, part: Part | None = None, given: str = "",
) -> Clip:  # fmt: skip
    """A video that is open, with its pose and mask, given or estimated; or, without a file, a pose.

    name: of the video.  given: digest of the pose, where that is the input itself."""
    clip = _opened(file, name, where, pose, encoders, options, estimators, report)
    clip.part = part or Part()
    clip.meta["steps"].append(made_by(encoders, options, clip.part, given))
    return clip


def _opened(
    file: IO[bytes] | None, name: str, where: str, pose: Pose | None, encoders: Encoders, options: Options,
    estimators: Estimators, report: Report,
) -> Clip:  # fmt: skip
    """The clip with its pose and mask, given or estimated."""
    wanted = estimates(encoders, options)
    if file is None:
        return Clip(pose.clip, where, pose=pose, meta={**_kept(pose.meta), "clip": pose.clip})
    where = display_name(name)
    video = probe(file, where)
    refuse_cut_short(video, options.start, options.stop, where)
    mask, steps = None, []
    if encoders.pose and pose is None:
        pose = given_pose(options.pose, name) if options.pose else estimators.pose(file, name, report)
    if wanted.mask:
        mask = estimators.film(file, name, report)
    elif encoders.video and encoders.video.look.kind == SILHOUETTE:
        with open_input(options.mask) as given:
            mask = read_mask(given, display_name(options.mask))
        refuse_other_clip(mask.clip, name)
    for part in (mask, pose if encoders.pose else None):
        if part is not None:
            refuse_other_source(part, video, where)
        steps += part.meta.get("steps", []) if part is not None else []
    clip = clip_name(name) if pose is None or pose.clip in ("", "stdin") else pose.clip
    meta = {"clip": clip, "source": video.source(), "steps": steps}
    losses = Losses(remarks=video.ending.remarks)
    return Clip(clip, where, file, video if encoders.video else None, pose, mask, meta=meta, losses=losses)


def _kept(meta: Meta) -> Meta:
    """Of a pose's meta document, what is about its source."""
    return {key: meta[key] for key in ("source",) if key in meta} | {"steps": list(meta.get("steps", []))}


def is_encoded(source: str, target: Path, encoders: Encoders, options: Options, part: Part) -> bool:
    """Whether `target` holds features made of the same bytes the same way; never of stdin, which can be read once."""
    meta = recorded_meta(target)
    if source == "-" or not meta.get("steps"):
        return False
    with open_input(source) as file:
        given = sha256(file) if sniff(file) == "npz" else ""
        film = file_digest(options.video) if given else sha256(file)
    known = meta.get("source", {}).get("sha256")
    return meta["steps"][-1] == made_by(encoders, options, part, given) and film in (None, known)


def short_digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:16]
