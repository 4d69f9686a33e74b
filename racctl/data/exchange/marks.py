"""What an annotation is, whichever format it stands in."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from racctl.errors import DataError
from racctl.io.spool import clip_name

NUMBERED_TEXT = re.compile(r"(?:(?P<label>.*\S)\s+)?(?P<number>[1-9][0-9]{0,5})")
FRAMES_TEXT = re.compile(r"frames (\d{1,15})-(\d{1,15}) at (\d{1,15})-(\d{1,15}) ms")
UNNUMBERED = 0
UNLABELLED = "segment"  # what a caption shows of a mark without label or number


@dataclass(frozen=True)
class Mark:
    """A part of a clip that somebody or something marked.

    start_s, stop_s: seconds in the video.
    label: of the exercise, "" for none.
    rep: the number of the repetition, from 1; UNNUMBERED for a segment.
    start, stop: source frames, half-open; None where they are not known.
    """

    start_s: float
    stop_s: float
    label: str = ""
    rep: int = UNNUMBERED
    start: int | None = None
    stop: int | None = None

    @property
    def text(self) -> str:
        """How a caption shows it: "squat 3", "3", "squat"."""
        words = [self.label] if self.label else []
        if self.rep:
            words.append(str(self.rep))
        return " ".join(words) or UNLABELLED

    @property
    def frames_text(self) -> str:
        """The frames in words, which `framed` reads; "" where they are not known."""
        if self.start is None or self.stop is None:
            return ""
        first, last = self.milliseconds
        return f"frames {self.start}-{self.stop} at {first}-{last} ms"

    @property
    def milliseconds(self) -> tuple[int, int]:
        return round(1000 * self.start_s), round(1000 * self.stop_s)


def label_of(text: str) -> str:
    """Return the label that a caption shows, "" where it says that there is none; `numbered` reads the numbers."""
    return "" if text == UNLABELLED else text


@dataclass
class MarkedClip:
    """The marks of one clip, in the order of time.

    clip: its name.
    fps: frames/s, 0 where unknown.
    """

    clip: str
    marks: list[Mark] = field(default_factory=list)
    fps: float = 0.0

    @property
    def counts_repetitions(self) -> bool:
        """Whether the marks are repetitions, not segments."""
        return bool(self.marks) and all(mark.rep for mark in self.marks)


@dataclass(frozen=True)
class AnnotationFormat:
    """A way in which annotations are kept in files.

    suffix: of its files.
    one_clip: whether a file is about one clip.
    claims: whether a text is of this format.
    read: the clips in a text; its second argument is how messages call the file, its third the frames per second of
        clips where it tells none, 0 for unknown. DataError for damage.
    write: the text of clips.
    """

    suffix: str
    one_clip: bool
    claims: Callable[[str], bool]
    read: Callable[[str, str, float], list[MarkedClip]]
    write: Callable[[Sequence[MarkedClip]], str]


def clip_of_file(where: str) -> str:
    """Return the name of the clip that a file is about: the file's own, without its suffix."""
    return clip_name(re.sub(r"(?i)\.(vtt|srt|eaf)$", "", where))


def numbered(clip: MarkedClip) -> MarkedClip:
    """Return a clip whose texts, in `Mark.label`, are taken for repetitions where all of them end in their number.

    "squat 1", "squat 2", "lunge 1" are repetitions, for every label counts from 1 in order; "set 2" alone is a segment.
    """
    marks: list[Mark] = []
    reached: dict[str, int] = {}
    for mark in clip.marks:
        match = NUMBERED_TEXT.fullmatch(mark.label.strip())
        if match is None:
            return clip
        label, number = match["label"] or "", int(match["number"])
        if number != reached.get(label, 0) + 1 and number != sum(reached.values()) + 1:
            return clip
        reached[label] = reached.get(label, 0) + 1
        marks.append(replace(mark, label=label, rep=number))
    return replace(clip, marks=marks)


def framed(mark: Mark, text: str) -> Mark:
    """Return a mark with the frames that a text, see `Mark.frames_text`, names.

    It stays as it is where the text names none, or was written for other times: somebody moved the mark since.
    """
    match = FRAMES_TEXT.search(text)
    if match is None:
        return mark
    start, stop, *times = map(int, match.groups())
    return replace(mark, start=start, stop=stop) if tuple(times) == mark.milliseconds else mark


def checked(clip: MarkedClip, where: str) -> MarkedClip:
    """Return a clip with its marks in order; DataError for one that has no time, or ends before it starts."""
    for mark in clip.marks:
        start, stop = mark.start_s, mark.stop_s
        if not (math.isfinite(start) and math.isfinite(stop) and 0 <= start <= stop):
            raise DataError(f"'{where}' marks '{mark.text}' from {start:g} to {stop:g} s in '{clip.clip}'")
    return replace(clip, marks=sorted(clip.marks, key=lambda mark: (mark.start_s, mark.stop_s)))


def number(value: object, where: str) -> float:
    """Return a number of a JSON document; DataError for anything else."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(float(value)):
            return float(value)
    except OverflowError:
        pass
    raise DataError(f"'{where}' has {repr(value)[:40]} where a number of seconds or frames should be")
