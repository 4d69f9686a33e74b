"""Counting with D2-STX: a clip's pose, and its video where the model looks at that too, to tokens and repetitions."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cached_property
from typing import cast

import numpy as np
import torch

from racctl import density as density_module
from racctl.contracts import Features, Meta
from racctl.counters import reader
from racctl.counters.d2stx import D2STXSettings
from racctl.counters.reader import DensityReader, TokenDensities, calibrated, chunks, clearest, exemplars
from racctl.counters.result import DENSITY, Count, to_indices
from racctl.counters.signals import visible_share
from racctl.density import repetitions
from racctl.encoders import tokens as tokens_module
from racctl.encoders.base import NONE, EncodeOptions, FeatureVideoEncoder
from racctl.encoders.encode_clip import MASK_SIZE, cut_out, encode_clip, looks_at_masks
from racctl.encoders.pair import Encoders, load_encoders
from racctl.encoders.reading import looks_at_inner_features
from racctl.encoders.tokens import Tokens
from racctl.errors import DataError, RacctlError, UsageError
from racctl.estimators.open_clip import Clip, of_person
from racctl.estimators.pose_features import feature_model
from racctl.io.up_to_date import constants_digest
from racctl.skeleton import normalise


class TrainedCounter:
    """A network that counts tokens, and the frozen encoders that it was trained on."""

    def __init__(self, model: str, device: torch.device, settings: D2STXSettings) -> None:
        """model: a name or a file. Raises as `DensityReader` does."""
        self.reader = DensityReader(model, device)
        self.settings = settings
        fed = self.reader.fed
        names = {branch: fed[branch]["encoder"] if branch in fed else NONE for branch in ("video", "pose")}
        self.options = EncodeOptions(names["video"], names["pose"])
        if "moments" in fed:
            self.options = replace(self.options, moments=fed["moments"])
        else:
            windows = {"window": fed["window"], "stride": self.reader.stride, "rate": fed["rate"]}
            self.options = replace(self.options, **windows)
        if settings.explain:
            from racctl.counters.attribution import check_explain_count

            check_explain_count(self.reader.network.config, settings.explain)

    @property
    def records(self) -> list[Meta]:
        """Name, digest and licence of all weights, for provenance."""
        fed = self.reader.fed
        return [self.reader.record, *(fed[branch]["weights"] for branch in ("video", "pose") if branch in fed)]

    @property
    def sees_video(self) -> bool:
        return "video" in self.reader.fed

    @property
    def mask_size(self) -> int:
        """Side of the masks that the video branch is shown; 0 where its encoder does not ship, for the counter takes
        features alone then."""
        try:
            return MASK_SIZE if looks_at_masks(self.encoders) else 0
        except DataError:
            return 0

    def looks_at_features(self, pose_model: str) -> bool:
        """Whether the video branch reads inner features, and those that this pose model gives."""
        try:
            if not looks_at_inner_features(self.encoders):
                return False
            weights = feature_model(pose_model).record()
        except RacctlError:
            return False
        return weights["sha256"] == self.reader.fed["video"]["weights"]["sha256"]

    def record(self) -> Meta:
        """Return settings, constants, weights and the shares of the fusion, for provenance."""
        constants = constants_digest(sys.modules[__name__], reader, density_module, tokens_module, normalise)
        args = {
            "exemplars": [list(span) for span in self.settings.exemplars],
            "shots": self.settings.self_exemplars,
            "branches": self.settings.branches,
        }
        return {"args": args, "constants": constants, "weights": self.records, "shares": self.reader.shares}

    @cached_property
    def encoders(self) -> Encoders:
        """The frozen encoders. DataError when the counter was trained on others than those that ship."""
        fed = self.reader.fed
        try:
            encoders = load_encoders(self.options, self.reader.device)
        except UsageError:
            encoders = Encoders(None, None)
        if looks_at_inner_features(encoders):  # whose weights are those of the clip's features
            video = cast(FeatureVideoEncoder, encoders.video)
            encoders = replace(encoders, video=video.with_weights(fed["video"]["weights"]))
        for name in ("video", "pose"):
            branch = getattr(encoders, name)
            if name in fed and (branch is None or branch.record != fed[name]["weights"]):
                raise DataError(
                    f"this counter was trained on tokens of other encoders than those that ship "
                    f"('{fed[name]['encoder']}'); make them with 'racctl encode' and count those"
                )
        return encoders

    def check_encoders(self) -> None:
        """Raise DataError when only features can be counted."""
        self.encoders.rate(self.options)

    def count(self, clip: Clip, person: int) -> Count:
        """Count one person, by index on axis M, or the features that the clip is."""
        if clip.kind in ("features", "tokens"):
            return self._count_features(clip.features, clip, clip.name, 0)
        encoders, track = self.encoders, int(clip.pose.track[person])
        read = self._read(clip, person)
        clip = clip.with_pose(of_person(clip.pose, person))
        if read == "video":
            encoders = Encoders(encoders.video, None)
        elif read == "pose":
            if encoders.pose is None:
                raise DataError(f"this counter looks at the video alone, and '{clip.name}' is a pose")
            encoders, clip = Encoders(None, encoders.pose), clip.joints_only()
        return self._count_features(encode_clip(clip, encoders, self.options), clip, clip.name, track)

    def _read(self, clip: Clip, person: int) -> str:
        """Return whether "pose", "video" or "both" are read to count a person.

        UsageError where the picture is to be read and does not show them.
        """
        chosen = self.settings.branches
        is_shown = self.sees_video and clip.shows_picture and [person] == clip.pose.chosen("main")
        if is_shown and looks_at_inner_features(self.encoders):
            is_shown = clip.has_inner_features
        if not is_shown:
            if chosen == "video":
                raise UsageError(
                    "'--branches video' reads the picture, of the main person: it needs a model of it, the video, and "
                    "no '--person'"
                )
            return "pose"
        if chosen != "both" or self.settings.explain:
            return chosen
        return "pose" if visible_share(clip.pose, person) >= self.reader.enough_seen else "both"

    def _count_features(self, features: Features, clip: Clip, name: str, track: int) -> Count:
        tokens = self.reader.tokens(features, name, self.settings.branches)
        shots = self._exemplars(tokens)
        if self.settings.explain:
            self._explain(tokens, shots, features, clip)
        densities = self.reader.densities(tokens, shots)
        if self.settings.exemplars:
            densities = calibrated(densities, tokens, self.settings.exemplars)
        return as_count(densities, tokens, name, track)

    def _explain(self, tokens: Tokens, shots: list[np.ndarray], features: Features, clip: Clip) -> None:
        """Write pictures of what the network looks at; see `racctl.counters.attribution`."""
        from racctl.counters.attribution import attribute, explain_count, join

        if tokens.video is None or tokens.pose is None:
            raise UsageError(
                f"'--explain' shows how pose and video are fused, and '{clip.name}' lacks the "
                f"{'video' if tokens.video is None else 'pose'}"
            )
        parts = chunks(len(tokens))
        each = [attribute(self.reader.network, **self.reader.inputs(tokens, part, shots)) for part, _ in parts]
        attribution = join(each, [slice(core.start - part.start, core.stop - part.start) for part, core in parts])
        is_video = clip.kind not in ("features", "tokens") and clip.shows_picture
        explain_count(
            attribution,
            tokens,
            clip.pose if is_video else None,
            clip.video_name if clip.video_name not in ("", "-") else None,
            self.settings.explain,
            clip.name,
            topology=features.meta["pose"]["topology"],
            area=cut_out(clip).box if is_video and self.mask_size else None,
        )

    def _exemplars(self, tokens: Tokens) -> list[np.ndarray]:
        """Of each exemplar the tokens that show it: those that are named, or of a first pass."""
        if not self.settings.self_exemplars:
            return exemplars(tokens, self.settings.exemplars)
        return clearest(self.reader.densities(tokens), tokens, self.settings.self_exemplars)


def on_frames(densities: TokenDensities, tokens: Tokens) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return source frames (T,) int64, their seconds (T,), and the repetitions within each (T,)."""
    first, last = round(tokens.frame[0]), round(tokens.frame[-1])
    edges = np.arange(first, max(last, first + 1) + 1)
    reached = np.interp(edges, tokens.frame, np.concatenate([[0.0], np.cumsum(densities.final)]))
    return edges[:-1], np.interp(edges[:-1], tokens.frame, tokens.time), np.diff(reached)


def as_count(densities: TokenDensities, tokens: Tokens, clip: str, track: int) -> Count:
    """Return the count with its repetitions on the clock of `on_frames`."""
    frame, time, density = on_frames(densities, tokens)
    spans = repetitions(densities.final, tokens.frame, densities.count) - round(tokens.frame[0])
    start, stop = to_indices(spans, len(time))
    low, high = densities.interval
    seconds = np.gradient(time) if len(time) > 1 else np.ones(1)
    return Count(
        clip=clip,
        person=track,
        count=max(float(densities.final.sum()), 0.0),
        low=low,
        high=high,
        start=start,
        stop=stop,
        frame=frame,
        time=time,
        signal=density / np.maximum(seconds, 1e-6),
        unit=DENSITY,
        density=density,
        trained=True,
    )
