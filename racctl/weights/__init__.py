"""Small weights that the project trained itself and ships, each with a model card beside it."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


def embedded(name: str) -> Path | None:
    """The file of the weights called `name`; None where none of that name ship."""
    path = FOLDER / f"{name}.safetensors"
    return path if path.is_file() else None


def names() -> list[str]:
    """What ships."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))
