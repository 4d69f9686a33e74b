"""What a user asks for, as text, made into jobs; needs neither anny nor the renderer."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

from racctl.contracts import BACKGROUND
from racctl.errors import DataError, UsageError
from racctl.synth.movement import INVENTED
from racctl.synth.movements import catalog, exercises, movement_named
from racctl.synth.noise import ERRORS

if TYPE_CHECKING:
    from racctl.synth.dataset import ClipJob


PROTOCOL_SIZE = (304, 400)  # the paper's median of 456 x 598, at two thirds
PROTOCOL_FPS = 30.0


@dataclass(frozen=True)
class Request:
    """A checked request.

    size, fps: None where each clip draws its own.
    drawn, errors: see `dataset.Job`.
    """

    classes: list[str]
    split: dict[str, float]
    size: tuple[int, int] | None
    fps: float | None
    reps: tuple[int, int]
    drawn: bool
    errors: str
    protocol: bool

    def jobs(
        self, clips: int, seed: int, *, speed: str, clean: bool, seconds: float
    ) -> tuple[list[ClipJob], list[str]]:
        """Return the jobs, and remarks for the user.

        Raises DataError where the extra racctl[synth] is not installed.
        """
        need_extra()
        if self.protocol:
            from racctl.synth.protocol import protocol_jobs

            size, fps = self.size or PROTOCOL_SIZE, self.fps or PROTOCOL_FPS
            return protocol_jobs(clips, seconds, seed, size, fps, drawn=self.drawn, errors=self.errors)
        from racctl.synth.dataset import plans

        more = {"speed": speed, "size": self.size, "fps": self.fps, "repetitions": self.reps, "clean": clean}
        return plans(self.classes, clips, self.split, seed, drawn=self.drawn, errors=self.errors, **more), []


def need_extra() -> None:
    """Raise DataError, with the way out, unless the generator's own dependencies are installed."""
    for name in ("numba", "torch", "anny"):
        if importlib.util.find_spec(name) is None:
            raise DataError(f"'{name}' is not installed; the generator needs it: pip install 'racctl[synth]'")


def read_request(
    classes: str,
    split: str,
    size: str,
    reps: str,
    pose_only: bool,
    errors: str,
    protocol: bool,
    fps: float | None = None,
) -> Request:
    """Check the options of the command line.

    Raises UsageError says what is expected instead.
    """
    words = [name.strip() for name in classes.split(",") if name.strip()]
    names = [movement for name in words for movement in (exercises() if name == "all" else [name])]
    for name in names:
        if name not in (INVENTED, BACKGROUND):
            movement_named(name)
    if not names or len(set(names)) != len(names):
        raise UsageError(f"invalid value '{classes}' for '--classes'; expected movements, each once")
    errors = errors or ("blazepose" if pose_only else "none")
    if errors not in ERRORS:
        raise UsageError(f"invalid value '{errors}' for '--errors'; expected one of {', '.join(ERRORS)}")
    pixels = _pair(size, "x", "--size", "320x240", 32, 4096) if size else None
    if pixels and (pixels[0] % 2 or pixels[1] % 2):
        raise UsageError(f"'--size {size}' has an odd side; H.264 needs even ones")
    if fps is not None and not 1 <= fps <= 240:
        raise UsageError(f"'--fps {fps:g}' is out of range; expected 1 to 240")
    low, high = _pair(reps, "-", "--reps", "3-10", 1, 10000)
    if low > high:
        raise UsageError(f"'--reps {reps}' runs backwards")
    return Request(names, parse_split(split), pixels, fps, (low, high), not pose_only, errors, protocol)


def parse_split(text: str) -> dict[str, float]:
    """Parse "train=0.8,test=0.2" into shares that add up to 1.

    Raises UsageError for anything else.
    """
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, sign, value = part.partition("=")
        try:
            share = float(value)
        except ValueError:
            share = -1.0
        if not sign or not name.strip().isidentifier() or not 0 < share < 1e9 or name.strip() in shares:
            raise UsageError(
                f"invalid value '{text}' for '--split'; expected something like 'train=0.7,val=0.1,test=0.2'"
            )
        shares[name.strip()] = share
    total = sum(shares.values())
    return {name: share / total for name, share in shares.items()}


def _pair(text: str, sign: str, option: str, example: str, least: int, most: int) -> tuple[int, int]:
    parts = text.lower().split(sign)
    if len(parts) == 1 and sign == "-":
        parts *= 2
    if len(parts) != 2 or not all(part.strip().isdecimal() and least <= int(part) <= most for part in parts):
        raise UsageError(
            f"invalid value '{text}' for '{option}'; expected something like '{example}', each {least} to {most}"
        )
    return int(parts[0]), int(parts[1])


def listed() -> str:
    """Return a line for each movement: name, class, what counts."""
    width = max(map(len, catalog()))
    rows = (f"{name:{width}}  {movement.kind:{width}}  {movement.counts}" for name, movement in catalog().items())
    return "\n".join(rows)
