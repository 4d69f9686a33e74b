"""Drawn clips with a second person, for tests and benchmarks: `drawn_pair(kind, number)` gives one clip drawn twice.

The exerciser, the camera and the room of both versions are the same; in one of them the exerciser is alone. Kinds:

  still     somebody stands beside the exerciser
  passing   somebody walks through the picture
  mirrored  the exerciser's mirror image is beside them
  joining   somebody comes in half-way and stays
  both      somebody else does another exercise, with another count
  leaving   the exerciser walks out of the picture and comes back; the second person stays

Needs the extra racctl[synth].
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from racctl.contracts import Pose
from racctl.synth.clip import SynthClip
from racctl.synth.company import HIP_LANDMARKS, Companion, Ensemble, render_scene
from racctl.synth.motion import Bout, Repetition, timeline
from racctl.synth.movements import movement_named
from racctl.synth.plan import Plan, draw_bout, draw_idle, draw_person, generator, plan_clip

KINDS = ("still", "passing", "mirrored", "joining", "both", "leaving")
EMPTY_HANDED = (
    "squat",
    "side_lunge",
    "sumo_squat",
    "jump_jack",
    "reverse_lunge",
    "side_bend",
    "jump_squat",
)
WITH_WEIGHTS = ("bicep_curl", "dumbbell_shoulder_press", "lateral_shoulder_raise", "front_raise", "deadlift")
LYING = ("push_up", "sit_up", "glute_bridge")
STANDING_ABOUT = ("stand", "look_at_phone", "scratch", "turn_around")
TEMPI = (0.6, 2.6)  # over the written tempo
STRIDE = 1.72  # m that one repetition of the movement "walk" leads on
WAY = 1.0  # s from one bout to the next
BELOW_MIDDLE = 0.2  # of the picture's height, where people lie, so that there is room for who stands
MARGIN = 0.55  # m beyond the edge of the picture at which nobody is seen any more


@dataclass(frozen=True)
class Size:
    """How large and long the clips are.

    width, height: pixels, with a shorter side above 360 for speed.
    fps: frames/s, one of these for each clip.  seconds, repetitions: of the exercise, from and to.
    """

    width: int = 480
    height: int = 368
    fps: tuple[float, ...] = (25.0,)
    seconds: tuple[float, float] = (8.0, 11.5)
    repetitions: tuple[int, int] = (4, 8)


TINY = Size(192, 160, (15.0,), (4.5, 5.0), (3, 3))  # drawn in a second or two


@dataclass(frozen=True)
class Setting:
    """How a scene is laid out.

    side: 1 where the company stands to the exerciser's right in the picture, else -1.
    across: the exerciser's place, and the company's: 0 left edge to 1 right edge of the picture.
    away: the company's distance over the exerciser's.
    """

    side: int
    across: tuple[float, float]
    away: float


@dataclass(frozen=True)
class Casting:
    """What is known when the company of a scene is drawn.

    plan: of the exerciser, over so many seconds.
    """

    rng: np.random.Generator
    plan: Plan
    setting: Setting
    seconds: float


@dataclass(frozen=True)
class Pair:
    """One clip, drawn with and without company.

    counts: true, of the exerciser and then of the company.
    """

    kind: str
    scene: Ensemble
    alone: SynthClip
    accompanied: SynthClip

    @property
    def counts(self) -> list[int]:
        return counts_of(self.accompanied)


def counts_of(clip: SynthClip) -> list[int]:
    """The true count of each person of a clip."""
    company = [sum(kind in ("full", "partial") for *_, kind in rows) for rows in clip.company]
    return [clip.count, *company]


@cache
def drawn_pair(kind: str, number: int = 0, *, seed: int = 16, size: Size = TINY) -> Pair:
    """Draw both versions of a clip; with `TINY` in two to four seconds, once in a process."""
    scene = scene_of(kind, number, seed=seed, size=size)
    alone = render_scene(replace(scene, company=()), f"{kind}_{number:03d}.alone")
    return Pair(kind, scene, alone, render_scene(scene, f"{kind}_{number:03d}.both"))


def save_clip(clip: SynthClip, folder: Path) -> Path:
    """Write the video of a clip; returns where."""
    path = folder / f"{clip.name}.mp4"
    path.write_bytes(clip.video)
    return path


def scene_of(kind: str, number: int, *, seed: int, size: Size) -> Ensemble:
    """Return the scene of a clip: everything that is drawn by lot comes from seed, kind and number."""
    rng = generator(seed, KINDS.index(kind), number)
    setting = draw_setting(rng, kind, number)
    plan = draw_plan(rng, kind, number, seed, size)
    person = draw_person(rng)
    seconds = length_of(plan)
    walks: tuple[float, ...] = ()
    if kind == "leaving":
        plan, walks = walk_out(Casting(rng, plan, setting, seconds))
        seconds = length_of(plan)
    companion = COMPANY[kind](Casting(rng, plan, setting, seconds))
    lying = movement_named(plan.bouts[0].movement).stance != "standing"
    aim = (round(setting.across[0] - 0.5, 4), BELOW_MIDDLE if lying else 0.0)
    return Ensemble(plan, (replace(companion, person=person),), walks, aim)


def is_lying(kind: str, number: int) -> bool:
    """Whether the exercise is one on the floor, which a fifth of these clips show."""
    return kind in ("still", "passing", "joining") and number % 5 == 4


def is_rival(kind: str, number: int) -> bool:
    """Whether the second person is larger or more central than the exerciser."""
    return kind in ("still", "joining", "both", "leaving") and number % 3 == 2


def draw_setting(rng: np.random.Generator, kind: str, number: int) -> Setting:
    side = int(rng.choice([-1, 1]))
    exerciser, other_side, away = rng.uniform(0.34, 0.4), rng.uniform(0.7, 0.78), rng.uniform(0.98, 1.2)
    if is_rival(kind, number):
        exerciser, other_side, away = rng.uniform(0.24, 0.28), rng.uniform(0.56, 0.64), rng.uniform(0.82, 0.95)
    elif kind == "leaving":
        exerciser, other_side = rng.uniform(0.27, 0.32), rng.uniform(0.62, 0.72)
    elif kind == "passing":
        exerciser = rng.uniform(0.4, 0.55)
    elif kind == "both":
        exerciser, other_side = rng.uniform(0.26, 0.3), rng.uniform(0.7, 0.74)
    if kind == "passing":
        away = rng.uniform(0.78, 0.86) if number % 2 else rng.uniform(1.15, 1.25)
    if is_lying(kind, number):
        away = max(away, 1.05)
        exerciser, other_side = rng.uniform(0.4, 0.45), rng.uniform(0.72, 0.8)
    if kind == "mirrored":
        away = rng.uniform(1.0, 1.12)
    across = (exerciser, other_side) if side > 0 else (1 - exerciser, 1 - other_side)
    return Setting(side, across, away)


def draw_plan(rng: np.random.Generator, kind: str, number: int, seed: int, size: Size) -> Plan:
    """Draw the exerciser's clip: clean repetitions, filmed from the front half, with room for somebody else."""
    names = EMPTY_HANDED if kind in ("mirrored", "both", "leaving") else (*EMPTY_HANDED, *WITH_WEIGHTS)
    lying = is_lying(kind, number)
    name = str(rng.choice(LYING if lying else names))
    count = int(rng.integers(size.repetitions[0], size.repetitions[1] + 1))
    seconds = rng.uniform(*size.seconds)
    count = max(count, int(np.ceil(TEMPI[0] * seconds / movement_named(name).seconds())))
    if kind == "leaving":  # which takes its time, too
        count = min(count, 5)
        seconds *= 0.6
    tempo = float(np.clip(count * movement_named(name).seconds() / seconds, *TEMPI))
    plan = plan_clip(
        seed,
        100 * number + KINDS.index(kind),
        name,
        size=(size.width, size.height),
        fps=float(rng.choice(size.fps)),
        repetitions=(count, count),
        clean=True,
        alone=True,
        tempo=round(tempo, 4),
    )
    camera = replace(
        plan.camera,
        azimuth=round(float(rng.choice([-90, 90]) + rng.uniform(-35, 35) if lying else rng.uniform(-65, 65)), 4),
        height=round(float(rng.uniform(0.8, 1.4)), 4),
        fill=round(float(rng.uniform(0.48, 0.54) if lying else rng.uniform(0.62, 0.7)), 4),
        focal=round(float(rng.uniform(1.0, 1.7)), 4),
        shift=(0.0, 0.0),
        pan=0.0,
        roll=0.0,
        shake=plan.camera.shake if number % 3 == 1 else 0.0,  # the room of every frame takes time to draw
    )
    picture = replace(
        plan.picture,
        blur=max(plan.picture.blur, 0.5),
        shutter=min(plan.picture.shutter, 0.2),
        noise=0.0,  # a quarter of the time that drawing takes
        dropped=0.0,
    )
    return replace(plan, camera=camera, picture=picture)


def length_of(plan: Plan) -> float:
    """How long the exerciser's bouts take, s."""
    return float(timeline(list(plan.bouts), plan.picture.fps, generator(0)).time[-1])


def width_of(plan: Plan, away: float = 1.0) -> float:
    """About how wide the picture is where the exerciser stands, m."""
    reach = 1.75 if movement_named(plan.bouts[0].movement).stance == "standing" else 2.2
    return away * reach / plan.camera.fill * plan.picture.width / plan.picture.height


def idle_bout(name: str, seconds: float, rounds: int = 1) -> Bout:
    """An idle movement that takes so long, so many times."""
    pace = max(seconds, 0.2) / movement_named(name).seconds()
    return Bout(name, (Repetition(pace=round(pace, 4)),) * rounds)


def walk_bout(metres: float, seconds: float) -> Bout:
    """A walk over at least so many metres, which takes at most so long, at 0.9 m/s or faster."""
    strides = max(1, int(np.ceil(metres / STRIDE)))
    pace = min(0.72, seconds / strides / movement_named("walk").seconds())
    return Bout("walk", (Repetition(pace=round(pace, 4)),) * strides)


def duration(bout: Bout) -> float:
    movement = movement_named(bout.movement)
    return sum(movement.seconds() * repetition.pace for repetition in bout.repetitions)


def beside(casting: Casting) -> Companion:
    """Somebody who stands there all the time, nearly still."""
    facing = casting.rng.uniform(-60, 60)
    return standing_at(casting, (idle_bout("stand", 3.5),), facing)


def standing_at(casting: Casting, bouts: tuple[Bout, ...], facing: float, at: float = 0.0) -> Companion:
    """Somebody who is at the company's place from the time `at` on, in s; they come from the nearer edge."""
    setting = casting.setting
    walking = -90.0 * setting.side
    return Companion(casting.plan.person, bouts, setting.across[1], setting.away, at, facing, walking)


def passer(casting: Casting) -> Companion:
    """Somebody who walks through the picture, past the exerciser at half-time."""
    setting, seconds = casting.setting, casting.seconds
    walk = walk_bout(width_of(casting.plan, setting.away) + 2 * MARGIN, 0.7 * seconds)
    waiting = max(0.2, (seconds - duration(walk)) / 2 - WAY)
    at = waiting + WAY + duration(walk) / 2
    bouts = (idle_bout("stand", waiting), walk, idle_bout("stand", 3.0))
    heading = 90.0 * setting.side
    return Companion(casting.plan.person, bouts, 0.5, setting.away, at, heading, heading)


def mirror_image(casting: Casting) -> Companion:
    """The exerciser in a mirror."""
    setting = casting.setting
    return Companion(casting.plan.person, (), setting.across[1], setting.away, reflection=True)


def joiner(casting: Casting) -> Companion:
    """Somebody who comes in half-way and stays, idle or moving about."""
    rng, setting, seconds = casting.rng, casting.setting, casting.seconds
    to_edge = 1 - setting.across[1] if setting.side > 0 else setting.across[1]
    walk = walk_bout(to_edge * width_of(casting.plan, setting.away) + MARGIN, 0.3 * seconds)
    waiting = max(0.2, 0.5 * seconds - duration(walk) - WAY)
    idle = [idle_bout("stand", 3.0)]
    if rng.random() < 0.5:
        idle = [idle_bout(str(rng.choice(STANDING_ABOUT)), rng.uniform(2, 4)), draw_idle_in_place(rng)]
    arrival = waiting + WAY + duration(walk) + WAY
    return standing_at(casting, (idle_bout("stand", waiting), walk, *idle), rng.uniform(-50, 50), arrival)


def draw_idle_in_place(rng: np.random.Generator) -> Bout:
    """An idle movement that stays in its place and needs nothing in the hands."""
    while (bout := draw_idle(rng)).movement in ("walk", "pick_up", "drink"):
        pass
    return bout


def second_exerciser(casting: Casting) -> Companion:
    """Somebody else with another exercise and another count."""
    rng = casting.rng
    (main,) = casting.plan.bouts
    count = len(main.repetitions)
    name = str(rng.choice([name for name in EMPTY_HANDED if name != main.movement]))
    more = count < 6 or rng.random() < 0.5
    gap = int(rng.integers(2, 4))
    count = count + gap if more else count - gap
    tempo = float(np.clip(count * movement_named(name).seconds() / casting.seconds, *TEMPI))
    bout = draw_bout(rng, movement_named(name), count, round(tempo, 4), clean=True)
    return standing_at(casting, (bout, idle_bout("stand", 3.0)), rng.uniform(-50, 50))


def walk_out(casting: Casting) -> tuple[Plan, tuple[float, float]]:
    """Let the exerciser walk out of the picture after half of the repetitions, and back after a while.

    Returns the plan, and which way each of both walks goes.
    """
    plan, setting = casting.plan, casting.setting
    (whole,) = plan.bouts
    half = len(whole.repetitions) // 2
    to_edge = setting.across[0] if setting.side > 0 else 1 - setting.across[0]
    walk = walk_bout(to_edge * width_of(plan) + MARGIN, 1.4)
    parts = [replace(whole, repetitions=part) for part in (whole.repetitions[:half], whole.repetitions[half:])]
    outside = idle_bout("stand", casting.rng.uniform(0.4, 1.2))
    bouts = (parts[0], walk, outside, walk, parts[1])
    return replace(plan, bouts=bouts), (-90.0 * setting.side, 90.0 * setting.side)


COMPANY = {
    "still": beside,
    "passing": passer,
    "mirrored": mirror_image,
    "joining": joiner,
    "both": second_exerciser,
    "leaving": beside,
}


def followed(pose: Pose, truth: Pose, person: int = 0) -> np.ndarray:
    """(T,) whose hips those of a track are nearest to: the index of the person in `truth`, -1 where the track has none
    or nobody is in the picture."""
    hips = pose.xyz[:, person, HIP_LANDMARKS, :2].mean(1)
    true = truth.xyz[:, :, HIP_LANDMARKS, :2].mean(2)
    gap = np.where(in_picture(truth), np.linalg.norm(true - hips[:, None], axis=-1), np.inf)
    lost = ~np.isfinite(hips).all(-1) | ~np.isfinite(gap).any(1)
    return np.where(lost, -1, np.nan_to_num(gap, nan=np.inf).argmin(1))


def in_picture(truth: Pose) -> np.ndarray:
    """(T, M) whether at least a third of a person's landmarks are inside the picture."""
    return (truth.score > 0).mean(-1) >= 1 / 3
