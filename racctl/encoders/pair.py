"""The two branches of D2-STX as a pair of frozen encoders: what may be asked for, and the networks it names."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from racctl.encoders.base import NONE, POSE_ENCODERS, EncodeOptions, FeatureLook, PoseEncoder, VideoEncoder


@dataclass(frozen=True)
class Encoders:
    """The frozen networks of the two branches; None for one that is not wanted."""

    video: VideoEncoder | None
    pose: PoseEncoder | None

    def rate(self, options: EncodeOptions) -> float:
        """Ticks per second of the windows, 0 for every frame."""
        if options.rate is not None:
            return options.rate
        return max(self.video.look.rate if self.video else 0.0, self.pose.rate if self.pose else 0.0)

    def notes(self) -> list[str]:
        """Weights that are not racctl's own, with their licence."""
        networks = [self.video, self.pose]
        if self.video and isinstance(self.video.look, FeatureLook):
            networks = [self.pose]  # the pose model is nobody's choice among encoders, and each clip's may be another
        records = [branch.record for branch in networks if branch and "random" not in branch.record]
        return [f"weights '{entry['name']}': {entry['licence']}" for entry in records if entry["licence"] != "MIT"]


def load_encoders(options: EncodeOptions, device: torch.device) -> Encoders:
    """Return the two networks that the options name.

    Raises UsageError for a name that is none, and where there are no weights or two sources of them; DataError for
    weights that do not fit.
    """
    video = pose = None
    if options.encoder != NONE:
        video = options.video_member().open(options, device)
    if options.pose_encoder != NONE:
        pose = POSE_ENCODERS.load(options.pose_encoder)(options, device)
    return Encoders(video, pose)
