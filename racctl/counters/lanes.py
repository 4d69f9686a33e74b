"""How to count, and what counts one clip after the other: pose workers, and the trained counter, loaded when asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from racctl.contracts import Meta
from racctl.errors import UsageError
from racctl.estimators.blazepose import model_file
from racctl.estimators.pose import check_part, pose_lanes, pose_step
from racctl.estimators.workers import Workers

if TYPE_CHECKING:
    from racctl.counters.trained_counter import TrainedCounter
    from racctl.estimators.on_demand import Estimators

COMBINED, PERIODICITY, TRAINED = "combined", "periodicity", "d2stx"
MOST_SHOTS = 8


@dataclass(frozen=True)
class Options:
    """How to count.

    model: "combined", "periodicity", "d2stx" or a file of `racctl train --model d2stx`.  alternating: "each" side or
    the "pair" counts.  person: "main", "all" or a track number.  start, stop: seconds, the video's own timestamps.
    pose_model, download: as for `racctl pose`.  film: the video of a pose.  exemplars: (start, stop) in seconds of
    repetitions to count the likes of.  shots: of the repetitions found, so many are exemplars in a second reading.
    explain: a folder for pictures of what a trained counter looks at.
    """

    model: str = COMBINED
    alternating: str = "each"
    person: str = "main"
    start: float | None = None
    stop: float | None = None
    stride: int = 1
    pose_model: str = "full"
    download: bool = False
    film: str = ""
    exemplars: tuple[tuple[float, float], ...] = ()
    shots: int = 0
    explain: str = ""

    def check(self) -> Options:
        """UsageError for a value that means nothing; returns self."""
        if self.alternating not in ("each", "pair"):
            raise UsageError(f"'--alternating {self.alternating}' means nothing; expected each or pair")
        if self.person not in ("main", "all") and not self.person.isdecimal():
            raise UsageError(f"'--person {self.person}' means nothing; expected main, all or a track number")
        check_part(self.start, self.stop)
        if any(not 0 <= start < stop for start, stop in self.exemplars) or len(self.exemplars) > MOST_SHOTS:
            raise UsageError(f"'--exemplar' is START-STOP, in seconds, at most {MOST_SHOTS} times")
        if self.exemplars and self.shots:
            raise UsageError("'--shots' chooses exemplars itself; leave it out where '--exemplar' names them")
        if not self.names_trained and (self.exemplars or self.shots or self.explain):
            raise UsageError("'--exemplar', '--shots' and '--explain' are options of '--model d2stx'")
        if self.names_trained and self.alternating == "pair":
            raise UsageError("'--alternating pair' is an option of '--model periodicity'")
        return self

    @property
    def names_trained(self) -> bool:
        """Whether the model is a trained counter itself, not one that may ask another or none."""
        return self.model not in (COMBINED, PERIODICITY)

    def pose_step(self) -> Meta:
        """Return the step that makes a pose of a video."""
        return pose_step(model_file(self.pose_model, self.download), 1, self.start, self.stop, self.stride)


class Trained:
    """The trained counter that some options name, loaded when it is first needed: PyTorch takes seconds to import."""

    def __init__(self, options: Options, device: str = "auto", threads: int = 0) -> None:
        """device: as `pick_device` takes it.  threads: of PyTorch, 0 to leave them as they are."""
        self._options = options
        self._device = device
        self._threads = threads
        self._lock = Lock()
        self._counter: TrainedCounter | None = None

    @property
    def counter(self) -> TrainedCounter:
        """Raises as `TrainedCounter` does, at the first use."""
        with self._lock:
            if self._counter is None:
                self._counter = self._load()
        return self._counter

    @property
    def sees_video(self) -> bool:
        """Whether the options name a counter that looks at the video; one that is only asked in doubt does not."""
        return self._options.names_trained and self.counter.sees_video

    def _load(self) -> TrainedCounter:
        from racctl.counters.trained_counter import TrainedCounter
        from racctl.device import pick_device, set_threads

        if self._threads:
            set_threads(self._threads)
        options = self._options
        name = TRAINED if options.model == COMBINED else options.model
        counter = TrainedCounter(
            name, pick_device(self._device), options.exemplars, options.shots, options.start, options.stop
        )
        if options.explain:
            from racctl.counters.attribution import check_explain_count

            check_explain_count(counter.counter.network.config, options.explain)
        return counter


@dataclass(frozen=True)
class Lane:
    """What counts one clip after the other. poses: processes that estimate them.  trained: the counter with weights.
    masks: of the videos that it looks at."""

    poses: Workers | None
    trained: Trained
    masks: Estimators | None = None

    def abort(self) -> None:
        for workers in (self.poses, self.masks):
            if workers:
                workers.abort()


@contextmanager
def count_lanes(options: Options, trained: Trained, lanes: int, each: int) -> Iterator[list[Lane]]:
    """Yield `lanes` lanes of `each` worker processes. A counter that the options name is loaded now; the one that
    "combined" may ask is not."""
    with ExitStack() as stack:
        poses = stack.enter_context(pose_lanes(options.pose_model, 1, lanes, each))
        if not trained.sees_video:
            yield [Lane(workers, trained) for workers in poses]
        else:
            masks = stack.enter_context(trained.counter.mask_lanes(lanes, each))
            yield [Lane(workers, trained, estimators) for workers, estimators in zip(poses, masks, strict=True)]
