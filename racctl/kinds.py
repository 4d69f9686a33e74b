"""One kind, several members: counters, recognisers, encoders, estimators, data sets, exercises, foreign formats.

A member is one file. Its kind names it in a dict, name -> "module:Class", or another package does by an entry point;
either is imported when it is chosen. What a user may set of a member is a frozen dataclass whose fields are made by
`setting`; the command line's options, their help and the refusal of options that the chosen member does not have come
from it.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from racctl.errors import DataError, UsageError


@dataclass(frozen=True)
class Kind:
    """What there is of one kind.

    noun: what a member is called in messages, such as "counter".
    group: the entry-point group that other packages add members by, such as "racctl.counters".
    builtin: the project's own members, name -> "module:attribute".
    of_file: "module:function" that tells which member a file's model belongs to; "" where no file is a model.
    """

    noun: str
    group: str
    builtin: Mapping[str, str]
    of_file: str = ""

    @cached_property
    def targets(self) -> dict[str, str]:
        """All members, name -> "module:attribute", the project's own first; none of theirs is hidden by another's."""
        return {**self.builtin, **{k: v for k, v in entry_points(self.group).items() if k not in self.builtin}}

    def names(self) -> list[str]:
        """Return the names of all members."""
        return list(self.targets)

    def load(self, name: str) -> Any:
        """Import a member. UsageError for a name that is none's, or a member that cannot be imported."""
        if name not in self.targets:
            raise UsageError(f"no such {self.noun} '{name}'; expected one of {', '.join(self.targets)}")
        try:
            return load_target(self.targets[name])
        except (ImportError, AttributeError) as error:
            raise UsageError(f"the {self.noun} '{name}' ({self.targets[name]}) cannot be loaded: {error}") from None

    def member(self, value: str) -> str:
        """Return the name of the member that a command line's value stands for: a name, or a file of a model."""
        if value in self.targets or not self.of_file:
            return value
        if not os.path.isfile(value):
            raise UsageError(f"no such {self.noun} '{value}'; expected a file or one of {', '.join(self.targets)}")
        name = load_target(self.of_file)(value)
        if name not in self.targets:
            raise DataError(f"'{value}' is a model of kind '{name}'; expected {', '.join(self.targets)}")
        return name


def load_target(target: str) -> Any:
    """Import what stands behind "module:attribute"."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def entry_points(group: str) -> dict[str, str]:
    """Return what installed packages declare in an entry-point group, name -> "module:attribute", sorted by name.

    Reads the files that importlib.metadata would read; importing that costs more than all else of `racctl --help`.
    """
    points: dict[str, str] = {}
    for folder in sys.path:
        try:
            names = [name for name in os.listdir(folder or ".") if name.endswith(".dist-info")]
        except OSError:
            continue
        for name in names:
            for point, target in _declared(os.path.join(folder, name, "entry_points.txt"), group):
                points.setdefault(point, target)
    return dict(sorted(points.items()))


def _declared(path: str, group: str) -> Iterator[tuple[str, str]]:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError:
        return
    section = ""
    for line in text.splitlines() if f"[{group}]" in text else ():
        if line.startswith("["):
            section = line.strip()
        elif section == f"[{group}]" and "=" in line and not line.startswith("#"):
            name, _, target = line.partition("=")
            yield name.strip(), target.split("[")[0].strip()


def setting(
    default: Any,
    help: str,
    metavar: str = "",
    *,
    option: str = "",
    at_least: float | None = None,
    at_most: float | None = None,
    parse: Callable[[str], Any] | None = None,
    one_clip: bool = False,
) -> Any:
    """Return a dataclass field that is an option too.

    help: begins with a verb.  metavar: as in `--help`, `each|pair` for a choice; "" for a flag.
    option: its name; by default "--" and the field's with hyphens.
    at_least, at_most: bounds of a number.
    parse: text to value, raising UsageError; a field of type tuple takes the option several times.
    one_clip: it goes with one clip, not with several.
    """
    facts = {"help": help, "metavar": metavar, "option": option, "parse": parse, "one_clip": one_clip}
    return field(default=default, metadata={**facts, "min": at_least, "max": at_most})


def fixed(value: Any) -> Any:
    """Return a dataclass field that is no option: members without it have the same value of it."""
    return field(default=value, init=False)
