"""From windows that overlap to one sequence of tokens over a clip, for the counters.

Each token is taken from the window in whose middle it lies best, where its encoder saw the most on both sides of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from racctl.contracts import Features, Meta
from racctl.errors import DataError

SHOT = 4  # tokens that an exemplar is shown in


@dataclass
class Tokens:
    """One clip. video: (N, C, H, W) float16 or None.  pose: (N, C, V) float16 or None.  frame, time: (N + 1,) float64,
    the source frames and seconds of the tokens' borders."""

    video: np.ndarray | None
    pose: np.ndarray | None
    frame: np.ndarray
    time: np.ndarray

    def __len__(self) -> int:
        return len(self.frame) - 1


def fed_by(meta: Meta, branches: str, where: str) -> Meta:
    """Of a features file's meta document, what has to be the same for one model to be fed with several.

    branches: "both", "video" or "pose". DataError when a branch is not there."""
    signature = {key: meta.get(key) for key in ("window", "rate")}
    signature |= {key: meta[key] for key in ("moments", "scales") if key in meta}
    for name in ("video", "pose"):
        if branches in (name, "both"):
            if name not in meta:
                raise DataError(f"'{where}' lacks the {name}, which the counter looks at")
            signature[name] = {key: meta[name].get(key) for key in ("encoder", "weights", "look", "topology")}
    return signature


def shown(span: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(SHOT,) the tokens that show an exemplar, evenly from within it. span: (2,) its start and stop.  edges: (N + 1,)
    borders of the tokens, in the same unit."""
    at = np.interp(np.linspace(span[0], span[1], 2 * SHOT + 1)[1::2], edges, np.arange(len(edges)))
    return np.minimum(at.astype(np.int64), len(edges) - 2)


def sequence(features: Features, step: int, where: str = "the features") -> Tokens:
    """The tokens of a clip, `step` ticks each: those of a branch that are shorter are averaged, longer ones repeated.

    Raises DataError for features of repetitions, and where the windows' stride, the tokens and `step` do not fit."""
    meta = features.meta
    if meta.get("span") == "moments":
        return _of_moments(features)
    if meta.get("span") != "windows" or not all(isinstance(meta.get(k), int) for k in ("window", "stride", "ticks")):
        raise DataError(f"'{where}' does not hold a clip's windows; 'racctl encode' without '--reps' makes them")
    window, stride, ticks = meta["window"], meta["stride"], meta["ticks"]
    if not 0 < stride <= window or ticks < 1 or len(features.start) != -(-ticks // stride):
        raise DataError(f"'{where}' has windows that leave gaps, or are not as many as it says")
    count = -(-ticks // step)
    branches = {}
    for branch in ("video", "pose"):
        tokens = getattr(features, branch)
        if tokens is not None:
            branches[branch] = _branch(tokens, window, stride, ticks, step, f"{branch} of '{where}'")[:count]
    known = np.append(np.arange(len(features.start)) * stride, ticks)
    edges = np.minimum(np.arange(count + 1) * step, ticks)
    frame = np.interp(edges, known, np.append(features.start, features.stop.max()))
    time = frame
    if features.start_s is not None and features.stop_s is not None:
        time = np.interp(edges, known, np.append(features.start_s, features.stop_s.max()))
    pose = branches.get("pose")
    return Tokens(branches.get("video"), None if pose is None else pose[..., 0], frame, time)


def _of_moments(features: Features) -> Tokens:
    """The tokens of moments that are spread over a clip: one for each, the scales one after the other in C."""
    video = features.video
    assert video is not None, "moments are of the picture"
    shares = np.linspace(0, 1, video.shape[2] + 1)
    frame = features.start[0] + shares * (features.stop[0] - features.start[0])
    time = frame
    if features.start_s is not None and features.stop_s is not None:
        time = features.start_s[0] + shares * (features.stop_s[0] - features.start_s[0])
    tokens = np.asarray(video).transpose(2, 0, 1, 3, 4)
    return Tokens(tokens.reshape(len(tokens), -1, *tokens.shape[3:]), None, frame, time)


def _branch(tokens: np.ndarray, window: int, stride: int, ticks: int, step: int, where: str) -> np.ndarray:
    """(N', C, ...) of (S, C, T', ...), `step` ticks each; N' may be one more than the clip needs."""
    each, remainder = divmod(window, tokens.shape[2])
    if remainder or stride % each or (step % each and each % step):
        raise DataError(f"the {where}: tokens of {window / tokens.shape[2]:g} ticks fit neither stride nor {step}")
    middle = (np.arange(-(-ticks // each)) + 0.5) * each
    best = np.rint((middle - window / 2) / stride).astype(np.int64).clip(0, len(tokens) - 1)
    place = ((middle - best * stride) // each).astype(np.int64).clip(0, tokens.shape[2] - 1)
    sequence = np.asarray(tokens)[best, :, place]
    if each < step:
        group = step // each
        sequence = np.concatenate([sequence, np.repeat(sequence[-1:], -len(sequence) % group, 0)])
        return sequence.reshape(-1, group, *sequence.shape[1:]).mean(1, dtype=np.float32).astype(np.float16)
    return np.repeat(sequence, each // step, 0)
