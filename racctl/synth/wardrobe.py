"""Hair, shirt, trousers and shoes: colours for a body's vertices, and the little that cloth and hair stand off it."""

from __future__ import annotations

import numpy as np

from racctl.synth.body import Body
from racctl.synth.bones import AT
from racctl.synth.plan import Person
from racctl.synth.raster import normals

LIPS, WHITE, IRIS = (0.72, 0.36, 0.34), (0.93, 0.93, 0.92), (0.16, 0.11, 0.08)
HAIR = 0.018  # m that hair stands off the head
BELT = 0.24  # share of the trunk that trousers reach up to


def dress(body: Body, person: Person) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices at rest with clothes and hair on (V, 3) m, and colours (V, 3) 0..1."""
    outward = np.empty_like(body.vertices)
    normals(body.vertices, body.faces, outward)
    arm, leg, trunk, _ = body.along.T
    hair, bare_skin = _hair(body, person), np.array(person.skin)
    shirt = (trunk > BELT - 0.06) & (trunk < 0.97) | (arm < person.sleeve)
    trousers = (leg < person.leg) | (trunk <= BELT - 0.02)
    shoes = leg >= 1.93
    colours = np.tile(bare_skin, (len(body.vertices), 1))
    off = np.zeros(len(body.vertices))
    for rows, colour, gap in (
        (trousers, person.trousers, person.thickness),
        (shirt, person.shirt, person.thickness * 1.4),
        (shoes, person.shoes, 0.008),
        (hair, person.hair, HAIR * (0.5 + 0.7 * person.hair_length)),
    ):
        colours[rows], off[rows] = colour, gap
    lips = 0.5 * np.array(LIPS) + 0.5 * bare_skin
    for code, paint in ((1, lips), (2, person.hair), (3, WHITE), (4, IRIS)):
        colours[body.face == code] = paint
    off[(body.face > 0) & ~hair] = 0
    grain = np.random.Generator(np.random.PCG64(7)).normal(1, 0.025, (len(colours), 1))  # cloth and skin are not even
    return body.vertices + off[:, None] * outward, np.clip(colours * grain, 0, 1)


def _hair(body: Body, person: Person) -> np.ndarray:
    """Return (V,) bool: the scalp down to a hairline, at the back as far as the hair is long."""
    x, y, z = body.vertices.T
    eye, ear = body.points["left_eye"][0], body.points["left_ear"][0]
    head = np.isin(body.bones.second[body.skin[:, 0]], [AT["head"], AT["neck"]])
    back, front = y > ear[1] + 0.012, y < ear[1] - 0.035
    line = np.where(front, eye[2] + 0.062, np.where(back, ear[2] - 0.02 - 0.13 * person.hair_length, ear[2] + 0.035))
    inner = (body.face > 0) | (np.abs(x) < 0.02) & front & (z < eye[2] + 0.05)
    return head & (z > line) & ~inner & (person.hair_length > 0)
