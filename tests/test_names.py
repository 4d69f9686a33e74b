"""Names say what a thing holds, and stand for one thing in the whole library."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIBRARY = sorted((ROOT / "racctl").rglob("*.py"))
SOURCES = [*LIBRARY, *sorted((ROOT / "tools").glob("*.py")), *sorted((ROOT / "tests").rglob("*.py"))]
# What happened to a thing is no name for it; nor is a pronoun.
BANNED = {"found", "made", "one", "other", "asked", "given", "own", "kept", "wanted", "taken", "there", "rest", "said"}
MAX_BANNED = 0
MAX_SHARED = 0


def bound_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield every name that a module binds (variables, arguments, attributes, functions, classes) with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield (node.id if isinstance(node, ast.Name) else node.attr), node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, node.lineno


def test_no_name_says_only_what_happened_to_a_thing():
    banned = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in SOURCES
        for name, line in bound_names(ast.parse(path.read_text()))
        if name.strip("_") in BANNED
    ]
    assert len(banned) <= MAX_BANNED, "\n".join(banned)


def top_level_names(tree: ast.Module) -> Iterator[str]:
    """Yield the public names that a module defines."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        else:
            continue
        yield from (name for name in names if not name.startswith("_"))


def test_a_top_level_name_is_defined_once():
    places = defaultdict(set)
    for path in LIBRARY:
        for name in top_level_names(ast.parse(path.read_text())):
            places[name].add(str(path.relative_to(ROOT)))
    shared = {name: sorted(paths) for name, paths in places.items() if len(paths) > 1}
    assert len(shared) <= MAX_SHARED, shared
