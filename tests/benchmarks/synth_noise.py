"""Fit the model of BlazePose's errors (`racctl.synth.noise.Errors`) to a folder made by synth_realism.py --folder,
and hold what the model does against what BlazePose did.

python tests/benchmarks/synth_noise.py FOLDER
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np

from racctl.contracts import Pose
from racctl.io.npz import read_pose
from racctl.skeleton.topology import BLAZEPOSE33
from racctl.synth.noise import BLAZEPOSE_ERRORS, LANDMARK_GROUPS, VISIBLE, Errors, _late, estimate, group_of, torso
from racctl.synth.plan import generator

GROUP = np.array([group_of(joint) for joint in BLAZEPOSE33.joints])
PARTS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
LIMBS = BLAZEPOSE33.indices(f"{side}_{part}" for side in ("left", "right") for part in PARTS)


def pairs(folder: Path) -> list[tuple[Pose, Pose]]:
    """(truth, found) of every clip that has both."""
    out = []
    for record in sorted((folder / "parameters").glob("*.json")):
        name = json.loads(record.read_text())["summary"]["clip"]
        result = folder / f"found/{name}.pose.npz"
        if result.exists():
            with open(folder / f"pose/{name}.npz", "rb") as single, open(result, "rb") as two:
                out.append((read_pose(single, name), read_pose(two, name)))
    return out


def spells(flags: np.ndarray) -> tuple[int, int]:
    """Number of runs of True and of frames in them."""
    return int((np.diff(flags.astype(int), prepend=0) == 1).sum()), int(flags.sum())


def slope(estimated: np.ndarray, true: np.ndarray) -> float:
    """The factor that makes the most of `true` out of it."""
    return float((estimated * true).sum() / max(float((true**2).sum()), 1e-9))


def best_lag(clips: list[tuple[Pose, Pose]]) -> float:
    """Seconds by which the truth must be delayed to fit best."""
    lags = np.arange(0, 0.21, 0.01)
    cost = np.zeros(len(lags))
    for true, result in clips:
        beat = float(np.median(np.diff(true.time)))
        for k, lag in enumerate(lags):
            gap = np.linalg.norm(
                result.xyz[:, 0, LIMBS, :2] - _late(true.xyz[:, 0].astype(float), lag, beat)[:, LIMBS, :2], axis=-1
            )
            cost[k] += np.nanmean(np.minimum(gap / torso(true)[:, None], 0.3))
    return float(lags[cost.argmin()])


@dataclass
class Sums:
    """What is gathered over the clips; lists of one entry, or of one array, for each."""

    seen: dict[str, list[np.ndarray]] = field(default_factory=lambda: {name: [] for name in LANDMARK_GROUPS})
    hidden: dict[str, list[np.ndarray]] = field(default_factory=lambda: {name: [] for name in LANDMARK_GROUPS})
    quick: list[np.ndarray] = field(default_factory=list)
    steady: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    depth: list[float] = field(default_factory=list)
    scale: list[float] = field(default_factory=list)
    flat: list[float] = field(default_factory=list)
    marks_seen: list[np.ndarray] = field(default_factory=list)
    marks_hidden: list[np.ndarray] = field(default_factory=list)
    swaps: np.ndarray = field(default_factory=lambda: np.zeros(2))
    drops: np.ndarray = field(default_factory=lambda: np.zeros(2))
    seconds: float = 0.0


def measure(true: Pose, estimated: Pose, lag: float, sums: Sums) -> None:
    """Add one clip."""
    beat = float(np.median(np.diff(true.time)))
    sums.seconds += beat * len(true.time)
    size = torso(true)[:, None]
    late = _late(true.xyz[:, 0].astype(float), lag, beat)
    present = estimated.score[:, 0].max(1) > 0
    direct = np.linalg.norm(estimated.xyz[:, 0, LIMBS, :2] - late[:, LIMBS, :2], axis=-1)
    turned = np.linalg.norm(estimated.xyz[:, 0][:, BLAZEPOSE33.flip][:, LIMBS, :2] - late[:, LIMBS, :2], axis=-1)
    near, far = (np.nanmean(np.where(present[:, None], gap, 9e9), 1) for gap in (turned, direct))
    swapped = present & (near < 0.6 * far)
    for kind, flags in (("drops", ~present), ("swaps", swapped)):
        runs, frames = spells(flags)
        setattr(sums, kind, getattr(sums, kind) + np.array([runs, frames * beat]))
    good = present & ~swapped & (np.nan_to_num(direct.mean(1) / size[:, 0], nan=9) < 0.5)
    if good.sum() < 5:
        return
    visible, inside = true.score[:, 0] > VISIBLE, true.score[:, 0] > 0
    spread_of_errors((estimated.xyz[:, 0, :, :2] - late[..., :2]) / size[..., None], good, visible, inside, beat, sums)
    sums.flat.append(slope(estimated.world[good, 0, :, 2], true.world[good, 0, :, 2]))
    z, real = estimated.xyz[good, 0, :, 2] / size[good], late[good, :, 2] / size[good]
    sums.scale.append(slope(z, real))
    sums.depth.append(float(np.median(np.abs(z - sums.scale[-1] * real)) * 1.48))
    sums.marks_seen.append(estimated.score[:, 0][good[:, None] & visible])
    sums.marks_hidden.append(estimated.score[:, 0][good[:, None] & ~visible & inside])


def spread_of_errors(
    error: np.ndarray, good: np.ndarray, visible: np.ndarray, inside: np.ndarray, beat: float, sums: Sums
) -> None:
    """Add the errors (T, 33, 2) of one clip, in torso lengths, to their spreads, and how they hang together in time."""
    for name in LANDMARK_GROUPS:
        mine = name == GROUP
        for rows, into in ((visible, sums.seen), (~visible & inside, sums.hidden)):
            into[name].append(np.linalg.norm(error, axis=-1)[good[:, None] & rows & mine])
    second = error[2:] - 2 * error[1:-1] + error[:-2]
    sums.quick.append(second[good[2:] & good[1:-1] & good[:-2]].ravel() / np.sqrt(6))
    seen = np.where((good[:, None] & visible)[..., None], error, np.nan)
    sums.steady.append(float(np.nanmean(np.nanmean(seen, 0) ** 2) / np.nanmean(seen**2)))
    centred = error - np.nanmean(error, 0)
    shift = max(1, round(0.3 / beat))
    use = (good[shift:] & good[:-shift])[:, None] & visible[shift:] & visible[:-shift]
    product, square = (centred[shift:] * centred[:-shift])[use].sum(), (centred[:-shift][use] ** 2).sum()
    sums.memory.append(float(product / max(square, 1e-9)))


def spread(parts: dict[str, list[np.ndarray]]) -> dict[str, float]:
    """Group -> standard deviation in the picture, from the median distance, so that failures do not count."""
    whole = {name: np.concatenate(rows) for name, rows in parts.items()}
    return {name: round(float(np.sqrt(np.median(rows**2) / np.log(2))), 3) for name, rows in whole.items()}


def mean(parts: list[np.ndarray]) -> tuple[float, float]:
    """Mean and standard deviation of everything."""
    every = np.concatenate(parts)
    return round(float(every.mean()), 3), round(float(every.std()), 3)


def fit(clips: list[tuple[Pose, Pose]]) -> Errors:
    """The arguments of `Errors` that describe what was found against the truth."""
    lag, sums = best_lag(clips), Sums()
    for true, result in clips:
        measure(true, result, lag, sums)
    remaining = float(np.clip(np.median(sums.memory), 0.05, 0.97))
    numbers = {
        "seen": spread(sums.seen),
        "hidden": spread(sums.hidden),
        "steady": round(float(np.nanmedian(sums.steady)), 2),
        "jitter": round(float(np.median(np.abs(np.concatenate(sums.quick))) * 1.48), 4),
        "linger": round(-0.3 / float(np.log(remaining)), 2),
        "lag": round(lag, 2),
        "depth": round(float(np.median(sums.depth)), 2),
        "depth_scale": round(float(np.median(sums.scale)), 2),
        "world_depth": round(float(np.median(sums.flat)), 2),
        "score_seen": mean(sums.marks_seen),
        "score_hidden": mean(sums.marks_hidden),
    }
    minutes = sums.seconds / 60
    for kind, (runs, seconds) in (("swap", sums.swaps), ("drop", sums.drops)):
        numbers[kind], numbers[f"{kind}_time"] = round(runs / minutes, 2), round(seconds / max(runs, 1), 2)
    return Errors(**numbers)


def compare(real: Errors, modelled: Errors) -> None:
    """Print what BlazePose does beside what the model of it does, measured in the same way."""
    print(f"{'':22} BlazePose  the model")
    for name in LANDMARK_GROUPS:
        for kind in ("seen", "hidden"):
            print(f"{name + ' ' + kind:22} {getattr(real, kind)[name]:9.3f}  {getattr(modelled, kind)[name]:9.3f}")
    for field_ in fields(Errors):
        single, two = getattr(real, field_.name), getattr(modelled, field_.name)
        if isinstance(single, tuple):
            print(f"{field_.name:22} {single[0]:.2f}±{single[1]:.2f}  {two[0]:.2f}±{two[1]:.2f}")
        elif not isinstance(single, dict):
            print(f"{field_.name:22} {single:9g}  {two:9g}")


def main() -> None:
    """Print the arguments of `Errors` that fit, then BlazePose beside the model in use and beside the one that fits."""
    clips = pairs(Path(sys.argv[1]))
    minutes = sum(true.time[-1] - true.time[0] for true, _ in clips) / 60
    real = fit(clips)
    print(f"{len(clips)} clips, {minutes:.1f} minutes")
    for name, value in asdict(real).items():
        print(f"    {name}={value},")
    for title, errors in (("racctl.synth.noise.BLAZEPOSE_ERRORS", BLAZEPOSE_ERRORS), ("the fit above", real)):
        print(f"\nmodelled with {title}")
        compare(real, fit([(true, estimate(true, generator(1, k), errors)) for k, (true, _) in enumerate(clips)]))


if __name__ == "__main__":
    main()
