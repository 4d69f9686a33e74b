"""How well `racctl count` counts drawn sets by how fast they are done: from one repetition in 20 s to four a second.

python tests/benchmarks/tempo.py [--n 60] [--rates HZ,...] [--factors F,...] [--fps 30] [--clean] [--model M] [--jobs N]
    [--work DIR]
Needs the extra racctl[synth]. Draws n sets of 3 to 10 repetitions, the exercises in turn, as poses with BlazePose's
errors. At each rate the same sets are drawn anew so that their median repetition takes 1 / rate seconds, seen at --fps
pictures a second; at each factor the sets as they are usually done are played that many times as fast by their
timestamps. --clean: without pauses, shallow and broken-off repetitions and what people do before and after.
Coverage is the share of low..high that hold the truth. "Unsure" is an interval of more than one number; "sure and
wrong" one that does not hold the truth while the count is off by more than one.
Counts are left in --work and not made again. Intervals: 95 %, Wilson; of MAE and width bootstrap over the sets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from outcomes import Ledger, PoseCounter, Result, code_digest, command, markdown, mean_cell, metric_cell, share
from relations import retimed

from racctl.synth.body import Body, make_body
from racctl.synth.clip import SynthClip
from racctl.synth.motion import timeline
from racctl.synth.movements import exercises
from racctl.synth.plan import Plan, draw_person, generator, plan_clip
from racctl.synth.sequence import pose_clip

RATES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)  # Hz
FACTORS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
SEED = 17
BODIES = 6  # that the sets share, since a body takes longer to make than a set
COUNTED = ("full", "partial")  # kinds of repetitions


@dataclass(frozen=True)
class DrawnSet:
    """number: of the set.  rate: Hz of its repetitions, None as it is usually done.  factor: on its speed."""

    number: int
    rate: float | None
    factor: float
    fps: float
    clean: bool

    @property
    def key(self) -> str:
        tempo = f"x{self.factor:g}" if self.rate is None else f"{self.rate:g}Hz"
        return f"{SEED}/{self.number} {tempo} {self.fps:g}fps{' clean' * self.clean}"


@lru_cache
def body(number: int) -> Body:
    return make_body(draw_person(generator(SEED, number, 13)).phenotype)


def median_seconds(plan: Plan) -> float:
    """Return the median length of the counted repetitions of a plan, s."""
    moves = timeline(list(plan.bouts), plan.picture.fps, generator(plan.seed, plan.number, 7))
    return float(np.median([stop - start for start, stop, _, kind in moves.reps if kind in COUNTED]))


def at_rate(plan: Plan, rate: float) -> Plan:
    """Return the plan with repetitions of which the median takes 1 / rate seconds, all by the same factor."""
    factor = 1 / rate / median_seconds(plan)
    bouts = []
    for bout in plan.bouts:
        if exercises().get(bout.movement):
            paced = [replace(repetition, pace=repetition.pace * factor) for repetition in bout.repetitions]
            bout = replace(bout, repetitions=tuple(paced))
        bouts.append(bout)
    return replace(plan, bouts=tuple(bouts))


def draw(drawn: DrawnSet) -> SynthClip:
    movements = [name for name, movement in exercises().items() if movement.repeats]
    movement = movements[drawn.number % len(movements)]
    plan = plan_clip(SEED, drawn.number, movement, fps=drawn.fps, clean=drawn.clean)
    if drawn.rate is not None:
        plan = at_rate(plan, drawn.rate)
    clip = pose_clip(plan, f"{movement}_{drawn.number}", body=body(drawn.number % BODIES))
    return replace(clip, pose=retimed(clip.pose, drawn.factor))


count_pose: PoseCounter  # of this process


def open_counters(model: str) -> None:
    global count_pose
    count_pose = PoseCounter(model)


def count_set(drawn: DrawnSet) -> Result:
    clip = draw(drawn)
    result = {"true": clip.count, "label": clip.plan.label, **count_pose(clip.pose)}
    if result["count"] is None:  # nobody in the picture is no repetition
        result |= {"count": 0, "low": 0, "high": 0}
    return result


def row(title: str, results: list[Result]) -> dict[str, object]:
    """Return the row of one tempo."""
    true = [result["true"] for result in results]
    counts = [result["count"] for result in results]
    miss = [abs(count - truth) for count, truth in zip(counts, true, strict=True)]
    holds = [result["low"] <= result["true"] <= result["high"] for result in results]
    unsure = [result["low"] < result["high"] for result in results]
    return {
        "tempo": title,
        "n": len(results),
        "OBO": share(m <= 1 for m in miss),
        "exact": share(m == 0 for m in miss),
        "MAE": metric_cell("MAE", counts, true),
        "coverage": share(holds),
        "width": mean_cell([result["high"] - result["low"] for result in results]),
        "unsure": share(unsure),
        "sure and wrong": share(m > 1 and not held for m, held in zip(miss, holds, strict=True)),
    }


def main() -> None:
    parser = command(__doc__, "tempo")
    numbers = lambda text: [float(word) for word in text.split(",") if word]  # noqa: E731
    parser.add_argument("--n", type=int, default=60, help="sets at each tempo")
    parser.add_argument("--rates", type=numbers, default=list(RATES))
    parser.add_argument("--factors", type=numbers, default=list(FACTORS))
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--clean", action="store_true")
    requested = parser.parse_args()
    tempos: dict[str, tuple[float | None, float]] = {f"{rate:g} Hz": (rate, 1.0) for rate in requested.rates}
    tempos |= {f"{factor:g}x": (None, factor) for factor in requested.factors}
    sets = {
        title: [DrawnSet(k, rate, factor, requested.fps, requested.clean) for k in range(requested.n)]
        for title, (rate, factor) in tempos.items()
    }
    about = code_digest(requested.model, ("synth",))
    ledger = Ledger(requested.work / f"{Path(requested.model).stem}.jsonl", about)
    items = {drawn.key: drawn for group in sets.values() for drawn in group}
    counted = ledger.complete(items, count_set, requested.jobs, open_counters, (requested.model,))
    rows = []
    for title, group in sets.items():
        results = [counted[drawn.key] for drawn in group]
        rows.append(row(title, results))
        far = [result for result in results if abs(result["count"] - result["true"]) > 1]
        print(f"{title}: {len(far)} off by more than one")
        for r in far:
            print(f"  {r['label']:24} true {r['true']:3} counted {r['count']:3} [{r['low']}, {r['high']}]")
    print(markdown(rows))


if __name__ == "__main__":
    main()
