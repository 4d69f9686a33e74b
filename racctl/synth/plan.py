"""Everything about one clip, drawn from one seed and written down: `plan_clip(seed, number)` is the whole variation.

The draws use only numpy's PCG64 integers and doubles and are rounded to four places, so a plan is the same on every
machine, and `Plan.record()` is the document from which a clip can be made again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from racctl.contracts import BACKGROUND
from racctl.errors import UsageError
from racctl.synth.motion import Bout, Repetition
from racctl.synth.movement import GESTURE, INVENTED, Movement
from racctl.synth.movements import catalog, movement_named
from racctl.synth.styles import draw_arms, draw_lean, draw_reach, draw_style

UnitColour = tuple[float, float, float]
SPEEDS = {
    "slow": (0.85, 0.12),
    "fast": (1.75, 0.2),
    "mixed": (1.2, 0.35),
    "any": (1.25, 0.5),
    "wide": (1.0, 0.7),
}  # tempo: mean, spread
# What is drawn from unless the user says: sizes in pixels, frames per second; the usual ones more often.
PICTURE_SIZES = (
    (224, 224),
    (256, 256),
    (320, 320),
    (320, 240),
    (240, 320),
    (384, 216),
    (216, 384),
    (400, 300),
    (300, 400),
)
FRAME_RATES = (15.0, 20.0, 24.0, 25.0, 25.0, 29.97, 30.0, 30.0, 30.0, 50.0)
# Cameras: share of the clips, height in m, focal length in picture heights, and how full the person makes the picture.
CAMERAS = (
    (0.46, (0.6, 1.9), (0.8, 2.2), (0.55, 0.9)),  # by hand or on a tripod
    (0.16, (0.05, 0.45), (0.62, 1.2), (0.6, 0.95)),  # a phone on the floor
    (0.14, (0.7, 1.2), (0.75, 1.2), (0.6, 0.95)),  # a webcam on a desk
    (0.08, (0.6, 1.8), (0.5, 0.7), (0.7, 0.95)),  # a wide angle, close by
    (0.08, (1.9, 2.8), (0.6, 1.8), (0.55, 0.9)),  # from above
    (0.08, (1.0, 2.2), (2.4, 4.5), (0.5, 0.85)),  # a long lens across the gym
)
CLOSE = (0.0, (0.05, 0.7), (0.5, 0.95), (0.75, 0.98))  # before the head of somebody on hands and feet
ANY_SIDE_SHARE, IN_FRONT_SHARE = (
    0.35,
    0.2,
)  # shares of the clips of people who lie that are filmed from any side, and like that
SKINS = (
    (0.95, 0.78, 0.67),
    (0.87, 0.67, 0.53),
    (0.76, 0.56, 0.42),
    (0.6, 0.42, 0.3),
    (0.42, 0.28, 0.2),
    (0.28, 0.18, 0.13),
)
HAIRS = (
    (0.08, 0.06, 0.05),
    (0.22, 0.14, 0.08),
    (0.4, 0.26, 0.13),
    (0.68, 0.52, 0.3),
    (0.5, 0.48, 0.46),
    (0.45, 0.18, 0.08),
)


@dataclass(frozen=True)
class Person:
    """What the person looks like.

    phenotype: anny's values.
    sleeve: how far down the arm the shirt goes (0 shoulder, 1 elbow, 2 wrist);
    leg: how far down the trousers go (1 knee, 2 ankle).
    hair_length: 0 bald to 1 down to the neck.
    thickness: m of cloth.
    """

    phenotype: dict[str, float]
    skin: UnitColour
    hair: UnitColour
    shirt: UnitColour
    trousers: UnitColour
    shoes: UnitColour
    sleeve: float
    leg: float
    hair_length: float
    thickness: float


@dataclass(frozen=True)
class Camera:
    """Where the camera stands and how it moves.

    azimuth: degrees, 0 in front of the person, 90 on their left.
    height: m. distance: m, set so that the person fills the share `fill` of the picture.
    focal: in picture heights.
    shift: of the aim, in picture heights. pan: degrees/s.
    shake: degrees.
    roll: degrees.
    """

    azimuth: float
    height: float
    fill: float
    focal: float
    shift: tuple[float, float]
    pan: float
    shake: float
    roll: float


@dataclass(frozen=True)
class Room:
    """What surrounds the person.

    style: plain, textured or gym. colours of floor and walls.
    light: azimuth and elevation in degrees, strength and ambient 0..1.
    clutter, distractors, occluders: how many.
    size: m, wall to wall.
    """

    style: str
    floor: UnitColour
    wall: UnitColour
    light: tuple[float, float, float, float]
    clutter: int
    distractors: int
    occluders: int
    size: float
    texture: int


@dataclass(frozen=True)
class PictureSettings:
    """What camera and encoder make of the picture.

    width, height: pixels.
    fps: frames/s.
    crf: H.264's.
    blur: of the lens, pixels.
    shutter: share of the time between two frames that it is open, which blurs what moves.
    noise: 0..1.
    gamma, gain: of the camera. dropped: share of the frames that are missing.
    """

    width: int
    height: int
    fps: float
    crf: int
    blur: float
    shutter: float
    noise: float
    gamma: float
    gain: float
    dropped: float


@dataclass(frozen=True)
class Plan:
    """One clip.

    seed, number: what it was drawn from.
    """

    seed: int
    number: int
    label: str
    speed: float
    bouts: tuple[Bout, ...]
    person: Person
    camera: Camera
    room: Room
    picture: PictureSettings
    bystander: Person | None = None
    bystander_bout: Bout | None = None

    def record(self) -> dict:
        """Return the plan as JSON, under the names that the files of parameters have always had."""
        document = asdict(self)
        document["other"] = document.pop("bystander")
        document["other_bout"] = document.pop("bystander_bout")
        for bout in (*document["bouts"], document["other_bout"] or {}):
            for repetition in bout.get("repetitions", ()):
                repetition["rest"] = repetition.pop("pause")
        return document


def generator(*key: int) -> np.random.Generator:
    """Return a stream of its own for each purpose, so that one more draw in one place changes no other."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(list(key))))


def plan_clip(
    seed: int,
    number: int,
    movement: str,
    *,
    speed: str = "any",
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    repetitions: tuple[int, int] = (3, 10),
    clean: bool = False,
    alone: bool = False,
    tempo: float | None = None,
) -> Plan:
    """Draw one clip of one exercise: idle, a set, idle. size (width, height in pixels),.

    fps: drawn where None.
    clean: only full repetitions, without pauses.
    alone: nobody else.
    tempo: factor on the written speed, instead of one drawn for `speed` (slow, fast, mixed, any, wide).
    movement: a name, "invented" for one of this clip's own, or "background" for idle motions and gestures, none of
        which is counted.
    """
    idle = movement == BACKGROUND
    movement = "stand" if idle else movement
    movement = f"{movement}_{seed}_{number}" if movement == INVENTED else movement
    if speed not in SPEEDS:
        raise UsageError(f"no such speed '{speed}'; expected one of {', '.join(SPEEDS)}")
    exercise = movement_named(movement)
    rng = generator(seed, number, 0)
    pace = _tempo(rng, speed) if tempo is None else tempo
    count = int(rng.integers(repetitions[0], repetitions[1] + 1))
    bouts = [draw_bout(rng, exercise, count, pace, clean=clean, errors=speed == "fast")]
    if exercise.stance == "standing" and exercise.kind != BACKGROUND and not clean:
        around = [draw_idle(rng) if rng.random() < 0.45 else None for _ in range(2)]
        bouts = [bout for bout in (around[0], bouts[0], around[1]) if bout]
    if idle:
        bouts = [draw_idle(rng, (seed, 10 * number + k)) for k in range(int(rng.integers(3, 7)))]
    bystander = None if alone or rng.random() > 0.12 else draw_person(generator(seed, number, 5))
    return Plan(
        seed,
        number,
        exercise.kind,
        r(pace),
        tuple(bouts),
        draw_person(generator(seed, number, 1)),
        draw_camera(generator(seed, number, 2), exercise),
        draw_room(generator(seed, number, 3), alone),
        draw_picture(generator(seed, number, 4), size, fps),
        bystander,
        draw_idle(rng) if bystander else None,
    )


def r(value: float) -> float:
    """Round a value for the record."""
    return round(float(value), 4)


def _tempo(rng: np.random.Generator, speed: str) -> float:
    mean, spread = SPEEDS[speed]
    return r(np.clip(mean * np.exp(spread * rng.standard_normal()), 0.4, 4.0))


def draw_bout(
    rng: np.random.Generator, movement: Movement, count: int, tempo: float, *, clean: bool = False, errors: bool = False
) -> Bout:
    """Draw a set of `count` counted repetitions, with drift, jitter, fatigue, pauses, and shallow and aborted ones."""
    drift = rng.normal(0, 0.02 if clean else 0.05)
    jitter = 0.04 if clean else rng.uniform(0.04, 0.2 if errors else 0.12)
    fatigue = 0 if clean else max(0.0, rng.normal(0.02, 0.03))
    depth = rng.uniform(0.9, 1.0) if clean else rng.uniform(0.72, 1.0)
    repetitions: list[Repetition] = []
    while sum(x.kind != "aborted" for x in repetitions) < count:
        k = len(repetitions)
        pace = 1 / tempo * np.exp(drift * k / 3 + fatigue * k / 2 + jitter * rng.standard_normal())
        kind, depth_share = "full", np.clip(depth * (1 - fatigue * k / 4) + rng.normal(0, 0.03), 0.62, 1.0)
        chance = rng.random()
        if not clean and movement.repeats and movement.stance != "horse":
            if chance < (0.04 if errors else 0.02):
                kind, depth_share = "aborted", rng.uniform(0.12, 0.3)
            elif chance < (0.14 if errors else 0.06):
                kind, depth_share = "partial", rng.uniform(0.55, 0.7)
        pause = rng.exponential(1.2) if not clean and rng.random() < 0.06 else 0.0
        repetitions.append(Repetition(r(np.clip(pace, 0.2, 4)), r(depth_share), kind, r(min(pause, 4))))
        if len(repetitions) > 4 * count + 8:
            break
    ease = float(np.clip(np.exp(rng.normal(0, 0.05 if clean else 0.18)), 0.6, 1.7))
    return Bout(
        movement.name,
        tuple(repetitions),
        r(rng.normal(0, 0.02 if clean else 0.04)),
        bool(rng.random() < 0.5),
        r(ease),
        r(tempo),
        r(drift),
        r(jitter),
        r(fatigue),
        **_personal_style(rng, movement),
    )


def _personal_style(rng: np.random.Generator, movement: Movement) -> dict:
    """Return how this person does it: the fields of `Bout` from arms on."""
    drawn = {"arms": draw_arms, "style": draw_style, "reach": draw_reach, "lean": draw_lean}
    return {name: draw(rng, movement) for name, draw in drawn.items()}


def draw_idle(rng: np.random.Generator, gesture: tuple[int, int] | None = None) -> Bout:
    """Return one idle motion, played once.

    gesture: numbers of a drawn one to be played instead, as often as not.
    """
    names = [name for name, movement in catalog().items() if movement.kind == BACKGROUND]
    name = names[int(rng.integers(len(names)))]
    if gesture and rng.random() < 0.5:
        name = "_".join([GESTURE, *map(str, gesture)])
    return Bout(
        name,
        (Repetition(r(rng.uniform(0.8, 1.4)), r(rng.uniform(0.8, 1))),),
        r(rng.normal(0, 0.03)),
        bool(rng.random() < 0.5),
        **_personal_style(rng, movement_named(name)),
    )


def draw_person(rng: np.random.Generator) -> Person:
    """Draw shape, skin, hair and clothes."""
    phenotype = {
        "gender": r(np.clip(rng.choice([0.08, 0.92]) + rng.normal(0, 0.08), 0, 1)),
        "age": r(rng.uniform(0.52, 0.85)),
        "muscle": r(rng.uniform(0.3, 0.85)),
        "weight": r(np.clip(rng.normal(0.48, 0.17), 0.1, 0.95)),
        "height": r(np.clip(rng.normal(0.5, 0.17), 0.1, 0.9)),
        "proportions": r(rng.uniform(0.3, 0.9)),
    }
    skin = np.array(SKINS[int(rng.integers(len(SKINS)))]) * rng.uniform(0.9, 1.08)
    hair = np.array(HAIRS[int(rng.integers(len(HAIRS)))]) * rng.uniform(0.7, 1.2)
    sleeve = rng.choice([0.0, 0.45, 0.6, 0.75, 1.9], p=[0.2, 0.25, 0.25, 0.1, 0.2])
    leg = rng.choice([0.45, 0.8, 1.2, 1.85], p=[0.2, 0.25, 0.1, 0.45])
    long = rng.choice([0.0, 0.35, 0.6, 1.0], p=[0.08, 0.42, 0.25, 0.25])
    return Person(
        phenotype,
        _colour(skin),
        _colour(hair),
        _cloth(rng),
        _cloth(rng, 0.7),
        _cloth(rng),
        r(sleeve),
        r(leg),
        r(long),
        r(rng.uniform(0.004, 0.014)),
    )


def _colour(value: np.ndarray) -> UnitColour:
    red, green, blue = np.clip(value, 0.02, 0.97)
    return r(red), r(green), r(blue)


def _cloth(rng: np.random.Generator, dark: float = 1.0) -> UnitColour:
    grey = rng.uniform(0.05, 0.92)
    colour = np.full(3, grey) if rng.random() < 0.4 else rng.uniform(0.05, 0.9, 3)
    return _colour(colour * dark)


def draw_camera(rng: np.random.Generator, movement: Movement) -> Camera:
    """Draw any of `CAMERAS`, from any side; handheld now and then.

    People who lie are mostly filmed from the side, and who is on hands and feet also from close in front, as with a
    phone that stands on the floor.
    """
    lying = movement.stance in ("prone", "supine", "bench")
    which, around = rng.choice(len(CAMERAS), p=[share for share, *_ in CAMERAS]), rng.uniform(-180, 180)
    _, height, focal, fill = CAMERAS[int(which)]
    aside, ahead, chance = rng.choice([-90, 90]) + rng.uniform(-50, 50), rng.normal(0, 22), rng.random()
    azimuth = aside if lying and chance > ANY_SIDE_SHARE else around
    if movement.stance == "prone" and chance > 1 - IN_FRONT_SHARE:
        azimuth, (_, height, focal, fill) = ahead, CLOSE
    return Camera(
        r(azimuth),
        r(rng.uniform(*height)),
        r(rng.uniform(*fill)),
        r(np.exp(rng.uniform(*np.log(focal)))),
        (r(rng.normal(0, 0.04)), r(rng.normal(0, 0.03))),
        r(rng.normal(0, 1.5) if rng.random() < 0.15 else 0.0),
        r(abs(rng.normal(0, 0.5)) if rng.random() < 0.3 else 0.0),
        r(rng.normal(0, 2.0) if rng.random() < 0.3 else 0.0),
    )


def draw_room(rng: np.random.Generator, alone: bool) -> Room:
    """Draw walls, floor, light and what stands about."""
    style = str(rng.choice(["plain", "textured", "gym"], p=[0.3, 0.35, 0.35]))
    light = (r(rng.uniform(-180, 180)), r(rng.uniform(35, 80)), r(rng.uniform(0.35, 0.75)), r(rng.uniform(0.35, 0.6)))
    clutter = int(rng.integers(3, 9)) if style == "gym" else int(rng.integers(0, 3))
    distractors = 0 if alone else int(rng.random() < 0.12)
    occluders = 0 if alone else int(rng.random() < 0.1)
    floor, wall = (
        _colour(rng.uniform(low, high) * rng.uniform(0.75, 1.1, 3)) for low, high in ((0.25, 0.85), (0.4, 0.95))
    )
    return Room(
        style,
        floor,
        wall,
        light,
        clutter,
        distractors,
        occluders,
        r(rng.uniform(9, 15)),
        int(rng.integers(1 << 30)),
    )


def draw_picture(rng: np.random.Generator, size: tuple[int, int] | None, fps: float | None) -> PictureSettings:
    """Return what camera and coder do to it.

    size, fps: drawn where None; what is drawn else does not depend on them.
    """
    crf, blur, noise = int(rng.integers(18, 33)), max(0.0, rng.normal(0.2, 0.35)), abs(rng.normal(0, 0.015))
    gamma, gain = rng.uniform(0.8, 1.25), rng.uniform(0.75, 1.2)
    dropped = rng.uniform(0.01, 0.06) if rng.random() < 0.1 else 0.0
    shutter = rng.uniform(0.1, 0.9) if rng.random() < 0.75 else rng.uniform(0.0, 0.1)
    drawn_size, drawn_fps = (
        PICTURE_SIZES[int(rng.integers(len(PICTURE_SIZES)))],
        FRAME_RATES[int(rng.integers(len(FRAME_RATES)))],
    )
    width, height = size or drawn_size
    rate = drawn_fps if fps is None else fps
    return PictureSettings(width, height, r(rate), crf, r(blur), r(shutter), r(noise), r(gamma), r(gain), r(dropped))
