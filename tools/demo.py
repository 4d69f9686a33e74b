"""racctl demo: a first look, without any clip of one's own.

WHAT IT DOES
Draws a clip of somebody who does squats, then runs the tools on it, one after the other, and prints every command line
before its output, so that it can be copied and changed. What is written lies in the output directory; a second run
draws nothing again.
"""

from __future__ import annotations

from typing import Annotated

import typer

CHAIN = (
    "racctl synth --out {out} --clips 1 --classes squat --reps 5 --clean --size 640x480 --fps 30 --seed 5 --quiet",
    "racctl info {clip}",
    "racctl pose {clip} -o {out}/squats.pose.npz",
    "racctl count {out}/squats.pose.npz --format table",
    "racctl count {out}/squats.pose.npz --reps --format table",
    "racctl classify {out}/squats.pose.npz --format table",
    "racctl count {clip} --plot {out}/squats.html --overlay {out}/counted.mp4 -o {out}/squats.counts.parquet",
    "racctl score --truth {out}/manifest.parquet {out}/squats.counts.parquet --format table",
)

Output = Annotated[str, typer.Option("-o", "--output", metavar="DIR", help="Write here.")]


def demo(output: Output = "racctl-demo") -> None:
    """Draw a clip and show what the tools make of it.

    Needs racctl[synth]; takes about a minute.

    Example: racctl demo -o first-look
    """
    import shlex

    from racctl.cli.chain import run_chain
    from racctl.io.output import make_folder
    from racctl.synth.ask import need_extra

    need_extra()
    make_folder(output)
    out = shlex.quote(output.rstrip("/") or "/")
    run_chain([line.format(out=out, clip=f"{out}/video/squat_00000.mp4") for line in CHAIN])
