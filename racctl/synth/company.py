"""Other people in the picture of a planned clip: beside the exerciser, passing, joining, mirrored, exercising too.

An `Ensemble` is a plan with company. Without it the clip is the same to the pixel wherever nobody else is or throws a
shadow. The company holds nothing in their hands and leaves the camera where it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from racctl.skeleton.topology import BLAZEPOSE33
from racctl.synth.body import landmarks, make_body
from racctl.synth.camera import set_up
from racctl.synth.clip import Played, SynthClip, film, play
from racctl.synth.ground import Placed, stand
from racctl.synth.motion import Bout, Timeline, timeline
from racctl.synth.plan import Person, Plan, generator
from racctl.synth.render import BYSTANDER_LABEL, PERSON_LABEL, THING_LABEL, actor
from racctl.synth.rotate import X, Y, Z, about, apply

WALKING = "walk"  # the movement that carries people away from where they stand
TURN_TIME = 0.12  # s over which a change of direction is smoothed, besides the way from one bout to the next
STRIDE_TIME = 0.25  # s over which the speed of somebody who walks is smoothed, which the movement has in jerks
ROUNDS = 200  # times that the last bout of somebody idle is played, at most
HIP_LANDMARKS = BLAZEPOSE33.indices(["left_hip", "right_hip"])


@dataclass(frozen=True)
class Companion:
    """Somebody besides the exerciser.

    bouts: what they do, from the beginning of the clip; the last is repeated to the end.
    across: where their hips are at the moment `at`, in s: 0 at the left edge of the picture, 1 at the right.
    away: their distance from the camera over the exerciser's.
    facing: degrees, 0 towards the camera, 90 to the right of the picture.
    walking: the same, where they walk.
    reflection: the exerciser's own mirror image at that place instead, always at its distance from the mirror; person,
        bouts, at, facing and walking have no effect then.
    """

    person: Person
    bouts: tuple[Bout, ...]
    across: float
    away: float
    at: float = 0.0
    facing: float = 0.0
    walking: float = 90.0
    reflection: bool = False


@dataclass(frozen=True)
class Ensemble:
    """A clip with other people in it.

    walks: degrees, as of `Companion.walking`, for each time that the exerciser walks in the plan's bouts.  The camera
        is set up for the rest of the clip.
    aim: how far right of and below the middle of the picture the exerciser is, in widths and heights.
    """

    plan: Plan
    company: tuple[Companion, ...] = ()
    walks: tuple[float, ...] = ()
    aim: tuple[float, float] = (0.0, 0.0)


def render_scene(scene: Ensemble, name: str) -> SynthClip:
    """Return the clip; its pose is the truth of the exerciser and then of the company, one track each."""
    played = play_scene(scene)
    cast, actors = [played], [actor(played.body, played.placed, scene.plan.person, PERSON_LABEL)]
    for number, companion in enumerate(scene.company):
        label = BYSTANDER_LABEL if number == 0 else THING_LABEL + number
        person = scene.plan.person if companion.reflection else companion.person
        playing = reflect(companion, played) if companion.reflection else enter(scene, number, played)
        cast.append(playing)
        dressed = actor(played.body if companion.reflection else playing.body, playing.placed, person, label)
        actors.append(replace(dressed, body=playing.body))
    return film(scene.plan, name, cast, actors)


def play_scene(scene: Ensemble) -> Played:
    """Move the exerciser, who may leave the picture and come back, and aim the camera."""
    played = play_with_walks(scene) if scene.walks else play(scene.plan)
    view = played.view
    right, down = (share * side / view.focal for share, side in zip(scene.aim, view.size, strict=True))
    view = replace(view, turns=about(X, -np.arctan(down)) @ about(Y, np.arctan(right)) @ view.turns)
    return replace(played, view=view, pixels=view.see(played.world))


def play_with_walks(scene: Ensemble) -> Played:
    """Move the exerciser as `play` does, and let them go where they walk."""
    plan = scene.plan
    body = make_body(plan.person.phenotype)
    moves = timeline(list(plan.bouts), plan.picture.fps, generator(plan.seed, plan.number, 7))
    walks = np.deg2rad(np.array(scene.walks) + plan.camera.azimuth)
    placed = steer(stand(body, moves.track), moves, 0.0, walks)
    world = landmarks(body, BLAZEPOSE33.joints, placed.turns, placed.places)
    view = set_up(plan.camera, plan.picture, world, plan.picture.fps, (plan.seed, plan.number), at_home(moves))
    return Played(body, moves, placed, view, world, view.see(world))


def at_home(moves: Timeline) -> np.ndarray:
    """Return (T,) bool: before the first walk and after the last."""
    walking = np.flatnonzero(np.array(moves.movement) == WALKING)
    frames = np.arange(len(moves.time))
    return (frames < walking[0]) | (frames > walking[-1]) if len(walking) else np.ones(len(frames), bool)


def steer(placed: Placed, moves: Timeline, facing: float, walks: np.ndarray) -> Placed:
    """Turn a body about itself to where it faces and walks, and go on from there.

    facing, walks: radians about the vertical, of the time that it stands and of each walk in turn.
    """
    walking = np.array(moves.movement) == WALKING
    begins = walking & ~np.concatenate([[False], walking[:-1]])
    turn = np.where(walking, walks[np.minimum(np.maximum(np.cumsum(begins) - 1, 0), len(walks) - 1)], facing)
    turning = np.array(moves.movement) == ""  # on the way from one bout to the next
    frames = np.arange(len(turn))
    turn = np.interp(frames, frames[~turning], turn[~turning])
    turn = gaussian_filter1d(turn, TURN_TIME * moves.track.rate, mode="nearest")
    root = placed.places[:, 0] * [1, 1, 0]
    rotations = about(Z, turn)
    strides = apply(rotations, np.diff(root, axis=0, prepend=root[:1]))
    going = strides * (turning | walking)[:, None]
    strides += gaussian_filter1d(going, STRIDE_TIME * moves.track.rate, axis=0, mode="constant") - going
    path = root[0] + np.cumsum(strides, 0)
    places = apply(rotations[:, None], placed.places - root[:, None]) + path[:, None]
    return Placed(rotations[:, None] @ placed.turns, places)


def enter(scene: Ensemble, number: int, played: Played) -> Played:
    """Move a companion as planned through the exerciser's picture."""
    plan, companion = scene.plan, scene.company[number]
    body = make_body(companion.person.phenotype)
    frames = len(played.world)
    *first, last = companion.bouts
    again = replace(last, repetitions=last.repetitions * ROUNDS)
    rng = generator(plan.seed, plan.number, 14, number)
    moves = timeline([*first, again], plan.picture.fps, rng, frames / plan.picture.fps)
    azimuth = plan.camera.azimuth
    facing = np.deg2rad(companion.facing + azimuth)
    walks = np.deg2rad(np.array([companion.walking + azimuth]))
    placed = steer(stand(body, moves.track), moves, facing, walks)
    row = min(round(companion.at * plan.picture.fps), frames - 1)
    hips = placed.places[row, 0]
    shift = spot(companion, played, float(hips[2])) - hips
    placed = Placed(placed.turns, placed.places + shift * [1, 1, 0])
    world = landmarks(body, BLAZEPOSE33.joints, placed.turns, placed.places)
    return Played(body, moves, placed, played.view, world, played.view.see(world))


def spot(companion: Companion, played: Played, height: float) -> np.ndarray:
    """Return (3,) m: where the companion's hips are, at this height, so that they show in the planned place."""
    view = played.view
    home = at_home(played.timeline)
    depth = companion.away * float(played.pixels[home][:, HIP_LANDMARKS, 2].mean())
    turn, camera = view.turns[0], view.places[0]
    slope = (companion.across - 0.5) * view.size[0] / view.focal
    rows = np.stack([turn[0] - slope * turn[2], turn[2]])
    goals = np.array([0.0, depth]) - rows[:, 2] * (height - camera[2])
    x, y = np.linalg.solve(rows[:, :2], goals) + camera[:2]
    return np.array([x, y, height])


def reflect(companion: Companion, played: Played) -> Played:
    """Return the exerciser in an upright mirror half way to the companion's place."""
    home = played.placed.places[:, 0].mean(0)
    image = spot(companion, played, float(home[2]))
    normal = (image - home) / np.linalg.norm(image - home)
    flip = np.eye(3) - 2 * np.outer(normal, normal)
    shift = 2 * normal * (normal @ (home + image) / 2)
    placed = Placed(flip @ played.placed.turns, played.placed.places @ flip + shift)
    swapped = _other_sides()
    world = (played.world @ flip + shift)[:, swapped]
    body = replace(played.body, faces=np.ascontiguousarray(played.body.faces[:, ::-1]))  # so that they face outward
    return Played(body, played.timeline, placed, played.view, world, played.view.see(world))


def _other_sides() -> list[int]:
    """Return for each landmark of blazepose33 the one that its mirror image is."""
    swapped = list(range(len(BLAZEPOSE33.joints)))
    for left, right in BLAZEPOSE33.symmetries:
        first, second = BLAZEPOSE33.index(left), BLAZEPOSE33.index(right)
        swapped[first], swapped[second] = second, first
    return swapped
