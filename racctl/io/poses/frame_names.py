"""Frame numbers out of the names of pictures: the number that counts them, never one that merely stands there.

A name may hold several numbers, of the clip, the resolution, a date, the digits of a hash. The frame's is the one that
is another in every name, stands at the same place in all of them, and counts: it ascends with the file's own order or
its ids, or leaves few numbers out, or is written with leading zeros. The last part of a time of day ("14-22-59",
"14-23-00") is none: it starts over.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from racctl.errors import DataError

DIGITS = re.compile(r"[0-9]+")
MAX_DIGITS = 18  # digits; longer ones are no count
MAX_MEAN_GAP = 50  # of 50 numbers one is there at least, in steps of their greatest common divisor


def numbered_names(names: Sequence[str], where: str, ids: Sequence[int] | None = None) -> list[int] | None:
    """Return the frame number in each name; None where no name has a digit.

    ids: numbers that the file gives the pictures.

    Raises DataError when no number in them counts, or two do and it cannot be told which is the frame's.
    """
    if not any(map(DIGITS.search, names)):
        return None
    if len(names) == 1:
        return [0]
    columns = _columns(names)
    counting = [column.numbers for column in columns if _counts(column, ids)]
    if not counting and len(columns) == 1 and columns[0].is_padded and not columns[0].starts_over:
        counting = [columns[0].numbers]
    if len(counting) > 1:
        counting = _likeliest(counting, ids)
    if len(counting) == 1:
        return counting[0]
    shown = f"'{names[0]}', '{names[1]}'"
    if len(set(names)) != len(names) or _twice(names):
        raise DataError(
            f"'{where}' has two pictures for the same frame number; expected one clip ({shown}, ... named 000001, "
            "000002, ...)"
        )
    why = "have two numbers that could be the frame's" if counting else "hold no number that counts frames"
    raise DataError(f"'{where}': the names of its pictures ({shown}, ...) {why}; name them 000001, 000002, ...")


@dataclass(frozen=True)
class _Column:
    """The numbers that stand at one place of all names.

    starts_over: whether a number before them changes now and then, as minutes before seconds do.
    is_padded: whether all are written with as many digits, which takes leading zeros.
    """

    numbers: list[int]
    starts_over: bool
    is_padded: bool


def _columns(names: Sequence[str]) -> list[_Column]:
    """Return the numbers that stand at the same place in all names, behind or before the same words.

    Another one in each.
    """
    forward = [_parts(name) for name in names]
    backward = [part[::-1] for part in forward]
    same_words = len({tuple(part[0::2]) for part in forward}) == 1
    columns: dict[tuple[int, ...], _Column] = {}
    for parts in (forward, backward):
        repeating = False  # whether a number before this one changes, but not from every name to the next
        for place in range(1, min(map(len, parts)), 2):
            if len({tuple(part[0:place:2]) for part in parts}) > 1:
                break
            digits = [part[place] for part in parts]
            if max(map(len, digits)) > MAX_DIGITS:
                continue
            numbers = [int(text) for text in digits]
            if len(set(numbers)) == len(names):
                padded = len(set(map(len, digits))) == 1 and any(text.startswith("0") for text in digits)
                columns.setdefault(tuple(numbers), _Column(numbers, same_words and repeating, padded))
            repeating = repeating or 1 < len(set(numbers)) < len(names)
    return list(columns.values())


def _parts(name: str) -> list[str]:
    """Split a name into words and numbers in turn, words first and last."""
    return re.split(r"([0-9]+)", name)


def _counts(column: _Column, ids: Sequence[int] | None) -> bool:
    """Return whether they ascend, as they come or by their ids, or are close to each other."""
    numbers = column.numbers
    if _ascends(numbers) or (
        ids is not None and _ascends([number for _, number in sorted(zip(ids, numbers, strict=True))])
    ):
        return True
    ordered = sorted(numbers)
    gaps = [after - before for before, after in pairwise(ordered)]
    return not column.starts_over and ordered[-1] - ordered[0] <= MAX_MEAN_GAP * len(numbers) * min(gaps)


def _ascends(numbers: Sequence[int]) -> bool:
    return all(before < after for before, after in pairwise(numbers))


def _likeliest(columns: list[list[int]], ids: Sequence[int] | None) -> list[list[int]]:
    """Narrow down several columns that count.

    Those that ascend as the pictures come, then the ids themselves, then steps of 1.
    """
    for test in (
        _ascends,
        lambda column: ids is not None and len({number - id_ for number, id_ in zip(column, ids, strict=True)}) == 1,
        lambda column: max(column) - min(column) == len(column) - 1,
    ):
        left = [column for column in columns if test(column)]
        if len(left) == 1:
            return left
        columns = left or columns
    return columns


def _twice(names: Sequence[str]) -> bool:
    """Return whether the last numbers of the names repeat, as those of two clips in one folder do."""
    last = [numbers[-1] for name in names if (numbers := DIGITS.findall(name))]
    return len(set(last)) != len(last)
