"""Clips drawn as points instead of triangles, by torch, many frames at once: for training sets that a GPU draws.

The motion, the bodies, the rooms and the light are those of `racctl.synth`; what differs is that the surface of
the person is a cloud of points, that the picture is the square cut out about the person and nothing around it, and that
it is gray. The nearest point wins a pixel by an integer minimum, so equal input gives equal pictures.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from racctl.synth.raster import MIN_DEPTH

FINE = 2  # pixels drawn for each one of the result, along each side
DEEP = 1 << 16  # steps of depth in a metre
FAR = 15.9  # m; 20 bits of depth, 8 of gray and 3 of what it is fill an int32
PERSON, DRAWN = 1, 2  # bits: counts as the person in the mask; is in front of the room
SHADOW = 0.42  # how much darker, as in `render`
ENOUGH = 4  # of the eight neighbours, for a hole between points to be filled
CHUNK = 64  # frames at once


@dataclass
class Cloud:
    """A moving mesh seen as points. vertices: (V, 3) m at rest.  gray: (V,) 0..1, its own brightness.  weights: (V, N)
    of the bones.  moves: (K, 2, N, 12) rows of turn and shift of every bone, at each frame and at the one after it.
    corner: (P, 3) vertices of the triangle that each point lies on.  share: (P, 3) where on it.  part: (P,) body part.
    """

    vertices: Tensor
    gray: Tensor
    weights: Tensor
    moves: Tensor
    corner: Tensor
    share: Tensor
    part: Tensor


@dataclass
class Held:
    """What the hands hold. places: (K, G, 3) m.  gray: (P,).  corner, share: (P, 3), as in `Cloud`."""

    places: Tensor
    gray: Tensor
    corner: Tensor
    share: Tensor


@dataclass
class Scene:
    """A clip to be drawn, seen by a camera that stands still.

    person: the one whom the mask is of.  others: more people.  held: may be None.  turn (3, 3), place (3,), focal,
    size (width, height in pixels): the camera, as `camera.View`.  frame: left, top, right, bottom in pixels, what of
    its picture is filmed.  boxes: (K, 4) left, top, right, bottom in pixels, what is cut out of each frame.  room:
    (3, h, w) of the whole picture: its gray as it comes out of the camera, its depth in m, and where it is floor.
    light: (3,).  strength, ambient, gain, curve (an exponent): how light becomes gray.  shutter: frames.  exposures: 1
    or 3.  missing: (K, parts) bool, parts that the mask lacks.
    """

    person: Cloud
    others: list[Cloud]
    held: Held | None
    turn: Tensor
    place: Tensor
    focal: float
    size: tuple[int, int]
    frame: tuple[float, float, float, float]
    boxes: Tensor
    room: Tensor
    light: Tensor
    strength: float
    ambient: float
    gain: float
    curve: float
    shutter: float
    exposures: int
    missing: Tensor
    held_masked: bool = False


def onto(thing, device: torch.device):
    """A Scene, Cloud or Held with its tensors on that device."""
    values = {}
    for field in fields(thing):
        value = getattr(thing, field.name)
        if isinstance(value, Tensor):
            value = value.to(device, non_blocking=True)
        elif isinstance(value, (Cloud, Held)):
            value = onto(value, device)
        elif isinstance(value, list):
            value = [onto(each, device) for each in value]
        values[field.name] = value
    return type(thing)(**values)


@torch.no_grad()
def draw(scene: Scene, side: int) -> tuple[Tensor, Tensor]:
    """Gray (K, side, side) in 0..1 and the person's mask (K, side, side) bool, on the scene's device."""
    parts = [_draw(scene, slice(k, k + CHUNK), side) for k in range(0, len(scene.boxes), CHUNK)]
    return torch.cat([gray for gray, _ in parts]), torch.cat([mask for _, mask in parts])


def _draw(scene: Scene, rows: slice, side: int) -> tuple[Tensor, Tensor]:
    fine = side * FINE
    room, inside = _background(scene, rows, fine)
    dark = _shadows(scene, rows, fine) * room[:, 2]
    behind = room[:, 0] * (1 - SHADOW * dark).clamp(min=0) ** scene.curve
    deep = ((room[:, 1].clamp(MIN_DEPTH, FAR) * DEEP).to(torch.int32) << 11).flatten(1)
    total, mask = torch.zeros_like(behind), None
    for number in range(scene.exposures):
        offset = (number - scene.exposures // 2) / scene.exposures * scene.shutter
        keys = _splatted(scene, rows, offset, deep, fine)
        gray, person = _resolved(keys, behind)
        total += gray
        if number == scene.exposures // 2:
            mask = person
    total = total / scene.exposures * inside
    small = F.avg_pool2d(total[:, None], FINE)[:, 0]
    return small, F.avg_pool2d((mask * inside)[:, None], FINE)[:, 0] >= 0.5


def _background(scene: Scene, rows: slice, fine: int) -> tuple[Tensor, Tensor]:
    """The room cut out for each frame, (F, 3, fine, fine), and which pixels are filmed, (F, fine, fine)."""
    left, top, right, bottom = scene.boxes[rows].T[:, :, None]
    step = (torch.arange(fine, device=left.device) + 0.5) / fine
    x, y = left + step * (right - left), top + step * (bottom - top)
    grid_x, grid_y = x / scene.size[0] * 2 - 1, y / scene.size[1] * 2 - 1
    count = len(x)
    grid = torch.stack([grid_x[:, None].expand(count, fine, fine), grid_y[:, :, None].expand(count, fine, fine)], -1)
    room = F.grid_sample(scene.room[None].expand(count, -1, -1, -1), grid, padding_mode="border", align_corners=False)
    across = (x >= scene.frame[0]) & (x < scene.frame[2])
    down = (y >= scene.frame[1]) & (y < scene.frame[3])
    return room, (across[:, None] & down[:, :, None]).float()


def _placed(cloud: Cloud, rows: slice, offset: float) -> Tensor:
    """(F, V, 3) m in the room, `offset` frames from each frame: linear blend skinning."""
    moves = cloud.moves[rows]
    now = moves[:, 0] + offset * (moves[:, 1] - moves[:, 0])
    count, bones, _ = now.shape
    blended = (cloud.weights @ now.permute(1, 0, 2).reshape(bones, -1)).view(len(cloud.weights), count, 3, 4)
    points = torch.einsum("vfij,vj->fvi", blended[..., :3], cloud.vertices)
    return points + blended[..., 3].transpose(0, 1)


def _splatted(scene: Scene, rows: slice, offset: float, deep: Tensor, fine: int) -> Tensor:
    """(F, fine * fine) int32: of each pixel the nearest thing's depth, gray and bits."""
    keys = torch.cat([deep.flatten(), deep.new_zeros(1)])  # the last is where points go that are not in the picture
    for number, cloud in enumerate([scene.person, *scene.others]):
        corners = _seen(scene, _placed(cloud, rows, offset))
        bits = _bits(scene, rows, cloud) if number == 0 else DRAWN
        gray = (cloud.gray[cloud.corner] * cloud.share).sum(-1)
        _put(keys, scene, rows, corners, cloud, gray, bits, fine, both=False)
    if scene.held is not None:
        corners = _seen(scene, scene.held.places[rows])
        bits = DRAWN | PERSON if scene.held_masked else DRAWN
        _put(keys, scene, rows, corners, scene.held, scene.held.gray, bits, fine, both=True)
    return keys[:-1].view(len(deep), fine, fine)


def _bits(scene: Scene, rows: slice, cloud: Cloud) -> Tensor:
    """(F, P) int32: the person's points, without the parts that the mask lacks."""
    return DRAWN | torch.where(scene.missing[rows][:, cloud.part], 0, PERSON).to(torch.int32)


def _seen(scene: Scene, points: Tensor) -> Tensor:
    """World (F, V, 3) to camera axes, m."""
    return (points - scene.place) @ scene.turn.T


def _pixels(scene: Scene, rows: slice, points: Tensor, fine: int) -> tuple[Tensor, Tensor]:
    """Place (F, P) of camera points (F, P, 3) in the flattened pictures of all frames, and which are in them."""
    z = points[..., 2].clamp(min=MIN_DEPTH)
    x = points[..., 0] / z * scene.focal + scene.size[0] / 2
    y = points[..., 1] / z * scene.focal + scene.size[1] / 2
    left, top, right, bottom = scene.boxes[rows].T[:, :, None]
    column = ((x - left) / (right - left) * fine).floor().to(torch.int64)
    row = ((y - top) / (bottom - top) * fine).floor().to(torch.int64)
    seen = (column >= 0) & (column < fine) & (row >= 0) & (row < fine) & (points[..., 2] > MIN_DEPTH)
    frame = torch.arange(len(x), device=x.device)[:, None]
    return torch.where(seen, (frame * fine + row) * fine + column, len(x) * fine * fine), seen


def _put(keys: Tensor, scene: Scene, rows: slice, corners: Tensor, cloud, gray: Tensor, bits, fine: int, both: bool):
    """Draw a cloud's points into `keys`. corners: (F, V, 3) of its vertices.  both: lit from either side."""
    a, b, c = (corners[:, cloud.corner[:, k]] for k in range(3))
    share = cloud.share
    points = a * share[:, :1] + b * share[:, 1:2] + c * share[:, 2:]
    normal = F.normalize(torch.linalg.cross(b - a, c - a), dim=-1)
    facing = normal @ (scene.turn @ scene.light)
    facing = facing.abs() if both else facing.clamp(min=0)
    shade = scene.ambient * (0.825 + 0.175 * (normal @ scene.turn[:, 2])) + scene.strength * facing
    value = (gray * shade * scene.gain).clamp(0, 1) ** scene.curve
    depth = (points[..., 2].clamp(MIN_DEPTH, FAR) * DEEP).to(torch.int32)
    key = (depth << 11) | ((value * 255 + 0.5).to(torch.int32) << 3) | bits
    place, _ = _pixels(scene, rows, points, fine)
    keys.scatter_reduce_(0, place.flatten(), key.flatten(), "amin")


def _resolved(keys: Tensor, behind: Tensor) -> tuple[Tensor, Tensor]:
    """Gray and mask (F, fine, fine) of one exposure; holes between points take the mean of their neighbours."""
    drawn = (keys & DRAWN > 0).float()
    gray = ((keys >> 3) & 255).float() / 255 * drawn
    person = (keys & PERSON > 0).float()
    around = F.avg_pool2d(torch.stack([drawn, gray, person], 1), 3, 1, 1) * 9
    hole = (drawn == 0) & (around[:, 0] >= ENOUGH)
    filled = around[:, 1] / around[:, 0].clamp(min=1)
    gray = torch.where(hole, filled, torch.where(drawn > 0, gray, behind))
    return gray, torch.where(hole, (around[:, 2] * 2 > around[:, 0]).float(), person)


def _shadows(scene: Scene, rows: slice, fine: int) -> Tensor:
    """(F, fine, fine) 0..1: where people keep the light from the floor."""
    count = len(scene.boxes[rows])
    dark = torch.zeros(count * fine * fine + 1, device=scene.boxes.device)
    for cloud in [scene.person, *scene.others]:
        points = _placed(cloud, rows, 0.0)
        points = points - scene.light * (points[..., 2:] / scene.light[2])
        place, _ = _pixels(scene, rows, _seen(scene, points), fine)
        dark[place.flatten()] = 1.0
    dark = dark[:-1].view(count, 1, fine, fine)
    return F.avg_pool2d(F.max_pool2d(dark, 3, 1, 1), 5, 1, 2)[:, 0]
