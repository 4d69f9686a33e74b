"""Planned clips made ready to be drawn as points: motion, camera, room, cut-outs and joints, on the CPU, without torch.

A scene is a plain dict of numpy arrays, so that worker processes can hand it over in a file.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from scipy.ndimage import gaussian_filter

from racctl.skeleton.normalise import joint_tokens
from racctl.skeleton.remap import remap
from racctl.synth import kernels
from racctl.synth.body import Body
from racctl.synth.bones import AT
from racctl.synth.clip import Played, play, truth
from racctl.synth.noise import with_errors
from racctl.synth.plan import Plan, generator, plan_clip
from racctl.synth.render import _Stage
from racctl.synth.scene import Gear, furnish
from racctl.synth.sequence import unhidden
from racctl.synth.wardrobe import dress
from racctl.video.crop import person_boxes

POINTS = 56_000  # on a body
HELD_POINTS = 8_000
RATE = 30  # frames/s that motion is worked out at
LUMA = np.array([0.299, 0.587, 0.114])
MASK_SIDE = 256  # pixels of the masks that `racctl classify` cuts people out by
ROOM_SIDE = 288  # pixels of the longer side of a room's picture
ENDS = (("hand", "fingers"), ("forearm", "hand", "fingers"), ("foot", "toes"), ("shin", "foot", "toes"))


@dataclass(frozen=True)
class Order:
    """One clip to be made. plan: it, or what `plan_clip` is called with.  step: one of so many of the 30 frames/s is
    kept.  seconds: at most so many, from a random place.  hard: with all that varies the picture beyond the generator's
    own plans.  joints: with BlazePose's joints."""

    name: str
    split: str
    plan: Plan | dict
    step: int
    seconds: float
    hard: bool
    joints: bool


def surface(body: Body, points: int = POINTS) -> dict[str, np.ndarray]:
    """What all bodies share: points spread over the skin by area, bone weights, body parts."""
    rng = np.random.default_rng(1)
    corner, share = spread(body.vertices, body.faces, points, rng)
    weights = np.zeros((len(body.vertices), len(body.bones.names)), np.float32)
    np.put_along_axis(weights, body.skin, body.weights.astype(np.float32), 1)
    part = body.bones.second[body.skin[corner[:, 0], 0]]
    return {"corner": corner, "share": share, "weights": weights, "part": part.astype(np.int64)}


def spread(vertices: np.ndarray, faces: np.ndarray, count: int, rng: np.random.Generator) -> tuple:
    """Corners (P, 3) int64 and shares (P, 3) float32 of `count` points, as many on a triangle as its area asks for."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=-1)
    total = np.cumsum(area)
    chosen = np.searchsorted(total, (np.arange(count) + rng.random(count)) / count * total[-1]).clip(0, len(faces) - 1)
    u, v = np.sqrt(rng.random(count)), rng.random(count)
    share = np.stack([1 - u, u * (1 - v), u * v], 1)
    return faces[chosen].astype(np.int64), share.astype(np.float32)


def scene(order: Order, bodies: list[Body]) -> dict:
    """The clip of an order; see `points.Scene` for the fields."""
    plan = plan_clip(**order.plan) if isinstance(order.plan, dict) else order.plan
    rng = generator(plan.seed, plan.number, 31)
    plan = replace(plan, camera=replace(plan.camera, pan=0.0, shake=0.0))
    body = bodies[int(rng.integers(len(bodies)))]
    played = play(plan, body)
    rows = _rows(len(played.world), order, rng)
    frame = _framing(played, rows, rng) if order.hard else (0.0, 0.0, *map(float, played.view.size))
    people = [_cloud(played, body, plan, rows, order.hard, rng)]
    if plan.bystander and plan.bystander_bout:
        people.append(_bystander(plan, played, bodies, rows, order.hard, rng))
    curve = 0.8 * plan.picture.gamma
    room = _room(played, plan, body, curve, order.hard, rng)
    azimuth, elevation, strength, ambient = plan.room.light
    azimuth, elevation = np.deg2rad(azimuth), np.deg2rad(elevation)
    light = [np.sin(azimuth) * np.cos(elevation), -np.cos(azimuth) * np.cos(elevation), np.sin(elevation)]
    blurred = rng.random() < 0.4
    out = {
        "people": people, "held": _held(played, body, rows), "turn": played.view.turns[0].astype(np.float32),
        "place": played.view.places[0].astype(np.float32), "focal": float(played.view.focal),
        "size": played.view.size, "frame": frame, "boxes": _boxes(played, body, rows, frame, order.hard, rng),
        "room": room, "light": np.array(light, np.float32), "strength": strength, "ambient": ambient,
        "gain": plan.picture.gain, "curve": curve, "shutter": plan.picture.shutter,
        "exposures": 3 if blurred and plan.picture.shutter > 0.3 else 1,
        "missing": _missing(len(rows), RATE / order.step, rng), "held_masked": bool(rng.random() < 0.3),
        "noise": plan.picture.noise, "blur": plan.picture.blur,
    }  # fmt: skip
    about = {"name": order.name, "split": order.split, "label": [played.timeline.label[t] for t in rows]}
    if order.joints:
        about["joints"] = _joints(plan, played, order.name)[rows].astype(np.float32)
    return {**out, **about}


def save(order: Order, bodies: list[Body], folder: Path) -> Path:
    """Write the scene of an order to a file; returns its path."""
    path = folder / f"{order.split}_{order.name}.scene"
    with open(path, "wb") as file:
        pickle.dump(scene(order, bodies), file, protocol=5)
    return path


def _rows(frames: int, order: Order, rng: np.random.Generator) -> np.ndarray:
    length = min(frames, round(order.seconds * RATE))
    first = int(rng.integers(0, frames - length + 1))
    return np.arange(first, first + length, order.step)


def _framing(played: Played, rows: np.ndarray, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Left, top, right, bottom: the whole picture, or as often a part of it, in which some of the person may lack, as
    in films of the upper body."""
    width, height = played.view.size
    if rng.random() < 0.5:
        return 0.0, 0.0, float(width), float(height)
    seen = played.pixels[rows][..., :2]
    low, high = np.quantile(seen, 0.02, axis=(0, 1)), np.quantile(seen, 0.98, axis=(0, 1))
    span, zoom = high - low, rng.uniform(0.5, 1.1)
    middle = (low + high) / 2 + span * np.array([rng.normal(0, 0.12), rng.uniform(-0.4, 0.15)])
    wide = max(span * zoom) * np.sqrt(np.exp(rng.uniform(np.log([0.5, 0.5]), np.log([2.0, 2.0]))))
    left, top = np.maximum(middle - wide / 2, 0)
    right, bottom = np.minimum(middle + wide / 2, [width, height])
    remaining = (seen > [left, top]).all(-1) & (seen < [right, bottom]).all(-1)
    if remaining.mean() < 0.45:
        return 0.0, 0.0, float(width), float(height)
    return float(left), float(top), float(right), float(bottom)


def _boxes(
    played: Played, body: Body, rows: np.ndarray, frame: tuple, hard: bool, rng: np.random.Generator
) -> np.ndarray:
    """(K, 4) pixels: what `racctl.recognisers.inputs` cuts out about masks that fill the person's extent."""
    hull, bones = body.vertices[body.hull], body.bones
    placed = played.placed
    world = kernels.skin_clip(
        hull, body.skin[body.hull], body.weights[body.hull], np.ascontiguousarray(placed.turns[rows]),
        np.ascontiguousarray(placed.places[rows]), bones.head,
    )  # fmt: skip
    seen = replace(played.view, turns=played.view.turns[:1], places=played.view.places[:1]).see(
        world.reshape(1, -1, 3)
    ).reshape(len(rows), -1, 3)  # fmt: skip
    corner, span = np.array(frame[:2]), np.array(frame[2:]) - np.array(frame[:2])
    low = (((seen[..., :2].min(1) - corner) / span).clip(0, 1) * MASK_SIDE).astype(int)
    high = np.ceil(((seen[..., :2].max(1) - corner) / span).clip(0, 1) * MASK_SIDE).astype(int)
    filled = _Rectangles(low, np.maximum(high, low + 1))
    video = SimpleNamespace(width=span[0], height=span[1], fps=float(RATE))
    x, y, side = person_boxes(filled, rows - rows[0], video).T * np.array([span[0], span[1], span[0]])[:, None]
    x, y = x + corner[0], y + corner[1]
    if hard:
        side = side * np.exp(rng.normal(0.02, 0.05))
        x, y = (
            x + side * (rng.normal(0, 0.02) + _drift(rng, len(x))),
            y + side * (rng.normal(0, 0.02) + _drift(rng, len(y))),
        )
    return np.stack([x - side / 2, y - side / 2, x + side / 2, y + side / 2], 1).astype(np.float32)


def _drift(rng: np.random.Generator, count: int) -> np.ndarray:
    """(K,) shares of the side: the unsteady hand that holds some of the cameras."""
    if rng.random() < 0.7:
        return np.zeros(count)
    walk = gaussian_filter(rng.standard_normal(count), 2.0, mode="nearest")
    return walk * rng.uniform(0, 0.02)


class _Rectangles:
    """Masks (T, H, W) that are rectangles, for `person_boxes`."""

    def __init__(self, low: np.ndarray, high: np.ndarray) -> None:
        self.low, self.high, self.shape = low.clip(0, MASK_SIDE - 1), high, (len(low), MASK_SIDE, MASK_SIDE)

    def __getitem__(self, k: int) -> np.ndarray:
        mask = np.zeros(self.shape[1:], bool)
        mask[self.low[k, 1] : self.high[k, 1], self.low[k, 0] : self.high[k, 0]] = True
        return mask


def _cloud(played: Played, body: Body, plan: Plan, rows: np.ndarray, hard: bool, rng: np.random.Generator) -> dict:
    return _clothed(body, plan.person, played.placed.turns, played.placed.places, rows, hard, rng)


def _clothed(body: Body, person, turns, places, rows: np.ndarray, hard: bool, rng: np.random.Generator) -> dict:
    """Vertices, grays and moves of a dressed body."""
    vertices, colours = dress(body, person)
    gray = colours @ LUMA
    if hard:
        gray = _patterned(body, gray, rng)
    after = np.minimum(rows + 1, len(turns) - 1)
    moves = np.empty((len(rows), 2, len(body.bones.names), 3, 4), np.float32)
    for k, which in enumerate((rows, after)):
        moves[:, k, ..., :3] = turns[which]
        moves[:, k, ..., 3] = places[which] - np.einsum("tnij,nj->tni", turns[which], body.bones.head)
    return {
        "vertices": vertices.astype(np.float32), "gray": gray.astype(np.float32),
        "moves": moves.reshape(len(rows), 2, -1, 12),
    }  # fmt: skip


def _patterned(body: Body, gray: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Stripes, checks and prints on shirt and trousers, in a third of the clips each."""
    arm, leg, trunk, _ = body.along.T
    for cloth in (np.isfinite(trunk) | (arm < 1), leg < 1.9):
        if rng.random() < 0.33:
            direction = rng.standard_normal((3, 3))
            waves = np.sin(body.vertices @ direction.T * rng.uniform(15, 90) + rng.uniform(0, 6, 3))
            pattern = np.sign(waves[:, 0]) if rng.random() < 0.5 else waves.prod(1) * 2
            gray = np.where(cloth, gray * (1 + rng.uniform(0.1, 0.5) * pattern), gray)
    return gray.clip(0.01, 1)


def _bystander(plan: Plan, played: Played, bodies: list[Body], rows: np.ndarray, hard: bool, rng) -> dict:
    """Somebody else, idle, behind or beside the person."""
    from racctl.synth.clip import _second_person

    actor = _second_person(plan, plan.bystander, plan.bystander_bout, played, bodies[int(rng.integers(len(bodies)))])
    return _clothed(actor.body, plan.bystander, actor.placed.turns, actor.placed.places, rows, hard, rng)


def _held(played: Played, body: Body, rows: np.ndarray) -> dict | None:
    """The gear in the hands of every frame; where it is laid down, it is not drawn."""
    if not any(played.timeline.props[t] for t in rows):
        return None
    gear = Gear(played.timeline.props, body, played.placed.places)
    meshes = [gear.at(int(t), 0.0) for t in rows]
    most = max(meshes, key=lambda mesh: len(mesh.vertices))
    if not len(most.faces):
        return None
    places = np.full((len(rows), *most.vertices.shape), np.nan, np.float32)
    for k, mesh in enumerate(meshes):
        if len(mesh.vertices) == len(most.vertices):
            places[k] = mesh.vertices
    corner, share = spread(most.vertices, most.faces, HELD_POINTS, np.random.default_rng(2))
    gray = ((most.colours @ LUMA)[corner] * share).sum(1)
    return {"places": places, "gray": gray.astype(np.float32), "corner": corner, "share": share}


def _room(played: Played, plan: Plan, body: Body, curve: float, hard: bool, rng: np.random.Generator) -> np.ndarray:
    """(3, h, w) float16: gray as it comes out of the camera, depth in m, and where it is floor."""
    view, held = played.view, tuple(dict.fromkeys(name for props in played.timeline.props for name in props))
    around = furnish(plan.room, view, held, played.placed, body)
    scale = ROOM_SIDE / max(view.size)
    small = replace(view, focal=view.focal * scale, size=tuple(round(side * scale) for side in view.size))
    stage = _Stage(plan, small, around, 1)
    depth, image, labels = stage.empty(0)
    gray = (image @ LUMA * plan.picture.gain).clip(0, 1) ** curve
    width, height = small.size
    v, u = (np.mgrid[:height, :width] + 0.5 - np.array([height, width])[:, None, None] / 2) / small.focal
    turn = view.turns[0]
    up = turn[0, 2] * u + turn[1, 2] * v + turn[2, 2]
    floor = np.abs(view.places[0, 2] + depth * up) < 0.03
    if hard and rng.random() < 0.5:
        gray, depth = np.where(labels > 0, gray, _photo(gray.shape, rng)), np.where(labels > 0, depth, 15.0)
    return np.stack([gray, depth.clip(0, 15.5), floor]).astype(np.float16)


def _photo(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A made-up picture: an even studio wall, or clouds of several sizes with patches and edges."""
    if rng.random() < 0.3:
        y = np.linspace(-1, 1, shape[0])[:, None]
        return (rng.uniform(0.05, 1.0) + rng.normal(0, 0.08) * y + np.zeros(shape)).clip(0, 1)
    total = np.full(shape, rng.uniform(0.15, 0.85))
    for sigma in (40, 16, 6, 2):
        cloud = gaussian_filter(rng.standard_normal(shape), sigma, mode="reflect")
        total += cloud / cloud.std() * rng.uniform(0, 0.12)
    for _ in range(int(rng.integers(0, 14))):
        y, x = (int(rng.integers(0, side)) for side in shape)
        high, wide = (int(side * rng.uniform(0.03, 0.5)) for side in shape)
        value, blend = rng.random(), rng.uniform(0.4, 1.0)
        total[y : y + high, x : x + wide] += blend * (value - total[y : y + high, x : x + wide])
    return total.clip(0, 1)


def _missing(count: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    """(K, parts) bool: ends of limbs that the estimated mask lacks, for moments or all the time."""
    out = np.zeros((count, len(AT)), bool)
    for side in ("left", "right"):
        for chain in ENDS:
            lost = np.full(count, rng.random() < 0.03)
            for start in np.flatnonzero(rng.random(count) < 6 / 60 / rate):
                lost[start : start + max(1, round(rng.exponential(0.5) * rate))] = True
            for name in chain:
                out[:, AT[f"{side}_{name}"]] |= lost
    return out


def _joints(plan: Plan, played: Played, name: str) -> np.ndarray:
    """(T, 25, 4): BlazePose's joints as a recogniser sees them, errors and all."""
    score = unhidden(played.world, played.view.places, played.pixels, played.view.size)
    pose = truth(plan, played, np.arange(len(played.world)), played.timeline.time, score, name, {"name": name})
    pose = with_errors(pose, "blazepose", generator(plan.seed, plan.number, 12))
    return joint_tokens(remap(pose, "d2stx25"))
