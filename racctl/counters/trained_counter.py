"""Counting with D2-STX: a clip's pose, and its video where the model looks at that too, to tokens and repetitions."""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from functools import cached_property
from typing import IO

import numpy as np
import torch

from racctl.contracts import Features, Meta, Pose
from racctl.counters.d2stx import Counter, Densities, chunks, clearest, exemplars
from racctl.counters.periodicity import Repetitions
from racctl.counters.result import Counted, whole
from racctl.density import repetitions
from racctl.encoders.encode_clip import Clip, cut_out, encode_clip, estimates, opened
from racctl.encoders.pair import NONE, Encoders, Options, load_encoders
from racctl.encoders.tokens import Tokens
from racctl.errors import DataError, UsageError
from racctl.estimators.on_demand import Estimates, Estimators, estimator_lanes
from racctl.io.spool import display_name
from racctl.progress import Report, silent


class TrainedCounter:
    """A trained counter and the frozen encoders that it was trained on.

    shots: exemplars, (start, stop) in seconds.  again: so many of the repetitions found are its exemplars in a second
    reading.  start, stop: seconds, of a video's part."""

    def __init__(
        self, model: str, device: torch.device, shots: tuple[tuple[float, float], ...] = (), again: int = 0,
        start: float | None = None, stop: float | None = None,
    ) -> None:  # fmt: skip
        """model: a name or a file. Raises as `Counter` does."""
        self.counter, self.shots, self.again = Counter(model, device), shots, again
        fed = self.counter.fed
        names = {name: fed[name]["encoder"] if name in fed else NONE for name in ("video", "pose")}
        self.options = Options(names["video"], names["pose"], window=fed["window"], stride=self.counter.stride,
                               rate=fed["rate"], start=start, stop=stop)  # fmt: skip

    @property
    def records(self) -> list[Meta]:
        """Of all weights, for provenance."""
        fed = self.counter.fed
        return [self.counter.record, *(fed[name]["weights"] for name in ("video", "pose") if name in fed)]

    @property
    def sees_video(self) -> bool:
        return "video" in self.counter.fed

    @cached_property
    def encoders(self) -> Encoders:
        """DataError when the counter was trained on others than those that ship."""
        fed = self.counter.fed
        try:
            found = load_encoders(self.options, self.counter.device)
        except UsageError:
            found = Encoders(None, None)
        for name in ("video", "pose"):
            branch = getattr(found, name)
            if name in fed and (branch is None or branch.record != fed[name]["weights"]):
                raise DataError(
                    f"this counter was trained on tokens of other encoders than those that ship "
                    f"('{fed[name]['encoder']}'); make them with 'racctl encode' and count those"
                )
        return found

    def refuse_unknown_encoders(self) -> None:
        """DataError when only features can be counted."""
        _ = self.encoders

    def mask_lanes(self, lanes: int, each: int) -> AbstractContextManager[list[Estimators]]:
        """What estimates the masks that the video branch is shown; nothing where its encoder does not ship, for the
        counter takes features alone then."""
        wanted = Estimates()
        with suppress(DataError):
            wanted = replace(estimates(self.encoders, self.options), pose=False)
        return estimator_lanes(wanted, lanes, each)

    def open_pose(self, pose: Pose, person: int) -> Clip:
        """The person at this place of axis M, to be counted by the joints alone. DataError when the counter needs a
        picture."""
        if self.encoders.pose is None:
            raise DataError(f"this counter looks at the video alone, and '{pose.clip}' is a pose")
        return Clip(pose.clip, pose.clip, pose=only(pose, person))

    def open_video(
        self, file: IO[bytes], name: str, pose: Pose, person: int, masks: Estimators, report: Report = silent
    ) -> Clip:
        """The person at this place, to be counted by joints and picture."""
        where, alone = display_name(name), only(pose, person)
        return opened(file, name, where, alone, self.encoders, self.options, masks, report)

    def encode(self, clip: Clip, report: Report = silent) -> Features:
        """Tokens of a clip; without a video those of the joints."""
        encoders = self.encoders if clip.video else Encoders(None, self.encoders.pose)
        return encode_clip(clip, encoders, self.options, report)

    def count(self, features: Features, clip: str, person: int, meta: Meta) -> Counted:
        """Count a clip by its tokens."""
        tokens = self.counter.tokens(features, clip)
        found = self.counter.densities(tokens, self._shots(tokens))
        frame, time, density = on_frames(found, tokens)
        return Counted(clip, person, as_repetitions(found, tokens, density, time), frame, time, meta, density)

    def explain(
        self, features: Features, folder: str, name: str, pose: Pose | None = None, film: str = "",
        clip: Clip | None = None,
    ) -> None:  # fmt: skip
        """Pictures of what it looks at; see `racctl.counters.attribution`. film: the clip's video, "" for none."""
        from racctl.counters.attribution import explain_count, joined, looks

        tokens = self.counter.tokens(features, name)
        if tokens.video is None or tokens.pose is None:
            raise UsageError(f"'--explain' shows how pose and video are fused, and of '{name}' one is not there")
        shots, parts = self._shots(tokens), chunks(len(tokens))
        each = [looks(self.counter.network, **self.counter.given(tokens, part, shots)) for part, _ in parts]
        found = joined(each, [slice(kept.start - part.start, kept.stop - part.start) for part, kept in parts])
        cut = cut_out(clip) if clip is not None else None
        explain_count(found, tokens, pose, film or None, folder, name, topology=features.meta["pose"]["topology"],
                      area=cut.box if cut else None)  # fmt: skip

    def _shots(self, tokens: Tokens) -> list[np.ndarray]:
        """Of each exemplar the tokens that show it: those that are named, or of a first reading."""
        if not self.again:
            return exemplars(tokens, self.shots)
        return clearest(self.counter.densities(tokens), tokens, self.again)


def only(pose: Pose, person: int) -> Pose:
    """The pose of one person, by place on axis M."""
    kept = [person]
    world = None if pose.world is None else pose.world[:, kept]
    return replace(pose, xyz=pose.xyz[:, kept], score=pose.score[:, kept], track=pose.track[kept], world=world)


def on_frames(found: Densities, tokens: Tokens) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Source frames (T,) int64, their seconds (T,), and the repetitions within each (T,)."""
    first, last = round(tokens.frame[0]), round(tokens.frame[-1])
    edges = np.arange(first, max(last, first + 1) + 1)
    reached = np.interp(edges, tokens.frame, np.concatenate([[0.0], np.cumsum(found.final)]))
    return edges[:-1], np.interp(edges[:-1], tokens.frame, tokens.time), np.diff(reached)


def as_repetitions(found: Densities, tokens: Tokens, density: np.ndarray, time: np.ndarray) -> Repetitions:
    """The count with one row per repetition, on the clock of `on_frames`."""
    spans = repetitions(found.final, tokens.frame, found.count) - round(tokens.frame[0])
    start, stop = whole(spans, len(time))
    low, high = found.interval
    lasts = np.diff(np.interp(spans.mean(1), np.arange(len(time)), time)) if len(spans) > 1 else [np.nan]
    shown = np.gradient(time) if len(time) > 1 else np.ones(1)
    sums = [max(one.sum(), 0.0) for one in (found.final, *found.alone.values())]
    agreement = min(sums) / max(sums) if max(sums) > 0 else 1.0
    return Repetitions(start, stop, max(float(found.final.sum()), 0.0), low, high, density / np.maximum(shown, 1e-6),
                       float(np.median(lasts)), agreement, False)  # fmt: skip
