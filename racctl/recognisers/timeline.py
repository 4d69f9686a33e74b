"""From the probabilities of overlapping windows to a timeline of segments."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Segment:
    """Ticks `start` to before `stop` with one label; probs: mean over its windows, `first` to before `last`."""

    start: int
    stop: int
    label: int
    probs: np.ndarray
    first: int = 0
    last: int = 1


def smoothed(probs: np.ndarray, windows: int) -> np.ndarray:
    """(S, K): each window's probabilities averaged with those of the windows about it, triangular weights that end
    `windows` windows away; 0 or 1 changes nothing. At the ends of a clip what is beyond them has no weight."""
    if windows <= 1 or len(probs) < 2:
        return probs
    weights = 1 - np.abs(np.arange(-windows + 1, windows)) / windows
    total = np.convolve(np.ones(len(probs)), weights)[windows - 1 : windows - 1 + len(probs)]
    columns = [np.convolve(column, weights)[windows - 1 : windows - 1 + len(probs)] for column in probs.T]
    return np.stack(columns, axis=1) / total[:, None]


def segments(probs: np.ndarray, smooth: np.ndarray, middle: np.ndarray, end: int) -> list[Segment]:
    """Runs of windows with the same most probable class, in ticks that cover 0..end without a gap.

    probs, smooth: (S, K), plain and smoothed; the label is chosen by `smooth`, the segment's probabilities are means of
    `probs`.  middle: (S,) ticks. Two runs meet half way between the windows on either side.
    """
    label = smooth.argmax(1)
    edges = [0, *(np.flatnonzero(np.diff(label)) + 1), len(label)]
    spans = []
    for first, last in itertools.pairwise(edges):
        start = 0 if first == 0 else (middle[first - 1] + middle[first] + 1) // 2
        stop = end if last == len(label) else (middle[last - 1] + middle[last] + 1) // 2
        mean = probs[first:last].mean(0)
        spans.append(Segment(int(start), int(stop), int(label[first]), mean, int(first), int(last)))
    return spans


def relabelled(spans: list[Segment], decide: Callable[[Segment], int]) -> list[Segment]:
    """Return segments with the labels that `decide` gives them; neighbours that get the same become one."""
    joined: list[Segment] = []
    for span in spans:
        label = decide(span)
        if joined and joined[-1].label == label:
            before = joined.pop()
            mean = before.probs * (before.last - before.first) + span.probs * (span.last - span.first)
            mean = mean / (span.last - before.first)
            joined.append(Segment(before.start, span.stop, label, mean, before.first, span.last))
        else:
            joined.append(replace(span, label=label))
    return joined


def joined_to_neighbours(spans: list[Segment], unknown: int, background: int | None) -> list[Segment]:
    """Return segments without the unknown ones that are most probably what is recognised right before or after them.

    unknown: the label of what is not known, the last of `Segment.probs`.
    """
    labels = [span.label for span in spans]
    for place, span in enumerate(spans):
        if span.label != unknown:
            continue
        exercises = span.probs[:unknown].copy()
        if background is not None:
            exercises[background] = -1
        likeliest = int(exercises.argmax())
        if likeliest in {spans[k].label for k in (place - 1, place + 1) if 0 <= k < len(spans)}:
            labels[place] = likeliest
    following = iter(labels)
    return relabelled(spans, lambda _: next(following))


def clip_weights(probs: np.ndarray, null: int | None) -> np.ndarray:
    """(S,) how much each window says of what its clip is: how surely it is not the null class."""
    return np.ones(len(probs)) if null is None else 1 - probs[:, null] + 1e-9


def clip_label(probs: np.ndarray, null: int | None) -> tuple[int, np.ndarray]:
    """The one class of a clip and its (K,) probabilities: the mean over windows, each weighted by how surely it is not
    the null class. The null class itself only where it is the most probable in every window."""
    if null is None:
        mean = probs.mean(0)
        return int(mean.argmax()), mean
    if (probs.argmax(1) == null).all():
        return null, probs.mean(0)
    weight = clip_weights(probs, null)
    mean = (probs * weight[:, None]).sum(0) / weight.sum()
    others = mean.copy()
    others[null] = -1
    return int(others.argmax()), mean
