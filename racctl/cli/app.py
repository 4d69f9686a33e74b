"""The dispatcher: finds tools through the entry-point group `racctl.tools`, runs one, turns errors into exit codes."""

from __future__ import annotations

import atexit
import contextlib
import functools
import inspect
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

import typer

from racctl import __version__
from racctl.cli import console
from racctl.cli.help import HELP_NAMES, Command, Group
from racctl.cli.options import FilesFrom, Sources
from racctl.errors import RacctlError, UsageError
from racctl.kinds import entry_points, load_target

GROUP = "racctl.tools"

HELP = """Small tools that turn video of people exercising into pose, repetition counts and exercise labels.

Each reads files or stdin and writes npz, Parquet or tables, so that they pipe:

  racctl count clip.mp4

  racctl pose clip.mp4 | racctl remap-joints > p.npz

  racctl score --truth test.csv counts.parquet

See racctl-pipelines(7) for recipes and racctl-formats(5) for the files.
"""


class ReaderGone(Exception):
    """The reader of stdout closed it. Not an OSError, since typer answers those itself."""


Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress and no notes on stderr.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@dataclass(frozen=True)
class ToolGroup:
    """One tool with several commands, such as `racctl train counter`.

    help: as a tool's docstring.
    commands: name -> function.
    new_form: from the words of a command line that names none of the commands, the one that it could stand for.
    """

    help: str
    commands: Mapping[str, Callable[..., None]]
    new_form: Callable[[list[str]], str]

    @property
    def module(self) -> str:
        """The module of the tool."""
        return next(iter(self.commands.values())).__module__

    def check(self, name: str, words: list[str]) -> None:
        """Raise UsageError when the words after the tool's name do not begin with one of its commands."""
        if words and words[0] not in (*self.commands, *HELP_NAMES):
            *others, last = self.commands
            raise UsageError(
                f"no such command '{words[0]}' of 'racctl {name}'; expected {', '.join(others)} or {last}, "
                f"as in '{self.new_form(words)}'"
            )


Tool = Callable[..., None] | ToolGroup


def find_tools() -> dict[str, str]:
    """Return the installed tools, name -> `module:attribute`; another package adds its own by an entry point."""
    return entry_points(GROUP)


def build(tools: Mapping[str, Tool]) -> typer.Typer:
    """Return a typer application with these tools as commands; each gets -q and --debug."""
    app = _group(HELP)

    @app.callback()
    def root(
        version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    ) -> None:
        pass  # --version is answered before typer is asked

    for name, tool in tools.items():
        if isinstance(tool, ToolGroup):
            nested = _group(inspect.cleandoc(tool.help))
            _add_commands(nested, tool.commands)
            app.add_typer(nested, name=name)
        else:
            _add_commands(app, {name: tool})
    return app


def _group(text: str) -> typer.Typer:
    return typer.Typer(
        cls=Group,
        rich_markup_mode=None,
        add_completion=False,
        no_args_is_help=True,
        help=text,
        context_settings={"help_option_names": list(HELP_NAMES)},
    )


def _add_commands(app: typer.Typer, functions: Mapping[str, Callable[..., None]]) -> None:
    for name, function in functions.items():
        app.command(name, cls=Command, no_args_is_help=False)(_with_common_options(function))


def _with_common_options(tool: Callable[..., None]) -> Callable[..., None]:
    """Return a tool with -q and --debug and, where it takes clips, with folders and --files-from."""
    signature = inspect.signature(tool, eval_str=True)
    sources = next((name for name, p in signature.parameters.items() if p.annotation == Sources), "")

    @functools.wraps(tool)
    def run(*args: Any, quiet: bool = False, debug: bool = False, files_from: str = "", **kwargs: Any) -> None:
        console.QUIET = quiet
        del debug  # `_explain` reads it from the command line: an error may come before options are parsed
        console.print_notes()
        if sources:
            from racctl.cli.input_files import expanded

            kwargs[sources] = expanded(kwargs[sources], files_from)
        try:
            tool(*args, **kwargs)
            sys.stdout.flush()
        except BrokenPipeError:
            raise ReaderGone from None

    listed = [("files_from", "", FilesFrom)] if sources else []
    extra = [
        *(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=d, annotation=a) for name, d, a in listed),
        inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Quiet),
        inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Debug),
    ]
    parameters = [*signature.parameters.values(), *extra]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    del run.__wrapped__  # typer would look through it at the signature without the two
    return run


def load_tools(argv: list[str]) -> dict[str, Tool]:
    """Import the tools that this command line needs: the one that it names, or all of them (for --help)."""
    targets = find_tools()
    name = _first_word(argv)
    if name is not None and name not in targets:
        import difflib

        close = difflib.get_close_matches(name, targets, 1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise UsageError(f"no such command '{name}'; {hint}see 'racctl --help'")
    if name is not None:
        tool = load_target(targets[name])
        if isinstance(tool, ToolGroup):
            tool.check(name, argv[argv.index(name) + 1 :])
        return {name: tool}
    tools: dict[str, Tool] = {}
    for tool_name, target in targets.items():
        try:
            tools[tool_name] = load_target(target)
        except Exception as error:  # somebody else's broken tool must not take the help away
            console.warn(f"the tool '{tool_name}' ({target}) cannot be loaded: {error}")
    return tools


def _first_word(argv: list[str]) -> str | None:
    return next((word for word in argv if not word.startswith("-")), None)


def _command_path(argv: list[str], tools: Mapping[str, Tool]) -> str:
    """Return what a message begins with: "racctl count", "racctl train counter"."""
    name = _first_word(argv)
    if name is None:
        return "racctl"
    tool, following = tools.get(name), argv[argv.index(name) + 1 :]
    nested = isinstance(tool, ToolGroup) and following and following[0] in tool.commands
    return f"racctl {name} {following[0]}" if nested else f"racctl {name}"


def run(argv: list[str]) -> int:
    """Run one command line and return its exit code; every error is one line on stderr."""
    tools: dict[str, Tool] = {}
    try:
        code = 0
        if argv[:1] == ["--version"]:
            print(f"racctl {__version__}")
        else:
            tools = load_tools(argv)
            code = build(tools)(args=argv, prog_name="racctl", standalone_mode=False) or 0
        sys.stdout.flush()
        return int(code)
    except (ReaderGone, BrokenPipeError, SystemExit) as stop:
        # typer answers the closed pipe of its own help with SystemExit(1); others end the process, as SIGTERM's does
        if isinstance(stop, SystemExit) and not isinstance(stop.__context__, BrokenPipeError):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the exit's flush stays silent
        return 141
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Exception as error:
        return _explain(_command_path(argv, tools), error)


def _explain(tool: str, error: Exception) -> int:
    if "--debug" in sys.argv:
        import traceback

        traceback.print_exception(error)
    if isinstance(error, RacctlError):
        message, code = str(error), error.exit_code
    elif hasattr(error, "format_message"):  # typer's own usage errors
        message = error.format_message().rstrip(".").replace("\n", " ") or "this needs a command"
        message, code = f"{message[:1].lower()}{message[1:]}; see '{tool} --help'", 2
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message(), file=sys.stderr)
            return 2
    elif isinstance(error, MemoryError):
        message, code = "out of memory", 1
    elif isinstance(error, OSError):
        subject = f"'{error.filename}': " if error.filename else ""
        message, code = f"{subject}{(error.strerror or str(error)).lower()}", 1
    else:
        message, code = f"internal error ({type(error).__name__}: {error}); run with '--debug' and report it", 1
    print(console.plain(f"{tool}: {' '.join(message.split())}"), file=sys.stderr)
    return code


def _terminate(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)  # unwinds, so that temporary files go


def _open_standard_streams() -> None:
    """A stream that the caller closed is opened on nothing, so that no data file gets its number. What is written to
    such a stdout is an error and not lost in silence: it is opened for reading."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)  # takes the lowest free number
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", closefd=False))


def main() -> NoReturn:
    """The `racctl` command."""
    _open_standard_streams()
    signal.signal(signal.SIGTERM, _terminate)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup leaves it
        signal.signal(signal.SIGHUP, _terminate)
    code = run(sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the work is done, and its exit code says so
    if "pyarrow" not in sys.modules:
        sys.exit(code)
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End without taking Python down: the threads of Arrow and of torch, ended in the wrong order, abort a process
    whose work is done ("terminate called without an active exception", exit code 134)."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
