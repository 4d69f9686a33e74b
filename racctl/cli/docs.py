"""Man pages and completions, written from the same option table that `--help` shows.

`python -m racctl.cli.docs` writes man/*.1 and completions/*; a test holds that what is committed is what it writes.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import typer.main

from racctl.cli import app
from racctl.cli.help import HELP, Option, option_of
from racctl.kinds import load_target

EXIT_STATUS = (
    ("0", "Done."),
    ("1", "Bad data, or nothing usable in it: nothing was written. Of check-labels: problems were found."),
    ("2", "The command line is wrong."),
    ("3", "Some of many inputs failed; what worked was written, and a table on stderr names the rest."),
    ("130", "Interrupted."),
    ("141", "The reader of stdout went away."),
)
ENVIRONMENT = (
    ("RACCTL_CACHE", "Where downloaded models are kept; default $XDG_CACHE_HOME/racctl or ~/.cache/racctl."),
    ("NO_COLOR", "Plain tables and progress bars."),
)


@dataclass(frozen=True)
class Tool:
    """One subcommand as its help shows it. extra: further man sections, from the module's docstring."""

    name: str
    summary: str
    text: list[str]
    extra: list[tuple[str, list[str]]]
    arguments: list[Option]
    options: list[Option]


def tools() -> list[Tool]:
    """All installed tools of racctl itself, by name."""
    targets = {name: target for name, target in app.find_tools().items() if target.startswith("racctl.tools.")}
    functions = {name: load_target(target) for name, target in targets.items()}
    group = typer.main.get_command(app.build(functions))
    return [_tool(name, functions[name], group.commands[name]) for name in sorted(functions)]  # type: ignore[attr-defined]


def _tool(name: str, function: object, command: object) -> Tool:
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", function.__doc__.strip())]
    options = [option_of(parameter) for parameter in command.params]
    options.append(HELP)
    extra = _sections(sys.modules[function.__module__].__doc__ or "")
    arguments = [option for option in options if not option.names]
    return Tool(
        name, paragraphs[0].rstrip("."), paragraphs[1:], extra, arguments, [o for o in options if o.names]
    )  # fmt: skip


def _sections(docstring: str) -> list[tuple[str, list[str]]]:
    """The parts of a docstring under lines in capitals: (title, paragraphs)."""
    parts = re.split(r"^([A-Z][A-Z ]+)$", docstring, flags=re.MULTILINE)[1:]
    return [
        (title, [" ".join(p.split()) for p in re.split(r"\n\s*\n", body.strip())])
        for title, body in zip(parts[::2], parts[1::2], strict=True)
    ]


def _roff(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + escaped if escaped[:1] in (".", "'") else escaped


def _terms(pairs: list[tuple[str, str]]) -> list[str]:
    return [line for term, text in pairs for line in (".TP", term, _roff(text))]


def _described(option: Option) -> tuple[str, str]:
    names = ", ".join(f"\\fB{_roff(name)}\\fR" for name in option.names)
    value = f" \\fI{_roff(option.metavar)}\\fR" if option.metavar else ""
    return (names + value).strip(), option.described


def man_page(tool: Tool) -> str:
    """racctl-<tool>.1"""
    italic = [(argument, f"\\fI{_roff(argument.metavar)}\\fR") for argument in tool.arguments]
    arguments = " ".join(word if argument.required else f"[{word}]" for argument, word in italic)
    lines = [
        f'.TH RACCTL\\-{_roff(tool.name.upper())} 1 "" racctl "racctl manual"',
        ".SH NAME", f"racctl\\-{_roff(tool.name)} \\- {_roff(tool.summary[:1].lower() + tool.summary[1:])}",
        ".SH SYNOPSIS", f"\\fBracctl {_roff(tool.name)}\\fR [\\fIOPTIONS\\fR] {arguments}",
        ".SH DESCRIPTION", _roff(tool.summary) + ".",
    ]  # fmt: skip
    examples = [text.removeprefix("Example: ") for text in tool.text if text.startswith("Example: ")]
    for text in tool.text:
        if not text.startswith("Example: "):
            lines += [".PP", _roff(text)]
    lines += [".SH OPTIONS", *_terms([_described(o) for o in [*tool.arguments, *tool.options] if not o.panel])]
    for panel in dict.fromkeys(option.panel for option in tool.options if option.panel):
        lines += [f".SS {panel}", *_terms([_described(option) for option in tool.options if option.panel == panel])]
    for title, paragraphs in tool.extra:
        lines += [f".SH {title}", *"\n.PP\n".join(map(_roff, paragraphs)).split("\n")]
    lines += [".SH EXAMPLES", *(line for e in examples for line in (".nf", _roff(e), ".fi"))]
    lines += [".SH EXIT STATUS", *_terms(list(EXIT_STATUS)), ".SH ENVIRONMENT", *_terms(list(ENVIRONMENT))]
    lines += [".SH SEE ALSO", "\\fBracctl\\fR(1), \\fBracctl\\-formats\\fR(5), \\fBracctl\\-pipelines\\fR(7)"]
    return "\n".join(lines) + "\n"


def main_page(found: list[Tool]) -> str:
    """racctl.1"""
    paragraphs = [" ".join(p.split()) if not p.startswith("  ") else p for p in app.HELP.strip().split("\n\n")]
    lines = [
        '.TH RACCTL 1 "" racctl "racctl manual"',
        ".SH NAME", "racctl \\- video of people exercising to pose, repetition counts and exercise labels",
        ".SH SYNOPSIS", "\\fBracctl\\fR \\fITOOL\\fR [\\fIOPTIONS\\fR] [\\fIFILE...\\fR]", ".br",
        "\\fBracctl \\-\\-version\\fR",
        ".SH DESCRIPTION",
    ]  # fmt: skip
    for text in paragraphs:
        lines += [".nf", _roff(text), ".fi"] if text.startswith("  ") else [".PP", _roff(text)]
    lines += [".SH TOOLS", *_terms([(f"\\fBracctl\\-{_roff(t.name)}\\fR(1)", t.summary + ".") for t in found])]
    lines += [".PP", _roff("Other packages can add tools through the entry-point group racctl.tools.")]
    lines += [".SH EXIT STATUS", *_terms(list(EXIT_STATUS)), ".SH ENVIRONMENT", *_terms(list(ENVIRONMENT))]
    pages = [
        *(f"\\fBracctl\\-{_roff(t.name)}\\fR(1)" for t in found),
        "\\fBracctl\\-formats\\fR(5)",
        "\\fBracctl\\-pipelines\\fR(7)",
    ]
    lines += [".SH SEE ALSO", ", ".join(pages)]
    return "\n".join(lines) + "\n"


def bash(found: list[Tool]) -> str:
    """Completion for bash: tools, then each tool's options, then the words an option takes, else files."""
    lines = [
        "# bash completion for racctl; generated, static: TAB never starts Python", "_racctl() {",
        '    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" words=""',
        "    COMPREPLY=()", "    if [ \"$COMP_CWORD\" -eq 1 ]; then",
        f"        words=\"{' '.join(t.name for t in found)} --help --version\"",
        '        COMPREPLY=($(compgen -W "$words" -- "$word"))', "        return", "    fi",
        '    case "${COMP_WORDS[1]} $before" in',
    ]  # fmt: skip
    for tool in found:
        for option in tool.options:
            if option.values:
                names = "|".join(f'"{tool.name} {name}"' for name in option.names)
                lines.append(f'    {names}) words="{" ".join(option.values)}" ;;')
    lines += ["    esac", '    if [ -z "$words" ] && [ "${word:0:1}" = - ]; then', '        case "${COMP_WORDS[1]}" in']
    for tool in found:
        names = " ".join(name for option in tool.options for name in option.names)
        lines.append(f'        {tool.name}) words="{names}" ;;')
    lines += [
        "        esac", "    fi", '    [ -z "$words" ] || COMPREPLY=($(compgen -W "$words" -- "$word"))', "}",
        "complete -o default -F _racctl racctl",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return text.replace("'", "'\\''")


def zsh(found: list[Tool]) -> str:
    """Completion for zsh, to be put on fpath as _racctl."""
    lines = [
        "#compdef racctl",
        "# generated, static: TAB never starts Python",
        "_racctl() {",
        "    local -a tools",
        "    tools=(",
    ]
    lines += [f"        '{tool.name}:{_quoted(tool.summary)}'" for tool in found]
    lines += [
        "    )", "    if (( CURRENT == 2 )); then", "        _describe tool tools", "        return", "    fi",
        "    local tool=$words[2]", "    shift words; (( CURRENT-- ))", "    case $tool in",
    ]  # fmt: skip
    for tool in found:
        specs = [_zsh_spec(option, name) for option in tool.options for name in option.names]
        lines += [f"    {tool.name})", "        _arguments \\", *(f"            {spec} \\" for spec in specs)]
        lines += ["            '*:file:_files'", "        ;;"]
    return "\n".join([*lines, "    esac", "}", '_racctl "$@"']) + "\n"


def _zsh_spec(option: Option, name: str) -> str:
    text = _quoted(re.sub(r"([\[\]:])", r"\\\1", option.help))
    if not option.metavar:
        return f"'{name}[{text}]'"
    action = f"({' '.join(option.values)})" if option.values else "_files" if option.takes_file else " "
    return f"'{name}[{text}]:{_quoted(option.metavar.replace(':', ' '))}:{action}'"


def fish(found: list[Tool]) -> str:
    """Completion for fish."""
    lines = ["# fish completion for racctl; generated, static: TAB never starts Python"]
    for tool in found:
        lines.append(f"complete -c racctl -f -n __fish_use_subcommand -a {tool.name} -d '{_fish(tool.summary)}'")
    for tool in found:
        for option in tool.options:
            kinds = " ".join(f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in option.names)
            value = f" -x -a '{' '.join(option.values)}'" if option.values else " -r" if option.metavar else ""
            condition = f"'__fish_seen_subcommand_from {tool.name}'"
            lines.append(f"complete -c racctl -n {condition} {kinds}{value} -d '{_fish(option.help)}'")
    return "\n".join(lines) + "\n"


def _fish(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


def pages() -> dict[str, str]:
    """Every generated file: path from the top of the project -> text."""
    found = tools()
    made = {f"man/racctl-{tool.name}.1": man_page(tool) for tool in found}
    made["man/racctl.1"] = main_page(found)
    made |= {"completions/racctl.bash": bash(found), "completions/_racctl": zsh(found)}
    return made | {"completions/racctl.fish": fish(found)}


if __name__ == "__main__":
    for name, text in pages().items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")
