"""Masks for the tests of masks: estimated as the command does it, and as bytes."""

from __future__ import annotations

import io

from racctl.estimators.mask import MaskOptions, PackedMasks, mask_lanes, mask_source


def estimate(path, jobs=1, **settings) -> PackedMasks:
    options = MaskOptions(**settings).check()
    with mask_lanes(options, 1, jobs) as (workers,):
        return mask_source(str(path), workers, options=options)


def written(film) -> bytes:
    out = io.BytesIO()
    film.write(out)
    return out.getvalue()
