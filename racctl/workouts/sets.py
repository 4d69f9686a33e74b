"""The sets of a session: what repeats between rests, counted and named set by set, and postures that are held."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from scipy.ndimage import gaussian_filter1d

from racctl.contracts import BACKGROUND, Pose
from racctl.counters.periodicity import Periodicity
from racctl.counters.result import Count
from racctl.counters.signals import SAMPLE_RATE, SMOOTHING
from racctl.estimators.open_clip import open_pose
from racctl.recognisers.classify_clip import ClassifyOptions, classify_clip, labels_table
from racctl.recognisers.recogniser import Recogniser
from racctl.workouts.activity import TRACE_RATE, Activity, activity, frames_of, moved_body
from racctl.workouts.changes import change_points
from racctl.workouts.holds import Hold, holds_of, is_held

UNKNOWN_EXERCISE = "unknown"  # the label of an exercise that the recogniser does not know
ACTIVE = -0.02  # evidence above which somebody exercises; a noisy pose repeats little, and is no idling either
SURELY_REPEATING = 0.7  # likeness that goes on with a set, however much it looks like idling
EDGE_SECONDS = 2.5  # s that a set may begin before, and end after, the evidence for it
EDGE_SHARE, LEAST_EDGE_LIKENESS = 0.5, 0.1  # likeness there, as a share of the set's, and at least
BRIEF_PAUSE = 2.0  # s without evidence that do not end a set
SHORTEST_SET = 3.0  # s of evidence
MARGIN_SECONDS = 0.7  # s on either side of the evidence that are counted too
CHANGE_RATE = 5.0  # Hz at which changes of the movement are looked for
FEWEST_REPETITIONS = 3  # of a set, whatever it is
FEWEST_SURE = 2  # ... of one that is hardly idling
SURELY_ACTIVE = 0.1  # probability of idling below which two repetitions are a set
LEAST_REST = 5.0  # s without a repetition that end a set
REST_PERIODS = 2.5  # ... and how many times as long as its repetitions
LEAST_MOVED = 0.035  # body sizes that somebody moves who repeats what is named like a hold
SURE_LABEL = 0.5  # probability of a label that makes a row of what is counted less than `FEWEST_SURE` times
FEW_LOST = "0.02"  # share of known exercises that go without a name: what repeats is more likely one of them


@dataclass(frozen=True)
class WorkoutSet:
    """One set, or one hold.

    start, stop: frames of the pose, half-open: from the first repetition's beginning to the last one's end.
    count: of the set's own span; None for a hold.
    first, last: which of the count's repetitions are the set's, half-open.
    label: the exercise; `UNKNOWN_EXERCISE` where there is no telling.
    prob: of the label, NaN where nothing was classified.
    """

    start: int
    stop: int
    count: Count | None
    first: int = 0
    last: int = 0
    label: str = UNKNOWN_EXERCISE
    prob: float = float("nan")

    @property
    def repetitions(self) -> int:
        """How many repetitions the set has."""
        return self.last - self.first


@dataclass
class SetReader:
    """Reads the sets of one person's pose.

    pose: of one person.
    recogniser: of joints; None where the pose cannot be classified.
    """

    pose: Pose
    recogniser: Recogniser | None
    counter: Periodicity = field(default_factory=lambda: Periodicity(Periodicity.Settings(branches="pose")))

    def sets(self) -> list[WorkoutSet]:
        """Return sets and holds in the order of time."""
        trace = activity(self.pose, self.recogniser)
        cuts = [self.pieces(span, trace) for span in active_spans(trace)]
        spans = [piece for pieces in cuts for piece in pieces]
        changes = [piece[0] for pieces in cuts for piece in pieces[1:]]
        counted: list[WorkoutSet] = []
        for span in spans:
            for entry in self.read(span, trace):
                joined = self._joined(counted[-1], entry, trace, changes) if counted else None
                if joined:
                    counted[-1] = joined
                elif later := begun_after(entry, counted[-1].stop if counted else 0):
                    counted.append(later)
        holds = [self._as_set(hold) for hold in holds_of(self.pose, trace)]
        return with_holds(counted, holds)

    def pieces(self, span: tuple[float, float], trace: Activity) -> list[tuple[float, float]]:
        """Return a span, s, cut where the movement changes."""
        frames = self._frames(*span)
        body = moved_body(frames_of(self.pose, frames), in_itself=True)
        if body is None:
            return []
        stride = round(SAMPLE_RATE / CHANGE_RATE)
        path = gaussian_filter1d(body.path, 1.5 * SMOOTHING * SAMPLE_RATE, axis=0)[::stride]
        inside = (trace.time >= span[0]) & (trace.time < span[1])
        period = float(np.median(trace.period[inside])) if inside.any() else 0.0
        at = [float(body.time[::stride][sample]) for sample in change_points(path, CHANGE_RATE, period)]
        return list(pairwise([span[0], *at, span[1]]))

    def read(self, span: tuple[float, float], trace: Activity) -> list[WorkoutSet]:
        """Return the sets of a span, s, in which one thing is done: one where it is done without a rest."""
        frames, count = self._counted(span[0] - MARGIN_SECONDS, span[1] + MARGIN_SECONDS)
        if count is None:
            return []
        inside = (trace.time >= span[0]) & (trace.time < span[1])
        idle = float(trace.idle[inside].mean()) if inside.any() else 0.0
        sets = []
        for first, last in bouts(count):
            start, stop = int(count.start[first]), int(count.stop[last - 1])
            entry = WorkoutSet(frames.start + start, frames.start + stop, count, first, last)
            entry = self.named(entry)
            if is_held(entry.label) and np.median(trace.motion[inside]) < LEAST_MOVED:
                sets.append(replace(entry, start=frames.start, stop=frames.stop, count=None, first=0, last=0))
            elif self._is_set(entry, idle):
                sets.append(replace(entry, label=UNKNOWN_EXERCISE) if is_held(entry.label) else entry)
        return sets

    def _counted(self, start: float, stop: float) -> tuple[slice, Count | None]:
        """Return the frames of a span, s, and what is counted in them; None for too few frames."""
        frames = self._frames(start, stop)
        part = frames_of(self.pose, frames)
        if len(part.time) < 2:
            return frames, None
        with open_pose(part) as clip:
            return frames, self.counter.count_person(clip, 0)

    def named(self, entry: WorkoutSet) -> WorkoutSet:
        """Return a set with the label of its span as a whole."""
        if self.recogniser is None:
            return entry
        part = frames_of(self.pose, slice(entry.start, entry.stop))
        options = ClassifyOptions(unit="clip", unknown=FEW_LOST)
        with open_pose(part) as clip:
            (row,) = labels_table([classify_clip(clip, self.recogniser, options)], options).to_pylist()
        label = UNKNOWN_EXERCISE if row["label"] == BACKGROUND else row["label"]  # what repeats is an exercise
        return replace(entry, label=label, prob=float(row["prob"]))

    def _is_set(self, entry: WorkoutSet, idle: float) -> bool:
        """Whether what was counted is a set. idle: how probably it is no exercise."""
        if entry.repetitions >= FEWEST_REPETITIONS:
            return True
        is_sure = idle < SURELY_ACTIVE
        is_named = entry.label != UNKNOWN_EXERCISE and entry.prob > SURE_LABEL
        return is_sure and (entry.repetitions >= FEWEST_SURE or is_named)

    def _joined(
        self, before: WorkoutSet, after: WorkoutSet, trace: Activity, changes: list[float]
    ) -> WorkoutSet | None:
        """Return two neighbours as one set, where they are the same exercise without a rest; else None.

        changes: s at which the movement changes.
        """
        time = self.pose.time
        gap = float(time[after.start] - time[min(before.stop, len(time) - 1)])
        if before.label != after.label or gap > LEAST_REST:
            return None
        middle = float(time[before.stop - 1] + time[after.start]) / 2
        is_changed = any(abs(change - middle) < LEAST_REST / 2 for change in changes)
        if before.label == UNKNOWN_EXERCISE and is_changed:
            return None
        if before.count is None or after.count is None:
            return replace(before, stop=after.stop) if before.count is after.count else None
        sets = self.read((float(time[before.start]), float(time[after.stop - 1])), trace)
        most = max(before.repetitions, after.repetitions)
        is_one_set = len(sets) == 1 and sets[0].repetitions >= most and parts_of_count(sets[0].count) == 1
        if not is_one_set:
            return None
        return sets[0]

    def _as_set(self, hold: Hold) -> WorkoutSet:
        entry = self.named(WorkoutSet(hold.start, hold.stop, None))
        return entry if is_held(entry.label) else replace(entry, label=UNKNOWN_EXERCISE)

    def _frames(self, start: float, stop: float) -> slice:
        first, last = np.searchsorted(self.pose.time, (start - 1e-6, stop + 1e-6))
        return slice(int(first), int(last))


def active_spans(trace: Activity) -> list[tuple[float, float]]:
    """Return when somebody exercises, s: where there is evidence for it, brief pauses included."""
    active = trace.evidence > ACTIVE
    for first, last in trace.runs(active | (trace.likeness > SURELY_REPEATING)):
        active[first:last] |= active[first:last].any()
    for first, last in trace.runs(active):
        active[_to_the_edges(trace, first, last)] = True
    spans: list[list[float]] = []
    for first, last in trace.runs(active):
        begin, end = float(trace.time[first]), float(trace.time[last - 1]) + 1 / TRACE_RATE
        if last - first < 0.4 * BRIEF_PAUSE * TRACE_RATE:
            continue
        if spans and begin - spans[-1][1] < BRIEF_PAUSE:
            spans[-1][1] = end
        else:
            spans.append([begin, end])
    return [(begin, end) for begin, end in spans if end - begin >= SHORTEST_SET]


def _to_the_edges(trace: Activity, first: int, last: int) -> slice:
    """Return the moments of a run, and those beside it in which the motion is still like that of the run.

    The recogniser sees an exercise late, and its end early.
    """
    usual = max(EDGE_SHARE * float(np.median(trace.likeness[first:last])), LEAST_EDGE_LIKENESS)
    reach = round(EDGE_SECONDS * TRACE_RATE)
    begin, end = first, last
    while begin > max(first - reach, 0) and trace.likeness[begin - 1] > usual:
        begin -= 1
    while end < min(last + reach, len(trace.time)) and trace.likeness[end] > usual:
        end += 1
    return slice(begin, end)


def begun_after(entry: WorkoutSet, frame: int) -> WorkoutSet | None:
    """Return a set without the repetitions that begin before a frame, which the set before it has; None for none."""
    if entry.start >= frame:
        return entry
    if entry.count is None:
        return replace(entry, start=frame) if entry.stop > frame else None
    begins = entry.start + entry.count.start - int(entry.count.start[entry.first])
    first = entry.first + int((begins[entry.first : entry.last] < frame).sum())
    return replace(entry, first=first, start=int(begins[first])) if first < entry.last else None


def parts_of_count(count: Count | None) -> int:
    """Return how many parts of a clip a count has, in each of which another thing is done; 0 for none."""
    if count is None:
        return 0
    return 1 if count.part is None else len(np.unique(count.part))


def bouts(count: Count) -> list[tuple[int, int]]:
    """Return the runs of repetitions without a rest between, half-open; [] for none."""
    if not len(count.start):
        return []
    starts, stops = count.seconds()
    longest = max(LEAST_REST, REST_PERIODS * float(np.median(stops - starts)))
    breaks = np.flatnonzero(starts[1:] - stops[:-1] > longest) + 1
    return list(pairwise([0, *breaks.tolist(), len(starts)]))


def with_holds(counted: list[WorkoutSet], holds: list[WorkoutSet]) -> list[WorkoutSet]:
    """Return sets and holds in order.

    A hold wins over what is counted in it below `FEWEST_REPETITIONS`, and joins other holds.
    """
    sets = list(counted)
    for hold in holds:
        rivals = [entry for entry in sets if min(entry.stop, hold.stop) > max(entry.start, hold.start)]
        if all(entry.count is None or entry.repetitions < FEWEST_REPETITIONS for entry in rivals):
            ends = [hold, *(entry for entry in rivals if entry.count is None)]
            whole = replace(hold, start=min(e.start for e in ends), stop=max(e.stop for e in ends))
            sets = [entry for entry in sets if not any(entry is rival for rival in rivals)] + [whole]
    return sorted(sets, key=lambda entry: entry.start)
