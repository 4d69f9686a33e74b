"""How far the four phases of a repetition are from those that it was drawn with.

python tests/benchmarks/phases.py [--n 60] [--errors none|blazepose] [--shares 0.05,0.1,0.15,0.2,0.3]
Draws n sets of exercises that have a key pose and a way back, as poses, and tells the phases of every full repetition
between its true borders, at several shares of the greatest speed below which a joint is held. Errors: median and 90th
percentile over the repetitions, s. Needs racctl[synth].
"""

from __future__ import annotations

import argparse

import numpy as np
from outcomes import markdown

from racctl.skeleton.angles import joint_angles
from racctl.synth.body import make_body
from racctl.synth.movements import exercises
from racctl.synth.plan import draw_person, generator, plan_clip
from racctl.synth.sequence import pose_clip
from racctl.workouts import phases as phases_module
from racctl.workouts.phases import DRIVERS, phases

SEED = 23
BODIES = 4
PHASES = ("way", "hold", "way back", "hold at the start")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=60)
    parser.add_argument("--errors", default="blazepose")
    parser.add_argument("--shares", default="0.05,0.1,0.15,0.2,0.3")
    requested = parser.parse_args()
    shares = [float(share) for share in requested.shares.split(",")]
    bodies = [make_body(draw_person(generator(SEED, k, 13)).phenotype) for k in range(BODIES)]
    names = [name for name in DRIVERS if name in exercises() and len(exercises()[name].steps) == 2]
    errors: dict[float, list[np.ndarray]] = {share: [] for share in shares}
    for number in range(requested.n):
        name = names[number % len(names)]
        plan = plan_clip(SEED, number, name, fps=30.0, alone=True)
        clip = pose_clip(plan, name, errors=requested.errors, body=bodies[number % BODIES])
        movement = exercises()[name]
        (bout,) = [bout for bout in plan.bouts if bout.movement == name]
        angle_name, _ = DRIVERS[name]
        angles = joint_angles(clip.pose, 0, "3d", 0.5).degrees
        sides = [values for column, values in angles.items() if column.endswith(angle_name)]
        curve = max(sides, key=lambda values: np.isfinite(values).mean())
        rows = [row for row in clip.reps if row[4] == movement.kind]
        for repetition, (start, stop, *_) in zip(bout.repetitions, rows, strict=False):
            if repetition.kind != "full":
                continue
            truth = [value * repetition.pace for step in movement.steps for value in (step.seconds, step.hold)]
            for share in shares:
                phases_module.HELD_SPEED = share
                told = phases(clip.pose.time[start:stop], curve[start:stop])
                if told:
                    errors[share].append(np.abs(np.array(told.seconds) - truth))
    table = []
    for share in shares:
        stacked = np.array(errors[share])
        row: dict[str, object] = {"share of the greatest speed": share, "n": len(stacked)}
        for name, column in zip(PHASES, stacked.T, strict=True):
            row[name] = f"{np.median(column):.2f} ({np.percentile(column, 90):.2f})"
        table.append(row)
    print(markdown(table))


if __name__ == "__main__":
    main()
