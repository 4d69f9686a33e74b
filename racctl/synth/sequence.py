"""Pose without pictures: the same clips as landmarks alone, as BlazePose would find them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from racctl.contracts import BACKGROUND
from racctl.skeleton.topology import BLAZEPOSE33
from racctl.synth.body import Body, make_body
from racctl.synth.clip import HIDDEN_SCORE, SynthClip, camera_record, play, rows, truth
from racctl.synth.plan import Plan, draw_person, generator, plan_clip

TRUNK = 0.11  # m, half the depth of a trunk


def pose_clip(
    plan: Plan, name: str, *, errors: str = "blazepose", body: Body | None = None, seconds: float | None = None
) -> SynthClip:
    """Return a clip without video.

    errors: of the landmarks, see `noise.with_errors`.
    body: instead of the one that the plan describes, which saves making it.
    """
    from racctl.synth.noise import with_errors

    played = play(plan, body, seconds)
    recorded = np.arange(len(played.world))
    score = unhidden(played.world, played.view.places, played.pixels, played.view.size)
    pose = truth(plan, played, recorded, played.timeline.time, score, name, {"name": name})
    pose = with_errors(pose, errors, generator(plan.seed, plan.number, 12), plan.label == BACKGROUND)
    return SynthClip(
        name, plan, pose, rows(played.timeline, pose.time), played.timeline.label, camera_record(played.view, recorded)
    )


def sequences(
    classes: list[str], seed: int, *, shapes: int = 16, errors: str = "blazepose", **more: Any
) -> Iterator[SynthClip]:
    """Yield clips without end for training, the classes in turn.

    shapes: how many bodies they share, since a body takes longer to make than a clip.
    errors: see `pose_clip`.
    more: see `plan_clip`.
    """
    bodies = [make_body(draw_person(generator(seed, k, 13)).phenotype) for k in range(shapes)]
    for number in itertools.count():
        plan = plan_clip(seed, number, classes[number % len(classes)], **more)
        yield pose_clip(plan, f"{plan.label}_{number:07d}", errors=errors, body=bodies[number % shapes])


def unhidden(world: np.ndarray, camera: np.ndarray, pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return (T, 33) the score that `clip.visibility` would give, from the skeleton alone.

    The trunk is a thick rod that hides what is behind it, and a face is hidden when it looks away.
    """
    at = BLAZEPOSE33.index
    shoulders, hips = (world[:, [at(f"left_{j}"), at(f"right_{j}")]] for j in ("shoulder", "hip"))
    low, high = hips.mean(1), shoulders.mean(1)
    wide = 0.5 * np.linalg.norm(shoulders[:, 0] - shoulders[:, 1], axis=-1)
    ray = world - camera[:, None]
    distance = np.linalg.norm(ray, axis=-1)
    ray = ray / distance[..., None]
    seen = np.ones(world.shape[:2], bool)
    for share in (0.1, 0.35, 0.6, 0.85):
        middle = low + share * (high - low)
        to = (middle - camera)[:, None]
        along = (to * ray).sum(-1)
        off = np.linalg.norm(to - along[..., None] * ray, axis=-1)
        seen &= ~((off < TRUNK) & (along < distance - TRUNK - 0.5 * wide[:, None]))
    face = slice(0, at("mouth_right") + 1)
    nose, ears = world[:, at("nose")], world[:, [at("left_ear"), at("right_ear")]].mean(1)
    ahead = ((nose - ears) * (camera - ears)).sum(-1) > -0.02
    seen[:, face] &= ahead[:, None]
    inside = (pixels[..., :2] >= 0).all(-1) & (pixels[..., :2] < np.array(size)).all(-1) & (pixels[..., 2] > 0)
    return np.where(inside, np.where(seen, 1.0, HIDDEN_SCORE), 0.0).astype(np.float32)
