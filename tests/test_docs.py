"""Man pages, completions and help: generated, whole, and not stale."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import racctl
from racctl import contracts
from racctl.cli import docs

ROOT = Path(__file__).parent.parent
PAGES = docs.pages()
TOOLS = docs.tools()
COMMANDS = docs.commands_of(TOOLS)


@pytest.mark.parametrize("name", PAGES)
def test_what_is_committed_is_what_the_generator_writes(name):
    assert (ROOT / name).read_text() == PAGES[name], f"{name} is stale; run 'make docs'"


def test_the_manual_of_formats_names_every_schema_and_all_that_is_in_it():
    page = (ROOT / "man" / "racctl-formats.5").read_text()
    entries = dict(re.findall(r"^\.B (racctl\.\w+/1)\n(.*?)(?=^\.TP|^\.SH)", page, re.MULTILINE | re.DOTALL))
    for schema, members in {**contracts.ARRAYS, **contracts.TABLE_COLUMNS, "racctl.model/1": {}}.items():
        missing = [name for name in members if not re.search(rf"\b{name}\b", entries[schema])]
        assert not missing, f"{schema}: {missing}"


def test_no_page_is_left_over():
    ours = {"racctl-formats.5", "racctl-pipelines.7", "racctl-synth-movements.7"}
    committed = {path.name for path in (ROOT / "man").iterdir()}
    assert committed == ours | {Path(name).name for name in PAGES if name.startswith("man/")}


@pytest.mark.skipif(not shutil.which("man"), reason="man is not installed")
@pytest.mark.parametrize("page", sorted((ROOT / "man").iterdir()), ids=lambda p: p.name)
def test_man_formats_every_page_without_a_warning(page):
    done = subprocess.run(
        ["man", "--warnings=w", "-E", "UTF-8", "-l", str(page)], capture_output=True, text=True,
        env={"MANWIDTH": "100", "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr == ""
    assert "NAME" in done.stdout


@pytest.mark.parametrize("tool", COMMANDS, ids=lambda t: t.name)
def test_every_tool_has_help_for_every_option_and_an_example(tool):
    assert any(text.startswith(f"Example: racctl {tool.name}") or f"| racctl {tool.name}" in text for text in tool.text)
    for option in [*tool.arguments, *tool.options]:
        assert option.help.endswith("."), f"{tool.name} {option.names}: '{option.help}'"


def test_every_tool_file_is_a_tool_and_every_tool_is_a_file():
    files = {path.stem.replace("_", "-") for path in (ROOT / "tools").glob("*.py")} - {"--init--"}
    assert files == {tool.name for tool in TOOLS}


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("racctl po", {"pose"}),
        ("racctl ", {tool.name for tool in TOOLS} | {"--help", "--version"}),
        ("racctl count --al", {"--alternating"}),
        ("racctl count --alternating ", {"each", "pair"}),
        ("racctl score --format pa", {"parquet"}),
        ("racctl train ", {"recogniser", "encoder", "counter", "--help"}),
        ("racctl train co", {"counter"}),
        ("racctl train counter --sh", {"--shots"}),
        ("racctl train counter --preset ", {"small", "paper"}),
        ("racctl train counter --lay", set()),
        ("racctl train recogniser --lay", {"--layers", "--layouts"}),
        ("racctl train recogniser --fusion c", {"cross", "concat"}),
    ],
)
def test_bash_completes(typed, offered):
    script = f"""
source '{ROOT}/completions/racctl.bash'
typed='{typed}'
COMP_WORDS=($typed)
[ "${{typed: -1}}" = ' ' ] && COMP_WORDS+=('')
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_racctl
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=20)
    assert done.stderr == ""
    assert set(done.stdout.split()) == offered


@pytest.mark.parametrize(("shell", "name"), [("bash", "racctl.bash"), ("zsh", "_racctl"), ("fish", "racctl.fish")])
def test_completions_parse(shell, name):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    subprocess.run([shell, "-n", str(ROOT / "completions" / name)], check=True, timeout=20)


def test_the_readme_names_every_tool():
    readme = (ROOT / "README.md").read_text()
    for tool in TOOLS:
        assert re.search(rf"`racctl {tool.name}\b", readme), tool.name


def test_the_command_of_the_readme_that_runs_the_tests_is_what_ci_runs():
    (command,) = re.findall(r"^python3 -m venv .*pytest -q$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


@pytest.mark.parametrize("words", [["--help"], *([*tool.name.split(), "--help"] for tool in COMMANDS)], ids=" ".join)
def test_help_shows_what_the_manual_shows_and_no_types(words, capsys):
    from racctl.cli.app import run

    assert run(words) == 0
    text = capsys.readouterr().out
    assert not re.search(r"<(str|int|float|bool|list)|\{[A-Z]+\}|\[default|\[required|x[<>]=|<=x|\(dynamic\)", text), (
        text
    )
    flat = " ".join(text.split())
    assert "..." not in re.sub(r"(FILE|DIR|ARGS\]|A,B,|SHARE,)\.\.\.", "", flat)
    if words == ["--help"]:
        for tool in TOOLS:
            assert f"{tool.name} {tool.summary}." in flat
    else:
        (tool,) = [tool for tool in COMMANDS if tool.name.split() == words[:-1]]
        assert all(f"{command.last_word} {command.summary}." in flat for command in tool.commands)
        squeezed = flat.replace(" ", "")
        for option in [*tool.arguments, *tool.options]:
            assert option.described.replace(" ", "") in squeezed, option


def documented_modules() -> list[str]:
    """Return the modules of racctl that manual pages and tools' documentation start with `python -m`."""
    pages = [*(ROOT / "man").glob("racctl*"), *(ROOT / "tools").glob("*.py"), *(ROOT / "docs").glob("*.md")]
    texts = [page.read_text().replace("\\-", "-") for page in pages]
    return sorted({module for text in texts for module in re.findall(r"-m (racctl[\w.]*)", text)})


@pytest.mark.parametrize("module", documented_modules())
def test_a_module_that_is_documented_starts(module):
    """`torchrun -m racctl train ...` runs the same command as `racctl`."""
    process = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True, timeout=60)
    assert (process.returncode, process.stdout) == (0, f"racctl {racctl.__version__}\n"), process.stderr
