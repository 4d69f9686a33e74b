"""Which folder may import which, read from the source with `ast`."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*(ROOT / "racctl").rglob("*.py"), *(ROOT / "tools").glob("*.py")])

# A folder, or a module of the ground, imports only from the rows below its own.
ROWS = """
tools
workouts
training    counters
encoders    recognisers  scoring
estimators  data         info
video       weights      synth
models
io
skeleton
contracts   windows      device    kinds
errors      progress     density
"""
LEVEL = {name: -k for k, row in enumerate(ROWS.split("\n")) for name in row.split()}
CLI_MAY = {"cli", "io", "errors", "progress", "kinds"}
ONLY = {"models": {"torch", "einops", "numpy"}, "skeleton": {"numpy", "scipy"}}
GROUND = {
    "errors": set(),
    "kinds": set(),
    "progress": set(),
    "density": {"numpy"},
    "contracts": {"numpy"},
    "windows": {"numpy"},
}
HEAVY = {"numpy", "scipy", "pyarrow", "av", "torch", "torchvision", "mediapipe", "ultralytics", "matplotlib", "PIL"}
HEAVY |= {"sklearn"}


def part(path: Path) -> str:
    """Return the folder: `racctl/io/npz.py` -> io, `racctl/windows.py` -> windows, `tools/pose.py` -> tools."""
    inside = path.relative_to(ROOT).with_suffix("").parts
    return inside[0] if inside[0] == "tools" else inside[1]


def imports(path: Path, top_level: bool = False) -> list[str]:
    """Return the absolute names of all that a file imports, anywhere in it or at its top level only."""
    tree = ast.parse(path.read_text())
    names = []
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} uses a relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_downwards(path):
    folder = part(path)
    for name in imports(path):
        head, *inner = name.split(".")
        if head in ("typer", "rich"):
            assert folder in ("cli", "tools"), f"{path} imports {name}"
        if head != "racctl" or inner[0] == "__version__" or inner[0] == folder:
            continue
        assert inner[0] != "tools", f"{path} imports a tool"
        if folder == "cli":
            assert inner[0] in CLI_MAY, f"{path} imports {name}"
        elif inner[0] == "cli":
            assert folder in ("tools", "__main__"), f"{path} imports {name}"
        elif folder != "__init__":
            assert LEVEL[inner[0]] < LEVEL[folder], f"{path} ({folder}) imports {name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_ground_and_the_models_need_few_packages(path):
    allowed = {**GROUND, **ONLY}.get(part(path))
    if allowed is not None:
        assert {name.split(".")[0] for name in imports(path)} - {"racctl"} <= allowed | sys.stdlib_module_names


def test_the_library_is_folders_and_the_ground():
    at_top = {path.stem for path in (ROOT / "racctl").glob("*.py")} - {"__init__", "__main__"}
    folders = {path.name for path in (ROOT / "racctl").iterdir() if (path / "__init__.py").is_file()}
    assert at_top | folders == set(LEVEL) - {"tools"} | {"cli"}
    assert at_top == {"contracts", "windows", "device", "errors", "progress", "density", "kinds", "info"}


def test_a_base_name_stands_for_one_thing():
    """A model's name is that of its network and of what uses it; `base` is a folder's protocol."""
    folders = defaultdict(set)
    for path in (ROOT / "racctl").rglob("*.py"):
        folders[path.stem].add(path.parent.name)
    shared = {name for name, places in folders.items() if len(places - {"models"}) > 1}
    assert shared <= {"__init__", "base"}


@pytest.mark.parametrize("path", [p for p in SOURCES if part(p) == "tools"], ids=lambda p: p.name)
def test_a_tool_imports_nothing_heavy_at_its_top(path):
    heads = {name.split(".")[0] for name in imports(path, top_level=True)}
    assert not heads & HEAVY
    for name in imports(path):
        assert not name.startswith("racctl.tools"), f"{path} imports another tool"


def body_lines(function: ast.FunctionDef) -> int:
    """Return how many lines a function does something in: without its docstring, its imports and blank lines."""
    statements = function.body[1:] if ast.get_docstring(function) else function.body
    return sum(
        statement.end_lineno - statement.lineno + 1
        for statement in statements
        if not isinstance(statement, ast.Import | ast.ImportFrom)
    )


@pytest.mark.parametrize("path", [p for p in SOURCES if part(p) == "tools"], ids=lambda p: p.name)
def test_a_tool_fits_on_a_screen(path):
    functions = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    assert not [function.name for function in functions if body_lines(function) > 40]


TOOLS = sorted(path.stem.replace("_", "-") for path in (ROOT / "tools").glob("[a-z]*.py"))
KINDS_TRAINED = ("recogniser", "encoder", "counter")
HELPS = [
    ["--help"],
    ["--version"],
    *([tool, "--help"] for tool in TOOLS),
    *(["train", kind, "--help"] for kind in KINDS_TRAINED),
]


@pytest.mark.parametrize("words", HELPS)
def test_help_imports_nothing_heavy(words):
    code = f"""
import sys
from racctl.cli.app import run
assert run({words!r}) == 0
print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == "[]"


def test_no_pickle_from_data():
    """No source loads pickles, and none silences that rule."""
    for path in SOURCES:
        text = path.read_text()
        assert "allow_pickle=True" not in text, path
        assert "torch.load(" not in text.replace("weights_only=True", "") or "weights_only=True" in text, path
        assert "import pickle" not in text, path
