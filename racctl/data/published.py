"""RepCount-A, Countix and UCFRep on disk: the published table of a split, and the video of each of its clips.

    for clip in RepCount("LLSP", "test"):
        if clip.usable:
            encode(clip.video, clip.segment, clip.repetitions)

A data set is a folder that holds the videos, at any depth, and mostly its table too. Clips are matched with videos by
name, so the layouts in use (`video/test/stu1_0.mp4`, `UCF-101/JumpRope/v_JumpRope_g01_c01.avi`, all in one folder) need
no telling apart. A bad row or video is reported on its clip and stops nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, ClassVar

import numpy as np

from racctl.data.clips import ClipTruth, Problem, as_cycles, quoted
from racctl.data.countix import is_countix_segments, is_seconds, read_countix_segments, read_seconds
from racctl.data.known_bad import KNOWN_BAD
from racctl.data.repcount import is_fitness, is_repcount, read_fitness, read_repcount
from racctl.data.tables import TextTable
from racctl.data.truth import read_truth, with_all_problems
from racctl.data.ucfrep import MAT_MAGIC, is_ucfrep, read_folder, read_mat, read_ucfrep
from racctl.errors import DataError, UsageError

if TYPE_CHECKING:
    from racctl.video.decode import Video

SPLIT_SPELLINGS = {
    "train": ("train",),
    "val": ("val", "valid", "validation"),
    "test": ("test",),
}  # and how files spell them
HARMLESS = (
    "duplicate row",
    "known wrong label",
    "other rate",
    "damaged video",
    "odd video",
)  # problems that leave targets as published


@dataclass(frozen=True, eq=False)
class DatasetClip:
    """One row of a split.

    truth: what the table says.
    video: its file; None where there is none, or several.
    segment: (start, stop) source frames that the count is about; None for the whole video.
    repetitions: (N, 2) int64 first frame and the frame after the last, in source frames, of the repetitions that can be
        looked at: those of zero length, backwards or outside the segment and the video are left out.
    problems: all that is wrong.
    unusable: the problem that keeps the clip from being used, "" for none.
    """

    truth: ClipTruth
    video: Path | None
    segment: tuple[int, int] | None = None
    repetitions: np.ndarray = field(default_factory=lambda: as_cycles([]))
    problems: tuple[Problem, ...] = ()
    unusable: str = ""

    @property
    def usable(self) -> bool:
        return not self.unusable


class Published:
    """What data sets share; see `RepCount`, `Countix`, `UCFRep`. A subclass says how its tables are known and read.

    root: the folder with the videos.
    split: "train", "val" ("valid", "validation") or "test", as published.
    annotations: the table, or a folder to look for it in; "" looks in `root`.
    exclude_known_bad: leave out the clips of `racctl.data.known_bad`.
    encode_only: True: no targets are wanted, so a clip is usable when its video is there and has frames, whatever is
        wrong with its count; unsound repetitions are left out one by one.

    False: targets will be made of the labels, so every problem makes a clip unusable, but a repeated row, another rate
    and a label that is known to be wrong.

    truths: the rows, in the table's order, with all problems that can be told without the videos.
    excluded: clip -> reason.
    table: the path read.
    notes: what a person should know, a line each.

    Iterating opens each video in turn. UsageError for an unknown split; DataError when the root is no folder, and when
    no table, several or one of another data set is found.
    """

    title: ClassVar[str]
    variants: ClassVar[tuple[str, ...]]  # that `ClipTruth` gives its tables
    tables: ClassVar[tuple[str, ...]]  # usual names; of several in one folder the first is taken
    magic: ClassVar[bytes] = b""  # that its files begin with which are no tables; b"" where it has tables only

    @classmethod
    def claims(cls, table: TextTable) -> bool:
        """Return whether a table is this data set's, by its columns."""
        raise NotImplementedError

    @classmethod
    def read(cls, table: TextTable) -> list[ClipTruth]:
        """Return the clips of a table that it claims, in order, repairing nothing: `ClipTruth.problems` has it."""
        raise NotImplementedError

    @classmethod
    def read_file(cls, file: IO[bytes], where: str) -> list[ClipTruth]:
        """Return the clips of a file that begins with `magic`."""
        raise NotImplementedError

    @classmethod
    def claims_folder(cls, folder: str) -> bool:  # noqa: ARG003 (others look)
        """Return whether this folder is the data set's annotation, not a table in it."""
        return False

    @classmethod
    def read_folder(cls, folder: str) -> list[ClipTruth]:
        """Return the clips of a folder that it claims."""
        raise NotImplementedError

    def __init__(
        self,
        root: str | Path,
        split: str,
        annotations: str | Path = "",
        exclude_known_bad: bool = False,
        encode_only: bool = True,
    ) -> None:
        from racctl.data.videos import find_videos

        self.root, self.encode_only = Path(root), encode_only
        self.split = self._split(split)
        self._videos = find_videos(self.root)
        self.table = self._table(Path(annotations or root))
        rows = self._read()
        reasons = KNOWN_BAD if exclude_known_bad else {}
        self.excluded = {row.clip: reasons[row.clip] for row in rows if row.clip in reasons}
        self.truths = [row for row in with_all_problems(rows) if row.clip not in self.excluded]
        self.notes = [f"{self.title}, {self.split}: {len(rows)} clips in '{self.table}'"]
        if self.split != _canonical(split):
            self.notes.append(f"{self.title} has no {split} split; its {self.split} split serves as one, as published")
        self.notes += [f"left out, {clip}: {reason}" for clip, reason in self.excluded.items()]

    def __len__(self) -> int:
        return len(self.truths)

    def __iter__(self) -> Iterator[DatasetClip]:
        return map(self.clip, self.truths)

    def clip(self, truth: ClipTruth) -> DatasetClip:
        """Return the clip of one of `truths`, its video looked at."""
        from racctl.data.videos import look_at

        paths = self._videos.of(truth.clip, SPLIT_SPELLINGS[self.split])
        video, seen = look_at(truth, paths)
        problems = (*truth.problems, *seen)
        path = paths[0] if len(paths) == 1 else None
        if video is None:
            return DatasetClip(truth, path, problems=problems, unusable=str(seen[0]))
        segment = self._segment(truth)
        segment = segment and (max(0, segment[0]), min(segment[1], video.frames))
        if segment and segment[0] >= segment[1]:
            kind = "past the end" if segment[0] >= video.frames else "zero-length"
            empty = Problem(f"the segment from frame {segment[0]} holds none of the video's {video.frames}", kind)
            return DatasetClip(truth, path, problems=(*problems, empty), unusable=str(empty))
        wrong = "" if self.encode_only else next((str(p) for p in problems if p.kind not in HARMLESS), "")
        return DatasetClip(truth, path, segment, _sound(truth, segment, video), problems, wrong)

    def _segment(self, truth: ClipTruth) -> tuple[int, int] | None:  # noqa: ARG002 (UCFRep's depends on it)
        """Return None: RepCount-A and Countix are about whole videos, whatever length their tables give."""
        return None

    def _split(self, split: str) -> str:
        return _canonical(split)

    def _read(self) -> list[ClipTruth]:
        rows = read_truth(self.table)
        foreign = next((row.variant for row in rows if row.variant not in self.variants), None)
        if foreign is not None:
            raise DataError(f"'{self.table}' is {foreign}, expected {self.title}")
        return rows

    def _table(self, place: Path) -> str:
        """Return the path of the split's table: `place` itself, or the one under a usual name in it."""
        if not place.is_dir():
            return str(place)
        candidates = self._candidates(place)
        if not candidates:
            usual = [name.format(split=SPLIT_SPELLINGS[self.split][0]) for name in self.tables]
            raise DataError(f"'{place}' has no table of {self.title}'s {self.split} split, such as {quoted(usual, 2)}")
        if len(candidates) > 1:
            shown = quoted([str(path) for path in candidates])
            raise DataError(f"'{place}' has several tables of the {self.split} split: {shown}; name the one meant")
        return str(candidates[0])

    def _candidates(self, place: Path) -> list[Path]:
        """Return the table under the first of the usual names, of each folder that has one."""
        from racctl.data.videos import files_under

        rank = {
            name.format(split=spelling): (k, j)
            for k, name in enumerate(self.tables)
            for j, spelling in enumerate(SPLIT_SPELLINGS[self.split])
        }
        best: dict[Path, Path] = {}
        for path in files_under(place):
            place_in_rank, best_so_far = rank.get(path.name.lower()), best.get(path.parent)
            if place_in_rank is not None and (best_so_far is None or place_in_rank < rank[best_so_far.name.lower()]):
                best[path.parent] = path
        return list(best.values())


class RepCount(Published):
    """RepCount-A (TransRAC): videos of exercise, the frames of each repetition.

    Tables: TransRAC's own, ESCounts' with lengths and rates, DeTRC's, D2-STX's shorter splits; TransRAC's open-set
    split has to be named. Labels are `racctl.data.class_names`, so its 16 spellings are 10 exercises.
    """

    title = "RepCount-A"
    variants = ("RepCount", "RepCount with fps", "RepCount with total_frames")
    tables = ("{split}_with_fps.csv", "{split}.csv", "{split}_new.csv", "{split}_with_fps_new.csv")

    @classmethod
    def claims(cls, table: TextTable) -> bool:
        return is_repcount(table) or is_fitness(table)

    @classmethod
    def read(cls, table: TextTable) -> list[ClipTruth]:
        return read_repcount(table) if is_repcount(table) else read_fitness(table)


class Countix(Published):
    """Countix: repeating segments cut out of Kinetics videos.

    A clip is in a file called `<YouTube id>_<start>_<end>`, with seconds from the start of the Kinetics clip.

    ESCounts' tables give each clip as many equal cycles as its count, which serve as repetitions; the original ones
    give none.
    """

    title = "Countix"
    variants = ("Countix (ESCounts)", "Countix")
    tables = ("new_{split}.csv", "countix_{split}.csv", "countixav_{split}.csv", "{split}.csv")

    @classmethod
    def claims(cls, table: TextTable) -> bool:
        return is_seconds(table) or is_countix_segments(table)

    @classmethod
    def read(cls, table: TextTable) -> list[ClipTruth]:
        return read_seconds(table) if is_seconds(table) else read_countix_segments(table)


class UCFRep(Published):
    """UCFRep: a segment of UCF-101's videos.

    Tables: ESCounts' CSV, or the authors' folders `train` and `val` of .mat files. It has no test split: everybody
    reports on `val`, and so does "test" here.
    """

    title = "UCFRep"
    variants = ("UCFRep (ESCounts)", "UCFRep (.mat)")
    tables = ("new_{split}.csv", "{split}.csv", "ucf{split}.csv")
    magic = MAT_MAGIC

    @classmethod
    def claims(cls, table: TextTable) -> bool:
        return is_ucfrep(table)

    @classmethod
    def read(cls, table: TextTable) -> list[ClipTruth]:
        return read_ucfrep(table)

    @classmethod
    def read_file(cls, file: IO[bytes], where: str) -> list[ClipTruth]:
        return [read_mat(file, where)]

    @classmethod
    def claims_folder(cls, folder: str) -> bool:  # noqa: ARG003
        return True  # no other of the project's is a folder; what it lacks is said on reading

    @classmethod
    def read_folder(cls, folder: str) -> list[ClipTruth]:
        return read_folder(folder)

    def _split(self, split: str) -> str:
        return "val" if _canonical(split) == "test" else _canonical(split)

    def _segment(self, truth: ClipTruth) -> tuple[int, int] | None:
        return truth.segment

    def _candidates(self, place: Path) -> list[Path]:
        if any(place.glob("*.mat")):
            return [place]
        from racctl.data.videos import files_under

        matlab = {path.parent for path in files_under(place) if path.suffix.lower() == ".mat"}
        spelled = [folder for folder in sorted(matlab) if folder.name.lower() in SPLIT_SPELLINGS[self.split]]
        return [*super()._candidates(place), *spelled]


def _canonical(split: str) -> str:
    """Return the name in SPLIT_SPELLINGS of a split.

    Raises UsageError when it is none of their spellings.
    """
    for name, spellings in SPLIT_SPELLINGS.items():
        if split.lower() in spellings:
            return name
    raise UsageError(f"no such split '{split}'; expected one of {', '.join(SPLIT_SPELLINGS)}")


def _sound(truth: ClipTruth, segment: tuple[int, int] | None, video: Video) -> np.ndarray:
    """Return the cycles (N, 2) that are forwards, not empty, and inside both the segment and the video."""
    if truth.cycles is None:
        return as_cycles([])
    first, last = segment or (0, video.frames)
    start, stop = truth.cycles[:, 0], truth.cycles[:, 1]
    return truth.cycles[(start < stop) & (start >= first) & (stop <= last)]
