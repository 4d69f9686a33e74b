"""racctl export: trained networks for phones, browsers and servers without PyTorch.

WHAT IS WRITTEN
One ONNX file (opset 17) that onnxruntime runs. Recognisers take windows, any number of them, and give logits: joints
(windows, frames, joints, 4), gray and mask (windows, frames, rows, columns) in 0 to 1. Encoders take two windows and
give tokens. Counters take the tokens of a clip, video (1, tokens, channels, 4, 4) and pose (1, tokens, channels,
joints), any number of them, and give density (1, tokens): its sum is the count. The key 'racctl' of the file's metadata
holds the header of the model as JSON: classes, frame rate, window, licence.

PRECISION
float16 halves the file; int8 is a third of it. With --calibrate, the ranges of what is computed are fixed, too: name
clips like those that will be seen, poses for a recogniser of joints, features for a counter. Of the networks that ship,
both are more accurate without it. Check the accuracy with clips of your own.
"""

from __future__ import annotations

from typing import IO, Annotated

import typer

from racctl.cli.options import Output

Model = Annotated[
    str, typer.Argument(metavar="NAME|FILE", show_default=False, help="Export this model: embedded weights, or a file.")
]
Precision = Annotated[
    str, typer.Option("--precision", metavar="float32|float16|int8", help="Choose the precision of the weights.")
]
Calibrate = Annotated[
    list[str],
    typer.Option(
        "--calibrate", metavar="FILE", show_default=False, help="Settle the ranges of int8 by this clip; repeatable."
    ),
]


def export(
    model: Model,
    precision: Precision = "float32",
    calibrate: Calibrate = [],  # noqa: B006 (typer copies it)
    output: Output = "-",
) -> None:
    """Write a trained network as ONNX.

    Needs racctl[export].

    Example: racctl export joints -o joints.onnx
    """
    import sys

    from racctl.cli.clip_plan import check_there
    from racctl.cli.streams import emit
    from racctl.cli.targets import check_writable, refuse_overwriting, refuse_replacing
    from racctl.errors import UsageError

    if calibrate and precision != "int8":
        raise UsageError("'--calibrate' goes with '--precision int8'")
    if output == "-" and sys.stdout.isatty():
        raise UsageError("refusing to write ONNX to a terminal; use '-o FILE' or a pipe")
    check_there(*calibrate)
    check_writable(output)
    refuse_overwriting([model, *calibrate], output)
    refuse_replacing(output, "foreign")
    from racctl.counters.calibration import calibration_of
    from racctl.weights.export import export_onnx

    payload = export_onnx(model, precision, calibration_of(model, calibrate) if calibrate else ())

    def write(file: IO[bytes]) -> None:
        file.write(payload)

    emit(output, write)
