"""Whether a mask or a pose is of the frames that it is used for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from racctl.contracts import Pose
from racctl.errors import DataError
from racctl.windows import frame_step

if TYPE_CHECKING:
    from racctl.contracts import Mask
    from racctl.estimators.mask import PackedMasks

MAX_UNCOVERED = 15  # frames at either end of a clip that a mask or pose may lack


def refuse_other_part(part: Mask | PackedMasks | Pose, number: np.ndarray, where: str) -> None:
    """DataError unless a mask or pose covers the frames `number` of a clip, but for moments at its ends."""
    kind = "pose" if isinstance(part, Pose) else "mask"
    slack = frame_step(part.frame) + MAX_UNCOVERED
    if not len(part.frame) or part.frame[0] > number[0] + slack or part.frame[-1] < number[-1] - slack:
        covered = f"{part.frame[0]} to {part.frame[-1]}" if len(part.frame) else "none"
        raise DataError(
            f"the {kind} given with '{where}' covers frames {covered} of {number[0]} to {number[-1]}; is it of another "
            "clip? '--start' and '--stop' take a part"
        )
