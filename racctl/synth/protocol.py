"""The protocol of the second paper (section 4.1): 17 classes, slow training, test sets at other speeds.

Long sessions of one person who goes from exercise to exercise with idle time in between. Both sides have nearly the
same distribution of classes over frames (the paper: 0.08 nats apart), with standard push-ups the most frequent (13.2
%), several classes below 3 %, and background 22 % of the training and 27 % of the test frames.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from racctl.contracts import BACKGROUND
from racctl.synth.dataset import ClipJob
from racctl.synth.motion import Bout, class_seconds
from racctl.synth.movements import catalog, movement_named
from racctl.synth.plan import Plan, draw_bout, draw_idle, generator, plan_clip, r

# Share of the frames in the training set, percent; the paper names only the largest, the background's and "below 3 %".
TRAIN = {
    BACKGROUND: 22.0,
    "push_up": 13.2,
    "squat": 9.0,
    "lunge": 7.5,
    "jump_jack": 7.0,
    "plank": 6.0,
    "bicep_curl": 5.5,
    "dumbbell_shoulder_press": 4.6,
    "burpee": 4.2,
    "lateral_shoulder_raise": 3.6,
    "wide_push_up": 3.2,
    "dumbbell_row": 3.0,
    "tricep_extension": 2.7,
    "front_raise": 2.5,
    "knee_push_up": 2.3,
    "diamond_push_up": 2.0,
    "pike_push_up": 1.7,
}
# The test set's shares over the training set's: people do less of what is hard, and stand about more.
TILT = {
    BACKGROUND: 1.23,
    "push_up": 0.89,
    "squat": 1.28,
    "lunge": 0.59,
    "jump_jack": 1.52,
    "plank": 0.46,
    "bicep_curl": 1.34,
    "dumbbell_shoulder_press": 0.67,
    "burpee": 0.51,
    "lateral_shoulder_raise": 1.46,
    "wide_push_up": 0.56,
    "dumbbell_row": 1.40,
    "tricep_extension": 0.56,
    "front_raise": 1.52,
    "knee_push_up": 0.46,
    "diamond_push_up": 0.56,
    "pike_push_up": 0.46,
}
PROTOCOL_CLASSES = tuple(TRAIN)
SLOW, FAST = 0.8, 1.6  # tempo over the written one; the paper's test set has about twice the motion of its training set
MORE_SPEEDS = (0.5, 1.0, 1.5, 3.0, 4.0)  # further test sets, over the training tempo
BOUT_SECONDS = (14.0, 30.0)  # of one exercise, before the next


def class_shares(test: bool) -> dict[str, float]:
    """Return each class's share of the frames; they add up to 1."""
    raw = {name: share * (TILT[name] if test else 1.0) for name, share in TRAIN.items()}
    total = sum(raw.values())
    return {name: share / total for name, share in raw.items()}


def divergence(first: dict[str, float], second: dict[str, float]) -> float:
    """Return the Kullback-Leibler divergence of class shares, nats; `first` and `second` need every class."""
    return float(sum(p * np.log(p / second[name]) for name, p in first.items() if p > 0))


def protocol_jobs(
    sessions: int,
    seconds: float,
    seed: int,
    size: tuple[int, int],
    fps: float,
    *,
    drawn: bool = True,
    errors: str = "none",
) -> tuple[list[ClipJob], list[str]]:
    """Plan the sessions of all sets, and describe the distribution of their classes.

    There is a training set, a fast test set, and one set for each further speed.
    """
    sets = [("train", SLOW, False), ("test", FAST, True)]
    sets += [(f"test_{factor:g}x".replace(".", "_"), SLOW * factor, True) for factor in MORE_SPEEDS]
    jobs, reached = [], {}
    for place, (split, tempo, test) in enumerate(sets):
        rows, reached[split] = _sessions(sessions, seconds, (seed, place), tempo, test, size, fps)
        jobs += [ClipJob(f"{split}_{k:03d}", split, plan, drawn, errors, seconds) for k, plan in enumerate(rows)]
    apart = divergence(reached["train"], reached["test"])
    idle = {split: 100 * shares[BACKGROUND] for split, shares in reached.items()}
    remarks = [
        f"class distribution: D_KL(train || test) = {apart:.3f} nats (the paper: 0.08)",
        f"background: {idle['train']:.1f} % of the train frames, {idle['test']:.1f} % of test (the paper: 22 and 27 %)",
    ]
    return jobs, remarks


def _sessions(
    sessions: int, seconds: float, key: tuple[int, int], tempo: float, test: bool, size: tuple[int, int], fps: float
) -> tuple[list[Plan], dict[str, float]]:
    """Return the plans of one set, and the shares of the classes that they reach.

    Each next exercise is the one that lags most behind its share.
    """
    target, got = class_shares(test), dict.fromkeys(PROTOCOL_CLASSES, 1e-3)
    plans = []
    for number in range(sessions):
        seed = key[0] * 1009 + key[1]
        rng = generator(seed, number, 20)
        plan = plan_clip(seed, number, "squat", size=size, fps=fps, alone=not test or rng.random() < 0.7, tempo=tempo)
        bouts: list[Bout] = []
        spent: dict[str, float] = dict.fromkeys(PROTOCOL_CLASSES, 0.0)
        while sum(spent.values()) < seconds - 1e-6:
            name = _next(target, {k: got[k] + spent[k] for k in PROTOCOL_CLASSES}, rng, bouts)
            bouts.append(_bout(name, tempo, test, rng))
            left = seconds - sum(spent.values())
            for kind, more in _added(bouts).items():
                spent[kind] += min(more, left)
                left -= min(more, left)
        for name in PROTOCOL_CLASSES:
            got[name] += spent[name]
        camera = replace(plan.camera, pan=0.0, shake=0.0, roll=0.0, fill=r(rng.uniform(0.75, 0.95)))  # a fixed camera
        plans.append(replace(plan, label="session", bouts=tuple(bouts), speed=r(tempo), camera=camera))
    total = sum(got.values())
    return plans, {name: value / total for name, value in got.items()}


def _added(bouts: list[Bout]) -> dict[str, float]:
    """Return the seconds of each class that the last bout brings, with the transition to it."""
    both, before = class_seconds(bouts[-2:], np.inf), class_seconds(bouts[-2:-1], np.inf) if len(bouts) > 1 else {}
    added = {kind: value - before.get(kind, 0.0) for kind, value in both.items()}
    return dict(sorted(added.items(), key=lambda item: item[0] != BACKGROUND))  # the way comes first


def _next(target: dict[str, float], got: dict[str, float], rng: np.random.Generator, bouts: list[Bout]) -> str:
    total = sum(got.values()) + 20.0
    last = movement_named(bouts[-1].movement).kind if bouts else ""
    lag = {name: share * total - got[name] + rng.uniform(0, 6) for name, share in target.items() if name != last}
    return max(lag, key=lag.__getitem__)


def _bout(name: str, tempo: float, test: bool, rng: np.random.Generator) -> Bout:
    """Return some seconds of one class, in repetitions."""
    if name == BACKGROUND:
        return draw_idle(rng)
    movement = catalog()[name]
    pace = tempo * float(np.exp(rng.normal(0, 0.2 if test else 0.06)))
    length = rng.uniform(*BOUT_SECONDS) * (0.6 if test else 1.0)
    count = max(2, round(length * pace / movement.seconds()))
    return draw_bout(rng, movement, count, pace, clean=not test and rng.random() < 0.7, errors=test)
