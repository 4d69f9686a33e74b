"""Whether a second person in the picture changes the count of the first, on drawn clips.

python tests/benchmarks/people.py --folder DIR [--clips 200] [--kinds still,passing,...] [--jobs 2] [--draw-only]
Every clip is drawn twice, with the exerciser alone and with somebody else, see tests/two_people.py for the kinds;
clips that are in DIR already are not drawn again. Both versions are counted as `racctl count` does by default.
Prints for each kind how often both counts are equal, how many are right within one, and how often the pose was the
exerciser's; for two exercisers also what `racctl pose --people 2` gives. Rivals are second people of any kind who are
larger or more central than the exerciser.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from two_people import KINDS, Size, counts_of, followed, in_picture, is_rival, scene_of

from racctl.contracts import Pose
from racctl.errors import RacctlError
from racctl.io.npz import read_pose, write_pose
from racctl.io.output import write_bytes, write_file

SEED = 16
VERSIONS = ("alone", "both")
PURE_SHARE = 0.8  # share of a track's frames that show one person, from which on it is that person's


@dataclass(frozen=True)
class Job:
    """One clip of a kind."""

    kind: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.kind}_{self.number:03d}"


@dataclass(frozen=True)
class Outcome:
    """What was counted of one clip.

    counts: true, of the exerciser and of the second person.
    alone, both: counted in the two versions, None where nobody is found.
    exerciser, second, lost: shares of the frames in which the exerciser is in the picture and the main pose is theirs,
        the second person's, nobody's.
    crowded: as `exerciser`, of the frames in which both are in the picture.
    """

    name: str
    label: str
    counts: list[int]
    alone: int | None
    both: int | None
    exerciser: float
    second: float
    lost: float
    crowded: float

    @property
    def change(self) -> int:
        """How far the counts of both versions are apart."""
        return abs((self.both or 0) - (self.alone or 0))

    def near(self, counted: int | None, person: int = 0) -> bool:
        """Whether a count is a person's, within one."""
        return counted is not None and abs(counted - self.counts[person]) <= 1


def draw(job: Job, folder: str) -> tuple[str, float]:
    """Draw both versions of a clip unless they are there; returns its name and the seconds of CPU time."""
    from racctl.synth.company import render_scene

    began = time.process_time()
    scene = scene_of(job.kind, job.number, seed=SEED, size=Size())
    digest = hashlib.sha256(json.dumps(asdict(scene), sort_keys=True).encode()).hexdigest()
    record = Path(folder) / f"{job.name}.json"
    if record.exists() and json.loads(record.read_text())["digest"] == digest:
        return job.name, 0.0
    for version in VERSIONS:
        clip = render_scene(scene if version == "both" else replace(scene, company=()), f"{job.name}.{version}")
        write_bytes(Path(folder) / f"{job.name}.{version}.mp4", clip.video)
    write_file(Path(folder) / f"{job.name}.truth.npz", lambda file: write_pose(file, clip.pose))
    summary = {"digest": digest, "label": clip.plan.label, "counts": counts_of(clip), "frames": len(clip.label)}
    write_bytes(record, (json.dumps(summary) + "\n").encode())
    return job.name, time.process_time() - began


def draw_all(jobs: list[Job], folder: Path, workers: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=alone_on_its_core) as pool:
        pending = [pool.submit(draw, job, str(folder)) for job in jobs]
        for done, future in enumerate(as_completed(pending), 1):
            name, seconds = future.result()
            if seconds > 0:
                print(f"drawn {name} ({seconds:.0f} s), {done} of {len(jobs)}", file=sys.stderr, flush=True)


def alone_on_its_core() -> None:
    """Keep a worker to one thread and out of the way of others; it ends when the parent is gone."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    os.nice(15 - min(os.nice(0), 15))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"


def end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(143)


def load_truth(folder: Path, job: Job) -> Pose:
    with open(folder / f"{job.name}.truth.npz", "rb") as file:
        return read_pose(file, job.name)


def count_all(jobs: list[Job], folder: Path, workers: int, model: str) -> Iterator[Outcome]:
    """Count both versions of every clip, with the pose that was counted."""
    from racctl.counters.base import open_counter
    from racctl.counters.count_clip import CountOptions, count_clip, open_lanes
    from racctl.estimators.open_clip import open_clip

    options = CountOptions(pose_model=model)
    counter = open_counter(options.model)
    with open_lanes(counter, options, 1, workers) as (estimators,):
        for job in jobs:
            counted: dict[str, int | None] = dict.fromkeys(VERSIONS)
            pose: Pose | None = None
            for version in VERSIONS:
                try:
                    with open_clip(str(folder / f"{job.name}.{version}.mp4"), estimators=estimators) as clip:
                        counted[version] = count_clip(clip, counter, options)[0].repetitions
                        pose = clip.pose
                except RacctlError as error:
                    pose = None
                    print(f"{job.name}.{version}: {error}", file=sys.stderr)
            yield outcome_of(job, folder, counted, pose)


def resume(path: Path | None) -> dict[str, Outcome]:
    """Read the outcomes that an earlier run wrote, by clip."""
    if path is None or not path.exists():
        return {}
    rows = [Outcome(**json.loads(line)) for line in path.read_text().splitlines()]
    return {outcome.name: outcome for outcome in rows}


def outcome_of(job: Job, folder: Path, counted: dict[str, int | None], pose: Pose | None) -> Outcome:
    summary = json.loads((folder / f"{job.name}.json").read_text())
    truth = load_truth(folder, job)
    whose = np.full(len(truth.frame), -1)
    if pose is not None:
        rows = np.searchsorted(truth.frame, pose.frame)
        whose[rows] = followed(pose, Pose(**{**vars(truth), "xyz": truth.xyz[rows], "score": truth.score[rows]}))
    seen = in_picture(truth)
    main = whose[seen[:, 0]]
    crowded = whose[seen.all(1)]
    return Outcome(
        job.name,
        summary["label"],
        summary["counts"],
        counted["alone"],
        counted["both"],
        float((main == 0).mean()),
        float((main == 1).mean()),
        float((main == -1).mean()),
        float((crowded == 0).mean()) if len(crowded) else float("nan"),
    )


def report(outcomes: list[Outcome]) -> None:
    """Print a row for each kind, and the clips whose count changes by more than one; shares are means over clips."""
    print(
        f"{'kind':10} {'n':>4} {'equal':>6} {'by 1':>5} {'more':>5}   {'right within 1':>15}   "
        f"{'main pose: exerciser':>21} {'second':>7} {'lost':>6} {'while both are seen':>20}"
    )
    print(f"{'':10} {'':4} {'':6} {'':5} {'':5}   {'alone':>7} {'both':>7}")
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        kind, number = outcome.name.split("_")
        for group in (kind, "all", *(["rival"] if is_rival(kind, int(number)) else [])):
            groups.setdefault(group, []).append(outcome)
    for group in sorted(groups, key=[*KINDS, "rival", "all"].index):
        some = groups[group]
        changes = np.array([outcome.change for outcome in some])
        right = [sum(o.near(o.alone) for o in some), sum(o.near(o.both) for o in some)]
        shares = [np.nanmean([getattr(o, name) for o in some]) for name in ("exerciser", "second", "lost", "crowded")]
        print(
            f"{group:10} {len(some):4} {(changes == 0).sum():6} {(changes == 1).sum():5} {(changes > 1).sum():5}   "
            f"{right[0]:7} {right[1]:7}   {100 * shares[0]:19.1f} % {100 * shares[1]:5.1f} % {100 * shares[2]:4.1f} % "
            f"{100 * shares[3]:18.1f} %"
        )
    if pairs := [outcome for outcome in outcomes if outcome.name.startswith("both")]:
        hits = sum(outcome.near(outcome.both, int(outcome.second > outcome.exerciser)) for outcome in pairs)
        print(f"of two exercisers the one whom the pose mostly shows: {hits} of {len(pairs)} right within 1")
    print("changed by more than 1:")
    for outcome in outcomes:
        if outcome.change > 1:
            print(
                f"  {outcome.name:13} {outcome.label:24} true {outcome.counts}  alone {outcome.alone}  both "
                f"{outcome.both}  exerciser {100 * outcome.exerciser:.0f} %, second {100 * outcome.second:.0f} %"
            )


def report_tracks(jobs: list[Job], folder: Path, workers: int, model: str) -> None:
    """Print for two exercisers what the tracks of `racctl pose --people 2` hold and count."""
    from racctl.counters.count_clip import count
    from racctl.estimators.pose import estimate_pose

    print("\ntwo people at once, by track")
    purities, right = [], 0
    for job in jobs:
        path = str(folder / f"{job.name}.both.mp4")
        try:
            pose = estimate_pose(path, model, people=2, jobs=workers)
        except RacctlError as error:
            print(f"  {job.name}: {error}")
            return
        counts = json.loads((folder / f"{job.name}.json").read_text())["counts"]
        truth = load_truth(folder, job)
        cells, persons = [], set()
        for track, counted in enumerate(count(pose, person="all")):
            frames = followed(pose, truth, track)
            frames = frames[frames >= 0]
            person = int(np.bincount(frames, minlength=2).argmax()) if len(frames) else -1
            purity = float((frames == person).mean()) if len(frames) else 0.0
            purities.append(purity)
            persons |= {person} if purity >= PURE_SHARE and abs(counted.repetitions - counts[person]) <= 1 else set()
            cells.append(
                f"track {pose.track[track]}: {len(frames)} frames, {100 * purity:.0f} % person {person}, "
                f"counted {counted.repetitions}"
            )
        right += len(persons)
        print(f"  {job.name} true {counts}: " + "; ".join(cells))
    print(f"  purity {100 * np.mean(purities):.1f} % of {len(purities)} tracks; {right} of {2 * len(jobs)} people "
          f"have a track of their own, counted right within one")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=list(KINDS))
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--draw-only", action="store_true")
    parser.add_argument("--outcomes", type=Path, help="file of outcomes, one a line; clips in it are not counted again")
    parser.add_argument("--pose-model", default="full", help="of `racctl count` and `racctl pose`")
    requested = parser.parse_args()
    jobs = [Job(KINDS[k % len(KINDS)], k // len(KINDS)) for k in range(requested.clips)]
    jobs = [job for job in jobs if job.kind in requested.kinds]
    draw_all(jobs, requested.folder, min(requested.jobs, 2))
    if requested.draw_only:
        return
    jobs.sort(key=lambda job: KINDS.index(job.kind))
    outcomes = resume(requested.outcomes)
    missing = [job for job in jobs if job.name not in outcomes]
    for outcome in count_all(missing, requested.folder, requested.jobs, requested.pose_model):
        outcomes[outcome.name] = outcome
        if requested.outcomes:
            with requested.outcomes.open("a") as file:
                file.write(json.dumps(asdict(outcome)) + "\n")
    report([outcomes[job.name] for job in jobs])
    if pairs := [job for job in jobs if job.kind == "both"]:
        report_tracks(pairs, requested.folder, requested.jobs, requested.pose_model)


if __name__ == "__main__":
    main()
