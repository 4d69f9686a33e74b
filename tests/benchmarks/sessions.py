"""How well `racctl log` tells the sets of a session: joined from poses of single clips, and drawn.

RACCTL_TEST_DATA=DIR python tests/benchmarks/sessions.py --poses DIR [--sessions 20] [--drawn 20] [--seed 1]
    [--work DIR] [--details]
--poses DIR holds the clips' poses as <clip>.pose.npz, as `racctl pose -o DIR/` writes them; RACCTL_TEST_DATA has
clips.tsv and clips2.tsv. A session is 3 to 6 clips of different sources, with 5 to 20 s of rest before, between and
after them: drawn idle motion, or a real clip of somebody who does no exercise. All are put on one scale and one floor,
and the joints go over from one to the next in 0.7 s. Holds are played forth and back until they last 15 s. Drawn
sessions are 3 to 6 sets of one person with idle motion between, with BlazePose's errors, and need racctl[synth].

The truth of a real session: a set spans from the first to the last repetition that `racctl count` sees in its clip
alone, where it counts that right, else the whole clip; the count and exercise are the tables'. Rest errors are told
where both borders come from repetitions. The truth of a drawn session is exact.
A set of the log belongs to the true one that it overlaps most. Intervals: 95 %, Wilson.
"""

from __future__ import annotations

import argparse
import csv
import os
import pickle
import tempfile
import time
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from outcomes import markdown, share
from recognition import RIGHT

from racctl.contracts import Pose
from racctl.counters.base import open_counter
from racctl.counters.count_clip import CountOptions, count_clip
from racctl.device import pick_device
from racctl.estimators.open_clip import open_pose
from racctl.io.npz import read_pose
from racctl.recognisers.recogniser import Recogniser
from racctl.skeleton.remap import topology_of
from racctl.synth.body import Body, make_body
from racctl.synth.motion import Repetition
from racctl.synth.movements import exercises
from racctl.synth.plan import draw_bout, draw_idle, draw_person, generator, plan_clip
from racctl.synth.sequence import pose_clip
from racctl.workouts.sets import SetReader

HOLDS = ("plank", "yoga_hold", "hollow_hold")
RESTS = ("daily_news", "daily_singing", "gait_dataset_gait_abnormal_06_no_arm_swing", "divyansh3021_test-3")
FEWEST = 3  # repetitions of a set
PIXELS_PER_METRE = 150.0
FLOOR = 600.0  # pixels
CROSSING = 0.7  # s from one part to the next
HOLD_SECONDS = 15.0
REST_SECONDS = (5.0, 20.0)
BODIES = 6
TIOU = 0.5


@dataclass(frozen=True)
class TrueSet:
    """One set of a session. right: labels that are right, () where the recogniser does not know the exercise.

    exact: whether start and stop, s, are those of repetitions.  count: 0 for a hold.
    """

    clip: str
    exercise: str
    right: tuple[str, ...]
    start: float
    stop: float
    count: int
    exact: bool


@dataclass
class Session:
    """A pose with its true sets."""

    name: str
    pose: Pose
    sets: list[TrueSet]
    sources: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Part:
    """A clip that a session may hold. first, last: s of its repetitions, from its own first frame."""

    clip: str
    exercise: str
    count: int
    pose: Pose
    first: float
    last: float
    exact: bool

    @property
    def source(self) -> str:
        return self.clip.split("_")[0]


def parts_of(data: Path, poses: Path) -> list[Part]:
    """Return the clips that a session may hold as a set."""
    parts = []
    for table in ("clips.tsv", "clips2.tsv"):
        with open(data / table) as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        for row in rows:
            clip = row["clip"].rsplit(".", 1)[0]
            count, is_hold = int(row["count"]), row["exercise"] in HOLDS
            if count >= FEWEST or is_hold:
                pose = pose_at(poses / f"{clip}.pose.npz")
                parts.append(part_of(clip, row["exercise"], count, looped(pose) if is_hold else pose))
    return parts


def pose_at(path: Path) -> Pose:
    with open(path, "rb") as file:
        pose = read_pose(file, str(path))
    (main,) = pose.chosen("main")
    assert pose.world is not None
    return replace(
        pose,
        xyz=pose.xyz[:, [main]],
        world=pose.world[:, [main]],
        score=pose.score[:, [main]],
        track=pose.track[[main]],
        time=pose.time - pose.time[0],
    )


def part_of(clip: str, exercise: str, count: int, pose: Pose) -> Part:
    with open_pose(pose) as opened:
        (counted,) = count_clip(opened, open_counter("periodicity"), CountOptions("periodicity"))
    starts, stops = counted.seconds()
    exact = counted.repetitions == count and count > 0
    first, last = (float(starts[0]), float(stops[-1])) if exact else (0.0, float(pose.time[-1]))
    return Part(clip, exercise, count, pose, first, last, exact or not count)


def looped(pose: Pose) -> Pose:
    """Return a pose played forth and back until it lasts `HOLD_SECONDS`."""
    frames = len(pose.time)
    order = np.arange(frames)
    rows = order
    while len(rows) * np.median(np.diff(pose.time)) < HOLD_SECONDS:
        rows = np.concatenate([rows, order[::-1] if len(rows) // frames % 2 else order])
    time = np.arange(len(rows)) * np.median(np.diff(pose.time))
    return at_rows(pose, rows, time)


def at_rows(pose: Pose, rows: np.ndarray, time: np.ndarray) -> Pose:
    assert pose.world is not None
    xyz, world, score = pose.xyz[rows], pose.world[rows], pose.score[rows]
    return replace(pose, xyz=xyz, world=world, score=score, time=time, frame=np.arange(len(rows)))


def placed(pose: Pose, x: float) -> Pose:
    """Return a pose at `PIXELS_PER_METRE`, its hips usually at x and its lowest joint usually on the floor."""
    assert pose.world is not None
    topology = topology_of(pose)
    body, world = pose.xyz[:, 0], pose.world[:, 0]
    spans = [np.nanmedian(np.linalg.norm(np.nanmax(a[..., :2], 1) - np.nanmin(a[..., :2], 1), axis=1))
             for a in (seen_only(body), seen_only(world))]  # fmt: skip
    scaled = pose.xyz * np.float32(PIXELS_PER_METRE * spans[1] / spans[0])
    hips = scaled[:, 0, topology.indices(["left_hip", "right_hip"]), 0]
    shift = np.array([x - np.nanmedian(hips), FLOOR - np.nanpercentile(scaled[..., 1], 98), 0], np.float32)
    return replace(pose, xyz=scaled + shift)


def seen_only(body: np.ndarray) -> np.ndarray:
    return body[np.isfinite(body).all(-1).all(-1)]


def joined(name: str, parts: list[Pose]) -> tuple[Pose, list[float]]:
    """Return poses one after the other, with a crossing between, and the second that each begins at."""
    xyz, world, score, time, starts = [], [], [], [], []
    clock = 0.0
    for pose in parts:
        assert pose.world is not None
        if xyz:
            beat = float(np.median(np.diff(pose.time)))
            steps = max(int(CROSSING / beat), 1)
            share = (np.arange(1, steps + 1) / (steps + 1))[:, None, None, None]
            share = (share**2 * (3 - 2 * share)).astype(np.float32)
            for track, first in ((xyz, pose.xyz), (world, pose.world)):
                track.append(track[-1][-1] * (1 - share) + first[0] * share)
            score.append(np.minimum(score[-1][-1], pose.score[0])[None].repeat(steps, 0))
            time.append(clock + beat * np.arange(1, steps + 1))
            clock += beat * (steps + 1)
        starts.append(clock)
        xyz.append(pose.xyz)
        world.append(pose.world)
        score.append(pose.score)
        time.append(clock + pose.time - pose.time[0])
        clock = float(time[-1][-1])
    frames = sum(map(len, time))
    meta = {"clip": name, "topology": "blazepose33", "steps": [], "scale": "pixels"}
    stacked = [np.concatenate(track) for track in (xyz, score, time, world)]
    score_all = np.where(np.isfinite(stacked[0]).all(-1), stacked[1], 0).astype(np.float32)
    pose = Pose(
        stacked[0].astype(np.float32), score_all, np.arange(frames), stacked[2], np.zeros(1, np.int32), meta,
        stacked[3].astype(np.float32),
    )  # fmt: skip
    return pose.check(name), starts


def rest_of(seconds: float, seed: int, number: int, rests: list[Pose], bodies: list[Body]) -> Pose:
    """Return somebody who does no exercise for so long: every third time a real clip, else drawn."""
    rng = generator(seed, number, 31)
    if number % 3 == 0:
        pose = rests[int(rng.integers(len(rests)))]
    else:
        plan = replace(plan_clip(seed, number, "background", fps=30.0, alone=True), bouts=())
        idle = tuple(draw_idle(rng, (seed, 100 * number + k)) for k in range(8))
        pose = pose_clip(replace(plan, bouts=idle), "rest", body=bodies[number % BODIES], seconds=seconds).pose
        pose = replace(pose, xyz=np.where(pose.score[..., None] > 0, pose.xyz, pose.xyz))
    beat = float(np.median(np.diff(pose.time)))
    frames, order = max(int(seconds / beat), 2), np.arange(len(pose.time))
    rows = np.concatenate([order, order[::-1]] * (frames // (2 * len(order)) + 1))[:frames]
    return at_rows(pose, rows, beat * np.arange(frames))


def real_session(
    number: int, seed: int, parts: list[Part], rests: list[Pose], bodies: list[Body], *, pauses: bool = True
) -> Session:
    """Draw a session of 3 to 6 clips of different sources. pauses: whether there is rest between them."""
    rng = generator(seed, number, 30 + (not pauses))
    chosen: list[Part] = []
    for k in rng.permutation(len(parts)):
        if parts[k].source not in {part.source for part in chosen} or rng.random() < 0.15:
            chosen.append(parts[k])
        if len(chosen) == 3 + number % 4:
            break
    pieces: list[Pose] = []
    for k, part in enumerate([*chosen, None]):
        seconds = float(rng.uniform(*REST_SECONDS))
        if pauses:
            pieces.append(placed(rest_of(seconds, seed, 10 * number + k, rests, bodies), float(rng.uniform(280, 360))))
        if part:
            pieces.append(placed(part.pose, float(rng.uniform(280, 360))))
    name = f"{'session' if pauses else 'joined'}_{number:02d}"
    pose, starts = joined(name, pieces)
    sets = [
        TrueSet(
            part.clip, part.exercise, tuple(RIGHT.get(part.exercise, ())), start + part.first, start + part.last,
            part.count, part.exact,
        )
        for part, start in zip(chosen, starts[1::2] if pauses else starts, strict=True)
    ]  # fmt: skip
    return Session(name, pose, sets, {part.source for part in chosen})


def drawn_session(number: int, seed: int, bodies: list[Body], *, pauses: bool = True) -> Session:
    """Draw a session of 3 to 6 sets of one person. pauses: whether there is idle motion between."""
    rng = generator(seed, number, 40 + (not pauses))
    names = [name for name, movement in exercises().items() if movement.stance not in ("bench", "bar", "horse")]
    bouts, movements = [], []
    for _ in range(3 + number % 4):
        bouts += idle_bouts(rng) if pauses else []
        movement = exercises()[names[int(rng.integers(len(names)))]]
        bout = draw_bout(rng, movement, int(rng.integers(5, 13)), float(np.exp(rng.normal(0.1, 0.3))))
        if not movement.repeats:
            bout = replace(bout, repetitions=(Repetition(pace=1.0, pause=float(rng.uniform(12, 30))),))
        bouts.append(bout)
        movements.append(movement)
    bouts += idle_bouts(rng) if pauses else []
    plan = plan_clip(seed, number, movements[0].name, fps=25.0, alone=True)
    name = f"drawn_{number:02d}" if pauses else f"unpaused_{number:02d}"
    clip = pose_clip(replace(plan, bouts=tuple(bouts)), name, body=bodies[number % BODIES])
    return Session(name, clip.pose, drawn_truth(clip.label, clip.pose.time, clip.reps, len(movements)))


def idle_bouts(rng: np.random.Generator) -> list:
    """Return idle motions of 5 to 20 s."""
    wish, bouts = float(rng.uniform(*REST_SECONDS)), []
    spent = 0.0
    while spent < wish:
        bouts.append(draw_idle(rng))
        spent += 3.5
    return bouts


def drawn_truth(labels: list[str], time: np.ndarray, reps: list, sets: int) -> list[TrueSet]:
    """Return the sets of a drawn session: the runs of a label, from the first counted repetition to the last."""
    names = np.array(labels)
    edges = np.flatnonzero(np.r_[True, names[1:] != names[:-1], True])
    truth = []
    for first, last in pairwise(edges):
        label = str(names[first])
        if label == "background":
            continue
        inside = [
            (start_s, stop_s)
            for start, stop, start_s, stop_s, name, kind in reps
            if name == label and kind in ("full", "partial") and first <= (start + stop) / 2 <= last
        ]
        end = time[min(last, len(time) - 1)]
        start, stop = (inside[0][0], inside[-1][1]) if inside else (time[first], end)
        truth.append(TrueSet(label, label, (label,), float(start), float(stop), len(inside), True))
    assert len(truth) <= sets
    return truth


def all_sessions(requested: argparse.Namespace) -> list[Session]:
    """Return the sessions, from --work where they are already."""
    store = requested.work / f"sessions_{requested.seed}_{requested.sessions}_{requested.drawn}.pkl"
    if store.exists():
        return pickle.loads(store.read_bytes())
    bodies = [make_body(draw_person(generator(requested.seed, k, 13)).phenotype) for k in range(BODIES)]
    sessions = []
    if requested.sessions:
        parts = parts_of(Path(os.environ["RACCTL_TEST_DATA"]), requested.poses)
        rests = [pose_at(requested.poses / f"{name}.pose.npz") for name in RESTS]
        sessions = [real_session(k, requested.seed, parts, rests, bodies) for k in range(requested.sessions)]
        short = range(requested.sessions // 2)
        sessions += [real_session(k, requested.seed, parts, rests, bodies, pauses=False) for k in short]
    sessions += [drawn_session(k, requested.seed, bodies) for k in range(requested.drawn)]
    sessions += [drawn_session(k, requested.seed, bodies, pauses=False) for k in range(requested.drawn // 2)]
    store.write_bytes(pickle.dumps(sessions))
    return sessions


@dataclass(frozen=True)
class LoggedSet:
    """A set of the log. count: None for a hold."""

    start: float
    stop: float
    count: int | None
    label: str


def logged(session: Session, recogniser: Recogniser) -> list[LoggedSet]:
    time = session.pose.time
    return [
        LoggedSet(
            float(time[entry.start]),
            float(time[min(entry.stop, len(time) - 1)]),
            None if entry.count is None else entry.repetitions,
            entry.label,
        )
        for entry in SetReader(session.pose, recogniser).sets()
    ]


def overlap(true: TrueSet, entry: LoggedSet) -> float:
    """Return the temporal intersection over union."""
    both = min(true.stop, entry.stop) - max(true.start, entry.start)
    return max(both, 0.0) / (max(true.stop, entry.stop) - min(true.start, entry.start))


def matched(session: Session, log: list[LoggedSet]) -> dict[int, LoggedSet]:
    """Return the set of the log that belongs to each true one, by its number; each once, the greatest overlap first."""
    pairs = [(overlap(true, entry), j, k) for j, true in enumerate(session.sets) for k, entry in enumerate(log)]
    matches: dict[int, int] = {}
    for value, j, k in sorted(pairs, reverse=True):
        if value >= TIOU and j not in matches and k not in matches.values():
            matches[j] = k
    return {j: log[k] for j, k in matches.items()}


@dataclass
class Tally:
    """What was right, over all sessions of a kind."""

    true: int = 0
    logged: int = 0
    matched: int = 0
    within_one: list[bool] = field(default_factory=list)
    labels: list[bool] = field(default_factory=list)
    labels_of_matched: list[bool] = field(default_factory=list)
    rest_errors: list[float] = field(default_factory=list)

    def add(self, session: Session, log: list[LoggedSet], details: bool) -> None:
        matches = matched(session, log)
        self.true += len(session.sets)
        self.logged += len(log)
        self.matched += len(matches)
        for j, true in enumerate(session.sets):
            entry = matches.get(j)
            is_right = entry is not None and entry.label in true.right
            is_counted = entry is not None and abs((entry.count or 0) - true.count) <= 1
            self.within_one.append(is_counted)
            if true.right:
                self.labels.append(is_right)
                self.labels_of_matched += [is_right] if entry else []
            if details and not (is_counted and (is_right or not true.right)):
                print(f"{session.name:14}{true.exercise:26}{true.count:4}  {entry or 'missed'}")
        for j in range(1, len(session.sets)):
            before, after = session.sets[j - 1], session.sets[j]
            if {j - 1, j} <= matches.keys() and before.exact and after.exact and before.count and after.count:
                truth = after.start - before.stop
                self.rest_errors.append(abs(matches[j].start - matches[j - 1].stop - truth))

    def row(self, title: str) -> dict[str, object]:
        precision, recall = self.matched / max(self.logged, 1), self.matched / max(self.true, 1)
        harmonic = 2 * precision * recall / max(precision + recall, 1e-9)
        errors = np.array(self.rest_errors or [np.nan])
        return {
            "sessions": title,
            "sets": self.true,
            "F1 (precision, recall)": f"{harmonic:.2f} ({precision:.2f}, {recall:.2f})",
            "exercise right": f"{share(self.labels)} of {len(self.labels)}",
            "... of matched sets": share(self.labels_of_matched),
            "within one": share(self.within_one),
            "rest error, median": f"{np.median(errors):.1f} s",
            "rest within 1 s": f"{share([error <= 1 for error in self.rest_errors])} of {len(self.rest_errors)}",
        }


KINDS = {
    "session": "real clips, rests between",
    "joined": "real clips, no rest",
    "drawn": "drawn, rests between",
    "unpaused": "drawn, no rest",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--poses", type=Path, help="the clips' poses; without, drawn sessions alone")
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--drawn", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="joints")
    parser.add_argument("--work", type=Path, help="where sessions are left from run to run")
    parser.add_argument("--details", action="store_true", help="print every set that is not right")
    requested = parser.parse_args()
    requested.sessions = requested.sessions if requested.poses else 0
    with tempfile.TemporaryDirectory() as scratch:
        requested.work = requested.work or Path(scratch)
        sessions = all_sessions(requested)
    recogniser = Recogniser(requested.model, pick_device("cpu"))
    tallies = {kind: Tally() for kind in KINDS}
    begin = time.monotonic()
    for session in sessions:
        kind = session.name.rsplit("_", 1)[0]
        tallies[kind].add(session, logged(session, recogniser), requested.details)
    spent, length = time.monotonic() - begin, sum(session.pose.time[-1] for session in sessions)
    rows = [tally.row(KINDS[kind]) for kind, tally in tallies.items() if tally.true]
    print(markdown(rows))
    print(f"\n{length:.0f} s of poses in {spent:.0f} s")


if __name__ == "__main__":
    main()
