"""Who may import whom, read from the source with `ast`."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*(ROOT / "racctl").rglob("*.py"), *(ROOT / "tools").glob("*.py")])

# Lowest first. A module imports its own package and what stands in a lower row.
ROWS = (
    {"errors", "progress", "weights"},
    {"contracts", "topology", "metrics", "windows", "density", "timeline"},  # with numpy at most, as the row above
    {"io"},
    {"video", "models", "remap", "tokens"},
    {"estimators", "data", "synth", "trained"},
    {"motion", "classification", "streams"},
    {"periodicity", "plot", "training", "encoders", "classification_items", "classification_plot"},
    {"pose", "mask", "score", "info", "label_check", "counted", "counter"},  # one function for each tool
    {"estimation"},  # pose and mask where another tool needs them
    {"encode", "classify", "classification_score", "counter_explain"},  # what stands on other pipelines
    {"explain", "encode_set", "count_trained"},
    {"count_lanes"},
    {"count"},
    {"tools"},
)
CLI_MAY = {"cli", "io", "errors", "progress"}
LIGHT = {"numpy"}
HEAVY = {"numpy", "scipy", "pyarrow", "av", "torch", "torchvision", "mediapipe", "ultralytics", "matplotlib", "PIL"}
HEAVY |= {"sklearn"}


def part(path: Path) -> str:
    """`racctl/io/npz.py` -> io, `racctl/counters/count_clip.py` -> count, `tools/pose.py` -> tools."""
    inside = path.relative_to(ROOT).with_suffix("").parts
    return inside[0] if inside[0] == "tools" else inside[1]


def imports(path: Path, top_level: bool = False) -> list[str]:
    """Absolute names of all modules that a file imports, anywhere in it or at its top level only."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level else ast.walk(tree)
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} uses a relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def row(name: str) -> int:
    return next(k for k, names in enumerate(ROWS) if name in names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_downwards(path):
    own = part(path)
    for name in imports(path):
        head, *rest = name.split(".")
        if head in ("typer", "rich"):
            assert own in ("cli", "tools"), f"{path} imports {name}"
        if head != "racctl" or not rest or rest[0] in ("__version__", own):
            continue
        assert rest[0] != "tools", f"{path} imports a tool"
        if own == "cli":
            assert rest[0] in CLI_MAY, f"{path} imports {name}"
        elif rest[0] == "cli":
            assert own == "tools", f"{path} imports {name}"
        elif own != "__init__":
            assert row(rest[0]) < row(own), f"{path} ({own}) imports {name}"


@pytest.mark.parametrize("path", [p for p in SOURCES if part(p) in ROWS[0] | ROWS[1]], ids=lambda p: p.name)
def test_the_lowest_rows_need_numpy_and_the_standard_library_only(path):
    heads = {name.split(".")[0] for name in imports(path)} - {"racctl"}
    assert heads <= LIGHT | sys.stdlib_module_names


@pytest.mark.parametrize("path", [p for p in SOURCES if part(p) == "tools"], ids=lambda p: p.name)
def test_a_tool_imports_nothing_heavy_at_its_top(path):
    heads = {name.split(".")[0] for name in imports(path, top_level=True)}
    assert not heads & HEAVY
    for name in imports(path):
        assert not name.startswith("racctl.tools"), f"{path} imports another tool"


def test_every_source_belongs_to_a_row():
    for path in SOURCES:
        name = part(path)
        assert name in ("cli", "__init__") or any(name in names for names in ROWS), path


HELPED = (
    "pose", "mask", "remap-joints", "encode", "count", "classify", "train", "score", "check-labels", "synth", "info",
)  # fmt: skip
HELPS = [["--help"], ["--version"], *([tool, "--help"] for tool in HELPED)]


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
