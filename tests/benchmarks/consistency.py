"""Whether `racctl count` says the same of a clip that was changed in ways that change no repetition.

RACCTL_TEST_DATA=DIR python tests/benchmarks/consistency.py [--clips A,B] [--limit N] [--variants V,...] [--model M]
    [--jobs N] [--work DIR]
DIR holds clips/ and clips2/. Each clip is counted as it is and in every variant: encoded anew six ways, mirrored, dark,
small, at another speed, and as a camera sees it that shakes, pans or zooms. Prints for every variant in how many clips
the count stays, the same for the encodings and for all variants together, and every count that changes. A clip in which
nobody is found keeps its count where nobody is found in the variant either.
Changed clips (gigabytes, for all), their poses and the counts are left in --work; what is there is not made again.
Intervals: 95 %, Wilson for a variant; over several variants bootstrap over the clips.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import sys
from pathlib import Path
from typing import IO

from outcomes import Ledger, Result, code_digest, command, markdown, result_of, share, share_over
from variants import ENCODINGS, RECIPE, VARIANTS, change_clip

from racctl.contracts import Features, Pose
from racctl.counters.base import Counter, open_counter
from racctl.counters.count_clip import POOLED_SIDE, CountOptions, count_source
from racctl.estimators.on_demand import Estimates, Estimators
from racctl.io.npz import read_features, read_pose, write_features, write_pose
from racctl.io.output import write_file
from racctl.io.spool import sha256
from racctl.io.up_to_date import is_current
from racctl.progress import Report, silent
from racctl.video.span import Span


class RememberedPoses(Estimators):
    """Estimators that leave each pose and its features in files, and read them when the same video comes again."""

    target = Path()

    def pose(self, file: IO[bytes], name: str, span: Span, report: Report = silent) -> tuple[Pose, Features | None]:
        beside = self.target.with_suffix(".features.npz")
        if all(is_current(path, sha256(file), [self.pose_step(span)]) for path in (self.target, beside)):
            with self.target.open("rb") as pose_file, beside.open("rb") as features_file:
                return read_pose(pose_file, str(self.target)), read_features(features_file, str(beside))
        pose, features = super().pose(file, name, span, report)
        if features is not None:
            write_file(beside, lambda out: write_features(out, features))
            write_file(self.target, lambda out: write_pose(out, pose))
        return pose, features


lane: tuple[Counter, CountOptions, RememberedPoses]  # of this process


def open_lane(model: str, pose_model: str) -> None:
    global lane
    counter = open_counter(model, device="cpu", threads=1)
    looks = counter.looks_at_features(pose_model)
    estimates = Estimates(counter.mask_size, True, pose_model=pose_model, features=looks, feature_side=POOLED_SIDE)
    lane = counter, CountOptions(model, pose_model=pose_model), RememberedPoses(estimates)


def count_variant(item: tuple[Path, str, Path]) -> Result:
    source, variant, folder = item
    counter, options, estimators = lane
    folder.mkdir(parents=True, exist_ok=True)
    estimators.target = folder / f"{variant}.pose.npz"
    path = source
    if variant in VARIANTS:
        change, encoding = VARIANTS[variant]
        path = folder / f"{variant}.{encoding.container}"
        if not path.exists():
            change_clip(source, path, change, encoding)
    return result_of(lambda: count_source(str(path), estimators, counter=counter, options=options))


def report(results: dict[str, dict[str, Result]], variants: list[str]) -> None:
    """results: clip -> variant, or "original" -> result."""
    same: dict[str, dict[str, bool]] = {}
    near: dict[str, dict[str, bool]] = {}
    changes = []
    for clip, by_variant in results.items():
        first = by_variant["original"]["count"]
        for variant in variants:
            second = by_variant[variant]["count"]
            same.setdefault(variant, {})[clip] = first == second
            both_count = None not in (first, second)
            near.setdefault(variant, {})[clip] = abs(first - second) <= 1 if both_count else first == second
            if first != second:
                changes.append(f"  {clip:40} {variant:14} {first} -> {second} {by_variant[variant].get('error', '')}")
    rows: list[dict[str, object]] = []
    for variant in variants:
        hits = share(same[variant].values()), share(near[variant].values())
        rows.append({"variant": variant, "n": len(results), "same count": hits[0], "within one": hits[1]})
    for title, group in (("the encodings", [*ENCODINGS]), ("all variants", variants)):
        chosen = [variant for variant in variants if variant in group]
        if len(chosen) > 1:
            cells = [share_over({clip: [hits[v][clip] for v in chosen] for clip in results}) for hits in (same, near)]
            row = {"variant": title, "n": len(results) * len(chosen), "same count": cells[0], "within one": cells[1]}
            rows.append(row)
    print(f"{len(changes)} counts that change:", *changes, sep="\n")
    print(markdown(rows))


def main() -> None:
    parser = command(__doc__, "consistency")
    parser.add_argument("--clips", type=lambda text: text.split(","), help="names without suffix")
    parser.add_argument("--limit", type=int, help="so many clips, from each folder's beginning in turn")
    parser.add_argument("--variants", type=lambda text: text.split(","), default=list(VARIANTS))
    parser.add_argument("--pose-model", default="full", help="of `racctl count`")
    requested = parser.parse_args()
    if unknown := [variant for variant in requested.variants if variant not in VARIANTS]:
        sys.exit(f"no such variant '{unknown[0]}'; expected {', '.join(VARIANTS)}")
    if "RACCTL_TEST_DATA" not in os.environ:
        sys.exit("set RACCTL_TEST_DATA to a folder with clips/ and clips2/")
    data = Path(os.environ["RACCTL_TEST_DATA"])
    folders = [sorted((data / name).glob("*.mp4")) for name in ("clips", "clips2")]
    clips = [clip for pair in itertools.zip_longest(*folders) for clip in pair if clip]
    if requested.clips:
        clips = [clip for clip in clips if clip.stem in requested.clips]
        if len(clips) < len(set(requested.clips)):
            sys.exit(f"no such clip '{min(set(requested.clips) - {clip.stem for clip in clips})}'")
    clips = clips[: requested.limit]
    items = {}
    for clip in clips:
        digest = hashlib.sha256(clip.read_bytes()).hexdigest()[:8]
        for variant in ("original", *requested.variants):
            folder = requested.work / f"recipe-{RECIPE}" / f"{clip.stem}-{digest}"
            items[f"{RECIPE}/{clip.stem}-{digest}/{variant}"] = (clip, variant, folder)
    about = f"{code_digest(requested.model)} {requested.pose_model}"
    ledger = Ledger(requested.work / f"{Path(requested.model).stem}.jsonl", about)
    arguments = requested.model, requested.pose_model
    counted = ledger.complete(items, count_variant, requested.jobs, open_lane, arguments)
    results: dict[str, dict[str, Result]] = {}
    for key, (clip, variant, _) in items.items():
        results.setdefault(clip.stem, {})[variant] = counted[key]
    report(results, requested.variants)


if __name__ == "__main__":
    main()
