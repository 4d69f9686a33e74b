"""The words of a command line, looked at before anything is loaded: unknown values, options without effect."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from racctl.cli.help import option_of
from racctl.errors import UsageError


def is_typed(context: Any, name: str) -> bool:
    """Whether the command line, or the environment, has a parameter, by its name in Python."""
    source = context.get_parameter_source(name)
    return source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")


def typed_options(context: Any) -> dict[str, Any]:
    """The options and arguments that the command line names, with their values."""
    values = {}
    for parameter in context.command.params:
        if is_typed(context, parameter.name or ""):
            values[parameter.opts[0]] = context.params.get(parameter.name)
    return values


def refuse_unknown_words(context: Any) -> None:
    """UsageError for a value that an option does not have; what it may have stands in its metavar, `each|pair`.

    `FILE` in there is any file that exists, `TRACK` a number, and another name in capitals anything."""
    typed = typed_options(context)
    for parameter in context.command.params:
        value = typed.get(parameter.opts[0])
        if isinstance(value, str) and value not in ("", "-"):
            refuse_unknown_word(parameter, value)


def refuse_unknown_word(parameter: Any, value: str) -> None:
    """UsageError when the metavar of a parameter tells that it does not take this value."""
    words = option_of(parameter).values
    free = [word for word in (parameter.metavar or "").split("|") if word != word.lower()]
    files = [word for word in free if word.startswith("FILE")]
    tracks = [word for word in free if word == "TRACK"]
    option = parameter.opts[0]
    word = value.partition(":")[0] if option == "--device" else value  # cuda:1
    if not words or word in words or len(free) > len(files) + len(tracks):
        return
    if (files and os.path.exists(value)) or (tracks and value.isdecimal()):
        return
    more = [
        *(f"a {file.partition('.')[2] and '.' + file.partition('.')[2] + ' '}file" for file in files),
        *("a track number" for _ in tracks),
    ]
    expected = " or ".join([", ".join(words), *more])
    raise UsageError(f"invalid value '{value}' for '{option}'; expected {'' if more else 'one of '}{expected}")


def refuse_typed(context: Any, mode: object, options: Iterable[str], why: str) -> None:
    """UsageError, for the reason `why`, when `mode` is on and one of these options is on the command line."""
    if mode:
        typed = typed_options(context)
        for option in options:
            if option in typed:
                raise UsageError(f"'{option}' has no effect here: {why}; leave it out")
