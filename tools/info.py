"""racctl info: what a file is."""

from __future__ import annotations

from typing import IO

from racctl.cli.options import Output, Source, TextFormat


def info(file: Source = "-", output: Output = "-", format: TextFormat = "text") -> None:
    """Say what a file is.

    Schema, shapes, where it came from, which tools made it with which options, licences of the weights. Understands
    racctl's npz, Parquet and safetensors files, and videos.

    Example: racctl info squats.pose.npz
    """
    import json

    from racctl.cli.streams import emit, outline, refuse_unknown
    from racctl.cli.targets import check_writable, refuse_overwriting
    from racctl.info import describe

    refuse_overwriting([file], output)
    check_writable(output)
    refuse_unknown(format, ("text", "json"))
    about = describe(file)
    text = outline(about) if format == "text" else json.dumps(about, indent=1, ensure_ascii=False) + "\n"

    def write(target: IO[bytes]) -> None:
        target.write(text.encode())

    emit(output, write)
