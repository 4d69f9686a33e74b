"""What `--help` prints, from the same option table as the man pages: no type names, nothing cut short."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True)
class Option:
    """One option or argument. names: empty for an argument.  values: what completion offers.  panel: its heading."""

    names: tuple[str, ...]
    metavar: str
    help: str
    default: str
    required: bool = False
    panel: str = ""

    @property
    def values(self) -> list[str]:
        words = self.metavar.split("|")
        return [word for word in words if word == word.lower()] if len(words) > 1 else []

    @property
    def takes_file(self) -> bool:
        return "FILE" in self.metavar or "DIR" in self.metavar

    @property
    def described(self) -> str:
        """The help with the default, or that there is none."""
        if self.default:
            return f"{self.help} Default: {self.default}."
        return f"{self.help} Required." if self.required else self.help


def option_of(parameter: Any) -> Option:
    """Return what a typer parameter is, as help, man pages and completions show it."""
    argument = parameter.param_type_name == "argument"
    flag = getattr(parameter, "is_flag", False)
    metavar = "" if flag else parameter.metavar or ""
    many = "..." if argument and parameter.nargs == -1 else ""
    names = () if argument else (*parameter.opts, *parameter.secondary_opts)
    required = bool(parameter.required) and not flag
    panel = getattr(parameter, "rich_help_panel", None) or ""
    return Option(names, metavar + many, parameter.help or "", _default(parameter, argument, flag), required, panel)


def _default(parameter: Any, argument: bool, flag: bool) -> str:
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    if argument or parameter.show_default is False or parameter.default in (None, "", []):
        return ""
    if flag and not parameter.secondary_opts:
        return ""
    if flag:
        names = parameter.opts if parameter.default else parameter.secondary_opts
        return names[0]
    return str(parameter.default)


HELP_NAMES = ("-h", "--help")
HELP_OPTION = Option(HELP_NAMES, "", "Show the help and exit.", "")


class Command(TyperCommand):
    """One tool."""

    def invoke(self, ctx: Any) -> Any:
        """Run it, unless the command line has a value that an option does not have."""
        from racctl.cli.choices import refuse_unknown_words

        refuse_unknown_words(ctx)
        return super().invoke(ctx)

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        arguments = [option_of(parameter) for parameter in self.params if parameter.param_type_name == "argument"]
        words = [option.metavar if option.required else f"[{option.metavar}]" for option in arguments]
        formatter.write_usage(ctx.command_path, " ".join(["[OPTIONS]", *words]))

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 (typer's signature)
        _write_options(self.params, formatter)


def _write_options(parameters: list[Any], formatter: Any) -> None:
    """Write arguments and options under their headings."""
    rows: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for option in [*map(option_of, parameters), HELP_OPTION]:
        section = option.panel or ("Options" if option.names else "Arguments")
        term = " ".join([", ".join(option.names), option.metavar]).strip()
        rows.setdefault(section, []).append((term, option.described))
    for section, terms in rows.items():
        if terms:
            with formatter.section(section):
                formatter.write_dl(terms)


class Group(TyperGroup):
    """All tools, or all commands of a tool that has several."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_options(self.params, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _summary(self.get_command(ctx, name))) for name in self.list_commands(ctx)])


def _summary(command: Any) -> str:
    first = (command.help or "").strip().split("\n\n")[0]
    return " ".join(first.split())
