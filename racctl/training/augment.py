"""Augmentation of clips, the same for all frames of a clip: geometry on pictures and masks, light on pictures only.

Mask Cross-Attention Transformer paper, section 4.2. It works on whatever device the clips are on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from racctl.training.lacking_joints import flattened, tilted, without_joints


@dataclass(frozen=True)
class Augmentation:
    """How clips are varied. The ranges are the paper's; what follows light is not in it.

    flip: chance that a clip is mirrored.
    scale, aspect: of the part of the picture that is shown.
    light: brightness and contrast.
    tempo: windows are played faster or slower by a factor from this range.
    drop: chance that one of the streams is blank in a window.
    minmax: share of the windows whose joints are scaled to their bounding box in every frame, as PoseRAC's poses are.
    layouts: share of the windows that lack joints, by the layout of another skeleton or the edge of the picture.
    flat: share of the windows whose joints have no depth.
    tilt: whether the camera of joints leans a little.
    """

    flip: float = 0.5
    scale: tuple[float, float] = (0.8, 1.0)  # of the area
    aspect: tuple[float, float] = (0.9, 1.1)
    light: tuple[float, float] = (0.8, 1.2)  # brightness, contrast; saturation changes nothing in grayscale
    tempo: tuple[float, float] = (1.0, 1.0)
    drop: float = 0.0
    minmax: float = 0.0
    layouts: float = 0.0
    flat: float = 0.0
    tilt: bool = False

    def __call__(
        self,
        gray: Tensor,
        mask: Tensor,
        joints: Tensor | None,
        mirror: Tensor | None,
        tables: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the clips, varied.

        gray, mask: (b, t, h, w) in 0..1.
        joints: (b, t, v, 4) or None.
        mirror: (v,) left-right order of the joints; it goes with joints.
        tables: see `racctl.training.lacking_joints.layout_tables`; they go with `layouts`.
        """
        with torch.autocast(gray.device.type, enabled=False):  # half precision would move pixels
            gray, mask, joints = self._changed(gray, mask, joints, mirror)
            if joints is not None:
                joints = self._reduced(joints, tables)
            return self._dropped(gray, mask, joints)

    def _reduced(self, joints: Tensor, tables: tuple[Tensor, Tensor] | None) -> Tensor:
        """Return joints as other skeletons and cameras give them."""
        if self.tilt:
            joints = tilted(joints)
        if self.layouts and tables is not None:
            joints = without_joints(joints, self.layouts, tables)
        if self.minmax:
            scaled = torch.rand(len(joints), device=joints.device) < self.minmax
            joints = torch.where(scaled[:, None, None, None], minmaxed(joints), joints)
        return flattened(joints, self.flat) if self.flat else joints

    def _changed(
        self, gray: Tensor, mask: Tensor, joints: Tensor | None, mirror: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        b = len(gray)
        flip = torch.rand(b, device=gray.device) < self.flip
        if gray.numel():
            grid = self._grid(gray, flip)
            gray = F.grid_sample(gray, grid, mode="bilinear", padding_mode="border", align_corners=False)
            mask = F.grid_sample(mask, grid, mode="nearest", padding_mode="zeros", align_corners=False)
            gray = self._lit(gray)
        if joints is not None:
            mirrored = joints[:, :, mirror] * joints.new_tensor([-1.0, 1.0, 1.0, 1.0])
            joints = torch.where(flip[:, None, None, None], mirrored, joints)
        return gray, mask, joints

    def _grid(self, clips: Tensor, flip: Tensor) -> Tensor:
        """Return (b, h, w, 2): for each clip one crop of random place, area and aspect, maybe mirrored."""
        b, _, h, w = clips.shape
        area = _uniform(b, self.scale, clips)
        aspect = _uniform(b, self.aspect, clips)
        wide, high = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
        x, y = ((1 - side) * _uniform(b, (-1, 1), clips) for side in (wide, high))
        zero = torch.zeros_like(x)
        wide = torch.where(flip, -wide, wide)
        theta = torch.stack([wide, zero, x, zero, high, y], dim=1).view(b, 2, 3)
        return F.affine_grid(theta, [b, 1, h, w], align_corners=False)

    def _lit(self, gray: Tensor) -> Tensor:
        b = len(gray)
        brightness, contrast = (_uniform(b, self.light, gray)[:, None, None, None] for _ in range(2))
        gray = gray * brightness
        mean = gray.mean((1, 2, 3), keepdim=True)
        return ((gray - mean) * contrast + mean).clamp(0, 1)

    def _dropped(self, gray: Tensor, mask: Tensor, joints: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        if self.drop:
            lost = torch.rand(len(gray), device=gray.device)
            which = torch.randint(3 if joints is not None else 2, (len(gray),), device=gray.device)
            keep = [1 - ((lost < self.drop) & (which == k)).float()[:, None, None, None] for k in range(3)]
            gray, mask = gray * keep[0], mask * keep[1]
            joints = joints if joints is None else joints * keep[2]
        return gray, mask, joints


def minmaxed(joints: Tensor) -> Tensor:
    """Return joints as they would be of a pose whose x, y and z run from 0 to 1 in every frame.

    joints: (b, t, v, 4) as `racctl.skeleton.normalise.joint_tokens` gives them.
    """
    seen = joints[..., 3:] > 0
    place = joints[..., :3]
    low = torch.where(seen, place, torch.inf).amin(2, keepdim=True)
    span = torch.where(seen, place, -torch.inf).amax(2, keepdim=True) - low
    place = torch.where(seen, (place - low) / span.clamp(min=1e-3), 0.0)
    middle = place[..., :2].sum(2, keepdim=True) / seen.sum(2, keepdim=True).clamp(min=1)
    away = torch.where(seen[..., 0], (place[..., :2] - middle).norm(dim=-1), torch.nan)
    unit = away.flatten(1).nanmedian(1).values.nan_to_num(1.0).clamp(min=1e-3)[:, None, None, None]
    centre = torch.where(seen.any(2, keepdim=True), middle, torch.nan).nanmedian(1, keepdim=True).values.nan_to_num(0.0)
    xy, z = (place[..., :2] - centre) / unit, place[..., 2:] / unit
    return torch.cat([torch.where(seen, xy, 0.0), torch.where(seen, z, 0.0), joints[..., 3:]], dim=-1)


def _uniform(count: int, between: tuple[float, float], like: Tensor) -> Tensor:
    return torch.rand(count, device=like.device, dtype=like.dtype) * (between[1] - between[0]) + between[0]
