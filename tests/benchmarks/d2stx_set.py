"""Make of drawn clips what D2-STX learns from: each as it is, played faster, and with its person lost half of the time.

python tests/benchmarks/d2stx_set.py SET ESTIMATED INNER OUT
SET is a folder of `racctl synth`; ESTIMATED has the poses that `racctl pose` found in its videos, INNER the features
that it wrote beside them. Writes into OUT a manifest and the repetitions, where every clip stands three times, and the
features of all in OUT/features: tokens of `blazepose` and `ctrgcn` at 15 frames/s. CLIP-fast is played 1.1 to 2.2 times
as fast, and three in ten of these lose their person too; CLIP-lost has the picture of CLIP. What is there stays.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from counting import without_half

from racctl.contracts import Features, Pose
from racctl.io.npz import read_features, read_pose, write_features, write_pose
from racctl.io.output import make_folder, write_file

FASTER = (1.1, 2.2)
LOST_SHARE = 0.3  # of those that are played faster
VERSIONS = ("", "-fast", "-lost")
TOGETHER = 50  # clips encoded in one call
RATE = 15


def versions(pose: Pose, inner: Features, clip: str) -> Iterator[tuple[str, Pose, Features]]:
    """Yield name, pose and inner features of a clip's versions."""
    rng = np.random.default_rng(list(clip.encode()))
    factor = float(np.exp(rng.uniform(*np.log(FASTER))))
    assert inner.start_s is not None and inner.stop_s is not None, "inner features have seconds"
    fast = replace(pose, time=pose.time / factor)
    if rng.random() < LOST_SHARE:
        fast = without_half(fast, clip)
    quick = replace(inner, start_s=inner.start_s / factor, stop_s=inner.stop_s / factor)
    for ending, its_pose, its_inner in (
        ("", pose, inner),
        ("-fast", fast, quick),
        ("-lost", without_half(pose, clip), inner),
    ):
        name = clip + ending
        yield (
            name,
            replace(its_pose, meta={**pose.meta, "clip": name}),
            replace(its_inner, meta={**inner.meta, "clip": name}),
        )


def encode(clips: list[str], estimated: Path, inner: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        poses, features = Path(folder, "poses"), Path(folder, "features")
        make_folder(poses)
        make_folder(features)
        for clip in clips:
            with open(estimated / f"{clip}.pose.npz", "rb") as p, open(inner / f"{clip}.features.npz", "rb") as f:
                read = read_pose(p, clip), read_features(f, clip)
            for name, its_pose, its_inner in versions(*read, clip):
                write_file(poses / f"{name}.pose.npz", partial(write_pose, pose=its_pose))
                write_file(features / f"{name}.features.npz", partial(write_features, features=its_inner))
        racctl = str(Path(sys.executable).with_name("racctl"))
        options = ["--pose", str(poses), "--encoder", "blazepose", "--rate", str(RATE), "--stride", "32", "--quiet"]
        files = [str(file) for file in sorted(features.iterdir())]
        subprocess.run([racctl, "encode", *files, *options, "-o", f"{target}/"], check=True)


def repeated(table: pa.Table) -> pa.Table:
    """Return a table with the rows of every version."""
    at = table.schema.get_field_index("clip")
    parts = [
        table.set_column(at, "clip", pa.array([c + ending for c in table["clip"].to_pylist()])) for ending in VERSIONS
    ]
    return pa.concat_tables(parts).replace_schema_metadata(table.schema.metadata)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("set", "estimated", "inner", "out"):
        parser.add_argument(name, type=Path)
    requested = parser.parse_args()
    target = requested.out / "features"
    make_folder(target)
    clips = [path.name.removesuffix(".pose.npz") for path in sorted(requested.estimated.glob("*.pose.npz"))]
    waiting = [clip for clip in clips if not (target / f"{clip}-lost.features.npz").exists()]
    for begin in range(0, len(waiting), TOGETHER):
        encode(waiting[begin : begin + TOGETHER], requested.estimated, requested.inner, target)
    for name in ("manifest", "reps"):
        pq.write_table(repeated(pq.read_table(requested.set / f"{name}.parquet")), requested.out / f"{name}.parquet")


if __name__ == "__main__":
    main()
