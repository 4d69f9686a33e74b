"""A folder of clips with its tables: `plans` says what is made, `generate` makes what is not there yet."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from racctl import __version__
from racctl.contracts import BACKGROUND, Mask, dump_meta, step
from racctl.errors import DataError
from racctl.io.npz import write_mask, write_pose
from racctl.io.output import make_folder, remove_unfinished, write_bytes, write_file
from racctl.io.parquet import table_from_rows, write_table
from racctl.progress import Report, silent
from racctl.skeleton.remap import remap
from racctl.synth.movement import INVENTED
from racctl.synth.movements import movement_named
from racctl.synth.plan import Plan, generator, plan_clip
from racctl.synth.styles import arms_named

if TYPE_CHECKING:
    import pyarrow as pa

    from racctl.synth.clip import SynthClip

GRACE = 1.2  # s that a worker has to take its half-written file away
DRAWN = {INVENTED: 2, BACKGROUND: 8}  # classes without an entry in the catalog, and how often they come
FOLDERS = ("video", "pose", "joints25", "mask", "parameters")


@dataclass(frozen=True)
class ClipJob:
    """One clip to make.

    drawn: with video and masks.
    errors: of the landmarks, see `noise.with_errors`.
    """

    name: str
    split: str
    plan: Plan
    drawn: bool = True
    errors: str = "none"
    seconds: float | None = None

    def digest(self) -> str:
        """Return the digest of everything that shapes the clip."""
        bouts = [*self.plan.bouts, *([self.plan.bystander_bout] if self.plan.bystander_bout else [])]
        movements = {bout.movement: asdict(movement_named(bout.movement)) for bout in bouts}
        arms = {bout.arms: asdict(arms_named(movement_named(bout.movement), bout.arms)) for bout in bouts if bout.arms}
        content = {
            "plan": self.plan.record(),
            "drawn": self.drawn,
            "errors": self.errors,
            "seconds": self.seconds,
            "version": __version__,
            "movements": movements,
            "arms": arms,
        }
        return hashlib.sha256(dump_meta(json.loads(json.dumps(content)))).hexdigest()


def plans(
    classes: list[str],
    clips: int,
    split: dict[str, float],
    seed: int,
    *,
    drawn: bool = True,
    errors: str = "none",
    **more: Any,
) -> list[ClipJob]:
    """Plan `clips` jobs, the classes in turn and the splits by their shares within each class.

    Beside others, invented movements come in every second clip and background in every eighth.

    more: see `plan_clip`.
    """
    jobs, counts = [], {name: dict.fromkeys(split, 0) for name in classes}
    turns = itertools.cycle([name for name in classes if name not in DRAWN] or classes)
    for number in range(clips):
        often = [name for name, every in DRAWN.items() if name in classes and number % every == every - 1]
        name = often[-1] if often and set(classes) - set(DRAWN) else next(turns)
        so_far = counts[name]
        total = sum(so_far.values()) + 1
        lag = {part: share * total - so_far[part] for part, share in split.items()}
        part = max(lag, key=lambda key: (round(lag[key], 9), -list(split).index(key)))
        so_far[part] += 1
        jobs.append(ClipJob(f"{name}_{number:05d}", part, plan_clip(seed, number, name, **more), drawn, errors))
    order = generator(seed, 99).permutation(len(jobs))  # so that an interrupted run has a bit of everything
    return [jobs[k] for k in order]


def generate(jobs: list[ClipJob], folder: Path, workers: int, report: Report = silent) -> list[dict]:
    """Make every clip that is not there yet, `workers` at a time, then the tables.

    Returns the clips' summaries.

    Writes manifest, reps and labels as Parquet, and for each clip video/, pose/ (truth, blazepose33), joints25/ (truth,
    d2stx25), mask/ and parameters/. A clip counts as there when its parameters carry the same digest. DataError when
    nothing can be written.
    """
    make_folder(folder)  # said first, where that cannot be
    for name in FOLDERS:
        make_folder(folder / name)
    summaries_by_name = {job.name: _finished(job, folder) for job in jobs}
    left = [job for job in jobs if summaries_by_name[job.name] is None]
    for summary in _run(left, folder, workers, lambda done: report(len(jobs) - len(left) + done, len(jobs))):
        summaries_by_name[summary["clip"]] = summary
    summaries = [summary for _, summary in sorted(summaries_by_name.items()) if summary is not None]
    _write_tables(summaries, jobs, folder)
    return summaries


def _run(jobs: list[ClipJob], folder: Path, workers: int, report: Callable[[int], None]) -> Iterator[dict]:
    if workers == 1 or len(jobs) <= 1:
        for done, job in enumerate(jobs, 1):
            yield make(job, folder)
            report(done)
        return
    context = multiprocessing.get_context("spawn")  # torch and BLAS do not survive a fork
    others = set(multiprocessing.active_children())
    children: list[multiprocessing.process.BaseProcess] = []
    with ProcessPoolExecutor(min(workers, len(jobs)), context, initializer=_alone) as pool:
        try:
            with _deaf_to_interrupts():
                waiting = {pool.submit(_make_in_worker, job, folder) for job in jobs}
                children = [child for child in multiprocessing.active_children() if child not in others]
            done = 0
            while waiting:
                ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in ready:
                    done += 1
                    yield future.result()
                    report(done)
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            _stop(children)
            remove_unfinished(folder, [child.pid for child in children if child.pid])
            if isinstance(error, BrokenProcessPool):
                raise DataError("a worker process was killed, for want of memory perhaps; try fewer '--jobs'") from None
            raise


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Keep Ctrl-C from processes that are started here, even while Python starts in them.

    Ours waits for the end of this.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stop(workers: list) -> None:
    """End worker processes within a second and a half: politely, so that half a file is taken away, then for good."""
    for worker in workers:
        worker.terminate()
    end = time.monotonic() + GRACE
    for worker in workers:
        worker.join(max(0.0, end - time.monotonic()))
        if worker.is_alive():
            worker.kill()
            worker.join()


def _alone() -> None:
    """Set up a worker: one thread, since workers share the cores; it ends when the parent says so or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that half a file is taken away
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    threading.Thread(target=_watch_parent, daemon=True).start()


def _watch_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(143)


def _make_in_worker(job: ClipJob, folder: Path) -> dict:
    """Make one clip; a worker that is told to end does so, where its pool would have it go on with the next clip."""
    try:
        return make(job, folder)
    except SystemExit:
        os._exit(143)


def make(job: ClipJob, folder: Path) -> dict:
    """Make one clip and write its files, the parameters last.

    Returns the summary that the tables are made of.
    """
    from racctl.synth.clip import render_clip
    from racctl.synth.noise import with_errors
    from racctl.synth.sequence import pose_clip

    if job.drawn:
        clip = render_clip(job.plan, job.name, job.seconds)
        write_bytes(folder / f"video/{job.name}.mp4", clip.video)
        write_file(folder / f"mask/{job.name}.npz", lambda file: _write_mask(file, clip))
    else:
        clip = pose_clip(job.plan, job.name, errors="none", seconds=job.seconds)
    idle = job.plan.label == BACKGROUND and not job.drawn
    pose = with_errors(clip.pose, job.errors, generator(job.plan.seed, job.plan.number, 12), idle)
    write_file(folder / f"pose/{job.name}.npz", lambda file: write_pose(file, pose))
    write_file(folder / f"joints25/{job.name}.npz", lambda file: write_pose(file, remap(pose, "d2stx25")))
    summary = {
        "clip": job.name,
        "split": job.split,
        "label": job.plan.label,
        "count": clip.count,
        "speed": job.plan.speed,
        "frames": len(clip.label),
        "reps": [list(row) for row in clip.reps],
        "labels": _intervals(clip.label, clip.pose.time),
    }
    record = {
        "digest": job.digest(),
        "version": __version__,
        "summary": summary,
        "plan": job.plan.record(),
        "camera": clip.camera,
    }
    text = json.dumps(record, indent=1, sort_keys=True) + "\n"
    write_bytes(folder / f"parameters/{job.name}.json", text.encode())
    return json.loads(json.dumps(summary))


def _finished(job: ClipJob, folder: Path) -> dict | None:
    """Return the summary of a clip that is there already, made from the same plan."""
    kinds = {"pose": "npz", "joints25": "npz"} | ({"video": "mp4", "mask": "npz"} if job.drawn else {})
    try:
        record = json.loads((folder / f"parameters/{job.name}.json").read_text())
        complete = all((folder / kind / f"{job.name}.{suffix}").is_file() for kind, suffix in kinds.items())
        return record["summary"] if complete and record["digest"] == job.digest() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_mask(file: IO[bytes], clip: SynthClip) -> None:
    """Write the racctl.mask/1 of the person."""
    meta = {key: value for key, value in clip.pose.meta.items() if key != "topology"}
    assert clip.mask is not None  # of a drawn clip
    write_mask(file, Mask(clip.mask, clip.pose.frame, clip.pose.time, meta))


def _intervals(label: list[str], time: np.ndarray) -> list[list]:
    """Return the runs of the same class: rows start, stop (frames), start, stop (seconds), class."""
    edges = [0, *(k for k in range(1, len(label)) if label[k] != label[k - 1]), len(label)]
    beat = float(np.median(np.diff(time))) if len(time) > 1 else 1 / 30
    ends = np.append(time, time[-1] + beat)
    return [[a, b, round(float(ends[a]), 5), round(float(ends[b]), 5), label[a]] for a, b in itertools.pairwise(edges)]


def _write_tables(summaries: list[dict], jobs: list[ClipJob], folder: Path) -> None:
    drawn_clips = {job.name for job in jobs if job.drawn}
    meta = {"steps": [step("synth", __version__, clips=len(jobs), seed=jobs[0].plan.seed)]}
    manifest, reps, labels = [], [], []
    for row in summaries:
        name, drawn = row["clip"], row["clip"] in drawn_clips
        manifest.append(
            {
                "clip": name,
                "split": row["split"],
                "video": f"video/{name}.mp4" if drawn else None,
                "pose": f"pose/{name}.npz",
                "mask": f"mask/{name}.npz" if drawn else None,
                "features": None,
                "count": float(row["count"]),
                "label": row["label"],
                "speed": row["speed"],
            }
        )
        counted = [repetition for repetition in row["reps"] if repetition[5] in ("full", "partial")]
        for k, (start, stop, start_s, stop_s, label, _kind) in enumerate(counted):
            reps.append(
                {
                    "clip": name,
                    "person": 0,
                    "rep": k,
                    "start": start,
                    "stop": stop,
                    "start_s": start_s,
                    "stop_s": stop_s,
                    "label": label,
                }
            )
        for start, stop, start_s, stop_s, label in row["labels"]:
            labels.append(
                {
                    "clip": name,
                    "start": start,
                    "stop": stop,
                    "start_s": start_s,
                    "stop_s": stop_s,
                    "label": label,
                    "probs": [1.0],
                }
            )
    for kind, rows in (("manifest", manifest), ("reps", reps), ("labels", labels)):
        table = table_from_rows(f"racctl.{kind}/1", rows, meta)
        write_file(folder / f"{kind}.parquet", functools.partial(_write_to, table))


def _write_to(table: pa.Table, file: IO[bytes]) -> None:
    write_table(file, table)
