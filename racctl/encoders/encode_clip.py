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
from pathlib import Path
from typing import cast

import numpy as np
import torch

from racctl import __version__
from racctl import windows as windows_module
from racctl.contracts import Features, Meta, step
from racctl.encoders import moments
from racctl.encoders.base import EncodeOptions, PoseEncoder, VideoEncoder
from racctl.encoders.kinetics import FrozenVideoEncoder
from racctl.encoders.pair import Encoders
from racctl.encoders.reading import ClipReading, Part, encoders_of, looks_at_inner_features
from racctl.encoders.reading import looks_at_masks as looks_at_masks
from racctl.errors import DataError
from racctl.estimators.coverage import refuse_other_part
from racctl.estimators.open_clip import Clip
from racctl.io.prefetch import prefetch
from racctl.io.spool import ArraySpool, file_digest, sha256
from racctl.io.up_to_date import constants_digest, recorded_meta
from racctl.progress import Report
from racctl.skeleton import normalise
from racctl.video import crop, display, index
from racctl.video import sampling as ticks
from racctl.video.crop import PersonCrop
from racctl.video.decode import Frame
from racctl.video.sampling import TickClock, WindowSampling, batched, cut_windows, on_clock
from racctl.video.span import no_frame
from racctl.windows import at_or_before, tell_gaps

MAX_FLOAT16 = 65504.0
MASK_SIZE = 256  # pixels of the masks that silhouettes are cut out by


def encode_step(clip: Clip, encoders: Encoders, options: EncodeOptions, part: Part) -> Meta:
    """Return the provenance entry of the features that these encoders, see `encoders_of`, make of a clip."""
    models = clip.estimators.estimates
    pose_digest = clip.digest if clip.kind == "pose" else file_digest(clip.pose_path)
    if options.moments:
        shape: Meta = moments.shape_of(options.moments)
    elif part.cycles is None:
        shape = {"window": options.window, "stride": options.stride, "rate": encoders.rate(options)}
    else:
        shape = {"repetitions": short_digest(part.cycles.astype("<i8").tobytes())}
    entry = step(
        "encode",
        __version__,
        span=part.span,
        encoder=encoders.video.name if encoders.video else None,
        pose_encoder=encoders.pose.name if encoders.pose else None,
        preset=options.preset or None,
        **shape,
        zeros=options.zeros or None,
        start=clip.span.start,
        stop=clip.span.stop,
        segment=list(part.segment) if part.segment else None,
        mask_model=models.mask_model if _estimates_mask(clip, encoders) else None,
        pose_model=models.pose_model if _estimates_pose(clip, encoders) else None,
        mask=file_digest(clip.mask_path),
        pose=pose_digest,
        features=clip.digest if clip.kind == "features" else None,
    )
    networks = (encoders.video.look if encoders.video else None, encoders.pose)
    members = {type(network).__module__ for network in networks if network}
    modules = [sys.modules[name] for name in (__name__, *sorted(members))]
    constants = constants_digest(*modules, crop, normalise, ticks, windows_module, display, index)
    weights = [branch.record for branch in (encoders.video, encoders.pose) if branch]
    return {**entry, "constants": constants, "weights": weights}


def _estimates_mask(clip: Clip, encoders: Encoders) -> bool:
    return looks_at_masks(encoders) and not clip.mask_path


def _estimates_pose(clip: Clip, encoders: Encoders) -> bool:
    """Whether a pose is estimated, or its inner features, which is the same."""
    if looks_at_inner_features(encoders):
        return clip.kind != "features"
    return encoders.pose is not None and clip.kind != "pose" and not clip.pose_path


def _estimation_steps(clip: Clip, encoders: Encoders) -> list[Meta]:
    """Return the provenance entries of what is estimated of a clip before it is encoded."""
    steps = [clip.estimators.mask_step(clip.sampling)] if _estimates_mask(clip, encoders) else []
    return steps + ([clip.estimators.pose_step(clip.sampling)] if _estimates_pose(clip, encoders) else [])


def encode_clip(clip: Clip, encoders: Encoders, options: EncodeOptions, part: Part | None = None) -> Features:
    """Return the tokens of every window of a clip, or of every repetition in `part`.

    The arrays are memory maps of temporary files. Raises DataError, naming the clip, when it has no frame in the part
    asked for, a repetition lies outside it, mask or pose cover another part, or the tokens are not finite.
    """
    encoders = encoders_of(clip, encoders)
    reading = ClipReading(clip, encoders, options, part or Part()).check()
    if options.moments:
        return _encode_moments(reading)
    source = reading.frames()
    first = next(source, None)
    if first is None:
        raise DataError(_no_frame(reading))
    cycles = None if reading.part.cycles is None else _within(reading, first.number)
    rate = 0.0 if cycles is not None else encoders.rate(options)
    clock = TickClock([], [])
    frames = _with_report(on_clock(itertools.chain([first], source), rate), reading.expected(), clip.report)
    tokens: dict[str, np.ndarray] = {}
    if encoders.video:
        shots = WindowSampling(options.window, options.stride, encoders.video.frames, cycles)
        tokens["video"] = _encode_video(reading, encoders.video, shots, frames, clock)
    else:
        for tick in frames:
            clock.frame.append(tick.number)
            clock.time.append(tick.time)
        _refuse_beyond(reading, cycles, clock)
    if rate:
        tell_gaps(clip.name, np.array(clock.time))
    _refuse_other_parts(reading, clock)
    spans = _spans(options, len(clock.frame), cycles)
    if encoders.pose:
        tokens["pose"] = _encode_pose(reading, encoders.pose, rate, spans, clock)
    return _features(reading, tokens, clock, spans, rate)


def _encode_moments(reading: ClipReading) -> Features:
    """Return the features of moments of a whole clip, at several scales."""
    if not reading.decodes:
        raise DataError(f"'{reading.where}' shows no picture, of which '--moments' encodes some; name a video")
    encoder = cast(FrozenVideoEncoder, reading.encoders.video)
    tokens, clock = moments.encode_moments(reading, encoder, reading.options.moments)
    whole = np.repeat([[0, len(clock.frame)]], len(tokens), 0)
    start, stop, start_s, stop_s = clock.spans(whole[:, 0], whole[:, 1])
    video = _halved(torch.from_numpy(tokens), reading.name, "video")
    entry = encode_step(reading.clip, reading.encoders, reading.options, reading.part)
    about = {"span": "moments", **moments.shape_of(reading.options.moments), "video": _about_video(encoder)}
    meta = {**reading.meta(entry), **about}
    return Features(start, stop, meta, video, None, start_s, stop_s).check(reading.where)


def _refuse_other_parts(reading: ClipReading, clock: TickClock) -> None:
    covered = np.array([clock.frame[0], clock.frame[-1]])
    for estimate in (reading.mask, reading.pose):
        if estimate is not None:
            refuse_other_part(estimate, covered, reading.where)


def _features(
    reading: ClipReading, tokens: dict[str, np.ndarray], clock: TickClock, spans: np.ndarray, rate: float
) -> Features:
    start, stop, start_s, stop_s = clock.spans(spans[:, 0], spans[:, 1])
    stop, stop_s = np.minimum(stop, reading.end[0]), np.minimum(stop_s, reading.end[1])
    exemplars = reading.part.cycles is not None
    entry = encode_step(reading.clip, reading.encoders, reading.options, reading.part)
    meta = {**reading.meta(entry), **_about(reading.encoders, reading.options, rate, exemplars)}
    meta |= {} if exemplars else {"ticks": len(clock.frame)}
    features = Features(start, stop, meta, tokens.get("video"), tokens.get("pose"), start_s, stop_s)
    return features.check(reading.where)


def _no_frame(reading: ClipReading) -> str:
    clip = reading.clip
    if clip.video_file is None or not (reading.decodes and reading.encoders.video):
        return f"'{reading.where}' has no frame in the part asked for"
    return no_frame(clip.video_file, clip.video, reading.losses, reading.where)


def _within(reading: ClipReading, first: int) -> np.ndarray:
    """(R, 2) ticks of the clip's repetitions, by their beginning; DataError for one that lies outside."""
    annotated = reading.part.cycles
    if annotated is None:
        raise ValueError("the part has windows, not repetitions")
    cycles = annotated[np.argsort(annotated[:, 0], kind="stable")] - first
    if not len(cycles):
        raise DataError(f"clip '{reading.name}' has no repetition to encode")
    if (
        (cycles[:, 0] < 0).any()
        or (cycles[:, 1] <= cycles[:, 0]).any()
        or (cycles[:, 1] > reading.end[0] - first).any()
    ):
        raise DataError(
            f"clip '{reading.name}' has repetitions that are empty or outside it; see 'racctl check-labels'"
        )
    return cycles


def _refuse_beyond(reading: ClipReading, cycles: np.ndarray | None, clock: TickClock) -> None:
    """DataError when a repetition ends after the last frame that there was."""
    if cycles is not None and cycles[:, 1].max() > len(clock.frame):
        raise DataError(
            f"clip '{reading.name}' has repetitions after frame {clock.frame[-1]}, the last that there is ('--stop'?)"
        )


def _with_report(ticks: Iterator[Frame], expected: int, report: Report) -> Iterator[Frame]:
    for frame in ticks:
        yield frame
        report(frame.number, expected)


def _spans(options: EncodeOptions, total: int, cycles: np.ndarray | None) -> np.ndarray:
    """(S, 2) ticks of the windows."""
    if cycles is not None:
        return cycles
    starts = np.arange(0, total, options.stride)
    return np.stack([starts, starts + options.window], axis=1)


def _encode_video(
    reading: ClipReading, encoder: VideoEncoder, shots: WindowSampling, frames: Iterator[Frame], clock: TickClock
) -> np.ndarray:
    """(S, C, T', h, w) float16. Decoding goes on while the network computes."""
    options = reading.options
    look = encoder.look
    if reading.inner_features is not None:
        prepare = look = encoder.look.of_features(reading.inner_features)
    else:
        prepare = look.pictures(reading.clip.video, reading.mask)
    blank = look.blank() if options.zeros else None
    windows = cut_windows(frames, shots, prepare, clock, blank)
    with ArraySpool() as spool:
        for batch in prefetch(batched(windows, options.batch or _fastest(encoder)), 2):
            spool.add(_halved(encoder(torch.from_numpy(batch)), reading.name, "video"))
        _refuse_beyond(reading, shots.cycles, clock)
        return spool.array()


def _fastest(encoder: VideoEncoder) -> int:
    """Windows at a time."""
    return 8 if encoder.device.type != "cpu" else encoder.look.windows_at_once


def cut_out(clip: Clip) -> PersonCrop:
    """Return where the silhouette encoder cuts out the person of a video."""
    return PersonCrop.of(clip.mask.mask, clip.mask.frame, clip.video)


def _encode_pose(
    reading: ClipReading, encoder: PoseEncoder, rate: float, spans: np.ndarray, clock: TickClock
) -> np.ndarray:
    """(S, C, T', V, 1) float16."""
    pose, options = reading.clip.pose, reading.options
    joints_shown = encoder.seen(pose, rate)
    frame = np.array(clock.frame)
    with ArraySpool() as spool:
        for part in np.array_split(spans, -(-len(spans) // (options.batch or 32))):
            ticks = np.linspace(part[:, 0], part[:, 1], encoder.frames + 1, axis=1)[:, :-1].astype(np.int64)
            joints = joints_shown[at_or_before(pose.frame, frame[ticks.clip(0, len(frame) - 1)])]
            if options.zeros:
                joints[ticks >= len(frame)] = 0
            spool.add(_halved(encoder(joints), reading.name, "pose"))
        return spool.array()


def _halved(tokens: torch.Tensor, clip: str, branch: str) -> np.ndarray:
    """float16 of finite tokens; DataError otherwise, and for what float16 cannot hold."""
    largest = tokens.abs().max()
    if not torch.isfinite(largest):
        raise DataError(f"clip '{clip}': the {branch} encoder gives values that are not finite; check its weights")
    if largest > MAX_FLOAT16:
        raise DataError(f"clip '{clip}': the {branch} encoder gives values up to {largest:.3g}, beyond float16")
    return tokens.cpu().to(torch.float16).numpy()


def _about(encoders: Encoders, options: EncodeOptions, rate: float, exemplars: bool) -> Meta:
    """The part of the meta document that says what the tokens are."""
    about: Meta = {"span": "repetitions" if exemplars else "windows", "rate": rate}
    if not exemplars:
        about |= {"window": options.window, "stride": options.stride}
    if (video := encoders.video) is not None:
        about["video"] = _about_video(video)
    if (pose := encoders.pose) is not None:
        about["pose"] = {
            "encoder": pose.name,
            "weights": pose.record,
            "topology": pose.topology,
            "sampled": pose.frames,
        }
    for name, steps in (("video", video.steps if video else 0), ("pose", pose.steps if pose else 0)):
        if name in about and not exemplars:
            about[name]["frames_per_token"] = options.window / steps
    return about


def _about_video(video: VideoEncoder) -> Meta:
    return {"encoder": video.name, "weights": video.record, "look": video.look.header(), "sampled": video.frames}


def is_encoded(clip: Clip, target: Path, encoders: Encoders, options: EncodeOptions, part: Part) -> bool:
    """Whether `target` holds features made of the same bytes the same way; never of stdin, which can be read once."""
    meta = recorded_meta(target)
    if clip.source == "-" or not meta.get("steps"):
        return False
    video = sha256(clip.video_file) if clip.video_file else None
    if video not in (None, meta.get("source", {}).get("sha256")):
        return False
    earlier = meta["steps"][:-1]
    if any(entry not in earlier for entry in _estimation_steps(clip, encoders)):
        return False
    return meta["steps"][-1] == encode_step(clip, encoders_of(clip, encoders), options, part)


def short_digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:16]
