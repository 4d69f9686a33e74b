"""Make of drawn clips what counters learn from: as they are, played faster, and with the person lost half of the time.

python tests/benchmarks/d2stx_set.py SET ESTIMATED INNER OUT
SET is a folder of `racctl synth`; ESTIMATED has the poses that `racctl pose` found in its videos, INNER the features
that it wrote beside them. Writes into OUT a manifest and the repetitions, where every clip stands three times, and the
features of all in OUT/features: tokens of `blazepose` and `ctrgcn` at 15 frames/s. CLIP-fast is played 1.1 to 2.2 times
as fast, and three in ten of these lose their person too; CLIP-lost has the picture of CLIP. Clips of the split `test`
stand a fourth time, as CLIP-slow, at half the speed. What is there stays.
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
TESTED_VERSIONS = (*VERSIONS, "-slow")
SLOWER = 0.5
TOGETHER = 50  # clips encoded in one call
RATE = 15


def versions(pose: Pose, inner: Features, clip: str) -> Iterator[tuple[str, Pose, Features]]:
    """Yield name, pose and inner features of a clip's versions."""
    rng = np.random.default_rng(list(clip.encode()))
    factor = float(np.exp(rng.uniform(*np.log(FASTER))))
    fast = replace(pose, time=pose.time / factor)
    if rng.random() < LOST_SHARE:
        fast = without_half(fast, clip)
    for ending, its_pose, its_inner in (
        ("", pose, inner),
        ("-fast", fast, played(inner, factor)),
        ("-lost", without_half(pose, clip), inner),
        ("-slow", replace(pose, time=pose.time / SLOWER), played(inner, SLOWER)),
    ):
        name = clip + ending
        yield (
            name,
            replace(its_pose, meta={**pose.meta, "clip": name}),
            replace(its_inner, meta={**inner.meta, "clip": name}),
        )


def played(inner: Features, factor: float) -> Features:
    """The inner features of a clip that is played so many times as fast."""
    assert inner.start_s is not None and inner.stop_s is not None, "inner features have seconds"
    return replace(inner, start_s=inner.start_s / factor, stop_s=inner.stop_s / factor)


def encode(clips: dict[str, tuple[str, ...]], estimated: Path, inner: Path, target: Path) -> None:
    """Encode the versions of each clip that are named by their endings."""
    with tempfile.TemporaryDirectory() as folder:
        poses, features = Path(folder, "poses"), Path(folder, "features")
        make_folder(poses)
        make_folder(features)
        for clip, endings in clips.items():
            with open(estimated / f"{clip}.pose.npz", "rb") as p, open(inner / f"{clip}.features.npz", "rb") as f:
                read = read_pose(p, clip), read_features(f, clip)
            for name, its_pose, its_inner in versions(*read, clip):
                if name.removeprefix(clip) not in endings:
                    continue
                write_file(poses / f"{name}.pose.npz", partial(write_pose, pose=its_pose))
                write_file(features / f"{name}.features.npz", partial(write_features, features=its_inner))
        racctl = str(Path(sys.executable).with_name("racctl"))
        options = ["--pose", str(poses), "--encoder", "blazepose", "--rate", str(RATE), "--stride", "32", "--quiet"]
        files = [str(file) for file in sorted(features.iterdir())]
        subprocess.run([racctl, "encode", *files, *options, "-o", f"{target}/"], check=True)


def repeated(table: pa.Table, tested: set[str]) -> pa.Table:
    """Return a table with the rows of every version; `tested` are the clips of the split `test`."""
    at = table.schema.get_field_index("clip")
    clips = table["clip"].to_pylist()
    parts = []
    for ending in TESTED_VERSIONS:
        has_version = [ending in VERSIONS or clip in tested for clip in clips]
        part = table.set_column(at, "clip", pa.array([clip + ending for clip in clips]))
        parts.append(part.filter(pa.array(has_version)))
    return pa.concat_tables(parts).replace_schema_metadata(table.schema.metadata)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("set", "estimated", "inner", "out"):
        parser.add_argument(name, type=Path)
    requested = parser.parse_args()
    target = requested.out / "features"
    make_folder(target)
    rows = pq.read_table(requested.set / "manifest.parquet").to_pylist()
    tested = {row["clip"] for row in rows if row["split"] == "test"}
    waiting = {}
    for path in sorted(requested.estimated.glob("*.pose.npz")):
        clip = path.name.removesuffix(".pose.npz")
        endings = TESTED_VERSIONS if clip in tested else VERSIONS
        missing = tuple(ending for ending in endings if not (target / f"{clip}{ending}.features.npz").exists())
        if missing:
            waiting[clip] = missing
    names = list(waiting)
    for begin in range(0, len(names), TOGETHER):
        encode(
            {clip: waiting[clip] for clip in names[begin : begin + TOGETHER]},
            requested.estimated,
            requested.inner,
            target,
        )
    for name in ("manifest", "reps"):
        table = pq.read_table(requested.set / f"{name}.parquet")
        pq.write_table(repeated(table, tested), requested.out / f"{name}.parquet")


if __name__ == "__main__":
    main()
