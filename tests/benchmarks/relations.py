"""Relations that hold whatever the truth is: between the counts of a set and of the set twice, mirrored, faster.

RACCTL_TEST_DATA=DIR python tests/benchmarks/relations.py [--poses PATH ...] [--sets poses,poses_repcount] [--limit N]
    [--relations R,...] [--model M] [--jobs N] [--work DIR]
DIR holds poses/ and poses_repcount/; --poses names further poses, as `racctl pose` writes them, or folders of them.
Prints for each relation how many sequences keep it exactly and within one, the same over the relations of which 95 %
are asked for, and every failure by more than one. A sequence that is counted 0 keeps most relations by being counted 0
again, so those are named too, and left out of the columns "of those counted above 0".
Counts are left in --work and not made again. Intervals: 95 %, Wilson; over several relations bootstrap over the
sequences.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from outcomes import Ledger, PoseCounter, Result, code_digest, command, markdown, share, share_over

from racctl.contracts import Pose
from racctl.io.poses.formats import load_pose
from racctl.skeleton.topology import topology_named

SETS = ("poses", "poses_repcount")
TARGET = ("backwards", "mirrored", "0.5x", "2x")  # of which 95 % should hold, as of the set done twice


def twice(pose: Pose) -> Pose:
    """Play the clip twice in a row."""
    beat = float(np.median(np.diff(pose.time)))
    step = int(np.median(np.diff(pose.frame)))
    return replace(
        pose,
        xyz=np.concatenate([pose.xyz] * 2),
        score=np.concatenate([pose.score] * 2),
        world=None if pose.world is None else np.concatenate([pose.world] * 2),
        frame=np.concatenate([pose.frame, pose.frame - pose.frame[0] + pose.frame[-1] + step]),
        time=np.concatenate([pose.time, pose.time - pose.time[0] + pose.time[-1] + beat]),
    )


def backwards(pose: Pose) -> Pose:
    return replace(
        pose,
        xyz=pose.xyz[::-1].copy(),
        score=pose.score[::-1].copy(),
        world=None if pose.world is None else pose.world[::-1].copy(),
        frame=pose.frame[0] + pose.frame[-1] - pose.frame[::-1],
        time=pose.time[0] + pose.time[-1] - pose.time[::-1],
    )


def mirrored(pose: Pose) -> Pose:
    """Change left and right over, in the picture and by the joints' names; what x spans stays the same."""
    flip = topology_named(pose.topology).flip
    xyz = pose.xyz[:, :, flip].copy()
    xyz[..., 0] = np.nanmin(xyz[..., 0]) + np.nanmax(xyz[..., 0]) - xyz[..., 0]
    world = pose.world
    if world is not None:
        world = world[:, :, flip] * np.array([-1, 1, 1], np.float32)
    return replace(pose, xyz=xyz, score=pose.score[:, :, flip].copy(), world=world)


def retimed(pose: Pose, factor: float) -> Pose:
    """Play the clip `factor` times as fast, by its timestamps."""
    meta = pose.meta
    source = meta.get("source", {})
    if "fps" in source:
        meta = {**meta, "source": {**source, "fps": source["fps"] * factor}}
    return replace(pose, time=pose.time[0] + (pose.time - pose.time[0]) / factor, meta=meta)


def every_second(pose: Pose) -> Pose:
    """Leave every second frame out."""
    return replace(
        pose,
        xyz=pose.xyz[::2],
        score=pose.score[::2],
        world=None if pose.world is None else pose.world[::2],
        frame=pose.frame[::2],
        time=pose.time[::2],
    )


@dataclass(frozen=True)
class Relation:
    """change: of the sequence.  factor: how many times as many repetitions it has then."""

    change: Callable[[Pose], Pose]
    factor: int = 1


RELATIONS = {
    "twice": Relation(twice, 2),
    "backwards": Relation(backwards),
    "mirrored": Relation(mirrored),
    **{f"{factor:g}x": Relation(partial(retimed, factor=factor)) for factor in (0.5, 2, 3, 4)},
    "every second frame": Relation(every_second),
}

count_pose: PoseCounter  # of this process


def open_counters(model: str) -> None:
    global count_pose
    count_pose = PoseCounter(model)


def count_related(item: tuple[Path, str]) -> Result:
    """Count a sequence as it is, "original", or as a relation changes it."""
    path, relation = item
    pose = load_pose(str(path))
    return count_pose(pose if relation == "original" else RELATIONS[relation].change(pose))


def misses(counts: dict[str, dict[str, int | None]], relation: str) -> dict[str, float]:
    """Return by how much each sequence misses the count that the relation asks for; infinity where nobody is counted in
    only one of the two."""
    by_sequence = {}
    for name, by_change in counts.items():
        first, second = by_change["original"], by_change[relation]
        if first is None or second is None:
            by_sequence[name] = 0.0 if first == second else np.inf
        else:
            by_sequence[name] = float(abs(second - RELATIONS[relation].factor * first))
    return by_sequence


def report(counts: dict[str, dict[str, int | None]], relations: list[str]) -> None:
    """counts: sequence -> relation, or "original" -> count."""
    by_relation = {relation: misses(counts, relation) for relation in relations}
    idle = {name for name, by_change in counts.items() if not by_change["original"]}
    for relation, by_sequence in by_relation.items():
        far = [name for name, miss in by_sequence.items() if miss > 1]
        print(f"{relation}: {len(far)} off by more than one")
        for name in far:
            print(f"  {name:48} {counts[name]['original']} -> {counts[name][relation]}")
    print(f"counted 0 as they are: {', '.join(sorted(idle)) or 'none'}\n")
    rows: list[dict[str, object]] = []
    for relation, by_sequence in by_relation.items():
        moving = [miss for name, miss in by_sequence.items() if name not in idle]
        rows.append(
            {
                "relation": relation,
                "n": len(by_sequence),
                "exact": share(miss == 0 for miss in by_sequence.values()),
                "within 1": share(miss <= 1 for miss in by_sequence.values()),
                "of those counted above 0": len(moving),
                "exact of these": share(miss == 0 for miss in moving),
                "within 1 of these": share(miss <= 1 for miss in moving),
            }
        )
    for title, group in ((" and ".join(TARGET), TARGET), ("all", relations)):
        if set(group) <= set(relations) and len(group) > 1:
            rows.append(joint_row(title, {relation: by_relation[relation] for relation in group}, idle))
    print(markdown(rows))


def joint_row(title: str, by_relation: dict[str, dict[str, float]], idle: set[str]) -> dict[str, object]:
    """Return the row of several relations."""
    names = list(next(iter(by_relation.values())))
    moving = [name for name in names if name not in idle]

    def cell(chosen: list[str], most: float) -> str:
        return share_over({name: [miss[name] <= most for miss in by_relation.values()] for name in chosen})

    return {
        "relation": title,
        "n": len(names) * len(by_relation),
        "exact": cell(names, 0),
        "within 1": cell(names, 1),
        "of those counted above 0": len(moving) * len(by_relation),
        "exact of these": cell(moving, 0),
        "within 1 of these": cell(moving, 1),
    }


def files_of(data: Path, sets: list[str], more: list[Path]) -> dict[str, Path]:
    """Return the sequences by set and name."""
    files = {f"{name}/{path.stem}": path for name in sets for path in sorted((data / name).glob("*.npy"))}
    for path in more:
        for file in sorted(path.glob("*.npz")) if path.is_dir() else [path]:
            files[f"{file.parent.name}/{file.name.removesuffix('.npz').removesuffix('.pose')}"] = file
    return files


def main() -> None:
    parser = command(__doc__, "relations")
    parser.add_argument("--poses", type=Path, nargs="*", default=[], help="poses of clips, or folders of them")
    parser.add_argument("--sets", type=lambda text: text.split(",") if text else [], default=list(SETS))
    parser.add_argument("--relations", type=lambda text: text.split(","), default=list(RELATIONS))
    parser.add_argument("--limit", type=int, help="so many sequences of all, evenly spread")
    requested = parser.parse_args()
    if unknown := [name for name in requested.relations if name not in RELATIONS]:
        sys.exit(f"no such relation '{unknown[0]}'; expected {', '.join(RELATIONS)}")
    if requested.sets and "RACCTL_TEST_DATA" not in os.environ:
        sys.exit("set RACCTL_TEST_DATA to a folder with poses/ and poses_repcount/, or use '--sets \"\"' and '--poses'")
    files = files_of(Path(os.environ.get("RACCTL_TEST_DATA", "")), requested.sets, requested.poses)
    if not files:
        sys.exit("no sequences; name some with '--poses', or sets of RACCTL_TEST_DATA with '--sets'")
    if requested.limit:
        chosen = np.unique(np.linspace(0, len(files) - 1, min(requested.limit, len(files))).round().astype(int))
        files = {name: path for k, (name, path) in enumerate(files.items()) if k in chosen}
    ledger = Ledger(requested.work / f"{Path(requested.model).stem}.jsonl", code_digest(requested.model))
    items = {}
    for name, path in files.items():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        for relation in ("original", *requested.relations):
            items[name, relation] = f"{name}-{digest} {relation}", (path, relation)
    counted = ledger.complete(dict(items.values()), count_related, requested.jobs, open_counters, (requested.model,))
    counts: dict[str, dict[str, int | None]] = {}
    for (name, relation), (key, _) in items.items():
        counts.setdefault(name, {})[relation] = counted[key]["count"]
    report(counts, requested.relations)


if __name__ == "__main__":
    main()
