"""Options of the command line from dataclasses whose fields are made by `racctl.kinds.setting`."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import Field, fields
from typing import Annotated, Any

import typer

from racctl.cli import console
from racctl.cli.choices import is_typed, refuse_typed, typed_options
from racctl.errors import UsageError
from racctl.kinds import Kind

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def option_name(entry: Field[Any]) -> str:
    """Return how the command line spells a field: `--val-data` for val_data, unless the field says otherwise."""
    return entry.metadata.get("option") or "--" + entry.name.replace("_", "-")


def option_fields(settings: type) -> list[Field[Any]]:
    """Return the fields of a dataclass that are options."""
    return [entry for entry in fields(settings) if "help" in entry.metadata]


def parameters_of(settings: type, panel: str | None = None) -> list[inspect.Parameter]:
    """Return the parameters that typer makes options of. panel: the heading that they stand under in `--help`."""
    types = typing.get_type_hints(settings)
    return [_parameter(entry, types[entry.name], panel) for entry in option_fields(settings)]


def _parameter(entry: Field[Any], kind: Any, panel: str | None) -> inspect.Parameter:
    facts = entry.metadata
    several = _takes_several(kind)
    default: Any = entry.default
    if several:
        kind, default = list[str], list(default) if not facts["parse"] else []
    elif facts["parse"]:
        kind, default = str, _text(default)
    option = typer.Option(
        f"{option_name(entry)}/--no-{option_name(entry)[2:]}" if default is True else option_name(entry),
        metavar=facts["metavar"] or None,
        help=facts["help"],
        min=facts["min"],
        max=facts["max"],
        rich_help_panel=panel,
        show_default=default not in ("", None, []),
    )
    return inspect.Parameter(
        entry.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
    )


def _takes_several(kind: Any) -> bool:
    """Return whether the option of a field may be given several times: tuple[str, ...], not tuple[float, float]."""
    return typing.get_origin(kind) is tuple and typing.get_args(kind)[-1] is Ellipsis


def _text(value: Any) -> str:
    """Return a parsed default as the command line writes it: (0.5, 2.0) is 0.5-2."""
    if isinstance(value, tuple):
        return "-".join(f"{part:g}" for part in value)
    return "" if value is None else str(value)


def read_settings(settings: type, values: dict[str, Any]) -> Any:
    """Return an instance of the dataclass from the values of a command line; what is not in there has its default."""
    types, chosen = typing.get_type_hints(settings), {}
    for entry in option_fields(settings):
        if entry.name not in values:
            continue
        value, parse = values[entry.name], entry.metadata["parse"]
        if _takes_several(types[entry.name]) and isinstance(value, list):
            value = tuple(parse(text) if parse else text for text in value)
        elif parse:
            value = parse(value) if value else entry.default
        chosen[entry.name] = value
    return settings(**chosen)


def with_settings(**classes: type) -> Decorator:
    """Give a tool the options of these dataclasses; it gets an instance of each by the keyword's name.

    A class that has a `PANEL` gets a heading of its own in `--help`; the options of one that has `LED_BY` go with the
    field of that name, and are refused without it.
    """

    def decorate(tool: Callable[..., None]) -> Callable[..., None]:
        extra = [p for settings in classes.values() for p in parameters_of(settings, getattr(settings, "PANEL", None))]

        def run(**values: Any) -> None:
            for settings in classes.values():
                _refuse_without_leader(settings, values)
            plain = {name: value for name, value in values.items() if name not in {p.name for p in extra}}
            tool(**plain, **{name: read_settings(settings, values) for name, settings in classes.items()})

        return _signed(run, tool, extra, set(classes))

    return decorate


def _refuse_without_leader(settings: type, values: dict[str, Any]) -> None:
    leader = getattr(settings, "LED_BY", "")
    if leader and not values[leader]:
        followers = [option_name(entry) for entry in option_fields(settings) if entry.name != leader]
        refuse_typed(values["context"], True, followers, f"it is an option of '--{leader}'")


def with_members(kind: Kind, choose: str, into: str = "settings") -> Decorator:
    """Give a tool the options of all members of a kind, under headings that say whose they are.

    choose: the tool's parameter that names the member.  into: the parameter that gets the chosen one's settings.
    An option on the command line that the chosen member does not have is refused by name.
    """

    def decorate(tool: Callable[..., None]) -> Callable[..., None]:
        owners, extra = _options_of_members(kind)

        def run(**values: Any) -> None:
            options = {name: values.pop(name) for name in owners}
            member = kind.member(values[choose])
            _refuse_options_of_others(values["context"], choose, member, owners)
            typed = {name: value for name, value in options.items() if is_typed(values["context"], name)}
            tool(**values, **{into: read_settings(kind.load(member).Settings, typed)})  # its own defaults otherwise

        return _signed(run, tool, extra, {into})

    return decorate


def _options_of_members(kind: Kind) -> tuple[dict[str, list[str]], list[inspect.Parameter]]:
    """Return who has an option, field name -> names of members, and the options, those of several members once."""
    owners: dict[str, list[str]] = {}
    settings: dict[str, type] = {}
    for name in kind.names():
        try:
            settings[name] = kind.load(name).Settings
        except Exception as error:  # somebody else's broken member must not take the tool away
            console.warn(str(error))
            continue
        for entry in option_fields(settings[name]):
            owners.setdefault(entry.name, []).append(name)
    extra = []
    for field_name, names in owners.items():
        panel = f"Options of {', '.join(names)}" if len(names) < len(settings) else None
        extra += [p for p in parameters_of(settings[names[0]], panel) if p.name == field_name]
    return owners, extra


def _refuse_options_of_others(context: typer.Context, choose: str, member: str, owners: dict[str, list[str]]) -> None:
    options = {parameter.opts[0]: parameter.name for parameter in context.command.params}
    for option in typed_options(context):
        names = owners.get(options.get(option) or "", [member])
        if member not in names:
            raise UsageError(
                f"'--{choose.replace('_', '-')} {member}' has no option '{option}'; it belongs to {', '.join(names)}"
            )


def _signed(
    run: Callable[..., None], tool: Callable[..., None], extra: list[inspect.Parameter], filled: set[str]
) -> Callable[..., None]:
    """Return `run` under the tool's name, with the tool's parameters and the extra ones but for those filled in."""
    signature = inspect.signature(tool, eval_str=True)
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in signature.parameters.items()
        if name not in filled
    ]
    run.__signature__ = signature.replace(parameters=[*parameters, *extra])  # type: ignore[attr-defined]
    for name in ("__name__", "__qualname__", "__doc__", "__module__"):
        setattr(run, name, getattr(tool, name))
    return run


def options_of_one_clip(settings: Any) -> dict[str, object]:
    """Return the options among these settings that go with one clip only, and their values; {} for no settings."""
    if settings is None:
        return {}
    return {
        option_name(entry): getattr(settings, entry.name)
        for entry in option_fields(type(settings))
        if entry.metadata["one_clip"]
    }
