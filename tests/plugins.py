"""Packages of other people, as pip would install them: one module and its entry points."""

from __future__ import annotations

import os
import re
from pathlib import Path

ADDING = Path(__file__).parent.parent / "docs" / "adding.md"


def documented(start: str) -> str:
    """Return the Python block of docs/adding.md that begins like this."""
    blocks = re.findall(r"^```python\n(.*?)^```$", ADDING.read_text(), re.MULTILINE | re.DOTALL)
    (code,) = [block for block in blocks if block.startswith(start)]
    return code


def install(folder: Path, module: str, code: str, group: str, **points: str) -> dict[str, str]:
    """Install a module with entry points, name=attribute, into a folder; return an environment that finds it."""
    (folder / f"{module}.py").write_text(code)
    installed = folder / f"{module}-1.dist-info"
    installed.mkdir()
    lines = [f"[{group}]", *(f"{name} = {module}:{attribute}" for name, attribute in points.items())]
    (installed / "entry_points.txt").write_text("\n".join(lines))
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
    return {**os.environ, "PYTHONPATH": str(folder)}
