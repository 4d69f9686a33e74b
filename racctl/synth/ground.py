"""Where the body stands: contacts stay where they are, limbs bend to keep them, nobody sinks into the floor."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from racctl.synth.body import Body
from racctl.synth.bones import AT, bone_places, bone_rotations, part, reach, segment_rotations
from racctl.synth.channels import INDEX
from racctl.synth.kernels import skin_clip
from racctl.synth.movement import CONTACT_GROUPS, sides
from racctl.synth.rotate import X, Y, Z, about, apply

HEIGHT = {"toes": 0.03, "hand": 0.05, "elbow": 0.045, "knee": 0.06}  # m from the joint to what it rests on
CONTACT_SEGMENTS = {
    "foot": "foot",
    "toes": "toes",
    "hand": "hand",
    "elbow": "forearm",
    "knee": "shin",
    "grip": "fingers",
}
LEG_SEGMENTS, ARM_SEGMENTS = ("thigh", "shin", "foot"), ("upperarm", "forearm", "hand")
SETTLE = 0.12  # s in which a contact takes hold
FINGER_SPREAD = 0.4  # radians that the fingers of a flat hand are straightened from anny's rest pose
FLAT_HAND = np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])  # left palm down, fingers to -y
HELD_AT = {"bar": 2.6, "horse": 1.15}  # m above the floor, where the grips are
BENCH = 0.45  # m


@dataclass(frozen=True)
class Track:
    """The angles of a clip and what holds the body.

    angles: (T, C) degrees.
    touch: (T,) index into `touches`.
    stance: name -> (T,) weight 0..1 of being held by the bar, the horse, the bench or the back.
    level: (T,) index into `levels`, -1 for none, with its weight `tilt` (T,).
    rate: frames/s of the sampling.
    """

    angles: np.ndarray
    touch: np.ndarray
    touches: list[tuple[str, ...]]
    stance: dict[str, np.ndarray]
    level: np.ndarray
    levels: list[tuple[str, str]]
    tilt: np.ndarray
    rate: float


@dataclass(frozen=True)
class Placed:
    """turns (T, N, 3, 3) and places (T, N, 3) of every bone in the world, metres."""

    turns: np.ndarray
    places: np.ndarray


def stand(body: Body, track: Track) -> Placed:
    """Put the body of every frame on its contacts."""
    turns = segment_rotations(track.angles)
    weights = {name: _weight(track, name) for name in _named(track)}
    _tilt(body, track, turns, weights)
    places = bone_places(body.bones, bone_rotations(body.bones, turns))
    _flatten(turns, weights)
    places = bone_places(body.bones, bone_rotations(body.bones, turns))
    root = _root(body, track, turns, places, weights)
    held = {}
    for name, weight in weights.items():
        if _kind(name) in ("foot", "toes", "hand", "grip"):
            held[name] = _anchor(body, name, weight, places + root[:, None], track)
    for name, target in held.items():
        _hold(body, turns, places + root[:, None], name, weights[name], target)
    _flatten(turns, weights)
    whole = bone_rotations(body.bones, turns)
    return Placed(whole, bone_places(body.bones, whole) + root[:, None])


def _named(track: Track) -> list[str]:
    return sorted({name for touch in track.touches for name in sides(touch)} - {"body"})


def _kind(contact: str) -> str:
    return contact.split("_")[-1]


def _point(body: Body, name: str) -> int:
    """Return the bone that begins at a contact."""
    side, kind = name.split("_")
    return body.bones.joint[f"{side}_{CONTACT_SEGMENTS[kind]}"]


def _height(body: Body, name: str) -> float:
    return body.sole if _kind(name) == "foot" else HEIGHT.get(_kind(name), 0.0)


def _weight(track: Track, name: str) -> np.ndarray:
    """Return (T,) how firmly a contact holds: 1 in its frames, eased in and out."""
    on = np.array([name in sides(touch) for touch in track.touches], float)[track.touch]
    return np.minimum(gaussian_filter1d(on, SETTLE * track.rate / 2, mode="nearest"), 1.0)


def _tilt(body: Body, track: Track, turns: np.ndarray, weights: dict[str, np.ndarray]) -> None:
    """Turn the whole body about its lateral axis until both contacts of its `level` are at their heights.

    A foot in the air does not count.
    """
    for index, pair in enumerate(track.levels):
        rows = np.flatnonzero(track.level == index)
        if not len(rows):
            continue
        places = bone_places(body.bones, bone_rotations(body.bones, turns[rows]))
        shares = [
            np.stack([weights.get(n, np.zeros(len(turns)))[rows] for n in CONTACT_GROUPS[g]], 1) + 1e-3 for g in pair
        ]
        points = [places[:, [_point(body, n) for n in CONTACT_GROUPS[g]]] for g in pair]
        first, second = (np.average(p, 1, np.repeat(s[..., None], 3, -1)) for p, s in zip(points, shares, strict=True))
        rise = _height(body, CONTACT_GROUPS[pair[0]][0]) - _height(body, CONTACT_GROUPS[pair[1]][0])
        yaw = np.deg2rad(track.angles[rows, INDEX["yaw"]])
        span = apply(about(Z, -yaw), first - second)
        size = np.hypot(span[:, 1], span[:, 2])
        goal = np.arcsin(np.clip(rise / size, -1, 1))
        now = np.arctan2(span[:, 2], -span[:, 1])  # heads lie towards -y
        turn = about(Z, yaw) @ about(X, -(goal - now) * track.tilt[rows]) @ about(Z, -yaw)
        turns[rows] = turn[:, None] @ turns[rows]


def _flatten(turns: np.ndarray, weights: dict[str, np.ndarray]) -> None:
    """Lay flat the feet and hands that stand on the floor, each turned as it is on the mean of its contact."""
    for name, weight in weights.items():
        side, kind = name.split("_")
        if kind not in ("foot", "hand"):
            continue
        segment = AT[f"{side}_{kind}"]
        ahead = apply(turns[:, segment], np.array([0.0, -1, 0]) if kind == "foot" else np.array([0.0, 0, -1]))
        heading = np.zeros(len(turns))
        for start, stop in _runs(weight > 0.02):
            mean = (ahead[start:stop] * (weight[start:stop, None] + 1e-9)).sum(0)
            heading[start:stop] = np.arctan2(mean[0], -mean[1])
        flat = FLAT_HAND if kind == "hand" else np.eye(3)
        flat = (
            flat * np.array([-1, 1, 1])[:, None] * np.array([-1, 1, 1]) if side == "right" and kind == "hand" else flat
        )
        goal = about(Z, heading) @ flat
        turns[:, segment] = turns[:, segment] @ part(np.swapaxes(turns[:, segment], -1, -2) @ goal, weight)
        tip = AT[f"{side}_{'toes' if kind == 'foot' else 'fingers'}"]
        along = turns[:, segment] @ (
            np.eye(3) if kind == "foot" else about(Y, -FINGER_SPREAD if side == "left" else FINGER_SPREAD)
        )
        turns[:, tip] = turns[:, tip] @ part(np.swapaxes(turns[:, tip], -1, -2) @ along, weight)


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Return the half-open runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _root(
    body: Body, track: Track, turns: np.ndarray, places: np.ndarray, weights: dict[str, np.ndarray]
) -> np.ndarray:
    """Return (T, 3) the root's place.

    Contacts keep theirs, and the lowest point of the body touches what it rests on.
    """
    root = np.zeros((len(places), 3))
    root[:, :2] = _horizontal(body, track, places)
    whole = bone_rotations(body.bones, turns)
    root[:, 2] = -lowest(body, body.hull, whole, places)
    if (weight := track.stance.get("supine")) is not None:  # seat and back carry the body, not the feet
        root[:, 2] += weight * (-lowest(body, _seat(body), whole, places) - root[:, 2])
    for name, height in HELD_AT.items():
        if (weight := track.stance.get(name)) is not None:
            held, first = _held_by(body, places, weights)
            root[:, 2] += weight * (height - held[:, 2] - root[:, 2])
            start = root[np.argmax(weight > 0.5), :2]
            root[:, :2] += weight[:, None] * (start + first[:, :2] - held[:, :2] - root[:, :2])
    if (weight := track.stance.get("bench")) is not None:
        back = lowest(body, _trunk(body), whole, places)
        root[:, 2] += weight * (BENCH - back - root[:, 2])
    root[:, 2] += track.angles[:, INDEX["lift"]] / 100
    return root


def _held_by(body: Body, places: np.ndarray, weights: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return (T, 3) m: the mean place of the hands that hold on, and the place that these hands had at first."""
    names = CONTACT_GROUPS["grips"]
    share = np.stack([weights.get(name, np.zeros(len(places))) for name in names], 1)[..., None] + 1e-6
    hands = places[:, [_point(body, name) for name in names]]
    return (hands * share).sum(1) / share.sum(1), (hands[:1] * share).sum(1) / share.sum(1)


def _trunk(body: Body) -> np.ndarray:
    """Return the vertices of the hull that lie on a bench."""
    return body.hull[np.isin(body.bones.second[body.skin[body.hull, 0]], [AT[name] for name in ("waist", "chest")])]


def _seat(body: Body) -> np.ndarray:
    """Return the vertices of the hull that one sits and lies on."""
    on = [AT[name] for name in ("pelvis", "waist", "chest", "neck", "head")]
    leg = np.nan_to_num(body.along[body.hull, 1], nan=9.0)
    return body.hull[np.isin(body.bones.second[body.skin[body.hull, 0]], on) | (leg < 0.25)]


def lowest(body: Body, rows: np.ndarray, turns: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return (T,) m: the height of the lowest of the vertices `rows`.

    turns and places are the bones', (T, N, 3, 3) and (T, N, 3).
    """
    vertices, bones, weights = body.vertices[rows], body.skin[rows], body.weights[rows]
    return skin_clip(vertices, bones, weights, turns, places, body.bones.head)[..., 2].min(1)


def _horizontal(body: Body, track: Track, places: np.ndarray) -> np.ndarray:
    """Return (T, 2): within each stretch the first contact stays where the stretch found it."""
    out = np.zeros((len(places), 2))
    yaw = np.deg2rad(track.angles[:, INDEX["yaw"]])
    ahead, aside = (track.angles[:, INDEX[name]] / 100 for name in ("forward", "sideways"))
    drift = np.stack([aside * np.cos(yaw) + ahead * np.sin(yaw), aside * np.sin(yaw) - ahead * np.cos(yaw)], -1)
    edges = [0, *(np.flatnonzero(np.diff(track.touch)) + 1), len(places)]
    here = np.zeros(2)
    for start, stop in itertools.pairwise(edges):
        touch = track.touches[track.touch[start]]
        names = sides(touch[:1]) if touch and touch[0] != "body" else ()
        points = (
            places[start:stop, [_point(body, n) for n in names], :2].mean(1) if names else np.zeros((stop - start, 2))
        )
        out[start:stop] = here + points[0] - points
        if stop < len(places):
            after = places[stop, [_point(body, n) for n in names], :2].mean(0) if names else np.zeros(2)
            here = here + points[0] - after
    return out + drift


def _anchor(body: Body, name: str, weight: np.ndarray, places: np.ndarray, track: Track) -> np.ndarray:
    """Return (T, 3) where a contact should be.

    Its mean place over each of its stretches, on the floor or in the hand's height.
    """
    point = places[:, _point(body, name)]
    target = point.copy()
    raised = max((track.stance.get(n, np.zeros(1)).max() for n in HELD_AT), default=0) > 0.5
    always = weight[:, None] ** 4
    for start, stop in _runs(weight > 0.02):
        firm = weight[start:stop, None] ** 4
        target[start:stop] = (point[start:stop] * firm).sum(0) / firm.sum(0)
        if _kind(name) == "grip" and raised:  # a bar or a pommel is where it is, whenever the hand comes back to it
            target[start:stop] = (point * always).sum(0) / always.sum(0)
        if _kind(name) != "grip":
            target[start:stop, 2] = _height(body, name)
        elif raised:
            target[start:stop, 2] = max(HELD_AT[n] for n in HELD_AT if n in track.stance)
    moving = np.abs(track.angles[:, [INDEX["lift"], INDEX["forward"], INDEX["sideways"]]]).max() > 0
    if moving and _kind(name) in ("foot", "toes"):
        target[:, :2] = point[:, :2]
        target[:, 2] += track.angles[:, INDEX["lift"]] / 100
    return target


def _hold(body: Body, turns: np.ndarray, places: np.ndarray, name: str, weight: np.ndarray, target: np.ndarray) -> None:
    """Bend the limb so that the contact comes to its target, as far as the contact holds."""
    side, kind = name.split("_")
    upper, lower, tip = LEG_SEGMENTS if kind in ("foot", "toes") else ARM_SEGMENTS
    limb = (f"{side}_{upper}", f"{side}_{lower}", f"{side}_{tip}")
    end, point = places[:, body.bones.joint[limb[2]]], places[:, _point(body, name)]
    reach(body.bones, turns, places, limb, end + weight[:, None] * (target - point))
