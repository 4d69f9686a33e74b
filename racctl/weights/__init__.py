"""Small weights that the project trained itself and ships, each with a model card beside it."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


def embedded(name: str) -> Path | None:
    """Return the file of the weights called `name`; None where none of that name ship."""
    path = FOLDER / f"{name}.safetensors"
    return path if path.is_file() else None


def names() -> list[str]:
    """Return what ships."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def kind_of_file(path: str) -> str:
    """Return the kind of the model in a racctl.model/1, such as "d2stx"; DataError for another file."""
    from racctl.io.checkpoint import model_meta

    return str(model_meta(path)["model"])
