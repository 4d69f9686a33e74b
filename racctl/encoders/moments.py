"""A clip as moments that are spread over all of it, encoded at several scales, as TransRAC does it.

Hu et al., CVPR 2022: 64 frames of a clip, however long it is; of these, windows of 1, 4 and 8, each of which begins in
the middle of the one before, go through the encoder. Every scale gives one map of tokens for each moment. Beyond the
ends of the clip there is nothing. Each scale is padded by itself here; the authors' code pads for the third what it
padded for the second, which the preset "transrac" does too.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from einops import rearrange

from racctl.contracts import Meta
from racctl.encoders.kinetics import FrozenVideoEncoder
from racctl.encoders.reading import ClipReading
from racctl.errors import DataError
from racctl.models.transrac import EARLY
from racctl.video.sampling import TickClock

SCALES = (1, 4, 8)  # moments
AUTHORS = "transrac"  # the preset that does as their code


def shape_of(moments: int) -> Meta:
    """Return what provenance and the features say of them."""
    return {"moments": moments, "scales": list(SCALES)}


def encode_moments(reading: ClipReading, encoder: FrozenVideoEncoder, moments: int) -> tuple[np.ndarray, TickClock]:
    """Return tokens (scales, C, moments, h, w) float32 of a clip, and its frames and their times.

    encoder: that takes windows of any length, two frames a token.

    Raises DataError when there is no frame.
    """
    clock = TickClock([], [])
    for frame in reading.frames():
        clock.frame.append(frame.number)
        clock.time.append(frame.time)
    if not clock.frame:
        raise DataError(f"'{reading.where}' has no frame in the part that is encoded")
    chosen = np.arange(moments) * len(clock.frame) // moments
    pictures = np.stack(list(_pictures(reading, encoder, chosen)))
    early = {SCALES[-1]: EARLY} if reading.options.preset == AUTHORS else {}
    tokens = [_scale(encoder, pictures, scale, early.get(scale, 0)) for scale in SCALES]
    return np.stack(tokens), clock


def _pictures(reading: ClipReading, encoder: FrozenVideoEncoder, chosen: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the frames at these places, in order, as the encoder looks at them; a place may stand several times."""
    prepare = encoder.look.pictures(reading.clip.video, reading.mask)
    times = dict(zip(*np.unique(chosen, return_counts=True), strict=True))
    for place, frame in enumerate(reading.frames()):
        reading.clip.report(place, int(chosen[-1]) + 1)
        if place in times:
            picture = prepare(frame)
            for _ in range(times[place]):
                yield picture


def _scale(encoder: FrozenVideoEncoder, pictures: np.ndarray, scale: int, early: int = 0) -> np.ndarray:
    """Return (C, moments, h, w) float32: of windows of `scale` pictures at every half of their length.

    early: pictures that each window begins too early.
    """
    stride = max(scale // 2, 1)
    before, after = (np.repeat(encoder.look.blank()[None], n, 0) for n in (scale // 2 + early, scale // 2))
    padded = np.concatenate([before, pictures, after]) if scale > 1 else pictures
    maps = []
    for start in range(0, len(pictures), stride):
        window = torch.from_numpy(padded[start : start + scale])
        maps.append(rearrange(encoder(window[None]), "1 c t h w -> c t h w"))
    tokens = torch.cat(maps, 1).float().cpu().numpy()
    if tokens.shape[1] != len(pictures):
        raise ValueError(f"windows of {scale} frames gave {tokens.shape[1]} tokens for {len(pictures)} moments")
    return tokens
