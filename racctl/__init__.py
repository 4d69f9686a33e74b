"""racctl: small Unix-style tools that turn video of people exercising into pose, counts and labels.

The public functions are imported when they are first used:

    import racctl
    (person,) = racctl.count("squats.mp4")
    print(person.repetitions, person.low, person.high)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from racctl.counters.count_clip import count
    from racctl.encoders.encode_set import encode
    from racctl.estimators.mask import estimate_mask
    from racctl.estimators.pose import estimate_pose
    from racctl.estimators.pose_features import estimate_pose_features
    from racctl.io.poses.formats import load_pose as read_pose
    from racctl.recognisers.classify_clip import classify
    from racctl.workouts.angle_tables import angles
    from racctl.workouts.log_clip import log

_PUBLIC = {
    "angles": "racctl.workouts.angle_tables:angles",
    "classify": "racctl.recognisers.classify_clip:classify",
    "count": "racctl.counters.count_clip:count",
    "encode": "racctl.encoders.encode_set:encode",
    "estimate_mask": "racctl.estimators.mask:estimate_mask",
    "estimate_pose": "racctl.estimators.pose:estimate_pose",
    "estimate_pose_features": "racctl.estimators.pose_features:estimate_pose_features",
    "log": "racctl.workouts.log_clip:log",
    "read_pose": "racctl.io.poses.formats:load_pose",
}
__all__ = [
    "__version__",
    "angles",
    "classify",
    "count",
    "encode",
    "estimate_mask",
    "estimate_pose",
    "estimate_pose_features",
    "log",
    "read_pose",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'racctl' has no attribute '{name}'")
    from racctl.kinds import load_target

    return load_target(_PUBLIC[name])
