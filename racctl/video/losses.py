"""What a reading of a clip did not get, or had to put right: told in one line, and kept with what is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from racctl.contracts import Meta

if TYPE_CHECKING:
    from racctl.video.index import Leap

MAX_NAMED_PLACES = 3  # places that the line names
MAX_RECORDED_PLACES = 100  # places that a meta document keeps


@dataclass(frozen=True)
class Gap:
    """Frames start..stop, half-open, that the decoder does not give.

    begin, end: where they lie, seconds.
    """

    start: int
    stop: int
    begin: float
    end: float

    def __str__(self) -> str:
        frames = f"{self.start}" if self.stop == self.start + 1 else f"{self.start} to {self.stop - 1}"
        return f"{frames} ({self.begin:.2f} to {self.end:.2f} s)"


@dataclass
class Losses:
    """Filled while a clip is read, complete when all frames that were asked for are taken.

    frames: how many pictures were to be read.
    gaps: those that could not be decoded.
    uncounted: how many more, where nothing tells which.
    resized: (frame, seconds) at which the size of the pictures as shown changes; all are scaled to that of the first.
    has_bars: whether some have another shape too, and black bars beside or above them.
    size: that of the first;
    now: the size where reading is.
    restarts: (frame, seconds) at which the clock of the file starts over.
    remarks: what else there is to say about the file, each a clause.
    """

    frames: int = 0
    gaps: list[Gap] = field(default_factory=list)
    uncounted: int = 0
    leaps: list[Leap] = field(default_factory=list)
    resized: list[tuple[int, float]] = field(default_factory=list)
    has_bars: bool = False
    size: tuple[int, int] = (0, 0)
    now: tuple[int, int] = (0, 0)
    restarts: list[tuple[int, float]] = field(default_factory=list)
    remarks: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.gaps or self.uncounted or self.leaps or self.resized or self.restarts or self.remarks)

    @property
    def lost(self) -> int:
        """How many frames could not be decoded."""
        return sum(gap.stop - gap.start for gap in self.gaps) + self.uncounted

    @property
    def absent(self) -> int:
        """About how many frames the file has lost."""
        return sum(leap.count for leap in self.leaps if leap.is_marked)

    @property
    def seconds(self) -> float:
        """How long those are that are known."""
        return sum(gap.end - gap.begin for gap in self.gaps)

    def line(self) -> str:
        """Return all of it for a person, without the clip's name; "" for nothing."""
        return "; ".join([*self.clauses(), *self.remarks])

    def clauses(self) -> list[str]:
        """Return what happened while the clip was read, for a person."""
        clauses = [self._lost_line()] if self.lost else []
        clauses += self._leap_lines()
        if self.resized:
            width, height = self.size
            bars = " with black bars" if self.has_bars else ""
            clauses.append(f"the picture size changes at {_places(self.resized)}, scaled to {width}x{height}{bars}")
        if self.restarts:
            clauses.append(f"the clock starts over at {_places(self.restarts)}, times go on from there")
        return clauses

    def _lost_line(self) -> str:
        line = f"{self.lost} of {self.frames} frames cannot be decoded"
        if not self.gaps:
            return line
        more = f" and in {len(self.gaps) - MAX_NAMED_PLACES} more places" if len(self.gaps) > MAX_NAMED_PLACES else ""
        return f"{line}, {self.seconds:.2f} s: {', '.join(map(str, self.gaps[:MAX_NAMED_PLACES]))}{more}"

    def _leap_lines(self) -> list[str]:
        lines = []
        for is_marked in (True, False):
            leaps = [leap for leap in self.leaps if leap.is_marked == is_marked]
            if not leaps:
                continue
            count = sum(leap.count for leap in leaps)
            frames = f"about {count} frame{'s are' if count > 1 else ' is'} missing in the file"
            seconds = f"{sum(leap.end - leap.begin for leap in leaps):.2f} s"
            shown = [
                f"before frame {leap.number} ({leap.begin:.2f} to {leap.end:.2f} s)"
                for leap in leaps[:MAX_NAMED_PLACES]
            ]
            more = f" and in {len(leaps) - MAX_NAMED_PLACES} more places" if len(leaps) > MAX_NAMED_PLACES else ""
            begin = f"{frames}, {seconds}" if is_marked else f"a pause, or {frames}, {seconds}"
            lines.append(f"{begin}: {', '.join(shown)}{more}")
        return lines

    def record(self) -> Meta:
        """Return the key `losses` of a meta document's source; {} for nothing."""
        losses: Meta = {}
        if self.lost:
            losses |= {"frames": self.lost, "seconds": round(self.seconds, 3)}
            losses["gaps"] = [[gap.start, gap.stop] for gap in self.gaps[:MAX_RECORDED_PLACES]]
        if self.leaps:
            losses["missing"] = self.absent
            losses["leaps"] = [leap.number for leap in self.leaps[:MAX_RECORDED_PLACES]]
        if self.resized:
            losses["resized"] = [frame for frame, _ in self.resized[:MAX_RECORDED_PLACES]]
        if self.restarts:
            losses["restarts"] = [frame for frame, _ in self.restarts[:MAX_RECORDED_PLACES]]
        if self.remarks:
            losses["remarks"] = list(self.remarks)
        return {"losses": losses} if losses else {}


def _places(frames: list[tuple[int, float]]) -> str:
    shown = ", ".join(f"frame {frame} ({seconds:.2f} s)" for frame, seconds in frames[:MAX_NAMED_PLACES])
    return shown + (f" and in {len(frames) - MAX_NAMED_PLACES} more places" if len(frames) > MAX_NAMED_PLACES else "")
