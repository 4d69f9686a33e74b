"""Man pages and completions, written from the same option table that `--help` shows.

`python -m racctl.cli.docs` writes man/*.1 and completions/*; a test holds that what is committed is what it writes.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import typer.main

from racctl.cli import app
from racctl.cli.help import HELP_OPTION, Option, option_of
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
    (
        "RACCTL_POSE_CACHE",
        "Keep estimated poses in this folder, so that several commands on a video estimate once; off by default.",
    ),
    ("RACCTL_POSE_CACHE_MIB", "What they may take; what was not used for longest goes first. Default: 2048."),
    ("RACCTL_FORMAT", "The format of tables on stdout where no --format says: table, parquet, csv or json."),
    ("NO_COLOR", "Plain tables and progress bars."),
)


Section = tuple[str, list[str]]  # title, paragraphs


@dataclass(frozen=True)
class ToolPage:
    """One tool, or one command of a tool that has several, as its help shows it.

    name: as it is typed, "train counter".
    extra: further man sections, from the module's docstring.
    commands: of a tool that has several.
    """

    name: str
    summary: str
    text: list[str]
    extra: list[Section]
    arguments: list[Option]
    options: list[Option]
    commands: list[ToolPage] = field(default_factory=list)

    @property
    def page(self) -> str:
        """The name of the man page without its section, "racctl-train-counter"."""
        return f"racctl-{self.name.replace(' ', '-')}"

    @property
    def last_word(self) -> str:
        return self.name.split()[-1]


def tools() -> list[ToolPage]:
    """Return all installed tools of racctl itself, by name."""
    targets = {name: target for name, target in app.find_tools().items() if target.startswith("racctl.tools.")}
    functions = {name: load_target(targets[name]) for name in sorted(targets)}
    group: Any = typer.main.get_command(app.build(functions))
    return [_tool_page(name, functions[name], group.commands[name]) for name in functions]


def commands_of(pages: list[ToolPage]) -> list[ToolPage]:
    """Return the tools with their nested commands, each after its tool."""
    return [page for tool in pages for page in (tool, *tool.commands)]


def _tool_page(name: str, tool: app.Tool, command: Any) -> ToolPage:
    module = sys.modules[tool.module if isinstance(tool, app.ToolGroup) else tool.__module__]
    nested = tool.commands if isinstance(tool, app.ToolGroup) else {}
    commands = [_command_page(f"{name} {word}", command.commands[word], []) for word in nested]
    return replace(_command_page(name, command, _sections(module.__doc__ or "")), commands=commands)


def _command_page(name: str, command: Any, extra: list[Section]) -> ToolPage:
    summary, *text = _paragraphs(command.help)
    options = [option_of(parameter) for parameter in command.params]
    arguments = [option for option in options if not option.names]
    return ToolPage(name, summary.rstrip("."), text, extra, arguments, [*(o for o in options if o.names), HELP_OPTION])


def _paragraphs(text: str) -> list[str]:
    return [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text.strip())]


def _sections(docstring: str) -> list[Section]:
    """Return the parts of a docstring under lines in capitals."""
    parts = re.split(r"^([A-Z][A-Z ]+)$", docstring, flags=re.MULTILINE)[1:]
    return [(title, _paragraphs(body)) for title, body in zip(parts[::2], parts[1::2], strict=True)]


def _roff(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + escaped if escaped[:1] in (".", "'") else escaped


def _terms(pairs: list[tuple[str, str]]) -> list[str]:
    return [line for term, text in pairs for line in (".TP", term, _roff(text))]


def _described(option: Option) -> tuple[str, str]:
    names = ", ".join(f"\\fB{_roff(name)}\\fR" for name in option.names)
    words = _roff(option.metavar).replace("|", "|\\:")  # where a long line may break
    value = f" \\fI{words}\\fR" if option.metavar else ""
    return (names + value).strip(), option.described


def man_page(tool: ToolPage) -> str:
    """Return racctl-<tool>.1, or racctl-<tool>-<command>.1."""
    lines = [
        f'.TH {_roff(tool.page.upper())} 1 "" racctl "racctl manual"',
        ".SH NAME",
        f"{_roff(tool.page)} \\- {_roff(tool.summary[:1].lower() + tool.summary[1:])}",
        ".SH SYNOPSIS",
        _synopsis(tool),
        ".SH DESCRIPTION",
        _roff(tool.summary) + ".",
    ]
    examples = [text.removeprefix("Example: ") for text in tool.text if text.startswith("Example: ")]
    for text in tool.text:
        if not text.startswith("Example: "):
            lines += [".PP", _roff(text)]
    if tool.commands:
        lines += [".SH COMMANDS", *_summaries(tool.commands)]
    lines += [".SH OPTIONS", *_terms([_described(o) for o in [*tool.arguments, *tool.options] if not o.panel])]
    for panel in dict.fromkeys(option.panel for option in tool.options if option.panel):
        lines += [f".SS {panel}", *_terms([_described(option) for option in tool.options if option.panel == panel])]
    for title, paragraphs in tool.extra:
        lines += [f".SH {title}", *"\n.PP\n".join(map(_roff, paragraphs)).split("\n")]
    lines += [".SH EXAMPLES", *(line for e in examples for line in (".nf", _roff(e), ".fi"))]
    lines += [".SH EXIT STATUS", *_terms(list(EXIT_STATUS)), ".SH ENVIRONMENT", *_terms(list(ENVIRONMENT))]
    lines += [".SH SEE ALSO", _see_also(tool)]
    return "\n".join(lines) + "\n"


def _synopsis(tool: ToolPage) -> str:
    if tool.commands:
        return f"\\fBracctl {_roff(tool.name)}\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR] \\fI...\\fR"
    italic = [(argument, f"\\fI{_roff(argument.metavar)}\\fR") for argument in tool.arguments]
    arguments = " ".join(word if argument.required else f"[{word}]" for argument, word in italic)
    return f"\\fBracctl {_roff(tool.name)}\\fR [\\fIOPTIONS\\fR] {arguments}"


def _summaries(pages: list[ToolPage]) -> list[str]:
    return _terms([(f"\\fB{_roff(page.page)}\\fR(1)", page.summary + ".") for page in pages])


def _see_also(tool: ToolPage) -> str:
    *outer, _ = tool.name.split()
    names = ["racctl", *(f"racctl-{word}" for word in outer), *(page.page for page in tool.commands)]
    pages = [(name, 1) for name in names] + [("racctl-formats", 5), ("racctl-pipelines", 7)]
    return ", ".join(f"\\fB{_roff(name)}\\fR({section})" for name, section in pages)


def main_page(pages: list[ToolPage]) -> str:
    """Return racctl.1."""
    paragraphs = [" ".join(p.split()) if not p.startswith("  ") else p for p in app.HELP.strip().split("\n\n")]
    lines = [
        '.TH RACCTL 1 "" racctl "racctl manual"',
        ".SH NAME",
        "racctl \\- video of people exercising to pose, repetition counts and exercise labels",
        ".SH SYNOPSIS",
        "\\fBracctl\\fR \\fITOOL\\fR [\\fIOPTIONS\\fR] [\\fIFILE...\\fR]",
        ".br",
        "\\fBracctl \\-\\-version\\fR",
        ".SH DESCRIPTION",
    ]
    for text in paragraphs:
        lines += [".nf", _roff(text), ".fi"] if text.startswith("  ") else [".PP", _roff(text)]
    lines += [".SH TOOLS", *_summaries(pages)]
    lines += [".PP", _roff("Other packages can add tools through the entry-point group racctl.tools.")]
    lines += [".SH EXIT STATUS", *_terms(list(EXIT_STATUS)), ".SH ENVIRONMENT", *_terms(list(ENVIRONMENT))]
    names = [(page.page, 1) for page in pages] + [("racctl-formats", 5), ("racctl-pipelines", 7)]
    lines += [".SH SEE ALSO", ", ".join(f"\\fB{_roff(name)}\\fR({section})" for name, section in names)]
    return "\n".join(lines) + "\n"


def bash(pages: list[ToolPage]) -> str:
    """Return the completion for bash: tools, commands, options, then the words an option takes, else files."""
    lines = [
        "# bash completion for racctl; generated, static: TAB never starts Python",
        "_racctl() {",
        '    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" words=""',
        '    local tool="${COMP_WORDS[1]}"',
        "    COMPREPLY=()",
        '    if [ "$COMP_CWORD" -eq 1 ]; then',
        f'        words="{" ".join(page.name for page in pages)} --help --version"',
        *_bash_offer("        "),
        "    fi",
        '    case "$tool" in',
    ]
    for tool in pages:
        if tool.commands:
            words = " ".join([*(page.last_word for page in tool.commands), "--help"])
            lines += [f"    {tool.name})", '        if [ "$COMP_CWORD" -eq 2 ]; then', f'            words="{words}"']
            lines += [*_bash_offer("            "), "        fi", '        tool="$tool ${COMP_WORDS[2]}" ;;']
    lines += ["    esac", '    case "$tool $before" in']
    for page in commands_of(pages):
        for option in page.options:
            if option.values:
                names = "|".join(f'"{page.name} {name}"' for name in option.names)
                lines.append(f'    {names}) words="{" ".join(option.values)}" ;;')
    lines += ["    esac", '    if [ -z "$words" ] && [ "${word:0:1}" = - ]; then', '        case "$tool" in']
    for page in commands_of(pages):
        names = " ".join(name for option in page.options for name in option.names)
        lines.append(f'        "{page.name}") words="{names}" ;;')
    lines += ["        esac", "    fi", '    [ -z "$words" ] || COMPREPLY=($(compgen -W "$words" -- "$word"))', "}"]
    return "\n".join([*lines, "complete -o default -F _racctl racctl"]) + "\n"


def _bash_offer(indent: str) -> list[str]:
    return [f'{indent}COMPREPLY=($(compgen -W "$words" -- "$word"))', f"{indent}return"]


def _quoted(text: str) -> str:
    return text.replace("'", "'\\''")


def zsh(pages: list[ToolPage]) -> str:
    """Return the completion for zsh, to be put on fpath as _racctl."""
    lines = [
        "#compdef racctl",
        "# generated, static: TAB never starts Python",
        "_racctl() {",
        "    local -a tools commands",
        *_zsh_list("tools", pages, "    "),
        "    if (( CURRENT == 2 )); then",
        "        _describe tool tools",
        "        return",
        "    fi",
        "    local tool=$words[2]",
        "    shift words; (( CURRENT-- ))",
        "    case $tool in",
    ]
    for tool in pages:
        if tool.commands:
            lines += [f"    {tool.name})", *_zsh_list("commands", tool.commands, "        ")]
            lines += ["        if (( CURRENT == 2 )); then", "            _describe command commands"]
            lines += ["            return", "        fi", '        tool="$tool $words[2]"']
            lines += ["        shift words; (( CURRENT-- ))", "        ;;"]
    lines += ["    esac", "    case $tool in"]
    for page in commands_of(pages):
        specs = [_zsh_spec(option, name) for option in page.options for name in option.names]
        lines += [f"    '{page.name}')", "        _arguments \\", *(f"            {spec} \\" for spec in specs)]
        lines += ["            '*:file:_files'", "        ;;"]
    return "\n".join([*lines, "    esac", "}", '_racctl "$@"']) + "\n"


def _zsh_list(name: str, pages: list[ToolPage], indent: str) -> list[str]:
    rows = [f"{indent}    '{page.last_word}:{_quoted(page.summary)}'" for page in pages]
    return [f"{indent}{name}=(", *rows, f"{indent})"]


def _zsh_spec(option: Option, name: str) -> str:
    text = _quoted(re.sub(r"([\[\]:])", r"\\\1", option.help))
    if not option.metavar:
        return f"'{name}[{text}]'"
    action = f"({' '.join(option.values)})" if option.values else "_files" if option.takes_file else " "
    return f"'{name}[{text}]:{_quoted(option.metavar.replace(':', ' '))}:{action}'"


def fish(pages: list[ToolPage]) -> str:
    """Return the completion for fish."""
    lines = ["# fish completion for racctl; generated, static: TAB never starts Python"]
    for tool in pages:
        lines.append(f"complete -c racctl -f -n __fish_use_subcommand -a {tool.name} -d '{_fish(tool.summary)}'")
    for tool in pages:
        words = " ".join(page.last_word for page in tool.commands)
        condition = f"{_fish_seen(tool.name)}; and not __fish_seen_subcommand_from {words}"
        for page in tool.commands:
            lines.append(f"complete -c racctl -f -n '{condition}' -a {page.last_word} -d '{_fish(page.summary)}'")
    for page in commands_of(pages):
        for option in page.options:
            kinds = " ".join(f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in option.names)
            value = f" -x -a '{' '.join(option.values)}'" if option.values else " -r" if option.metavar else ""
            condition = f"'{_fish_seen(page.name)}'"
            lines.append(f"complete -c racctl -n {condition} {kinds}{value} -d '{_fish(option.help)}'")
    return "\n".join(lines) + "\n"


def _fish_seen(name: str) -> str:
    return "; and ".join(f"__fish_seen_subcommand_from {word}" for word in name.split())


def _fish(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


def pages() -> dict[str, str]:
    """Return every generated file: path from the top of the project -> text."""
    all_tools = tools()
    manual = {f"man/{page.page}.1": man_page(page) for page in commands_of(all_tools)}
    return {
        **manual,
        "man/racctl.1": main_page(all_tools),
        "completions/racctl.bash": bash(all_tools),
        "completions/_racctl": zsh(all_tools),
        "completions/racctl.fish": fish(all_tools),
    }


if __name__ == "__main__":
    for name, text in pages().items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")
